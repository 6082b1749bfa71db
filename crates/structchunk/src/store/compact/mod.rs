//! Compaction: what is current is moved out of chunks that hold little of it, and the chunks are dropped.
//!
//! Oldest first. A chunk leaves the log when everything current in it has been appended again; the next checkpoint no longer counts it
//! but names it as dropped; the sync after that unlinks its file ([`super::give_back`]), because only then neither checkpoint needs
//! it. So a crash at any moment finds the old records, or the new ones, or both.

mod auto;
mod choose;
mod empty;
mod relocate;

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub(crate) use auto::Auto;
pub use empty::LeftReason;

use self::empty::{Emptying, Stage, Tally};
use super::{Inner, Store};
use crate::error::{Error, Result};
use crate::format::ChunkId;

/// How much of a chunk must be current for it to stay, unless something else is asked for.
const DEFAULT_FILL_RATIO: f64 = 0.5;
/// How often, and how long apart, objects that are in use are tried again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(2);
/// Syncs until what was dropped is unlinked: one that no longer needs it, and one that gives it back.
const LAST_SYNCS: usize = 2;

type Progress<'p> = dyn FnMut(&CompactProgress) + 'p;

/// How to compact a store; see [`Store::compact_with`].
#[must_use = "a compaction does nothing until it is given to compact_with()"]
pub struct Compaction<'p> {
    fill_ratio: f64,
    progress: Option<Box<Progress<'p>>>,
}

/// How far a compaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactProgress {
    /// Chunks that are done: emptied, or left as they are.
    pub chunks: u64,
    /// Chunks that will be looked at.
    pub of_chunks: u64,
    /// Objects moved so far.
    pub moved_objects: u64,
    /// Bytes that their records took.
    pub moved_bytes: u64,
}

/// What a compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactReport {
    /// Objects that were moved.
    pub moved_objects: u64,
    /// Bytes that their records took.
    pub moved_bytes: u64,
    /// Tombstones that were moved, because an older chunk stays.
    pub moved_tombstones: u64,
    /// Tombstones that were left behind, because nothing older is left.
    pub dropped_tombstones: u64,
    /// Chunks that were dropped, by their numbers.
    pub dropped_chunks: Vec<u32>,
    /// Of these, chunks whose files could not be removed yet: the next syncs try again.
    pub waiting_chunks: Vec<u32>,
    /// Disk space that the dropped chunks took, in bytes. Their names are gone, but they stay mapped: the file system gives the
    /// space to others when the store is closed, or at [`Store::release_dropped`].
    pub dropped_bytes: u64,
    /// Chunks that should have been emptied and were not, and why.
    pub left_chunks: Vec<(u32, LeftReason)>,
}

impl Compaction<'_> {
    /// Chunks of which less than half is current are emptied.
    pub fn new() -> Self {
        Self { fill_ratio: DEFAULT_FILL_RATIO, progress: None }
    }
}

impl<'p> Compaction<'p> {
    /// Which part of a chunk's bytes must be current for it to stay, from 0 to 1: with 1, every chunk with anything dead in it is emptied.
    /// Default: one half.
    pub fn fill_ratio(mut self, ratio: f64) -> Self {
        self.fill_ratio = ratio;
        self
    }

    /// Is called now and then with how far it is, and at the end. Must not use the store.
    pub fn progress<'q>(self, progress: impl FnMut(&CompactProgress) + 'q) -> Compaction<'q>
    where
        'p: 'q,
    {
        Compaction { fill_ratio: self.fill_ratio, progress: Some(Box::new(progress)) }
    }
}

impl Default for Compaction<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Compaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compaction").field("fill_ratio", &self.fill_ratio).finish_non_exhaustive()
    }
}

/// A compaction under way.
struct Run<'r, 'p> {
    inner: &'r Inner,
    compaction: Compaction<'p>,
    report: CompactReport,
    tally: Tally,
    no_space: Option<Error>,
    done: u64,
    total: u64,
}

impl Run<'_, '_> {
    fn tell(&mut self) {
        if let Some(progress) = &mut self.compaction.progress {
            progress(&CompactProgress {
                chunks: self.done,
                of_chunks: self.total,
                moved_objects: self.tally.objects,
                moved_bytes: self.tally.bytes,
            });
        }
    }

