//! Locks on single bytes of a file, which need not exist: `F_OFD_SETLK`.
//!
//! They belong to the open file description: another [`File`] excludes and is excluded, in this process or another,
//! while this one never conflicts with itself. The kernel releases them when the description's last descriptor is
//! closed, so no lock survives its holder.
#![expect(unsafe_code, reason = "no safe wrapper of F_OFD_SETLK exists")]

use std::io;
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
        match self.lock_call(libc::F_OFD_SETLK, byte, kind) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(Error::io("lock", self.path(), error)),
        }
    }

    /// Releases a byte. One that is not locked stays so.
    pub(crate) fn unlock(&self, byte: u64) -> Result<()> {
        self.lock_call(libc::F_OFD_SETLK, byte, libc::F_UNLCK)
            .map(drop)
            .map_err(|error| Error::io("unlock", self.path(), error))
    }

    /// Whether another file has a lock of this kind or a stronger one on the byte. Takes nothing; works with read access.
    pub(crate) fn probe(&self, byte: u64, lock: Lock) -> Result<bool> {
        // A lock that would conflict with what is asked for.
        let conflicting = match lock {
            Lock::Shared => libc::F_WRLCK,
            Lock::Exclusive => libc::F_RDLCK,
        };
        self.lock_call(libc::F_OFD_GETLK, byte, conflicting)
            .map(|kind| kind != libc::F_UNLCK)
            .map_err(|error| Error::io("look at the locks of", self.path(), error))
    }

    fn lock_call(&self, command: libc::c_int, byte: u64, kind: libc::c_int) -> io::Result<libc::c_int> {
        let start = i64::try_from(byte).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.effect(Call::Lock, || {
            let mut request = libc::flock {
                l_type: kind as libc::c_short,
                l_whence: libc::SEEK_SET as libc::c_short,
                l_start: start,
                l_len: 1,
                l_pid: 0,
            };
            // SAFETY: the descriptor is open as long as `self` is, and both commands read and write one `flock`
            // through the pointer, which `request` is.
            let outcome = unsafe { libc::fcntl(self.descriptor().as_raw_fd(), command, &raw mut request) };
            if outcome == -1 {
                Err(io::Error::last_os_error())
            } else {
                Ok(libc::c_int::from(request.l_type))
            }
        })
    }
}
