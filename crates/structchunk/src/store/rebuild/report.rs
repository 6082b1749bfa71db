//! What a rebuild tells.

use std::path::Path;

use super::super::{Finding, RecoveryReport};

/// What [`Store::rebuild`](crate::Store::rebuild) found and did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RebuildReport {
    /// Objects that the store holds now.
    pub objects: u64,
    /// Whether `STORE` was made anew.
    pub made_store: bool,
    /// What could not be read, with file, position and size, and what was mended or put aside for it. Empty: nothing is lost.
    pub findings: Vec<Finding>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What opening the store found after that.
    pub recovery: RecoveryReport,
}

/// Findings and notes while they are made.
#[derive(Default)]
pub(super) struct Findings {
    pub list: Vec<Finding>,
    pub notes: Vec<String>,
}

impl Findings {
    pub(super) fn bytes(&mut self, path: &Path, offset: u64, bytes: u64, what: impl Into<String>) {
        self.list.push(Finding { path: path.to_owned(), offset, bytes, what: what.into() });
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}
