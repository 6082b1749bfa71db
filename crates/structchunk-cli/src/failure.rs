//! How a command ends when it does not end well.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::text;

/// How a command that did its work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As one would wish: exit code 0.
    Fine,
    /// Something was found that should not be there, or not found: exit code 1. The command has said what.
    Findings,
}

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// The store said so.
    Store(structchunk::Error),
    /// Whatever else; a sentence.
    Other(String),
    /// What was asked for is not there; a sentence.
    NotFound(String),
    /// Standard output takes no more.
    Output(io::Error),
    /// The user has had enough: the number of the signal.
    Interrupted(i32),
}

impl Failure {
    /// Tells the user, in one line, and gives the exit code.
    pub fn report(self) -> ExitCode {
        let code = match &self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::NotFound(_) => 1,
            _ => 2,
        };
        say(&self);
        if let Self::Interrupted(signal) = self {
            // Whoever started this process is to see what ended it.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
        ExitCode::from(code)
    }
}

/// One line for people, beside the answer.
pub fn say(what: &dyn fmt::Display) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "structchunk: {}", text::quiet(&what.to_string()));
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Other(sentence) | Self::NotFound(sentence) => f.write_str(sentence),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
            Self::Interrupted(_) => f.write_str("interrupted"),
        }
    }
}

impl From<structchunk::Error> for Failure {
    fn from(error: structchunk::Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
