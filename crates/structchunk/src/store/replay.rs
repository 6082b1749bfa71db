//! Making views from the log: what recovery, `rebuild` and `check` do with every record.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

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

/// A [`Replay`] in a thread of its own, so that the next records are found and verified meanwhile: each takes about half of the time.
/// In this thread where there are few records, and where what waits would keep too many chunks mapped.
pub(crate) struct ReplayBeside<'scope, 'a> {
    scope: &'scope Scope<'scope, 'a>,
    views: &'a Views,
    chunks: &'a ChunkSet,
    /// What is still to be handed over.
    batch: Vec<Record<'a>>,
    by: By<'scope, 'a>,
}

/// Who replays.
enum By<'scope, 'a> {
    /// Nobody has to yet.
    Nobody,
    ThisThread(Replay<'a>),
    Another(SyncSender<Vec<Record<'a>>>, ScopedJoinHandle<'scope, Result<()>>),
}

impl<'scope, 'a> ReplayBeside<'scope, 'a> {
    /// Records that are handed over together: so many that nobody waits for long, and so few that they stay in the cache.
    const BATCH: usize = 1024;
    /// Batches that may wait.
    const WAITING: usize = 4;

    pub(crate) fn new(scope: &'scope Scope<'scope, 'a>, views: &'a Views, chunks: &'a ChunkSet) -> Self {
        Self { scope, views, chunks, batch: Vec::new(), by: By::Nobody }
    }

    /// As [`Replay::push`].
    pub(crate) fn push(&mut self, record: Record<'a>) -> Result<()> {
        let passes = record.chunk.map.is_passing();
        self.batch.push(record);
        if self.batch.len() == Self::BATCH || passes { self.hand_over(passes) } else { Ok(()) }
    }

    /// As [`Replay::finish`].
    pub(crate) fn finish(mut self) -> Result<()> {
        self.hand_over(true)?;
        match self.by {
            By::Nobody => Ok(()),
            By::ThisThread(replay) => replay.finish(),
            By::Another(sender, worker) => {
                drop(sender);
                join(worker)
            }
        }
    }

    /// Hands the batch over to whoever replays, who is found first where there is nobody yet.
    fn hand_over(&mut self, here: bool) -> Result<()> {
        if matches!(self.by, By::Nobody) {
            self.by = self.find(here);
        }
        match std::mem::replace(&mut self.by, By::Nobody) {
            By::Another(sender, worker) => {
                let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(Self::BATCH));
                match sender.send(batch) {
                    Ok(()) => self.by = By::Another(sender, worker),
                    // It ended early: it has failed, and says why.
                    Err(_) => return join(worker),
                }
            }
            By::ThisThread(mut replay) => {
                self.batch.drain(..).try_for_each(|record| replay.push(record))?;
                self.by = By::ThisThread(replay);
            }
            By::Nobody => {}
        }
        Ok(())
    }

    fn find(&self, here: bool) -> By<'scope, 'a> {
        let (views, chunks) = (self.views, self.chunks);
        let (sender, receiver) = sync_channel::<Vec<Record<'a>>>(Self::WAITING);
        let work = move || {
            let mut replay = Replay::new(views, chunks);
            receiver.into_iter().flatten().try_for_each(|record| replay.push(record))?;
            replay.finish()
        };
        let worker = || Builder::new().name("structchunk-replay".into()).spawn_scoped(self.scope, work);
        match (!here).then(worker) {
            Some(Ok(worker)) => By::Another(sender, worker),
            // No thread is to be had, or worth it.
            Some(Err(_)) | None => By::ThisThread(Replay::new(views, chunks)),
        }
    }
}

fn join(worker: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}
