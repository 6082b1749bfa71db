//! `structchunk check`: looks at everything, repairs nothing.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use structchunk::Finding;

use crate::failure::{Failure, Outcome, say};
use crate::numbers::counted;
use crate::progress::Progress;
use crate::recovery::{self, JsonRecovery};
use crate::text::quiet;
use crate::{json, opening};

/// Look at every record, type, body and view of a store; repair nothing
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  structchunk check galaxy.store && echo all is well
  structchunk check galaxy.store --json | jq .findings
  structchunk check galaxy.store --deep

Without --deep the index is not looked at: it is derived anew where it does not fit. The exit code is 1 when there are findings. `structchunk rebuild` makes anew what can be.")]
pub struct Check {
    /// The store's directory
    store: PathBuf,
    /// Also look at what is superseded, shapes, seals, files that nothing names, and each key of the index
    #[arg(long)]
    deep: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct JsonCheck<'a> {
    records: u64,
    findings: Vec<JsonFinding>,
    opened: JsonRecovery<'a>,
}

/// A finding in JSON.
#[derive(Serialize)]
pub struct JsonFinding {
    path: String,
    offset: u64,
    bytes: u64,
    what: String,
}

impl From<&Finding> for JsonFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            path: finding.path.display().to_string(),
            offset: finding.offset,
            bytes: finding.bytes,
            what: finding.what.clone(),
        }
    }
}

impl Check {
    pub fn run(self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let store = opening::alone(&self.store)?;
        let mut check = {
            let _progress = Progress::waiting("checking");
            if self.deep { store.check_deep() } else { store.check() }?
        };
        let findings: Vec<_> = check.by_ref().collect();
        let report = store.recovery();
        if self.json {
            let findings = findings.iter().map(JsonFinding::from).collect();
            json::write(out, &JsonCheck { records: check.records(), findings, opened: report.into() })?;
        } else {
            for finding in &findings {
                writeln!(out, "{}", quiet(&finding.to_string()))?;
            }
            let records = counted(check.records(), "record", "records");
            let end = counted(findings.len() as u64, "finding", "findings");
            writeln!(out, "{records} looked at, {}", if findings.is_empty() { "no findings" } else { &end })?;
            for line in recovery::lines(report) {
                say(&line);
            }
        }
        Ok(if findings.is_empty() { Outcome::Fine } else { Outcome::Findings })
    }
}
