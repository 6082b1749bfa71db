//! A test that runs again in a process of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
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

/// Runs a test once more, in a process of its own, and says so; there it says false.
///
/// A child that is being made has for a moment whatever its parent has open and mapped, and as long nothing of that gives its room back. So tests
/// that fork are in nobody's way, and those that count on every byte of a disk are disturbed by nobody.
pub fn ran_apart<T: Fn()>(_test: T) -> bool {
    let apart = store_of_child().is_none();
    if apart {
        let (_, name) = std::any::type_name::<T>().split_once("::").expect("a path");
        let mut command = again(name, &[], "apart");
        // What is skipped is said loudly.
        command.stderr(Stdio::inherit());
        run(command);
    }
    apart
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

/// A child that does what it is told: a line for each order, and a line for each answer.
pub struct Told {
    pub child: Child,
    orders: std::process::ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What an answer begins with, among what the test harness says.
const ANSWER: &str = "answer: ";

impl Told {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let orders = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, orders, answers }
    }

    /// Gives an order, and waits until it is carried out.
    pub fn tell(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    /// Gives an order.
    pub fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the child listens");
    }

    /// Waits for the next answer.
    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.answers.read_line(&mut line).expect("its words") > 0, "the child ended too early");
            if let Some((_, answer)) = line.split_once(ANSWER) {
                return answer.trim_end().to_owned();
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it is alive");
    }

    /// Ends it without a warning.
    pub fn kill(mut self) {
        self.child.kill().expect("it was alive");
        self.child.wait().expect("its end");
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the child: an answer before its time.
pub fn say(answer: &str) {
    println!("\n{ANSWER}{answer}");
}

/// In the child: carries out orders until there are no more.
pub fn obey(mut carry_out: impl FnMut(&[&str]) -> String) {
    for line in std::io::stdin().lines() {
        let line = line.expect("an order");
        let words: Vec<_> = line.split_whitespace().collect();
        println!("\n{ANSWER}{}", carry_out(&words));
    }
}
