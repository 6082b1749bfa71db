//! Locks on single bytes of a file, which need not exist: `F_OFD_SETLK`.
//!
//! They belong to the open file description: another [`File`] excludes and is excluded, in this process or another,
//! while this one never conflicts with itself. The kernel releases them when the description's last descriptor is
//! closed, so no lock survives its holder.
#![expect(unsafe_code, reason = "no safe wrapper of F_OFD_SETLK exists")]

use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use super::faults::Call;
use super::file::File;
use crate::error::{Error, Result};

/// How a byte is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// By any number of files, while none has it exclusively. Needs read access.
    Shared,
    /// By one file alone. Needs write access.
    Exclusive,
}

impl File {
    /// Locks a byte, without waiting, or changes the kind of the lock this file has on it; false when another file's
    /// lock is in the way.
    pub(crate) fn try_lock(&self, byte: u64, lock: Lock) -> Result<bool> {
        let kind = match lock {
            Lock::Shared => libc::F_RDLCK,
            Lock::Exclusive => libc::F_WRLCK,
        };
        match self.lock_call(libc::F_OFD_SETLK, &(byte..byte.saturating_add(1)), kind) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(Error::io("lock", self.path(), error)),
        }
    }

    /// Releases a byte. One that is not locked stays so.
    pub(crate) fn unlock(&self, byte: u64) -> Result<()> {
        self.lock_call(libc::F_OFD_SETLK, &(byte..byte.saturating_add(1)), libc::F_UNLCK)
            .map(drop)
            .map_err(|error| Error::io("unlock", self.path(), error))
    }

    /// Whether another file has a lock of this kind or a stronger one on the byte. Takes nothing; works with read access.
    pub(crate) fn probe(&self, byte: u64, lock: Lock) -> Result<bool> {
        self.probe_any(byte..byte.saturating_add(1), lock)
    }

    /// The same for any of these bytes.
    pub(crate) fn probe_any(&self, bytes: Range<u64>, lock: Lock) -> Result<bool> {
        Ok(self.locked_in(&bytes, lock)?.is_some())
    }

    /// All of these bytes on which other files have such a lock, in no order.
    pub(crate) fn all_locked(&self, bytes: Range<u64>, lock: Lock) -> Result<Vec<Range<u64>>> {
        let (mut found, mut left) = (Vec::new(), vec![bytes]);
        // The system tells of any one lock in a range, not of the first.
        while let Some(range) = left.pop() {
            if let Some(locked) = self.locked_in(&range, lock)? {
                left.extend([range.start..locked.start, locked.end..range.end]);
                found.push(locked);
            }
        }
        Ok(found)
    }

    /// Some bytes of the range on which another file has a lock of this kind or a stronger one.
    fn locked_in(&self, bytes: &Range<u64>, lock: Lock) -> Result<Option<Range<u64>>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        // A lock that would conflict with what is asked for.
        let conflicting = match lock {
            Lock::Shared => libc::F_WRLCK,
            Lock::Exclusive => libc::F_RDLCK,
        };
        let answer = self
            .lock_call(libc::F_OFD_GETLK, bytes, conflicting)
            .map_err(|error| Error::io("look at the locks of", self.path(), error))?;
        if libc::c_int::from(answer.l_type) == libc::F_UNLCK {
            return Ok(None);
        }
        let start = answer.l_start.unsigned_abs();
        let end = if answer.l_len == 0 { u64::MAX } else { start + answer.l_len.unsigned_abs() };
        // One that is gone by now may be told with any numbers: then it is the first byte.
        let (start, end) = (start.max(bytes.start), end.min(bytes.end));
        Ok(Some(if start < end { start..end } else { bytes.start..bytes.start + 1 }))
    }

    fn lock_call(
        &self,
        command: libc::c_int,
        bytes: &Range<u64>,
        kind: libc::c_int,
    ) -> io::Result<libc::flock> {
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let (start, length) = (i64::try_from(bytes.start), i64::try_from(bytes.end - bytes.start));
        let (start, length) = (start.map_err(invalid)?, length.map_err(invalid)?);
        self.effect(Call::Lock, || {
            let mut request = libc::flock {
                l_type: kind as libc::c_short,
                l_whence: libc::SEEK_SET as libc::c_short,
                l_start: start,
                l_len: length,
                l_pid: 0,
            };
            // SAFETY: the descriptor is open as long as `self` is, and both commands read and write one `flock`
            // through the pointer, which `request` is.
            let outcome = unsafe { libc::fcntl(self.descriptor().as_raw_fd(), command, &raw mut request) };
            if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(request) }
        })
    }
}
