//! How long a file is for those whom nobody tells when it becomes longer: forked children of the process that writes it, and readers.

use std::os::fd::OwnedFd;

use super::file::File;
use super::fork::forks;

/// The length of a file, where the process itself does not know it.
#[derive(Debug)]
pub(crate) struct InheritedLength {
    descriptor: OwnedFd,
    /// How often the process had forked that makes it longer; `None` where that is another one anyway.
    process: Option<u32>,
}

impl InheritedLength {
    /// Of this file; `None` where no more files can be open. (A child then misses what comes later.)
    pub(crate) fn of(file: &File) -> Option<Self> {
        Some(Self { descriptor: file.descriptor().try_clone_to_owned().ok()?, process: Some(forks()) })
    }

    /// Of a file that other processes make longer.
    pub(crate) fn of_others(file: &File) -> Option<Self> {
        Some(Self { process: None, ..Self::of(file)? })
    }

    /// The length in bytes; `None` in the process itself, which knows.
    pub(crate) fn get(&self) -> Option<u64> {
        if self.process.is_some_and(|process| process == forks()) {
            return None;
        }
        rustix::fs::fstat(&self.descriptor).ok().map(|status| status.st_size.unsigned_abs())
    }
}
