//! What a file holds besides holes.

use std::ops::Range;

use rustix::fs::SeekFrom;

use super::file::File;
use crate::error::Result;

impl File {
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
