//! Holds on chunks: the byte 2^32 + *n* of `LOCK`.
//!
//! Whoever hands out references that nobody can follow one by one holds a chunk's byte, shared. Objects are moved out of a chunk, and
//! space in it is given back, only while its byte is held alone.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Inner;
use crate::disk::Lock;
use crate::format::ChunkId;

/// The byte of chunk 0.
pub(super) const FIRST_BYTE: u64 = 1 << 32;

/// What this handle holds, alone or (as a reader) with others, and how often. (Its own locks never conflict with each other.)
pub(crate) type Holds = Mutex<BTreeMap<ChunkId, u32>>;

/// A chunk that nobody else refers to, for as long as this lives.
pub(crate) struct Held<'a> {
    inner: &'a Inner,
    chunk: ChunkId,
}

impl Inner {
    fn lock_holds(&self) -> MutexGuard<'_, BTreeMap<ChunkId, u32>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a chunk alone. `None` when somebody else holds it, or nobody can say.
    pub(crate) fn hold_alone(&self, chunk: ChunkId) -> Option<Held<'_>> {
        let mut holds = self.lock_holds();
        match holds.entry(chunk) {
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
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut holds = self.inner.lock_holds();
        let Some(count) = holds.get_mut(&self.chunk) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        holds.remove(&self.chunk);
        let lock = self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = lock.as_ref().map(|file| file.unlock(FIRST_BYTE + u64::from(self.chunk.0)))
        {
            tracing::debug!(%error, "the hold goes with the lock's file");
        }
    }
}
