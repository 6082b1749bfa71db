//! An open file: its length, its bytes, making them durable.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, OFlags};

use super::faults::{Call, Faults};
use super::fork::ForkGuard;
use super::no_fork::{NoFork, no_fork};
use super::space::{refused, require_room};
use crate::error::{Error, Result};

/// What a file is opened or mapped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

impl Access {
    pub(super) fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::Write => OFlags::RDWR,
        }
    }
}

/// An open regular file, real or in memory. Dropping it closes it and syncs nothing.
pub(crate) struct File {
    /// Goes before the descriptor: its number must not be touched once it is free for others.
    fork: Option<ForkGuard>,
    descriptor: Arc<OwnedFd>,
    path: PathBuf,
    faults: Faults,
    /// While it is closed, where children do not get it: goes behind the descriptor.
    closing: Option<NoFork>,
}

impl Drop for File {
    fn drop(&mut self) {
        // A child that is made when it is no longer kept from children, but still open, would keep the locks on it.
        self.closing = self.fork.is_some().then(no_fork);
    }
}

impl File {
    pub(super) fn new(descriptor: OwnedFd, path: PathBuf, faults: Faults) -> Self {
        Self { fork: None, descriptor: Arc::new(descriptor), path, faults, closing: None }
    }

    /// Closes the file in child processes at the moment they are forked, so that a child that lives on does not keep
    /// the locks of a parent that died. In the child this handle then locks and reads nothing.
    ///
    /// Opened and kept in one [`no_fork`]: a child that is made in between would keep them all the same.
    ///
    /// # Errors
    /// [`Error::Exhausted`] when a thousand files are kept from children already.
    pub(crate) fn keep_from_children(mut self) -> Result<Self> {
        let guard = ForkGuard::new(self.descriptor.as_fd())
            .map_err(|error| Error::io("prepare", &self.path, error))?;
        self.fork = Some(guard.ok_or(Error::Exhausted { what: "locks of this process" })?);
        Ok(self)
    }

    /// The length, in bytes.
    pub(crate) fn len(&self) -> Result<u64> {
        Ok(self.status()?.st_size.unsigned_abs())
    }

    /// Cuts the file, or extends it by a hole. What was mapped beyond a cut must not be touched again.
    pub(crate) fn set_len(&self, bytes: u64) -> Result<()> {
        if bytes > self.len()? {
            require_room("extend", &self.path, bytes, bytes)?;
        }
        self.effect(Call::Truncate, || rustix::fs::ftruncate(&self.descriptor, bytes))
            .map_err(|error| refused("set the length of", &self.path, bytes, error))
    }

    /// Reads from `offset` on until `buffer` is full or the file ends; how many bytes that were.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let position = offset.saturating_add(done as u64);
            let read = self
                .effect(Call::Read, || rustix::io::pread(&self.descriptor, &mut buffer[done..], position))
                .map_err(|error| Error::io("read", &self.path, error))?;
            if read == 0 {
                break;
            }
            done += read;
        }
        Ok(done)
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the file ends before.
    pub(crate) fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let read = self.read_at(offset, buffer)?;
        if read < buffer.len() {
            let reason = format!("the file ends after {read} of {} bytes", buffer.len());
            return Err(Error::corrupt(&self.path, offset, reason));
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`, extending the file where needed.
    ///
    /// # Errors
    /// After [`Error::NoSpace`] a part may have been written.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        require_room("write", &self.path, bytes.len() as u64, end)?;
        let mut done = 0;
        while done < bytes.len() {
            let position = offset.saturating_add(done as u64);
            let written = self
                .effect(Call::Write, || rustix::io::pwrite(&self.descriptor, &bytes[done..], position))
                .map_err(|error| refused("write", &self.path, bytes.len() as u64, error))?;
            if written == 0 {
                return Err(Error::io("write", &self.path, io::ErrorKind::WriteZero.into()));
            }
            done += written;
        }
        Ok(())
    }

    /// Makes content and length durable, whether written by call or through a mapping.
    ///
    /// # Errors
    /// After an error nothing is known about what was not durable before; another call may succeed without having
    /// written it. "No space" too is an [`Error::Io`] here.
    pub(crate) fn sync_data(&self) -> Result<()> {
        self.effect(Call::Sync, || rustix::fs::fdatasync(&self.descriptor))
            .map_err(|error| Error::io("sync", &self.path, error))
    }

    /// Asks the kernel to forget what it caches of a part of this file; pages that are dirty or mapped stay.
    pub(crate) fn drop_cached_pages(&self, range: Range<u64>) -> Result<()> {
        let bytes = NonZeroU64::new(range.end.saturating_sub(range.start));
        let Some(bytes) = bytes else { return Ok(()) };
        let advise = || rustix::fs::fadvise(&self.descriptor, range.start, Some(bytes), Advice::DontNeed);
        self.effect(Call::Forget, advise)
            .map_err(|error| Error::io("drop cached pages of", &self.path, error))
    }

    /// Asks the kernel to read nothing ahead of what is read of this file, so that it makes no large pages.
    pub(crate) fn read_nothing_ahead(&self) {
        // Only memory depends on it.
        let _ = self.effect(Call::Cache, || rustix::fs::fadvise(&self.descriptor, 0, None, Advice::Random));
    }

    /// Asks the kernel to read a part of this file, in small pages.
    pub(crate) fn read_ahead(&self, range: Range<u64>) {
        /// The kernel reads no more than this for one call, at its usual settings.
        const PIECE: u64 = 128 << 10;
        let mut from = range.start;
        while let Some(bytes) = NonZeroU64::new(range.end.saturating_sub(from).min(PIECE)) {
            let advise = || rustix::fs::fadvise(&self.descriptor, from, Some(bytes), Advice::WillNeed);
            // Only time depends on it.
            let _ = self.effect(Call::Cache, advise);
            from += bytes.get();
        }
    }

    /// Device and inode: the same for two handles exactly when they are the same file.
    pub(crate) fn identity(&self) -> Result<(u64, u64)> {
        let status = self.status()?;
        Ok((status.st_dev, status.st_ino))
    }

    /// How much of the disk the file takes.
    pub(crate) fn allocated_bytes(&self) -> Result<u64> {
        Ok(self.status()?.st_blocks.unsigned_abs().saturating_mul(512))
    }

    /// Where the file is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last component of the path.
    pub(super) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// The same for who has it open for longer than this.
    pub(super) fn shared_descriptor(&self) -> Arc<OwnedFd> {
        self.descriptor.clone()
    }

    /// Makes one system call for this file; see [`Faults::guard`].
    pub(crate) fn effect<T, E: Into<io::Error>>(
        &self,
        call: Call,
        action: impl FnMut() -> Result<T, E>,
    ) -> io::Result<T> {
        self.faults.guard(call, &self.path, action)
    }

    fn status(&self) -> Result<rustix::fs::Stat> {
        self.effect(Call::Inspect, || rustix::fs::fstat(&self.descriptor))
            .map_err(|error| Error::io("inspect", &self.path, error))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.path).finish()
    }
}
