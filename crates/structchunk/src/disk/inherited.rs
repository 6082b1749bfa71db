//! How long a file is for those whom nobody tells when it becomes longer: forked children of the process that writes it, and readers.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::file::File;
use super::fork::forks;

/// The length of a file, where the process itself does not know it.
#[derive(Debug)]
pub(crate) struct InheritedLength {
    descriptor: Arc<OwnedFd>,
    /// How often the process had forked that makes it longer; `None` where that is another one anyway.
    process: Option<u32>,
}

impl InheritedLength {
    /// Of this file.
    pub(crate) fn of(file: &File) -> Self {
        Self { descriptor: file.shared_descriptor(), process: Some(forks()) }
    }

    /// Of a file that other processes make longer.
    pub(crate) fn of_others(file: &File) -> Self {
        Self { process: None, ..Self::of(file) }
    }

    /// The length in bytes; `None` in the process itself, which knows.
    pub(crate) fn get(&self) -> Option<u64> {
        if self.process.is_some_and(|process| process == forks()) {
            return None;
        }
        rustix::fs::fstat(&self.descriptor).ok().map(|status| status.st_size.unsigned_abs())
    }
}
