//! The `structchunk` command: looks into stores, checks and repairs them, and shows what they can do on real data.
//!
//! Every command has a file of its own below `command/`; `demo/` is one that is more than a file. They hold no logic of the
//! store, only questions to the library and answers for people (text) and programs (`--json`).
//!
//! Exit codes: 0 fine, 1 not found or findings, 2 error. A reader that has seen enough (`| head`) is no error.

mod chart;
mod command;
mod demo;
mod failure;
mod json;
mod key;
mod numbers;
mod opening;
mod progress;
mod reading;
mod recovery;
mod survey;
mod table;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use command::Command;
use failure::{Failure, Outcome};

/// Look into structchunk stores, check and repair them.
#[derive(Parser)]
#[command(name = "structchunk", version, arg_required_else_help = true, max_term_width = 100, after_help = EXAMPLES)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  structchunk demo                          store the symbols of this machine's programs, and work with them
  structchunk info galaxy.store             what is in a store, and how much of it
  structchunk ls galaxy.store --prefix p/   the keys that begin with p/
  structchunk get galaxy.store p/42         one object, decoded by its stored layout
  structchunk check galaxy.store            look at every byte
  structchunk compact galaxy.store          give back the space of what was removed

Exit codes: 0 fine, 1 not found or findings, 2 error.";

fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help that nobody reads to its end is no error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Only what is said of a store that is cut under us depends on it.
    let _ = structchunk::explain_bus_errors();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = line.command.run(&mut out);
    let flushed = out.flush().map_err(Failure::from);
    match result.and_then(|outcome| flushed.map(|()| outcome)) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Err(failure) => failure.report(),
    }
}
