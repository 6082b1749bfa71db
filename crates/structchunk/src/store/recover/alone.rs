//! What a recovery must not do under those who refer to sealed objects.

use std::thread;
use std::time::{Duration, Instant};

use super::{Situation, Walked};
use crate::chunk::is_odd;
use crate::disk::{File, Lock};
use crate::error::{Error, Result};
use crate::format::{ChunkId, ExternPayload, Kind, Location};
use crate::store::extent::Log;
use crate::store::hold::{FIRST_BODY_BYTE, FIRST_BYTE};
use crate::store::mutate::{Claims, Owner, mark_held, settle_dead};
use crate::store::views::Views;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// Behind the last byte that can be locked.
const LAST_BYTE: u64 = i64::MAX as u64;

/// A chunk that nobody else refers to, for as long as this lives.
pub(super) struct Alone<'s> {
    lock: &'s File,
    byte: u64,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock(self.byte) {
            tracing::debug!(%error, "the hold goes with the lock's file");
        }
    }
}

impl Situation<'_> {
    fn claims(&self) -> Claims<'_> {
        Claims { shared: self.shared, lock: self.lock }
    }

    fn is_shared(&self) -> bool {
        self.store.newest.features.shares_changes()
    }

    /// Waits until no other process changes objects, before records are taken back and something is written where they were: they may be
    /// doing so just there. (Whoever comes later takes its slot first, and then finds that there is a recovery.) After the mere death of the
    /// writer everything stays where it is, and they may go on.
    ///
    /// # Errors
    /// [`Error::Locked`] when the busy timeout has passed.
    pub(super) fn wait_until_nobody_changes(&self) -> Result<()> {
        if self.read_only || !self.is_shared() {
            return Ok(());
        }
        self.wait_while("other processes change objects of a store that goes back to its last sync", || {
            self.claims().any_mutator()
        })
    }

    /// Whether anybody may refer to anything as sealed. (Where not, nobody waits for those who refer to atomics, who hold what they refer to
    /// as well.) A checkpoint that a rebuild has made, of which no session has left any evidence, says what the headers of chunks do, and they are as
    /// old as their chunks: then what was sealed may be among what is damaged.
    pub(super) fn may_be_sealed(&self, walked: &Walked, is_damaged: bool) -> bool {
        let newest = &self.store.newest;
        let is_made_anew = newest.evidence.boot == [0; 16];
        let told = newest.features.has_sealed() || !self.store.both_valid;
        told || walked.sealed || is_damaged && is_made_anew
    }

    /// Waits until nobody refers to a body as sealed whose current record says that it is not: the record that did was taken back, or is
    /// damaged.
    ///
    /// # Errors
    /// [`Error::Locked`] when the busy timeout has passed.
    pub(super) fn wait_for_bodies(&self, views: &Views, may_be_sealed: bool) -> Result<()> {
        let Some(lock) = self.lock.filter(|_| !self.read_only && may_be_sealed) else { return Ok(()) };
        self.wait_while("somebody refers to large objects whose seals are taken back", || {
            let held = lock.all_locked(FIRST_BODY_BYTE..LAST_BYTE, Lock::Shared)?;
            if held.is_empty() {
                return Ok(false);
            }
            for location in views.directory.locations() {
                if let Some(record) = self.chunks.record(location)?
                    && record.header().kind == Kind::Extern
                    && !record.is_sealed()
                    && let Some(pointer) = ExternPayload::decode(record.frozen_payload())
                    && held
                        .iter()
                        .any(|bytes| bytes.contains(&FIRST_BODY_BYTE.saturating_add(pointer.body.0)))
                {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    fn wait_while(&self, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while is_so()? {
            if begun.elapsed() >= self.busy_timeout {
                tracing::warn!("{what}: they have to end first");
                return Err(Error::Locked { path: self.root.path().to_owned(), pid: None });
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Chunks that others hold count as dirty.
    pub(super) fn mark_held(&self, log: &Log, views: &Views) -> Result<()> {
        match self.lock {
            Some(lock) if self.is_shared() => mark_held(lock, &views.live, &log.chunks),
            _ => Ok(()),
        }
    }

    /// Makes the words even that were found to be nobody's. Who mends an object meanwhile has left another word: then there is nothing to do.
    pub(super) fn settle_dead(&self, dead: &[(Location, u64)]) -> Result<()> {
        for &(location, word) in dead {
            if let Some(record) = self.chunks.record(location)? {
                settle_dead(&record, word, self.chunks.seed);
            }
        }
        Ok(())
    }

    /// Whether a living mutator has made a word odd. (The writer that could have is dead.)
    pub(super) fn is_at_work(&self, word: u64) -> Result<bool> {
        Ok(is_odd(word)
            && self.is_shared()
            && !self.read_only
            && self.claims().is_mutator_alive(Owner::of(word))?)
    }
}

impl<'s> Situation<'s> {
    /// Waits until nobody else refers to objects in a chunk, at most the busy timeout.
    ///
    /// # Errors
    /// [`Error::Locked`].
    pub(super) fn hold_alone(&self, chunk: ChunkId) -> Result<Option<Alone<'s>>> {
        let Some(lock) = self.lock else { return Ok(None) };
        let byte = FIRST_BYTE + u64::from(chunk.0);
        self.wait_while("somebody refers to objects that are taken back", || {
            Ok(!lock.try_lock(byte, Lock::Exclusive)?)
        })?;
        Ok(Some(Alone { lock, byte }))
    }
}
