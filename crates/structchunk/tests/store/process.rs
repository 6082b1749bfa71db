//! A test that runs again in a process of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Says which store the child works on.
const STORE: &str = "STRUCTCHUNK_TEST_CHILD";

/// The store to work on, in a child; `None` in the test itself.
pub fn store_of_child() -> Option<PathBuf> {
    std::env::var_os(STORE).map(PathBuf::from)
}

/// How to run the test `name` (its full path) once more, on a store, behind `wrapper` (a program with arguments, or nothing).
pub fn again(name: &str, wrapper: &[&str], store: impl Into<OsString>) -> Command {
    let program = std::env::current_exe().expect("this program");
    let mut command = match wrapper {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.args([name, "--exact", "--nocapture", "--include-ignored"]).env(STORE, store.into());
    command
}

/// Runs it to its end; panics with what it said unless it succeeds and really ran.
pub fn run(mut command: Command) -> String {
    let output = command.output().expect("a child");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "the child failed:\n{said}\n{complained}");
    said
}

/// A child that says a word and then waits until it is killed.
pub struct Waiting {
    pub child: Child,
    output: BufReader<ChildStdout>,
}

impl Waiting {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut waiting = Self { child, output };
        waiting.wait_for("ready");
        waiting
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(self.output.read_line(&mut line).expect("its words") > 0, "the child ended too early");
        }
    }

    /// Ends it without a warning.
    pub fn kill(mut self) {
        self.child.kill().expect("it was alive");
        self.child.wait().expect("its end");
    }
}

/// In the child: says that it is ready, and waits for the end.
pub fn ready_and_wait() {
    println!("\nready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a word from the parent");
}
