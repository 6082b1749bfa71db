//! How long a file is for a forked child, which nobody tells when its parent makes the file longer.

use std::os::fd::OwnedFd;

use super::file::File;
use super::fork::forks;

/// The length of a file, in children of the process that has opened it.
#[derive(Debug)]
pub(crate) struct InheritedLength {
    descriptor: OwnedFd,
    /// How often the process had forked.
    process: u32,
}

impl InheritedLength {
    /// Of this file; `None` where no more files can be open. (A child then misses what comes later.)
    pub(crate) fn of(file: &File) -> Option<Self> {
        Some(Self { descriptor: file.descriptor().try_clone_to_owned().ok()?, process: forks() })
    }

    /// The length in bytes; `None` in the process itself, which knows.
    pub(crate) fn get(&self) -> Option<u64> {
        if forks() == self.process {
            return None;
        }
        rustix::fs::fstat(&self.descriptor).ok().map(|status| status.st_size.unsigned_abs())
    }
}
