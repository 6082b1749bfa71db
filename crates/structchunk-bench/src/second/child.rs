//! The second process: this program once more, which measures and tells.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::access::{ALL, all_of};
use super::alone::{self, ALONE};
use super::side::Beside;
use crate::engine::Outcome;

/// What makes this program the second process: [`Task`]'s fields come after it.
pub const ARGUMENT: &str = "--as-second-process";

/// So many figures it tells.
pub const FIGURES: usize = ALL.len() + ALONE.len();

/// How often the first process looks whether the second one has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// What the second process is to do.
#[derive(Debug, PartialEq)]
pub struct Task {
    pub folder: PathBuf,
    pub objects: u64,
    pub operations: u64,
    pub round: u64,
}

impl Task {
    /// Reads what is behind [`ARGUMENT`].
    pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut next = || arguments.next().ok_or_else(|| format!("{ARGUMENT} needs four values"));
        let folder = next()?.into();
        let mut number = || {
            let text = next()?;
            text.to_string_lossy().parse().map_err(|_| format!("{ARGUMENT}: {} is no number", text.display()))
        };
        Ok(Self { folder, objects: number()?, operations: number()?, round: number()? })
    }

    fn arguments(&self) -> [OsString; 5] {
        let Self { folder, objects, operations, round } = self;
        let number = |number: &u64| OsString::from(number.to_string());
        [ARGUMENT.into(), folder.into(), number(objects), number(operations), number(round)]
    }

    /// Does it, and prints a line for each kind of access: its nanoseconds.
    pub fn carry_out(&self) -> Outcome<()> {
        let side = Beside::attach(&self.folder)?;
        let copies = self.folder.parent().ok_or("the store lies nowhere")?;
        let figures = all_of(&side, copies, self.objects, self.operations, self.round)?;
        for nanoseconds in figures.into_iter().chain(alone::all(&side, &self.folder, self.objects)?) {
            println!("{nanoseconds}");
        }
        Ok(())
    }

    /// Nobody waits longer for it.
    fn patience(&self) -> Duration {
        Duration::from_secs(60 + self.objects / 50_000)
    }
}

/// Runs a second process that carries out the task, and gives what it measured. `meanwhile` is called from time to time.
pub fn ask(task: &Task, meanwhile: impl FnMut() -> Outcome<()>) -> Outcome<[f64; FIGURES]> {
    let mut command = Command::new(std::env::current_exe()?);
    told_by(command.args(task.arguments()), task.patience(), meanwhile)
}

/// The figures that a command prints; it gets no longer than `patience`.
fn told_by(
    command: &mut Command,
    patience: Duration,
    mut meanwhile: impl FnMut() -> Outcome<()>,
) -> Outcome<[f64; FIGURES]> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot start a second process: {error}"))?;
    let end = Instant::now() + patience;
    // What it prints in an orderly run fits into a pipe, so it need not be read meanwhile.
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() < end => {
                std::thread::sleep(PAUSE);
                if let Err(error) = meanwhile() {
                    end_now(&mut child)?;
                    return Err(error);
                }
            }
            None => {
                end_now(&mut child)?;
                return Err(format!("the second process did not end within {patience:?}").into());
            }
        }
    };
    let (mut figures, mut complaint) = (String::new(), String::new());
    child.stdout.take().ok_or("the second process has no output")?.read_to_string(&mut figures)?;
    child.stderr.take().ok_or("the second process has no output")?.read_to_string(&mut complaint)?;
    figures_of(status, &figures, &complaint)
}

fn end_now(child: &mut Child) -> Outcome<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn figures_of(status: ExitStatus, figures: &str, complaint: &str) -> Outcome<[f64; FIGURES]> {
    if !status.success() {
        return Err(format!("the second process failed ({status}): {}", complaint.trim_end()).into());
    }
    let figures: Result<Vec<f64>, _> = figures.lines().map(str::parse).collect();
    let figures = figures.ok().and_then(|figures| figures.try_into().ok());
    figures.ok_or_else(|| "the second process ended without telling all of its figures".into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{FIGURES, Task, told_by};

    fn told(script: &str, patience: Duration) -> Result<[f64; FIGURES], String> {
        told_by(Command::new("sh").args(["-c", script]), patience, || Ok(()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_second_process_that_fails_is_an_error_with_what_it_said() {
        let error = told("echo no such store >&2; exit 3", Duration::from_mins(1)).unwrap_err();
        assert!(
            error.contains("failed") && error.contains('3') && error.ends_with("no such store"),
            "{error}"
        );
        let error = told("kill -9 $$", Duration::from_mins(1)).unwrap_err();
        assert!(error.contains("failed (signal: 9"), "{error}");
    }

    #[test]
    fn a_second_process_that_hangs_is_ended_and_an_error() {
        let start = Instant::now();
        let error = told("exec sleep 60", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error, "the second process did not end within 50ms");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_second_process_ends_with_the_first_ones_part() {
        let start = Instant::now();
        let mut command = Command::new("sh");
        let told =
            told_by(command.args(["-c", "exec sleep 60"]), Duration::from_mins(1), || Err("full".into()));
        assert_eq!(told.unwrap_err().to_string(), "full");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_second_process_tells_all_figures_or_none_count() {
        let all: String = "echo 2.5;".repeat(FIGURES);
        assert_eq!(told(&all, Duration::from_mins(1)).unwrap()[1].to_bits(), 2.5_f64.to_bits());
        for script in ["echo 1.5", "true", &format!("{all} echo 1"), &format!("echo many; {all}")] {
            let error = told(script, Duration::from_mins(1)).unwrap_err();
            assert!(error.contains("without telling"), "{script}: {error}");
        }
    }

    #[test]
    fn a_task_is_read_as_it_was_given() {
        let task = Task { folder: "/a b".into(), objects: 10, operations: 20, round: 3 };
        let read = |arguments: &[_]| Task::parse(arguments.iter().cloned());
        let arguments = task.arguments();
        assert_eq!(read(&arguments[1..]), Ok(task));
        assert!(read(&arguments[1..4]).unwrap_err().contains("needs"));
    }
}
