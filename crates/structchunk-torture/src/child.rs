//! What this program does when a class starts it again, to be killed or to have its calls fail.

use std::io;
use std::process::{Command, ExitCode};

use crate::classes::{disk, history, kill, power, syscalls};
use crate::trace;

/// The first argument of such a start.
pub const WORD: &str = "as-child";

/// This program again, with a task.
pub fn command(task: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORD).args(task);
    Ok(command)
}

/// Does a task. What it has to say it says with [`say`].
pub fn run(task: &[String]) -> ExitCode {
    let words: Vec<_> = task.iter().map(String::as_str).collect();
    match &words[..] {
        ["kill", rest @ ..] => kill::child(rest),
        ["kill-filled", path, objects] => kill::fill(path.as_ref(), objects.parse().expect("a number")),
        ["power", path, kind, seed] => power::child(path.as_ref(), kind, seed.parse().expect("a number")),
        ["history", rest @ ..] => history::child(rest),
        ["syscalls", rest @ ..] => syscalls::child(rest),
        ["disk", rest @ ..] => disk::child(rest),
        ["hand-over"] => trace::hand_over().expect("tracing is allowed"),
        _ => {
            eprintln!("no task {words:?}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Says one thing at once, by one system call. Whatever kills the process later, it has been said.
pub fn say(what: u8) {
    let written = rustix::io::write(rustix::stdio::stdout(), &[what]);
    assert_eq!(written, Ok(1), "the parent listens");
}
