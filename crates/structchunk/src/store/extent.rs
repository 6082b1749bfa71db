//! How far the log goes, by the checkpoint and by what lies in `chunks/`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::inner::Writer;
use super::pace::Pace;
use super::store_file::StoreFile;
use super::types::{MAX_TYPES, TypesHere};
use crate::chunk::{ChunkSet, Record};
use crate::error::{Error, Result};
use crate::format::{
    Checkpoint, ChunkId, ChunkNumbers, FileName, Geometry, Location, MAX_SEQUENCE, PAGE_BYTES,
};

/// Where the log ends, and the numbers that come next.
#[derive(Clone)]
pub(crate) struct Log {
    /// The chunks of the log, up to the active one.
    pub chunks: BTreeSet<ChunkId>,
    pub active: ChunkId,
    pub head: u64,
    /// The last sequence.
    pub sequence: u64,
    pub next_chunk: u32,
    pub next_body: u64,
    pub next_type: u32,
    /// Everything in `chunks/` that is not a chunk of the log.
    pub others: Vec<FileName>,
    /// Chunks that were dropped from the log, whose files are still to be unlinked.
    pub dropped: BTreeSet<ChunkId>,
    /// Records that other processes were changing as the log was walked, with their odd words.
    pub claimed: Vec<(Location, u64)>,
}

impl Log {
    /// What the checkpoint says, and what lies in `chunks/`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when chunks that the checkpoint counts are missing.
    pub(crate) fn list(chunks: &ChunkSet, store: &StoreFile) -> Result<Self> {
        let newest = &store.newest;
        check_numbers(chunks.geometry, newest)
            .map_err(|reason| Error::corrupt(store.file.path(), PAGE_BYTES * (1 + store.slot), reason))?;
        let (mut found, mut others) = (BTreeSet::new(), Vec::new());
        let (mut next_chunk, mut next_body) = (newest.next_chunk, newest.next_body);
        for name in chunks.list()? {
            match name {
                FileName::Chunk(id) if u64::from(id.0) + 1 < chunks.geometry.chunk_limit() => {
                    next_chunk = next_chunk.max(id.0 + 1);
                    found.insert(id);
                }
                FileName::Body(number) => {
                    next_body = next_body.max(number.0.saturating_add(1));
                    others.push(name);
                }
                FileName::Temporary(_) => others.push(name),
                // No chunk of ours has such a number.
                FileName::Chunk(_) | FileName::Unknown => {}
            }
        }
        let dropped = found.extract_if(.., |id| newest.dropped.contains(*id)).collect();
        let mut counted: ChunkNumbers = found.range(..=newest.active).copied().collect();
        if counted != newest.chunks {
            // A chunk that was made but never used may have outlived its removal: a power cut can bring back a name.
            for id in found.range(..newest.active).copied().collect::<Vec<_>>() {
                if is_unused(chunks, id)? {
                    found.remove(&id);
                    others.push(FileName::Chunk(id));
                }
            }
            counted = found.range(..=newest.active).copied().collect();
        }
        if counted != newest.chunks {
            let reason = format!(
                "{} chunks up to number {} are here, the checkpoint counts {}; rebuild takes what is there",
                counted.count, newest.active, newest.chunks.count
            );
            return Err(Error::corrupt(chunks.folder.path(), 0, reason));
        }
        if !found.contains(&newest.active) {
            let reason = format!("chunk {}, where the log ends, is missing", newest.active);
            return Err(Error::corrupt(chunks.folder.path(), 0, reason));
        }
        Ok(Self {
            chunks: found,
            active: newest.active,
            head: newest.head,
            sequence: newest.sequence,
            next_chunk,
            next_body,
            next_type: newest.next_type.max(1),
            others,
            dropped,
            claimed: Vec::new(),
        })
    }

    /// The log as the checkpoint has it. Chunks beyond it were made ahead and never used.
    pub(crate) fn at_checkpoint(mut self, newest: &Checkpoint) -> Self {
        self.chunks.split_off(&newest.active.next());
        self
    }

    /// A writer that goes on where the log ends.
    ///
    /// # Errors
    /// When the active chunk cannot be opened.
    pub(crate) fn into_writer(self, chunks: &ChunkSet) -> Result<Writer> {
        let active = chunks.get(self.active)?;
        if active.map.limit() < self.head {
            let reason = format!("the file ends before the log does, which has {} bytes here", self.head);
            return Err(Error::corrupt(active.path(), active.map.limit(), reason));
        }
        // What is appended to stays mapped: nothing can fail between two records of a batch.
        active.keep();
        Ok(Writer {
            active: self.active,
            head: self.head,
            reserved: self.head,
            spares: VecDeque::new(),
            pace: Pace::default(),
            next_sequence: self.sequence + 1,
            first_sequence: self.first_sequence(chunks)?,
            next_chunk: self.next_chunk,
            next_body: self.next_body,
            next_type: self.next_type,
            chunks: self.chunks,
            types_here: TypesHere::default(),
            last_type: None,
            dirty_chunks: BTreeSet::new(),
            dirty_bodies: BTreeMap::new(),
            new_names: false,
            superseded: Vec::new(),
            superseded_payloads: Vec::new(),
            dropped: self.dropped,
            claimed: self.claimed,
            changed: false,
        })
    }

    /// Sequence of the first record of the active chunk; of the next record when it has none.
    fn first_sequence(&self, chunks: &ChunkSet) -> Result<u64> {
        let first = Record::read(&chunks.get(self.active)?, PAGE_BYTES);
        let first = first.filter(|record| record.place().end <= self.head);
        Ok(first.map_or(self.sequence + 1, |record| record.header().sequence))
    }
}

/// Refuses numbers that no store comes to, before anybody counts on from them.
pub(crate) fn check_numbers(
    geometry: Geometry,
    checkpoint: &Checkpoint,
) -> std::result::Result<(), &'static str> {
    /// Generations and epochs rise by one at a time.
    const FAR: u64 = 1 << 62;
    if !(PAGE_BYTES..=geometry.capacity()).contains(&checkpoint.head) || !checkpoint.head.is_multiple_of(16) {
        return Err("the head in the checkpoint cannot be");
    }
    if checkpoint.sequence > MAX_SEQUENCE {
        return Err("the sequence in the checkpoint cannot be");
    }
    if checkpoint.generation > FAR || checkpoint.epoch > FAR {
        return Err("the generation or epoch in the checkpoint cannot be");
    }
    if u64::from(checkpoint.active.0) + 1 >= geometry.chunk_limit() {
        return Err("the active chunk in the checkpoint cannot be");
    }
    if checkpoint.next_type > MAX_TYPES {
        return Err("the number of types in the checkpoint cannot be");
    }
    Ok(())
}

/// Whether a chunk was never written to: it has neither records nor a seal.
fn is_unused(chunks: &ChunkSet, id: ChunkId) -> Result<bool> {
    match chunks.get(id) {
        Ok(chunk) => Ok(chunk.seal_mark().is_none() && Record::read(&chunk, PAGE_BYTES).is_none()),
        Err(error) if error.is_corrupt() => Ok(true),
        Err(error) => Err(error),
    }
}

/// Chunk and head of an end of the log, which may be the very end of a chunk.
pub(crate) fn split_end(geometry: Geometry, end: u64) -> Option<(ChunkId, u64)> {
    let end = Location::new(end)?;
    let (chunk, head) = (geometry.chunk(end), geometry.offset(end));
    if head == 0 {
        return Some((ChunkId(chunk.0.checked_sub(1)?), geometry.capacity()));
    }
    (head >= PAGE_BYTES).then_some((chunk, head))
}
