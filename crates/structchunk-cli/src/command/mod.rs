//! The commands, one file each.

mod check;
mod compact;
mod copy;
mod get;
mod info;
mod ls;
mod rebuild;
mod rm;
mod stats;
mod types;

use std::io::Write;

use clap::Subcommand;

pub use check::JsonFinding;

use crate::demo;
use crate::failure::{Failure, Outcome};

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    Demo(demo::Demo),
    Info(info::Info),
    Ls(ls::Ls),
    Get(get::Get),
    Rm(rm::Rm),
    Types(types::Types),
    Stats(stats::Stats),
    Check(check::Check),
    Compact(compact::Compact),
    Copy(copy::Copy),
    Rebuild(rebuild::Rebuild),
}

impl Command {
    /// Does it; the answer goes to `out`.
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        match self {
            Self::Demo(demo) => demo.run(out),
            Self::Info(info) => info.run(out),
            Self::Ls(ls) => ls.run(out),
            Self::Get(get) => get.run(out),
            Self::Rm(rm) => rm.run(out),
            Self::Types(types) => types.run(out),
            Self::Stats(stats) => stats.run(out),
            Self::Check(check) => check.run(out),
            Self::Compact(compact) => compact.run(out),
            Self::Copy(copy) => copy.run(out),
            Self::Rebuild(rebuild) => rebuild.run(out),
        }
    }
}
