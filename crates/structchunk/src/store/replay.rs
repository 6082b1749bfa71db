//! Making views from the log: what recovery, `rebuild` and `check` do with every record.

use std::collections::VecDeque;

use super::views::Views;
use crate::chunk::{ChunkSet, Record};
use crate::error::Result;
use crate::format::Kind;

/// How many records are under way between two stages, so that their cache misses overlap.
const AHEAD: usize = 16;

/// Takes the records of a log, in its order, into empty views.
pub(crate) struct Replay<'a> {
    views: &'a Views,
    chunks: &'a ChunkSet,
    /// Records whose slots are being fetched, and their hashes.
    waiting: VecDeque<(Record<'a>, u64)>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(views: &'a Views, chunks: &'a ChunkSet) -> Self {
        Self { views, chunks, waiting: VecDeque::with_capacity(2 * AHEAD + 1) }
    }

    /// Takes the next record. The views know of it after [`Replay::finish`] at the latest.
    pub(crate) fn push(&mut self, record: Record<'a>) -> Result<()> {
        let hash = self.views.hashes.of_record(&record);
        self.views.directory.prefetch_entry(hash);
        self.waiting.push_back((record, hash));
        if let Some((_, hash)) = self.waiting.len().checked_sub(AHEAD).and_then(|at| self.waiting.get(at)) {
            self.views.directory.prefetch_line(*hash);
        }
        if self.waiting.len() > 2 * AHEAD {
            self.next()?;
        }
        Ok(())
    }

    /// Takes what is still under way.
    pub(crate) fn finish(mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            self.next()?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        match self.waiting.pop_front() {
            Some((record, hash)) => self.replay(&record, hash),
            None => Ok(()),
        }
    }

    /// Takes a record into the views.
    fn replay(&self, record: &Record<'a>, hash: u64) -> Result<()> {
        let Self { views, chunks, .. } = *self;
        let (key, kind) = (record.key(), record.header().kind);
        match kind {
            Kind::Object | Kind::Extern => {
                views.make_slots(chunks, &mut [hash])?;
                let (slot, old) = views.slot_where(chunks, hash, |other| other.is_object_under(key))?;
                views.directory.store(&slot, record.location());
                views.live.set(record.location(), record.bytes());
                match old {
                    Some(old) => views.live.clear(old.location(), old.bytes()),
                    None => views.directory.change_len(1),
                }
            }
            Kind::Tombstone => {
                views.live.count_tombstone(record.chunk.id, record.bytes());
                let (slot, old) = views.slot_where(chunks, hash, |other| other.is_object_under(key))?;
                if let Some(old) = old {
                    views.directory.erase(&slot);
                    views.live.clear(old.location(), old.bytes());
                    views.directory.change_len(-1);
                }
            }
            // Of the copies of a type, a damaged one counts for nothing.
            Kind::Type if !record.payload_checksum_holds(chunks.seed) => {}
            Kind::Type => {
                views.make_slots(chunks, &mut [hash])?;
                let (slot, _) = views.slot_where(chunks, hash, |other| {
                    other.header().kind == Kind::Type && other.key_is(key)
                })?;
                views.directory.store(&slot, record.location());
            }
            Kind::Other(_) => {}
        }
        Ok(())
    }
}
