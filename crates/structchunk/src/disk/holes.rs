//! What a file holds besides holes.

use std::ops::Range;

use rustix::fs::SeekFrom;

use super::faults::Call;
use super::file::File;
use super::space::Punched;
use crate::error::{Error, Result};

/// How much of a file is tried out, in bytes.
const SAMPLE: u64 = 1 << 20;

impl File {
    /// Whether the file system keeps holes in files and lets some be made: tried out on this file, which must be empty and stays so.
    pub(crate) fn can_have_holes(&self) -> Result<bool> {
        self.set_len(SAMPLE)?;
        let kept = self.allocated_bytes()? < SAMPLE / 2;
        let made = kept && self.punch(0, SAMPLE / 2)? == Punched::Freed;
        self.set_len(0)?;
        Ok(made)
    }

    /// Refuses what no file on this file system can reach, whatever is free.
    pub(crate) fn require_reach(&self, bytes: u64) -> Result<()> {
        let reached =
            self.effect(Call::Inspect, || rustix::fs::seek(self.descriptor(), SeekFrom::Start(bytes)));
        match reached {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                Err(Error::TooLarge { what: "a file of this file system", bytes, limit: self.largest()? })
            }
            Err(error) => Err(Error::io("seek in", self.path(), error)),
            Ok(_) => Ok(()),
        }
    }

    /// The largest power of two that a file here can reach.
    fn largest(&self) -> Result<u64> {
        for log2 in (12..63).rev() {
            let at = SeekFrom::Start(1 << log2);
            if self.effect(Call::Inspect, || rustix::fs::seek(self.descriptor(), at)).is_ok() {
                return Ok(1 << log2);
            }
        }
        Err(Error::io("seek in", self.path(), std::io::ErrorKind::InvalidInput.into()))
    }

    /// The next part at or behind `from` that may hold anything but zeroes; `None` where only a hole follows. A file system that
    /// knows no holes answers with the rest of the file.
    pub(crate) fn next_data(&self, from: u64) -> Result<Option<Range<u64>>> {
        let length = self.len()?;
        if from >= length {
            return Ok(None);
        }
        let Some(start) = self.next(SeekFrom::Data(from))? else { return Ok(None) };
        let end = self.next(SeekFrom::Hole(start))?.unwrap_or(length).min(length);
        Ok((start < end).then_some(start..end))
    }
}
