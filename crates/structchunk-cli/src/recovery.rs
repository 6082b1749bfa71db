//! What opening a store found and did, for people and for programs.

use serde::Serialize;
use structchunk::{Found, RecoveryReport};

use crate::key::{JsonKey, shown};
use crate::numbers::{bytes, counted};

/// What opening found, in JSON.
#[derive(Serialize)]
pub struct JsonRecovery<'a> {
    found: String,
    evidence: &'a str,
    accepted_records: u64,
    dropped: &'a [String],
    wiped_bytes: u64,
    torn: Vec<JsonKey<'a>>,
    removed_files: &'a [String],
    damaged: bool,
    rebuilt_views: bool,
}

impl<'a> From<&'a RecoveryReport> for JsonRecovery<'a> {
    fn from(report: &'a RecoveryReport) -> Self {
        Self {
            found: report.found.to_string(),
            evidence: &report.evidence,
            accepted_records: report.accepted_records,
            dropped: &report.dropped,
            wiped_bytes: report.wiped_bytes,
            torn: report.torn.iter().map(|key| key.as_slice().into()).collect(),
            removed_files: &report.removed_files,
            damaged: report.damaged,
            rebuilt_views: report.rebuilt_views,
        }
    }
}

/// What opening found and did, line by line; nothing for a store that was closed cleanly.
pub fn lines(report: &RecoveryReport) -> Vec<String> {
    if report.found == Found::Clean {
        return Vec::new();
    }
    let accepted = counted(report.accepted_records, "record", "records");
    let mut lines = vec![format!("found: {} ({}); {accepted} accepted", report.found, report.evidence)];
    if report.rebuilt_views {
        lines.push("directory and live map were made anew".to_owned());
    }
    if report.wiped_bytes > 0 {
        lines.push(format!("{} wiped behind the end of the log", bytes(report.wiped_bytes)));
    }
    lines.extend(report.dropped.iter().map(|dropped| format!("given up: {dropped}")));
    let torn = report.torn.iter().map(|key| shown(key));
    lines.extend(
        torn.map(|key| {
            format!("torn: {key} was being changed when its process died; it may be half changed")
        }),
    );
    lines.extend(report.removed_files.iter().map(|name| format!("removed: {name}")));
    lines
}
