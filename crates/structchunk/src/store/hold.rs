//! Holds on chunks and bodies.
//!
//! Whoever hands out references that nobody can follow one by one holds their files. Objects are moved out of a chunk, and space in it is
//! given back, only by one who holds it alone: in this process by the table here, among processes by the byte 2^32 + *n* of `LOCK`. (Only
//! the writer moves objects, so its own shared holds need no byte.) The mapping of a body stays when its file goes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Inner;
use crate::chunk::BodyRef;
use crate::disk::{Lock, PerProcess};
use crate::error::Result;
use crate::format::{BodyNumber, ChunkId};

/// The byte of chunk 0.
pub(super) const FIRST_BYTE: u64 = 1 << 32;
/// The byte of body 0.
pub(super) const FIRST_BODY_BYTE: u64 = 1 << 48;

/// How long to wait before it is tried again whether a chunk is free.
const PAUSE: Duration = Duration::from_micros(200);

/// What this handle holds. (Its own locks never conflict with each other.)
pub(crate) type Holds = PerProcess<Mutex<Table>>;

#[derive(Default)]
pub(crate) struct Table {
    /// Chunks whose byte it has alone, and how often.
    counts: BTreeMap<ChunkId, u32>,
    /// Bytes that it has, as a reader or mutator, together with others, and how often.
    pub with_others: BTreeMap<u64, u32>,
    /// Chunks that references of another language lead into, and how many holds there are of each.
    views: BTreeMap<ChunkId, u32>,
    /// How many such holds there are, those of bodies included.
    all_views: u64,
    /// Bytes of bodies that it has alone.
    bodies: BTreeSet<u64>,
}

/// A chunk that nobody else refers to, for as long as this lives.
pub(crate) struct Held<'a> {
    inner: &'a Inner,
    chunk: ChunkId,
}

/// A body that no other process changes, for as long as this lives.
pub(crate) struct HeldBody<'a> {
    inner: &'a Inner,
    byte: u64,
}

impl Drop for HeldBody<'_> {
    fn drop(&mut self) {
        if self.inner.is_forked() {
            return;
        }
        let mut holds = self.inner.lock_holds();
        holds.bodies.remove(&self.byte);
        let lock = self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = lock.as_ref().map(|file| file.unlock(self.byte)) {
            tracing::debug!(%error, "the hold goes with the lock's file");
        }
    }
}

/// A file that stays mapped, and whose objects stay where they are, for as long as this lives.
pub(crate) struct FileHold {
    file: HeldFile,
    writable: bool,
    inner: Arc<Inner>,
}

enum HeldFile {
    Chunk(ChunkId),
    Body(BodyRef),
}

impl Inner {
    pub(super) fn lock_holds(&self) -> MutexGuard<'_, Table> {
        self.holds.here(|_| Mutex::default()).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody has a shared hold.
    pub(crate) fn any_hold(&self) -> bool {
        self.lock_holds().all_views != 0
    }

