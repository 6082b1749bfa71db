//! The chunks of the log.

use std::sync::atomic::Ordering;

use super::Job;
use crate::chunk::{Chunk, ChunkRef, Step, Walk, is_odd};
use crate::disk::Access;
use crate::error::Result;
use crate::format::{ChunkId, FileName, PAGE_BYTES};

impl Job<'_> {
    /// Copies the records of a chunk; those before `from` are there already, unless that is 0. Takes note of those whose objects were changed in place
    /// meanwhile.
    pub(super) fn copy_chunk(&mut self, id: ChunkId, from: u64) -> Result<()> {
        let source = &self.inner.chunks.get(id)?;
        let end = self.end_of(id)?;
        let before = self.versions(source, from, end);
        let name = FileName::of_chunk(id);
        let file = match from {
            0 => self.target.chunks.create_file(&name)?,
            _ => self.target.chunks.open_file(&name, Access::Write)?,
        };
        let features = self.cut.checkpoint.features;
        source.copy_into(&file, from..end, features, &mut |bytes| self.tell(bytes))?;
        if id == self.cut.checkpoint.active {
            // It may have been sealed meanwhile.
            Chunk::wipe_seal(&file)?;
        }
        for (offset, version) in before {
            let now = source.map.load_u64(offset + 24, Ordering::SeqCst);
            if is_odd(version) || now != Some(version) {
                self.unsettled.insert(source.geometry.location(id, offset));
            }
        }
        Ok(())
    }

    /// Where the records of objects lie, and their words at 24.
    fn versions(&self, chunk: &ChunkRef<'_>, from: u64, end: u64) -> Vec<(u64, u64)> {
        let mut walk = Walk::new(chunk, self.inner.chunks.seed, end, 0);
        walk.go_to(from.max(PAGE_BYTES));
        let versions = walk.filter_map(|step| match step {
            Step::Record(record) if record.header().kind.is_object() => {
                Some((record.offset(), record.version_word(Ordering::SeqCst)))
            }
            _ => None,
        });
        versions.collect()
    }
}
