//! `structchunk copy`: a copy of a store, made while other programs work with it.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::JsonFinding;
use crate::failure::{Failure, Outcome};
use crate::key::{JsonKey, shown};
use crate::numbers::{counted, grouped};
use crate::progress::Progress;
use crate::text::quiet;
use crate::{json, opening};

/// Copy a store that may be in use to a new directory: holes stay holes, and blocks are shared where the file system can
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk copy galaxy.store /backup/galaxy.store

The directory must be new or empty. A copy that was interrupted is no store, and can be made again.
The copy has the uuid of the store: never mix their files.

Another program may be writing to the store, and goes on: the copy is of one moment, with whole batches and no object half
changed. Objects that a program was changing when it died are copied as they are, and named.

The exit code is 1 when something could not be read in the store, and so is not in the copy.")]
pub struct Copy {
    /// The store's directory
    store: PathBuf,
    /// Where the copy will be
    destination: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JsonCopy<'a> {
    objects: u64,
    bytes: u64,
    findings: Vec<JsonFinding>,
    torn: Vec<JsonKey<'a>>,
}

impl Copy {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let reader = opening::beside(&self.store)?;
        let report = {
            let progress = Progress::of(0, "copying");
            reader.copy_to_with(&self.destination, |copied| progress.at_of(copied.bytes, copied.of_bytes))?
        };
        let outcome = if report.findings.is_empty() { Outcome::Fine } else { Outcome::Findings };
        if self.json {
            let findings = report.findings.iter().map(JsonFinding::from).collect();
            let torn = report.torn.iter().map(|key| key.as_slice().into()).collect();
            let (objects, bytes) = (report.objects, report.bytes);
            json::write(out, &JsonCopy { objects, bytes, findings, torn })?;
            return Ok(outcome);
        }
        for finding in &report.findings {
            writeln!(out, "{}", quiet(&finding.to_string()))?;
        }
        for key in &report.torn {
            writeln!(out, "{} was being changed when its process died; it may be half changed", shown(key))?;
        }
        let objects = counted(report.objects, "object", "objects");
        writeln!(out, "{objects} copied, {} bytes", grouped(report.bytes))?;
        Ok(outcome)
    }
}
