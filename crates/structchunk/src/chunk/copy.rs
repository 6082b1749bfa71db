//! Copies of chunks and bodies, with their holes.

use std::ops::Range;

use super::{Body, Chunk};
use crate::disk::File;
use crate::error::Result;
use crate::format::{ChunkIdentity, Features, PAGE_BYTES, SECTOR_BYTES, align_up};

/// Hears how many bytes were copied, and may end it.
type Told<'t> = &'t mut dyn FnMut(u64) -> Result<()>;

impl Chunk {
    /// Copies the header and this part of the records into a file, which becomes a chunk of a store with these features. It has the
    /// records before that already, or is empty.
    pub(crate) fn copy_into(
        &self,
        target: &File,
        part: Range<u64>,
        features: Features,
        told: Told<'_>,
    ) -> Result<()> {
        let end = part.end;
        let stepwise = features.is_stepwise();
        target.set_len(if stepwise { align_up(end, PAGE_BYTES) } else { self.geometry.capacity() })?;
        // It may be sealed by now.
        copy_data(&self.file, target, 0..PAGE_BYTES, told)?;
        copy_data(&self.file, target, part.start.max(PAGE_BYTES)..end, told)?;
        keep_reserved(&self.file, target, end)?;
        let mut sector = [0; SECTOR_BYTES];
        target.read_exact_at(0, &mut sector)?;
        match ChunkIdentity::decode(&sector) {
            Some(identity) if identity.features != features => {
                target.write_at(0, &ChunkIdentity { features, ..identity }.encode())
            }
            _ => Ok(()),
        }
    }

    /// Takes the seal out of a copy. (A block that is shared is written to only when that must be: it takes new space.)
    pub(crate) fn wipe_seal(copy: &File) -> Result<()> {
        let (offset, mut sector) = (SECTOR_BYTES as u64, [0; SECTOR_BYTES]);
        copy.read_exact_at(offset, &mut sector)?;
        if sector == [0; SECTOR_BYTES] { Ok(()) } else { copy.write_at(offset, &[0; SECTOR_BYTES]) }
    }
}

impl Body {
    /// Copies all of it into a file that is empty, or holds an earlier copy.
    pub(crate) fn copy_into(&self, target: &File, told: Told<'_>) -> Result<()> {
        let bytes = self.map.len();
        target.set_len(bytes)?;
        copy_data(&self.file, target, 0..bytes, told)?;
        keep_reserved(&self.file, target, bytes)
    }
}

fn copy_data(source: &File, target: &File, part: Range<u64>, told: Told<'_>) -> Result<()> {
    let (mut at, end) = (part.start, part.end);
    while let Some(data) = source.next_data(at)?.filter(|data| data.start < end) {
        let to = data.end.min(end);
        target.copy_from(source, data.start..to, told)?;
        at = data.end.max(at + PAGE_BYTES);
    }
    Ok(())
}

/// What is backed by disk space wholly, though untouched in parts, is so in the copy: touching it must not meet a full disk.
fn keep_reserved(source: &File, target: &File, end: u64) -> Result<()> {
    if source.allocated_bytes()? >= end { target.reserve(0, end) } else { Ok(()) }
}