    /// Holds a chunk alone. `None` when somebody else holds it, or nobody can say.
    pub(crate) fn hold_alone(&self, chunk: ChunkId) -> Option<Held<'_>> {
        let mut holds = self.lock_holds();
        if holds.views.contains_key(&chunk) {
            return None;
        }
        match holds.counts.entry(chunk) {
            Entry::Occupied(mut held) => *held.get_mut() += 1,
            Entry::Vacant(free) => {
                let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                match lock.as_ref()?.try_lock(FIRST_BYTE + u64::from(chunk.0), Lock::Exclusive) {
                    Ok(true) => free.insert(1),
                    Ok(false) => return None,
                    Err(error) => {
                        tracing::warn!(%error, "it cannot be said who refers to chunk {chunk}");
                        return None;
                    }
                };
            }
        }
        Some(Held { inner: self, chunk })
    }

    /// Holds a body alone; `None` when another thread does, or another process holds it, or nobody can say.
    pub(crate) fn hold_body_alone(&self, body: BodyNumber) -> Option<HeldBody<'_>> {
        let byte = FIRST_BODY_BYTE.checked_add(body.0).filter(|byte| i64::try_from(*byte).is_ok())?;
        let mut holds = self.lock_holds();
        if holds.bodies.contains(&byte) {
            return None;
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let held = lock.as_ref()?.try_lock(byte, Lock::Exclusive).unwrap_or(false);
        if held {
            holds.bodies.insert(byte);
        }
        // Made only when it is taken: one that is dropped gives the byte back.
        held.then(|| HeldBody { inner: self, byte })
    }

    /// Holds a chunk beside others. Whoever is emptying it is waited for, at most the busy timeout; false when that has passed.
    fn enter_chunk(&self, chunk: ChunkId) -> bool {
        let mut deadline = self.patience(true);
        loop {
            let mut holds = self.lock_holds();
            if !holds.counts.contains_key(&chunk) {
                *holds.views.entry(chunk).or_default() += 1;
                holds.all_views += 1;
                return true;
            }
            drop(holds);
            if deadline.is_over() {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn leave_chunk(&self, chunk: ChunkId) {
        let mut holds = self.lock_holds();
        holds.all_views -= 1;
        if let Entry::Occupied(mut held) = holds.views.entry(chunk) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

impl FileHold {
    /// Holds a chunk. What was found in it before has to be looked up once more: it may have been moved meanwhile.
    ///
    /// In a store that may be written to the chunk counts as dirty for as long, and until one sync after. `None` when it is being emptied
    /// for longer than the busy timeout.
    pub(crate) fn of_chunk(inner: &Arc<Inner>, chunk: ChunkId) -> Result<Option<Self>> {
        let found = inner.chunks.get(chunk)?;
        let entered = match inner.attached {
            Some(_) => inner.enter_with_others(chunk)?,
            None => inner.enter_chunk(chunk),
        };
        if !entered {
            return Ok(None);
        }
        let mut hold = Self { file: HeldFile::Chunk(chunk), writable: false, inner: inner.clone() };
        found.clone().keep();
        if !inner.read_only {
            let mut writer = inner.begin_change()?;
            found.writers.fetch_add(1, Ordering::SeqCst);
            hold.writable = true;
            // (Where it is in the log no more, what is in it is nobody's, and its file may be gone.)
            if writer.chunks.contains(&chunk) {
                writer.dirty_chunks.insert(chunk);
                writer.changed = true;
            }
        }
        inner.check_open()?;
        Ok(Some(hold))
    }

    /// Holds a body, in the same way.
    pub(crate) fn of_body(inner: &Arc<Inner>, number: BodyNumber) -> Result<Self> {
        Self::of_new_body(inner, &inner.bodies.get(number)?)
    }

    /// Holds a body that may not have its name yet.
    pub(crate) fn of_new_body(inner: &Arc<Inner>, body: &BodyRef) -> Result<Self> {
        inner.lock_holds().all_views += 1;
        let mut hold = Self { file: HeldFile::Body(body.clone()), writable: false, inner: inner.clone() };
        if !inner.read_only {
            let mut writer = inner.begin_change()?;
            body.writers.fetch_add(1, Ordering::SeqCst);
            hold.writable = true;
            writer.dirty_bodies.insert(body.number, body.shared());
            writer.changed = true;
        }
        inner.check_open()?;
        Ok(hold)
    }

    /// Where the file is mapped, and how much of it.
    pub(crate) fn memory(&self) -> (*mut u8, u64) {
        match &self.file {
            HeldFile::Body(body) => (body.map.as_ptr(), body.map.limit()),
            // It was met when the hold was made, and is mapped for as long.
            HeldFile::Chunk(chunk) => match self.inner.chunks.get(*chunk) {
                Ok(chunk) => (chunk.map.as_ptr(), chunk.map.len()),
                Err(_) => (std::ptr::null_mut(), 0),
            },
        }
    }

    /// Whether the memory may be written to.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl Drop for FileHold {
    fn drop(&mut self) {
        if self.inner.is_forked() {
            // It counts for the parent only; and a lock that a thread of the parent had is never opened here.
            return;
        }
        match &self.file {
            HeldFile::Chunk(chunk) => {
                if self.writable
                    && let Ok(chunk) = self.inner.chunks.get(*chunk)
                {
                    chunk.writers.fetch_sub(1, Ordering::SeqCst);
                }
                self.inner.chunks.let_go(*chunk);
                match self.inner.attached {
                    Some(_) => self.inner.leave_to_others(*chunk),
                    None => self.inner.leave_chunk(*chunk),
                }
            }
            HeldFile::Body(body) => {
                if self.writable {
                    body.writers.fetch_sub(1, Ordering::SeqCst);
                }
                self.inner.lock_holds().all_views -= 1;
            }
        }
        self.inner.release_lock_if_unused();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut holds = self.inner.lock_holds();
        let Some(count) = holds.counts.get_mut(&self.chunk) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        holds.counts.remove(&self.chunk);
        let lock = self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = lock.as_ref().map(|file| file.unlock(FIRST_BYTE + u64::from(self.chunk.0)))
        {
            tracing::debug!(%error, "the hold goes with the lock's file");
        }
    }
}
