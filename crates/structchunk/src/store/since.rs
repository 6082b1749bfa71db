//! Walking the log from where something that was derived from it ends, to where the log ends now.

use std::collections::HashSet;
use std::path::PathBuf;

use super::Inner;
use crate::chunk::{ChunkRef, Record, Step, Walk};
use crate::error::{Error, Result};
use crate::format::{ChunkId, Kind, Location, PAGE_BYTES};
use crate::index::{Changes, Covered};

/// The log at one moment. What was appended up to then never changes; chunks of it may be dropped.
#[derive(Clone)]
pub(crate) struct LogNow {
    pub chunks: Vec<ChunkId>,
    pub active: ChunkId,
    pub head: u64,
    /// Sequence of the last record; a reader beside a writer does not know it.
    pub sequence: Option<u64>,
    pub end: Location,
    /// Keys whose records before the end directory and live map may not have yet.
    pub unsettled: HashSet<Vec<u8>>,
}

/// What a walk came to.
pub(super) enum Walked {
    /// To the end; with the first stretch of the log that could not be read.
    Done { damage: Option<(PathBuf, u64)> },
    /// Records are missing behind the point where it began: chunks were dropped, or the log is damaged. A walk over everything helps.
    Gap,
}

/// A walk over several chunks.
struct Since<'w> {
    inner: &'w Inner,
    /// Up to here everything is known already; `None`: nothing is.
    from: Option<Covered>,
    now: &'w LogNow,
    last_sequence: u64,
    changes: Changes,
    damage: Option<(PathBuf, u64)>,
}

impl Inner {
    /// The sequence of the last record.
    pub(super) fn last_sequence(&self) -> u64 {
        if self.is_forked() {
            return self.found.sequence.unwrap_or_default();
        }
        self.lock_writer().next_sequence - 1
    }

    /// The log as it is at this moment.
    ///
    /// # Errors
    /// Of a reader beside a writer: what the disk says.
    pub(super) fn log_now(&self) -> Result<LogNow> {
        if self.reads_shared() { self.log_of_others(None) } else { Ok(self.log_known()) }
    }

    /// The log as this handle knows it.
    pub(super) fn log_known(&self) -> LogNow {
        // The writer's lock may be one of the parent's threads, and what it guards is as it was found unless the log is read in `shared`.
        if self.is_forked() {
            return self.found.clone();
        }
        self.lock_writer().log(self.chunks.geometry)
    }

    /// Walks from `from`, or from the beginning of the log, to `now`, without a lock. Hands over the changes in pieces, each with the point
    /// that is reached with it; the last piece, which may be empty, reaches `now`.
    pub(super) fn changes_since<E: From<Error>>(
        &self,
        from: Option<Covered>,
        now: &LogNow,
        each: &mut dyn FnMut(&Changes, Covered) -> Result<(), E>,
    ) -> Result<Walked, E> {
        let last_sequence = from.map_or(0, |from| from.sequence);
        let mut since =
            Since { inner: self, from, now, last_sequence, changes: Changes::default(), damage: None };
        let first = from.map_or(ChunkId(0), |from| self.chunks.geometry.chunk(from.position));
        for &id in now.chunks.iter().filter(|&&id| id >= first) {
            let chunk = match self.chunks.get(id) {
                Err(error)
                    if error.is_absent()
                        && (self.is_forked()
                            || self.reads_shared()
                            || !self.lock_writer().chunks.contains(&id)) =>
                {
                    return Ok(Walked::Gap);
                }
                chunk => chunk?,
            };
            if !since.walk(&chunk, each)? {
                return Ok(Walked::Gap);
            }
        }
        let sequence = since.last_sequence;
        let all = match now.sequence {
            Some(last) => sequence == last,
            // Chunks before one that has a record are missed by that; those before an empty one, by nothing.
            None => now.active == first || now.head > PAGE_BYTES,
        };
        if from.is_some() && !all {
            return Ok(Walked::Gap);
        }
        let sequence = now.sequence.unwrap_or(sequence);
        each(&since.changes, Covered { sequence, position: now.end })?;
        Ok(Walked::Done { damage: since.damage })
    }
}

impl Since<'_> {
    /// Walks the rest of one chunk; false when records are missing.
    fn walk<E: From<Error>>(
        &mut self,
        chunk: &ChunkRef<'_>,
        each: &mut dyn FnMut(&Changes, Covered) -> Result<(), E>,
    ) -> Result<bool, E> {
        let geometry = self.inner.chunks.geometry;
        let sealed = if chunk.id == self.now.active { Ok(self.now.head) } else { chunk.sealed_head() };
        let end = match sealed {
            Ok(end) => end,
            Err(Error::Corrupt { path, offset, .. }) => {
                self.damage.get_or_insert((path, offset));
                geometry.capacity()
            }
            Err(error) => return Err(error.into()),
        };
        let mut walk = Walk::new(chunk, self.inner.chunks.seed, end, self.last_sequence);
        if let Some(from) = self.from
            && geometry.chunk(from.position) == chunk.id
        {
            walk.go_to(geometry.offset(from.position).max(walk.offset()));
        }
        chunk.expect_scan(walk.offset()..end)?;
        while let Some(step) = walk.next() {
            let record = match step {
                Step::Record(record) => record,
                Step::Damage { .. } if self.from.is_some() => return Ok(false),
                Step::Damage { from, .. } => {
                    self.damage.get_or_insert((chunk.path().to_owned(), from));
                    continue;
                }
            };
            if self.from.is_some() && record.header().sequence != self.last_sequence + 1 {
                return Ok(false);
            }
            self.last_sequence = record.header().sequence;
            self.note(&record)?;
            if self.changes.is_full() {
                let position = geometry.location(chunk.id, walk.offset());
                each(&self.changes, Covered { sequence: self.last_sequence, position })?;
                self.changes.clear();
            }
        }
        Ok(true)
    }

    /// Notes what a record changes.
    fn note(&mut self, record: &Record<'_>) -> Result<()> {
        let header = record.header();
        match header.kind {
            Kind::Object | Kind::Extern => {
                let location = record.location();
                if self.inner.views.live.is_live(location) || self.counts(record)? {
                    self.changes.push(record.key(), Some(location), header.sequence);
                }
            }
            Kind::Tombstone if self.takes_away(record)? => {
                self.changes.push(record.key(), None, header.sequence);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a tombstone takes a key away.
    fn takes_away(&self, record: &Record<'_>) -> Result<bool> {
        if self.inner.reads_shared() {
            // Where the slot is on its way, the object is still there; and what it was noted for may have been noted in the same way.
            let current = self.inner.find(record.key())?;
            return Ok(current.is_none_or(|current| current.location() > record.location()));
        }
        // Where nothing is known, there is nothing to take away.
        Ok(self.from.is_some())
    }

    /// Whether a superseded record is the last one of its key in this walk: its successor lies behind the walk's end. (One that lies
    /// before it is met yet; and a key that is gone by now was not there throughout any scan that follows.)
    fn counts(&self, record: &Record<'_>) -> Result<bool> {
        let current = self.inner.find(record.key())?.map(|current| current.location());
        if self.inner.reads_shared() {
            // It may have been appended a moment ago, and its slot be on its way.
            return Ok(current.is_none_or(|current| current <= record.location() || current >= self.now.end));
        }
        Ok(current.is_some_and(|current| current >= self.now.end || current == record.location()))
    }
}
