//! Space: reserved before it is touched, given back when it is not needed.
//!
//! Touching a page of a mapping that has no block on a full disk is a signal. So whoever is about to touch one
//! reserves it first, and "no room" is an error value. The limit `RLIMIT_FSIZE` would be a signal too (`SIGXFSZ`),
//! so it is looked at before every call that could meet it.

use std::io;
use std::ops::Range;
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::faults::Call;
use super::file::File;
use crate::error::{Error, Result};

/// Where files cannot have holes made or be reserved, zeroes are written in pieces of this size.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// What became of a range that was punched. It reads as zeroes either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Punched {
    /// Its blocks were given back.
    Freed,
    /// The file system cannot do that; zeroes were written.
    Zeroed,
}

impl File {
    /// Gives the range blocks of its own, extending the file to its end where it is shorter. What it holds stays.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when there is no room; the length is then as before.
    pub(crate) fn reserve(&self, offset: u64, bytes: u64) -> Result<()> {
        let length = self.len()?;
        let end = self.end_of(offset, bytes)?;
        if end > length {
            require_room("reserve", self.path(), bytes, end)?;
        }
        let outcome = match self.allocate(FallocateFlags::empty(), offset, bytes) {
            Err(error) if is_unsupported(&error) => self.fill_holes(offset, end.min(length)).and_then(|()| {
                let start = offset.max(length);
                self.write_zeroes(start, end.saturating_sub(start))
            }),
            Err(error) => Err(refused("reserve", self.path(), bytes, error)),
            Ok(()) => Ok(()),
        };
        if outcome.is_err() && end > length && self.len().is_ok_and(|now| now > length) {
            // A part was reserved and the file extended: give it back. Where that fails too, nothing worse than a
            // longer file is left.
            let _ = self.set_len(length);
        }
        outcome
    }

    /// Makes the range read as zeroes and gives its blocks back. The length stays.
    pub(crate) fn punch(&self, offset: u64, bytes: u64) -> Result<Punched> {
        let end = self.end_of(offset, bytes)?;
        if bytes == 0 {
            return Ok(Punched::Freed);
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match self.effect(Call::Punch, || rustix::fs::fallocate(self.descriptor(), flags, offset, bytes)) {
            Ok(()) => Ok(Punched::Freed),
            Err(error) if is_unsupported(&error) => {
                let end = end.min(self.len()?);
                self.write_zeroes(offset, end.saturating_sub(offset))?;
                Ok(Punched::Zeroed)
            }
            Err(error) => Err(refused("punch", self.path(), bytes, error)),
        }
    }

    /// Takes a range that was reserved, and holds nothing yet, out of the page cache: also where other processes have it mapped. It stays reserved.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when it was given back before it could be reserved anew.
    pub(crate) fn forget_reserved(&self, range: Range<u64>) -> Result<()> {
        let bytes = range.end.saturating_sub(range.start);
        if bytes == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match self
            .effect(Call::Forget, || rustix::fs::fallocate(self.descriptor(), flags, range.start, bytes))
        {
            Err(error) if !is_unsupported(&error) => self.reserve(range.start, bytes),
            _ => Ok(()),
        }
    }

    /// Whether there are holes before the last of its data.
    pub(crate) fn has_holes_inside(&self) -> Result<bool> {
        let hole = self.next(SeekFrom::Hole(0))?;
        Ok(match hole {
            Some(hole) => self.next(SeekFrom::Data(hole))?.is_some(),
            None => false,
        })
    }

    fn allocate(&self, flags: FallocateFlags, offset: u64, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.effect(Call::Allocate, || rustix::fs::fallocate(self.descriptor(), flags, offset, bytes))
    }

    /// Writes zeroes where the file has holes, and nowhere else: what is data may be written to by others meanwhile.
    fn fill_holes(&self, start: u64, end: u64) -> Result<()> {
        let mut position = start;
        while position < end {
            let hole = self.next(SeekFrom::Hole(position))?.unwrap_or(end).min(end);
            let data = self.next(SeekFrom::Data(hole))?.unwrap_or(end).min(end);
            self.write_zeroes(hole, data.saturating_sub(hole))?;
            position = data.max(position + 1);
        }
        Ok(())
    }

    /// The parts of the first `end` bytes that are no holes.
    pub(crate) fn data_ranges(&self, end: u64) -> Result<Vec<Range<u64>>> {
        let (mut ranges, mut position) = (Vec::new(), 0);
        while position < end {
            let data = self.next(SeekFrom::Data(position))?.unwrap_or(end).min(end);
            let hole = self.next(SeekFrom::Hole(data))?.unwrap_or(end).min(end);
            if data < hole {
                ranges.push(data..hole);
            }
            position = hole.max(position + 1);
        }
        Ok(ranges)
    }

    /// The next hole or data; `None` when there is none up to the file's end.
    pub(super) fn next(&self, from: SeekFrom) -> Result<Option<u64>> {
        match self.effect(Call::Inspect, || rustix::fs::seek(self.descriptor(), from)) {
            Ok(position) => Ok(Some(position)),
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(None),
            Err(error) => Err(Error::io("look for holes in", self.path(), error)),
        }
    }

    /// Writes zeroes; the blocks stay the file's.
    pub(crate) fn write_zeroes(&self, offset: u64, bytes: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes {
            let step = (bytes - done).min(ZEROES.len() as u64);
            self.write_at(offset + done, &ZEROES[..step as usize])?;
            done += step;
        }
        Ok(())
    }

    /// No file ends beyond the largest signed offset.
    fn end_of(&self, offset: u64, bytes: u64) -> Result<u64> {
        let end = offset.checked_add(bytes).filter(|end| i64::try_from(*end).is_ok());
        end.ok_or_else(|| Error::NoSpace { action: "reserve", path: self.path().to_owned(), bytes })
    }
}

/// Refuses what would go beyond `RLIMIT_FSIZE` or the largest file, before the kernel sends a signal.
pub(super) fn require_room(action: &'static str, path: &Path, bytes: u64, end: u64) -> Result<()> {
    let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs());
    if end > limit {
        return Err(Error::NoSpace { action, path: path.to_owned(), bytes });
    }
    Ok(())
}

/// An I/O error, or "no space" where it means that: the disk, a quota, or the largest file is full.
pub(super) fn refused(action: &'static str, path: impl AsRef<Path>, bytes: u64, source: io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            Error::NoSpace { action, path: path.as_ref().to_owned(), bytes }
        }
        _ => Error::io(action, path, source),
    }
}

/// `EOPNOTSUPP` and `ENOSYS`.
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}
