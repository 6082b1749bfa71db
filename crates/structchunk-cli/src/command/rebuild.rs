//! `structchunk rebuild`: makes anew whatever can be made from the chunks.

use std::io::Write;
use std::path::PathBuf;

use crate::failure::{Failure, Outcome};
use crate::key::shown;
use crate::numbers::counted;
use crate::survey::JsonRecovery;
use crate::text::quiet;
use crate::{json, opening};

/// Make the views of a store anew and, where STORE is lost or damaged, that too
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk rebuild galaxy.store

The chunks are the truth: directory, live map and STORE follow from them. Damaged stretches are named;
what lies behind them is kept.")]
pub struct Rebuild {
    /// The store's directory
    store: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Rebuild {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let report = opening::rebuild(&self.store)?;
        if self.json {
            json::write(out, &JsonRecovery::from(&report))?;
            return Ok(Outcome::Fine);
        }
        writeln!(out, "rebuilt from {}", counted(report.accepted_records, "record", "records"))?;
        for dropped in &report.dropped {
            writeln!(out, "  {}", quiet(dropped))?;
        }
        for key in &report.torn {
            writeln!(
                out,
                "  {} was being changed when its process died; it may be half changed",
                shown(key)
            )?;
        }
        for name in &report.removed_files {
            writeln!(out, "  {} was removed", quiet(name))?;
        }
        Ok(Outcome::Fine)
    }
}
