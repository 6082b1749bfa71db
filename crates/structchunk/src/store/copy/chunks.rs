//! The chunks of the log.

use std::sync::atomic::Ordering;

use super::Job;
use crate::chunk::{Chunk, ChunkRef, Step, WRITING, Walk};
use crate::error::Result;
use crate::format::{ChunkId, FileName, Location};

impl Job<'_> {
    /// Copies the records of a chunk. Adds those to `unsettled` whose objects were changed in place meanwhile.
    pub(super) fn copy_chunk(&mut self, id: ChunkId, unsettled: &mut Vec<Location>) -> Result<()> {
        let source = &self.inner.chunks.get(id)?;
        let end = self.end_of(id)?;
        let before = self.versions(source, end);
        let file = self.target.chunks.create_file(&FileName::of_chunk(id))?;
        let features = self.cut.checkpoint.features;
        source.copy_into(&file, end, features, &mut |bytes| self.tell(bytes))?;
        if id == self.cut.checkpoint.active {
            // It may have been sealed meanwhile.
            Chunk::wipe_seal(&file)?;
        }
        for (offset, version) in before {
            let now = source.map.load_u64(offset + 24, Ordering::SeqCst);
            if version & WRITING != 0 || now != Some(version) {
                unsettled.push(source.geometry.location(id, offset));
            }
        }
        Ok(())
    }

    /// Where the records of objects lie, and their words at 24.
    fn versions(&self, chunk: &ChunkRef<'_>, end: u64) -> Vec<(u64, u64)> {
        let walk = Walk::new(chunk, self.inner.chunks.seed, end, 0);
        let versions = walk.filter_map(|step| match step {
            Step::Record(record) if record.header().kind.is_object() => {
                Some((record.offset(), record.version_word(Ordering::SeqCst)))
            }
            _ => None,
        });
        versions.collect()
    }
}