    fn all(&mut self) -> Result<()> {
        let (chunks, stays) =
            self.inner.full_chunks(&mut *self.inner.begin_change()?, self.compaction.fill_ratio)?;
        self.report.left_chunks.extend(stays.map(|chunk| (chunk.0, LeftReason::NoRoom)));
        self.total = chunks.len() as u64;
        for chunk in chunks {
            self.tell();
            let is_worthwhile = {
                let writer = self.inner.begin_change()?;
                self.inner.is_worthwhile(&writer, chunk, self.compaction.fill_ratio)
            };
            if is_worthwhile {
                self.chunk(chunk)?;
            }
            self.done += 1;
        }
        self.tell();
        match self.no_space.take() {
            Some(error) if self.report.dropped_chunks.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// Empties a chunk; once more after a sync where there was no place in the checkpoint.
    fn chunk(&mut self, chunk: ChunkId) -> Result<()> {
        let mut left = match self.once(chunk) {
            // Others may need less, or nothing.
            Err(error @ Error::NoSpace { .. }) => {
                self.no_space = Some(error);
                Ok(Some(LeftReason::NoRoom))
            }
            Ok(Some(LeftReason::Waiting)) => {
                self.inner.sync_to_give_back()?;
                self.once(chunk)
            }
            outcome => outcome,
        };
        if left.as_ref().is_err_and(|error| error.is_corrupt() && self.inner.poisoned.get().is_none()) {
            tracing::warn!(error = ?left.as_ref().err(), "chunk {chunk} is left as it is");
            left = Ok(Some(LeftReason::Damaged));
        }
        self.report.left_chunks.extend(left?.map(|reason| (chunk.0, reason)));
        Ok(())
    }

    /// Empties a chunk; why it stays, if it does.
    fn once(&mut self, id: ChunkId) -> Result<Option<LeftReason>> {
        let inner = self.inner;
        let chunk = &inner.chunks.get(id)?;
        inner.make_room_to_empty(&mut *inner.begin_change()?, id)?;
        let mut emptying = match Emptying::of(chunk) {
            Ok(emptying) => emptying,
            Err(reason) => return Ok(Some(reason)),
        };
        let allocated = chunk.allocated_bytes()?;
        let mut tries = TRIES;
        loop {
            match inner.empty_piece(&mut emptying, &mut self.tally)? {
                Stage::Going => self.tell(),
                Stage::Left(LeftReason::InUse) if tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(PAUSE);
                }
                Stage::Left(reason) => return Ok(Some(reason)),
                Stage::Dropped => {
                    self.report.dropped_chunks.push(id.0);
                    self.report.dropped_bytes += allocated;
                    return Ok(None);
                }
            }
        }
    }

    fn end(mut self) -> CompactReport {
        let writer = self.inner.lock_writer();
        let is_waiting = |chunk: &&u32| writer.dropped.contains(&ChunkId(**chunk));
        self.report.waiting_chunks = self.report.dropped_chunks.iter().filter(is_waiting).copied().collect();
        self.report.moved_objects = self.tally.objects;
        self.report.moved_bytes = self.tally.bytes;
        self.report.moved_tombstones = self.tally.tombstones;
        self.report.dropped_tombstones = self.tally.tombstones_left;
        self.report
    }
}

impl Inner {
    fn compact(&self, compaction: Compaction<'_>) -> Result<CompactReport> {
        if !(0.0..=1.0).contains(&compaction.fill_ratio) {
            let reason = format!("{}; from 0 to 1 is possible", compaction.fill_ratio);
            return Err(Error::InvalidOption { option: "fill_ratio", reason });
        }
        self.check_writable()?;
        // One at a time.
        let _turn = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        let (report, tally) = (CompactReport::default(), Tally::default());
        let mut run = Run { inner: self, compaction, report, tally, no_space: None, done: 0, total: 0 };
        let outcome = run.all();
        // Also when there is no room for more: what was dropped until then is given back.
        if !matches!(outcome, Err(Error::Closed | Error::Poisoned { .. })) {
            self.sync_to_give_back()?;
        }
        outcome.map(|()| run.end())
    }

    /// Syncs until everything that was dropped before is unlinked.
    fn sync_to_give_back(&self) -> Result<()> {
        (0..LAST_SYNCS).try_for_each(|_| self.sync())
    }
}

impl Store {
    /// Gives space back: moves what is current out of chunks of which less than half is, and drops these chunks.
    /// [`Store::compact_with`] has the choices.
    ///
    /// # Durability
    /// As for [`Store::compact_with`].
    ///
    /// # Errors
    /// As for [`Store::compact_with`].
    pub fn compact(&self) -> Result<CompactReport> {
        self.compact_with(Compaction::new())
    }

    /// Gives space back: moves what is current out of chunks that hold little of it, oldest first, and drops these chunks.
    ///
    /// Everything else goes on meanwhile: objects are moved a few at a time. An object that a guard refers to stays where it is, and so does
    /// its chunk; the report says so. Moving gives an object another [`Store::sequence`]. The directory becomes smaller when the
    /// store is closed next.
    ///
    /// # Durability
    /// Everything before this call is durable when it returns, as after [`Store::sync`]. A crash at any moment loses nothing.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a ratio that is none; [`Error::NoSpace`] when nothing could be dropped, because there is no room to move
    /// objects to: nothing is lost. [`Error::ReadOnly`], [`Error::Poisoned`], [`Error::Closed`], [`Error::Forked`], and what the disk says, as
    /// for [`Store::sync`].
    pub fn compact_with(&self, compaction: Compaction<'_>) -> Result<CompactReport> {
        self.inner.compact(compaction)
    }

    /// Lets go of chunks that were dropped: their disk space, and in a store in memory their memory, is free then. Whether that was
    /// possible: it takes the only handle, without a guard that owns its store, and the exclusive borrow shows that nobody looks.
    ///
    /// Closing the store does the same. Worth it for a process that goes on after it has emptied a full disk.
    pub fn release_dropped(&mut self) -> bool {
        let Some(inner) = Arc::get_mut(&mut self.inner).filter(|inner| !inner.is_forked()) else {
            return false;
        };
        inner.forget_gone_chunks(inner.shares_changes);
        let gone = inner.gone.get_mut().unwrap_or_else(PoisonError::into_inner);
        for chunk in std::mem::take(gone) {
            inner.chunks.unmap(chunk);
        }
        true
    }
}
