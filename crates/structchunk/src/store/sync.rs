//! Making things durable: sessions, checkpoints, sync, close.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::give_back::Superseded;
use super::inner::{Checkpoints, Writer};
use super::mutate::Claims;
use super::pace::LetGo;
use super::shared::Left;
use super::store_file::new_evidence;
use super::{Inner, Store};
use crate::chunk::Body;
use crate::disk::Sabotage;
use crate::error::{Error, Result};
use crate::format::{Checkpoint, ChunkId, DroppedChunks, PAGE_BYTES, PoisonMark};

/// A close syncs again this often while there is something left to sync.
const MOST_LAST_SYNCS: usize = 4;

/// What one sync makes durable, fixed at one moment.
struct Cut {
    checkpoint: Checkpoint,
    chunks: Vec<ChunkId>,
    bodies: Vec<Arc<Body>>,
    new_names: bool,
    superseded: Superseded,
    /// Large pages that go with it.
    let_go: LetGo,
}

impl Checkpoints {
    /// Writes a checkpoint into the older slot and makes it durable: the commit point.
    pub(crate) fn write(&mut self, mut checkpoint: Checkpoint) -> Result<()> {
        checkpoint.generation = self.newest.generation + 1;
        let slot = 1 - self.slot;
        self.file.write_at(PAGE_BYTES * (1 + slot), &checkpoint.encode())?;
        self.file.sync_data()?;
        self.slot = slot;
        self.newest = checkpoint;
        Ok(())
    }

    /// Leaves a poison mark in the session block, as well as that goes.
    fn mark_poisoned(&self) -> Result<()> {
        let mark = PoisonMark { session: self.newest.evidence.session };
        self.file.write_at(PAGE_BYTES * 3, &mark.encode())?;
        self.file.sync_data()
    }
}

impl Inner {
    /// Announces that this session changes things: `shared` first, then the clean bit is cleared, durably.
    #[cold]
    pub(crate) fn begin_session(&self) -> Result<()> {
        let mut checkpoints = self.lock_checkpoints();
        if self.session_open.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check_open()?;
        let mut writer = self.lock_writer();
        let mut checkpoint = checkpoints.newest;
        checkpoint.evidence = new_evidence(&self.root, &checkpoints.file)?;
        checkpoint.clean = false;
        let start = Left {
            end: self.end_of_log(&writer).get(),
            next_chunk: writer.next_chunk,
            next_body: writer.next_body,
            next_type: writer.next_type,
        };
        self.shared.begin(self.identity.uuid, self.epoch, &checkpoint.evidence, &start);
        if !self.root.breaks(Sabotage::CleanBitKept)
            && let Err(error) = checkpoints.write(checkpoint)
        {
            return Err(self.poison(&checkpoints, error));
        }
        self.session_open.store(true, Ordering::Release);
        self.announce_small(&mut writer);
        Ok(())
    }

    /// Nothing is written after a failed sync. What the error says goes on.
    pub(super) fn poison(&self, checkpoints: &Checkpoints, error: Error) -> Error {
        tracing::error!(%error, "a sync failed; the store writes nothing more");
        if self.poisoned.set(error.to_string()).is_ok() && !self.root.breaks(Sabotage::PageCacheTrusted) {
            self.shared.poison();
            if let Err(error) = checkpoints.mark_poisoned() {
                tracing::warn!(%error, "the poison mark could not be made durable");
            }
        }
        error
    }

    /// Fixes what a sync makes durable.
    fn cut(&self, checkpoints: &Checkpoints, writer: &mut Writer) -> Cut {
        writer.dirty_chunks.insert(writer.active);
        let chunks: Vec<_> = std::mem::take(&mut writer.dirty_chunks).into_iter().collect();
        let bodies: Vec<_> = std::mem::take(&mut writer.dirty_bodies).into_values().collect();
        // What somebody may still write into is dirty for the next sync too.
        writer.dirty_chunks.extend(chunks.iter().copied().filter(|chunk| self.chunks.has_writers(*chunk)));
        let written = bodies.iter().filter(|body| body.has_writers());
        writer.dirty_bodies.extend(written.map(|body| (body.number, body.clone())));
        writer.changed = !(writer.dirty_chunks.is_empty() && writer.dirty_bodies.is_empty());
        Cut {
            checkpoint: writer.checkpoint(&Checkpoint {
                clean: false,
                // `Inner::drop_chunk` sees to it that there are not more than can be named.
                dropped: DroppedChunks::new(&writer.dropped).unwrap_or_default(),
                ..checkpoints.newest
            }),
            chunks,
            bodies,
            new_names: std::mem::take(&mut writer.new_names),
            superseded: Superseded::take(writer),
            let_go: writer.pace.cut(),
        }
    }

    /// Steps 2 and 3 of a sync: files, then the checkpoint.
    fn make_durable(&self, checkpoints: &mut Checkpoints, cut: &Cut) -> Result<()> {
        for chunk in &cut.chunks {
            self.chunks.sync(*chunk)?;
        }
        for body in &cut.bodies {
            body.sync()?;
        }
        if cut.new_names {
            self.chunks.folder.sync()?;
        }
        checkpoints.write(cut.checkpoint)
    }

