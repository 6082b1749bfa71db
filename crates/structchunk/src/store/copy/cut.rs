//! What a copy holds: everything before one end of the log.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::chunk::Walk;
use crate::error::{Error, Result};
use crate::format::{
    BodyNumber, Checkpoint, ChunkId, DroppedChunks, Evidence, ExternPayload, FileName, Kind, Location,
};
use crate::index::Covered;
use crate::store::Inner;
use crate::store::attach::SharedHold;
use crate::store::since::LogNow;
use crate::store::store_file::epoch_above;

/// What the copy will hold, fixed at one moment.
pub(super) struct Cut {
    /// That of the copy. Of a source that another process writes, the last sequence is known when the log was read.
    pub checkpoint: Checkpoint,
    pub chunks: BTreeSet<ChunkId>,
}

/// While this lives, nothing that the cut counts becomes a hole or, where this process writes the source, is given back.
pub(super) enum Kept<'a> {
    Own {
        _hold: Hold<'a>,
    },
    /// Nothing is moved out of these chunks and no hole is made in them. Bodies may go.
    Others(BTreeMap<ChunkId, SharedHold<'a>>),
}

pub(super) struct Hold<'a>(&'a AtomicU32);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Cut {
    /// Chunk and offset of the end.
    pub(super) fn end(&self) -> (ChunkId, u64) {
        (self.checkpoint.active, self.checkpoint.head)
    }
}

impl Inner {
    /// Fixes what a copy holds, and keeps that.
    pub(super) fn cut_for_copy(&self) -> Result<(Kept<'_>, Cut)> {
        if self.follows() {
            let newest = self.lock_checkpoints().newest;
            let cut = Cut { checkpoint: self.checkpoint_of_copy(&newest)?, chunks: BTreeSet::new() };
            let mut held = BTreeMap::new();
            let cut = self.cut_of_others(&mut held, cut, None)?;
            return Ok((Kept::Others(held), cut));
        }
        // No sync is giving anything back now; and what was dropped before is not part of the log.
        let checkpoints = self.lock_checkpoints();
        let writer = self.lock_writer();
        self.check_open()?;
        if self.shared.end() != self.end_of_log(&writer).get() {
            // What could not be completed lies between the two.
            self.check_not_poisoned()?;
        }
        self.copies.fetch_add(1, Ordering::SeqCst);
        let kept = Kept::Own { _hold: Hold(&self.copies) };
        let checkpoint = writer.checkpoint(&self.checkpoint_of_copy(&checkpoints.newest)?);
        Ok((kept, Cut { checkpoint, chunks: writer.chunks.clone() }))
    }

    /// What does not depend on the end of the log.
    fn checkpoint_of_copy(&self, newest: &Checkpoint) -> Result<Checkpoint> {
        Ok(Checkpoint {
            generation: 0,
            // Derived files of the two stores must not be taken for each other's.
            epoch: epoch_above(self.epoch)?,
            clean: true,
            dropped: DroppedChunks::default(),
            evidence: Evidence::default(),
            ..*newest
        })
    }

    /// Fixes the end of the log of another process, every chunk being held; with `from`, which was an end before, that of an
    /// earlier cut which has been copied up to there.
    pub(super) fn cut_of_others<'a>(
        &'a self,
        held: &mut BTreeMap<ChunkId, SharedHold<'a>>,
        mut cut: Cut,
        from: Option<(ChunkId, u64)>,
    ) -> Result<Cut> {
        let (mut deadline, mut is_first) = (self.patience(true), true);
        let now = loop {
            let now = self.log_of_others(self.covered(from))?;
            let mut all = true;
            for &id in &now.chunks {
                if let Entry::Vacant(free) = held.entry(id) {
                    // What became a hole before this has been superseded: before the end that is fixed next.
                    all = false;
                    free.insert(self.hold_with_others(id)?.ok_or_else(|| self.keeps_changing())?);
                }
            }
            if all && (from.is_some() || self.are_named(&now.chunks)?) {
                break now;
            }
            // Chunks have to be held before it is known whether more is in the way.
            if !std::mem::take(&mut is_first) && deadline.is_over() {
                return Err(self.keeps_changing());
            }
        };
        if from.is_some_and(|from| (now.active, now.head) < from) {
            return Err(Error::corrupt(self.path.join("shared"), 128, "the end of the log has gone back"));
        }
        let (next_chunk, next_body) = self.shared.next_files();
        cut.chunks.extend(&now.chunks);
        let checkpoint = &mut cut.checkpoint;
        (checkpoint.active, checkpoint.head) = (now.active, now.head);
        checkpoint.next_chunk = next_chunk.max(now.active.next().0);
        checkpoint.next_body = checkpoint.next_body.max(next_body);
        checkpoint.next_type = checkpoint.next_type.max(self.next_type());
        checkpoint.chunks = cut.chunks.iter().copied().collect();
        Ok(cut)
    }

    /// Whether all of these chunks, which were listed, still have their names. Those that were dropped lose them oldest first: so none was
    /// missed by the list that holds a tombstone for what is in an older one.
    fn are_named(&self, chunks: &[ChunkId]) -> Result<bool> {
        let found: BTreeSet<_> = self.chunks.folder.list()?.into_iter().collect();
        Ok(chunks.iter().all(|id| found.contains(&FileName::of_chunk(*id))))
    }

    /// The bodies that records behind `from` point to: those that were made, moved or given another key since; and the last of these records. `None` where some of
    /// them are gone already.
    pub(super) fn externs_since(
        &self,
        from: (ChunkId, u64),
        mut last_sequence: u64,
    ) -> Result<Option<BTreeMap<BodyNumber, Location>>> {
        let LogNow { chunks, active, head, .. } = self.log_of_others(self.covered(Some(from)))?;
        let mut bodies = BTreeMap::new();
        for id in chunks {
            let chunk = &self.chunks.get(id)?;
            let end = if id == active { head } else { chunk.sealed_head()? };
            let mut walk = Walk::new(chunk, self.chunks.seed, end, 0);
            if id == from.0 {
                walk.go_to(from.1);
            }
            while let Some(record) = walk.next_adjacent() {
                if record.header().sequence != last_sequence + 1 {
                    return Ok(None);
                }
                last_sequence += 1;
                if record.header().kind == Kind::Extern {
                    let pointer = ExternPayload::decode(record.frozen_payload());
                    bodies.extend(pointer.map(|it| (it.body, record.location())));
                }
            }
        }
        Ok(Some(bodies))
    }

    fn covered(&self, from: Option<(ChunkId, u64)>) -> Option<Covered> {
        from.map(|(chunk, offset)| {
            let position: Location = self.chunks.geometry.location(chunk, offset);
            Covered { sequence: 0, position }
        })
    }

    fn keeps_changing(&self) -> Error {
        Error::Recovering { path: self.path.clone() }
    }
}
