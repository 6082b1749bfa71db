//! What a recovery must not do under those who refer to sealed objects.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::Situation;
use crate::chunk::{Record, WRITING};
use crate::disk::{File, Lock};
use crate::error::{Error, Result};
use crate::format::ChunkId;
use crate::store::extent::Log;
use crate::store::hold::FIRST_BYTE;
use crate::store::mutate::{Claims, Owner, mark_held, settle_dead};
use crate::store::report::{Found, RecoveryReport};
use crate::store::views::Views;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

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

    /// Refuses to take records back, and to write where they were, while other processes change objects: they may be doing so just there. (Whoever
    /// comes later takes its slot first, and then finds that there is a recovery.) After the mere death of the writer everything stays where
    /// it is, and they may go on.
    ///
    /// # Errors
    /// [`Error::Locked`].
    pub(super) fn check_nobody_changes(&self, report: &RecoveryReport) -> Result<()> {
        let takes_back = report.found == Found::MachineDied && !self.read_only;
        if takes_back && self.is_shared() && self.claims().any_mutator()? {
            tracing::warn!(
                "other processes change objects of a store whose last sync failed; they have to end first"
            );
            return Err(Error::Locked { path: self.root.path().to_owned(), pid: None });
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

    /// Whether a living mutator has made a word odd. (The writer that could have is dead.)
    pub(super) fn is_at_work(&self, word: u64) -> Result<bool> {
        Ok(word & WRITING != 0
            && self.is_shared()
            && !self.read_only
            && self.claims().is_mutator_alive(Owner::of(word))?)
    }

    /// Makes an odd word even, unless somebody living has made it so and will do that. Who mends the object at the same time, or has just
    /// come to its end, has left another word: then there is nothing to do.
    pub(super) fn settle_odd(&self, record: &Record<'_>) -> Result<()> {
        let word = record.version_word(Ordering::Acquire);
        if word & WRITING != 0 && !self.is_at_work(word)? {
            settle_dead(record, word, self.chunks.seed);
        }
        Ok(())
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
        let begun = Instant::now();
        while !lock.try_lock(byte, Lock::Exclusive)? {
            if begun.elapsed() >= self.busy_timeout {
                tracing::warn!("somebody refers to objects that a failed sync takes back");
                return Err(Error::Locked { path: self.root.path().to_owned(), pid: None });
            }
            thread::sleep(PAUSE);
        }
        Ok(Some(Alone { lock, byte }))
    }
}