    /// Makes everything before this call durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.check_open()?;
        if self.is_forked() {
            return Err(Error::Forked);
        }
        // Whoever waits here for a sync whose cut is fixed later than this is served by it.
        let before = self.cuts.load(Ordering::SeqCst);
        let mut checkpoints = self.lock_checkpoints();
        self.check_not_poisoned()?;
        if checkpoints.durable_cut > before {
            return Ok(());
        }
        // A close that came in between may have let the next process in.
        self.check_open()?;
        self.sync_locked(&mut checkpoints)
    }

    fn sync_locked(&self, checkpoints: &mut Checkpoints) -> Result<()> {
        if !self.session_open.load(Ordering::Acquire) {
            return Ok(());
        }
        let cut = {
            let mut writer = self.lock_writer();
            // Whoever held the lock may have stopped in the middle of a batch.
            self.check_not_poisoned()?;
            self.take_dirty(&mut writer)?;
            if !writer.changed && checkpoints.is_settled() {
                return Ok(());
            }
            let number = self.cuts.fetch_add(1, Ordering::SeqCst) + 1;
            (self.cut(checkpoints, &mut writer), number)
        };
        let (cut, number) = cut;
        if let Err(error) = self.make_durable(checkpoints, &cut) {
            return Err(self.poison(checkpoints, error));
        }
        checkpoints.durable_cut = number;
        self.let_go(cut.let_go).map_err(|error| self.poison(checkpoints, error))?;
        self.give_back(checkpoints, cut.superseded).map_err(|error| self.poison(checkpoints, error))
    }

    /// Ends the session: a last sync, then the views are made durable and the clean mark says that they fit.
    fn close(&self) -> Result<()> {
        if self.is_forked() {
            self.closed.store(true, Ordering::SeqCst);
            return Ok(());
        }
        let mut checkpoints = self.lock_checkpoints();
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let result = match self.poisoned.get() {
            Some(cause) => {
                // Whoever is still at work here ends before the next process may begin.
                drop(self.lock_writer());
                Err(Error::Poisoned { cause: cause.clone() })
            }
            None if self.read_only || !self.session_open.load(Ordering::Acquire) => Ok(()),
            None => self.close_session(&mut checkpoints),
        };
        // Behind the clean mark: whoever ends the process now costs only the index.
        self.close_ordered(self.session_open.load(Ordering::Acquire));
        drop(checkpoints);
        self.release_lock_if_unused();
        result
    }

    fn close_session(&self, checkpoints: &mut Checkpoints) -> Result<()> {
        let nobody_changes = self.end_changes()?;
        self.sync_locked(checkpoints)?;
        // Further syncs give back what the first one retired (nobody would look for it after a clean open), and make durable what
        // guards wrote meanwhile.
        for _ in 0..MOST_LAST_SYNCS {
            if checkpoints.is_settled() && !self.lock_writer().changed {
                break;
            }
            self.sync_locked(checkpoints)?;
        }
        let mut writer = self.lock_writer();
        let tidy = self.remove_spares(&mut writer) && checkpoints.is_settled();
        // Guards that may still write (or were forgotten) would change objects behind a clean mark. And what could not be removed is
        // for the next recovery to remove.
        if self.borrows.any_writer() || writer.changed || !tidy || !nobody_changes {
            return Ok(());
        }
        self.forget_gone_chunks(false);
        let sequence = writer.next_sequence - 1;
        let durable = self
            .chunks
            .folder
            .sync()
            .and_then(|()| self.views.stamp(&self.root, &self.chunks, self.epoch, sequence))
            .and_then(|()| checkpoints.write(Checkpoint { clean: true, ..checkpoints.newest }));
        durable.map_err(|error| self.poison(checkpoints, error))
    }

    /// Whether no other process changes objects, now and until the next session: whoever comes to do so takes its slot first, and looks then
    /// whether the session has been closed; this is done the other way round. What such processes have left goes with the syncs that follow.
    fn end_changes(&self) -> Result<bool> {
        if !self.shares_changes {
            return Ok(true);
        }
        self.shared.set_closed(true);
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let nobody = !Claims { shared: &self.shared, lock: lock.as_ref() }.any_mutator()?;
        if !nobody {
            // They go on; the next open recovers.
            self.shared.set_closed(false);
        }
        Ok(nobody)
    }

    /// Removes chunks that were made ahead and hold nothing; whether all are gone.
    fn remove_spares(&self, writer: &mut Writer) -> bool {
        let removed = std::mem::take(&mut writer.spares).into_iter().map(|(id, _)| self.chunks.remove(id));
        removed.fold(true, |all, removed| match removed {
            Ok(()) => all,
            Err(error) => {
                tracing::warn!(%error, "an empty chunk could not be removed");
                false
            }
        })
    }
}

impl Store {
    /// Makes everything that happened before this call durable, and only then returns.
    ///
    /// Callers at the same time share one sync. Changes staged in a [`RefMut`](crate::RefMut) that still lives are not part of it.
    ///
    /// # Durability
    /// After a power cut the store is exactly as at its last `sync`, in what exists under which key; bytes changed in place since
    /// then may be partly there.
    ///
    /// # Errors
    /// What the disk says; the store is poisoned then: it writes nothing more, and reopening it goes back to the last good sync,
    /// whatever the page cache holds. [`Error::Poisoned`] when that happened before.
    pub fn sync(&self) -> Result<()> {
        self.inner.check_open()?;
        self.inner.compact_a_little();
        self.inner.sync()
    }

    /// Ends all access through this handle and its clones; syncs, and makes the next open fast.
    ///
    /// Guards that were taken before stay good; another process gets in when the last of them is gone. While one of them may still change
    /// an object, the store does not count as closed cleanly. A store that is dropped without `close` is as if the process had died:
    /// nothing is lost, the next open recovers.
    ///
    /// # Errors
    /// The last sync's error. The store is closed all the same; where it was poisoned, another process gets in when the last handle is
    /// gone, too.
    pub fn close(self) -> Result<()> {
        self.inner.close()
    }
}
