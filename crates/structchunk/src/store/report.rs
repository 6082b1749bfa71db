//! What opening found.

use std::fmt;

/// What opening a store found and did; see [`Store::recovery`](crate::Store::recovery).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// How the store was left, and so how it was opened.
    pub found: Found,
    /// The piece of evidence that decided, in words.
    pub evidence: String,
    /// Records that were accepted; 0 after a clean close, when nothing is walked.
    pub accepted_records: u64,
    /// What was given up, with reasons: damaged stretches, chunks beyond the checkpoint.
    pub dropped: Vec<String>,
    /// Bytes wiped behind the end of the log.
    pub wiped_bytes: u64,
    /// Keys of objects that somebody was changing in place when their process died: they may be half changed.
    pub torn: Vec<Vec<u8>>,
    /// Files removed: bodies that nothing points to, files that were not finished.
    pub removed_files: Vec<String>,
    /// Whether stretches of the log could not be read.
    pub damaged: bool,
    /// Whether directory and live map were made anew.
    pub rebuilt_views: bool,
}

/// How a store was left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// It was just created.
    #[default]
    New,
    /// Closed by its last writer.
    Clean,
    /// Closed, but a view was missing or did not fit: the views were rebuilt.
    ViewsLost,
    /// Its writer died in this boot of the machine: all that had returned is there.
    ProcessDied,
    /// The machine died, or nothing proves that it did not: the store is as of its last sync.
    MachineDied,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Clean => "closed cleanly",
            Self::ViewsLost => "closed cleanly, views lost",
            Self::ProcessDied => "the writing process died",
            Self::MachineDied => "the machine died",
        })
    }
}
