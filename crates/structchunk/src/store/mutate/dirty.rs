//! What other processes have changed since the last sync.
//!
//! A mutator cannot tell the writer, so it leaves a mark in the live map, in the word of the object's chunk: before the change can be seen, and
//! once more when its call is about to return. A sync takes the marks away first and makes those chunks durable then, so whatever had
//! returned before the sync is in it. Who has a reference to atomics changes them at any time: chunks that somebody holds are marked again by each sync.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::super::Inner;
use super::super::hold::FIRST_BYTE;
use super::super::inner::Writer;
use crate::chunk::{LiveMap, Record, Step, Walk};
use crate::disk::{File, Lock};
use crate::error::{Error, Result};
use crate::format::{ChunkId, Kind};

/// Something in the chunk was changed.
pub(crate) const DIRTY: u64 = 1;
/// A body was changed that a record of the chunk points to.
pub(crate) const DIRTY_BODIES: u64 = 2;

impl Inner {
    /// Leaves a mark that an object was changed.
    pub(crate) fn mark_dirty(&self, chunk: ChunkId, in_body: bool) -> Result<()> {
        let bits = if in_body { DIRTY | DIRTY_BODIES } else { DIRTY };
        let live = self.dirty.as_ref().unwrap_or(&self.views.live);
        if live.mark_dirty(chunk, bits) {
            return Ok(());
        }
        Err(self.no_room_to_mark(chunk))
    }

    /// Refuses a chunk for which [`Inner::mark_dirty`] would fail.
    pub(crate) fn check_can_mark(&self, chunk: ChunkId) -> Result<()> {
        let live = self.dirty.as_ref().unwrap_or(&self.views.live);
        if live.can_mark(chunk) { Ok(()) } else { Err(self.no_room_to_mark(chunk)) }
    }

    fn no_room_to_mark(&self, chunk: ChunkId) -> Error {
        Error::corrupt(self.path.join("live"), 0, format!("it has no room for chunk {chunk}"))
    }

    /// Counts as dirty what others have changed. Under the writer's lock, as a cut is fixed.
    pub(crate) fn take_dirty(&self, writer: &mut Writer) -> Result<()> {
        if !self.shares_changes {
            return Ok(());
        }
        self.mark_held(writer)?;
        self.take_claimed(writer)?;
        for &chunk in &writer.chunks.clone() {
            let bits = self.views.live.take_dirty(chunk);
            if bits == 0 {
                continue;
            }
            writer.dirty_chunks.insert(chunk);
            writer.changed = true;
            if bits & DIRTY_BODIES != 0
                && let Err(error) = self.take_dirty_bodies(writer, chunk)
            {
                self.views.live.mark_dirty(chunk, bits);
                return Err(error);
            }
        }
        // Held chunks may be changed again at once.
        self.mark_held(writer)
    }

    /// What others were changing as this session began. Each is looked after until its word is another one, which a sync has then made durable.
    fn take_claimed(&self, writer: &mut Writer) -> Result<()> {
        let mut still_claimed = Vec::new();
        for (location, odd) in writer.claimed.clone() {
            let chunk = self.chunks.geometry.chunk(location);
            // Nobody moves what is claimed: if the chunk is gone, the change had ended.
            if !writer.chunks.contains(&chunk) {
                continue;
            }
            let Some(record) = self.chunks.record(location)? else { continue };
            // First: who has died by now stores nothing after that.
            let lives = self.is_at_work(odd)?;
            // Before the sync, which makes durable what was stored before it changed.
            let word = record.version_word(Ordering::Acquire);
            writer.dirty_chunks.insert(chunk);
            writer.changed = true;
            self.take_body(writer, &record)?;
            if word == odd && lives {
                still_claimed.push((location, odd));
            }
        }
        writer.claimed = still_claimed;
        Ok(())
    }

    /// The bodies that current records of a chunk point to.
    fn take_dirty_bodies(&self, writer: &mut Writer, id: ChunkId) -> Result<()> {
        let chunk = &self.chunks.get(id)?;
        let end = if id == writer.active { writer.head } else { chunk.sealed_head()? };
        for step in Walk::new(chunk, self.chunks.seed, end, 0) {
            let Step::Record(record) = step else { continue };
            if record.header().kind == Kind::Extern && self.views.live.is_live(record.location()) {
                self.take_body(writer, &record)?;
            }
        }
        Ok(())
    }

    fn take_body(&self, writer: &mut Writer, record: &Record<'_>) -> Result<()> {
        match self.keep_body_dirty(writer, record) {
            // What cannot be used by anybody does not keep the rest from becoming durable.
            Err(error) if error.is_corrupt() || error.is_absent() => {
                tracing::warn!(%error, "a large object misses the sync");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The body of a record that is given a new place may have been changed by others.
    pub(crate) fn keep_body_dirty(&self, writer: &mut Writer, record: &Record<'_>) -> Result<()> {
        if self.shares_changes && record.header().kind == Kind::Extern {
            let body = self.bodies.get(self.extern_payload(record)?.body)?;
            writer.dirty_bodies.insert(body.number, body.shared());
        }
        Ok(())
    }

    /// Marks the chunks that others hold.
    fn mark_held(&self, writer: &Writer) -> Result<()> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.as_ref().map_or(Ok(()), |lock| mark_held(lock, &self.views.live, &writer.chunks))
    }
}

/// Marks those of these chunks that other processes hold: whoever has references to atomics there changes them at any time.
pub(crate) fn mark_held(lock: &File, live: &LiveMap, chunks: &BTreeSet<ChunkId>) -> Result<()> {
    let Some(last) = chunks.last() else { return Ok(()) };
    let bytes = FIRST_BYTE..FIRST_BYTE + u64::from(last.0) + 1;
    for byte in lock.all_locked(bytes, Lock::Shared)?.into_iter().flatten() {
        let chunk = ChunkId((byte - FIRST_BYTE) as u32);
        if chunks.contains(&chunk) {
            live.mark_dirty(chunk, DIRTY | DIRTY_BODIES);
        }
    }
    Ok(())
}
