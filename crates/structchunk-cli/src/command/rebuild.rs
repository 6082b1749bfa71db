//! `structchunk rebuild`: makes anew whatever can be made from the chunks.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::JsonFinding;
use crate::failure::{Failure, Outcome};
use crate::key::shown;
use crate::numbers::counted;
use crate::recovery::JsonRecovery;
use crate::text::quiet;
use crate::{json, opening};

/// Make the views of a store anew and, where STORE is lost or damaged, that too
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk rebuild galaxy.store

The chunks are the truth: directory, live map and STORE follow from them. Damaged stretches are named;
what lies behind them is kept. Nothing is deleted: what cannot be part of the store is put aside as NAME.aside.

The exit code is 1 when something could not be read.")]
pub struct Rebuild {
    /// The store's directory
    store: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JsonRebuild<'a> {
    objects: u64,
    made_store: bool,
    findings: Vec<JsonFinding>,
    notes: &'a [String],
    opened: JsonRecovery<'a>,
}

impl Rebuild {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let report = opening::rebuild(&self.store)?;
        let recovery = &report.recovery;
        let outcome = if report.findings.is_empty() { Outcome::Fine } else { Outcome::Findings };
        if self.json {
            let document = JsonRebuild {
                objects: report.objects,
                made_store: report.made_store,
                findings: report.findings.iter().map(JsonFinding::from).collect(),
                notes: &report.notes,
                opened: recovery.into(),
            };
            json::write(out, &document)?;
            return Ok(outcome);
        }
        for finding in &report.findings {
            writeln!(out, "{}", quiet(&finding.to_string()))?;
        }
        let (objects, records) = (report.objects, recovery.accepted_records);
        let (objects, records) =
            (counted(objects, "object", "objects"), counted(records, "record", "records"));
        let findings = match report.findings.len() {
            0 => "no findings".to_owned(),
            many => counted(many as u64, "finding", "findings"),
        };
        writeln!(out, "rebuilt from {records}: {objects}, {findings}")?;
        // Damaged stretches are among the findings already.
        let dropped = recovery.dropped.iter().filter(|dropped| !dropped.ends_with("are damaged"));
        for note in report.notes.iter().chain(dropped) {
            writeln!(out, "  {}", quiet(note))?;
        }
        for key in &recovery.torn {
            writeln!(
                out,
                "  {} was being changed when its process died; it may be half changed",
                shown(key)
            )?;
        }
        for name in &recovery.removed_files {
            writeln!(out, "  {} was removed", quiet(name))?;
        }
        Ok(outcome)
    }
}
