//! Copying from file to file: by the kernel where it can, which shares the blocks where the file system does that (reflinks).

use std::ops::Range;

use rustix::io::Errno;

use super::faults::Call;
use super::file::File;
use super::space::{refused, require_room};
use crate::error::Result;

/// How much is copied at a time, in bytes: between two pieces somebody may be told, or end it.
const PIECE: u64 = 32 << 20;
/// Size of the buffer where the kernel does not copy.
const BUFFER: u64 = 1 << 20;

impl File {
    /// Copies what another file has in `range` to the same place in this one. `told` hears how many bytes came, and may end it.
    ///
    /// # Errors
    /// [`crate::Error::NoSpace`], [`crate::Error::Corrupt`] when the source ends too early; a part may have been copied.
    pub(crate) fn copy_from(
        &self,
        source: &Self,
        range: Range<u64>,
        told: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        require_room("copy to", self.path(), range.end - range.start, range.end)?;
        let (mut at, mut by_kernel) = (range.start, true);
        let mut buffer = Vec::new();
        while at < range.end {
            let wanted = (range.end - at).min(PIECE);
            let copied = if by_kernel { self.copy_by_kernel(source, at, wanted)? } else { None };
            let copied = if let Some(copied) = copied {
                copied
            } else {
                by_kernel = false;
                let wanted = wanted.min(BUFFER);
                buffer.resize(wanted as usize, 0);
                source.read_exact_at(at, &mut buffer)?;
                self.write_at(at, &buffer)?;
                wanted
            };
            at += copied;
            told(copied)?;
        }
        Ok(())
    }

    /// How many bytes the kernel copied; `None` where it does not do that between these two.
    fn copy_by_kernel(&self, source: &Self, at: u64, bytes: u64) -> Result<Option<u64>> {
        const ELSEWHERE: [Errno; 5] =
            [Errno::XDEV, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL, Errno::PERM];
        let copied = self.effect(Call::Copy, || {
            let (mut from, mut to) = (at, at);
            let (source, target) = (source.descriptor(), self.descriptor());
            rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), bytes as usize)
        });
        match copied {
            Ok(0) => Ok(None),
            Ok(copied) => Ok(Some(copied as u64)),
            Err(error) => match Errno::from_io_error(&error) {
                Some(errno) if ELSEWHERE.contains(&errno) => Ok(None),
                _ => Err(refused("copy to", self.path(), bytes, error)),
            },
        }
    }
}
