//! Holds of a reader, and what it holds: objects that stay where they are as long as somebody looks at them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::PoisonError;
use std::time::Duration;

use super::super::Inner;
use super::super::find::Payload;
use super::super::hold::FIRST_BYTE;
use super::super::read::out_of_bounds;
use super::Session;
use crate::chunk::Record;
use crate::disk::Lock;
use crate::error::{Error, Result};
use crate::format::ChunkId;
use crate::layout::SharedAtomic;

/// While the writer is at work in a chunk.
const PAUSE: Duration = Duration::from_micros(100);

/// A chunk out of which nothing is moved, and in which no space is given back, as long as this lives.
pub(in crate::store) struct SharedHold<'a> {
    inner: &'a Inner,
    chunk: ChunkId,
}

impl Inner {
    /// Holds a chunk together with others; `None` when somebody had it alone until the busy timeout.
    pub(in crate::store) fn hold_with_others(&self, chunk: ChunkId) -> Result<Option<SharedHold<'_>>> {
        Ok(self.enter_with_others(chunk)?.then(|| SharedHold { inner: self, chunk }))
    }

    /// Holds a chunk together with others until as many calls of [`Inner::leave_to_others`]; false when somebody had it alone until the busy
    /// timeout.
    pub(in crate::store) fn enter_with_others(&self, chunk: ChunkId) -> Result<bool> {
        let Some(lock) = self.attached.as_ref().and_then(super::Watch::lock) else {
            // Whoever makes the file begins a session before anything is moved.
            return Ok(true);
        };
        let mut deadline = self.patience(true);
        loop {
            let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
            let held = holds.counts.get(&chunk).is_some_and(|&count| count > 0);
            if held || lock.try_lock(FIRST_BYTE + u64::from(chunk.0), Lock::Shared)? {
                *holds.counts.entry(chunk).or_default() += 1;
                return Ok(true);
            }
            drop(holds);
            if deadline.is_over() {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends a hold together with others.
    pub(in crate::store) fn leave_to_others(&self, chunk: ChunkId) {
        let Some(lock) = self.attached.as_ref().and_then(super::Watch::lock) else { return };
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = holds.counts.get_mut(&chunk) else { return };
        *count -= 1;
        if *count == 0 {
            holds.counts.remove(&chunk);
            if let Err(error) = lock.unlock(FIRST_BYTE + u64::from(chunk.0)) {
                tracing::debug!(%error, "the hold goes with the lock's file");
            }
        }
    }
}

impl Drop for SharedHold<'_> {
    fn drop(&mut self) {
        self.inner.leave_to_others(self.chunk);
    }
}

/// An object made of atomics that another process changes, to be looked at again and again without a look-up: see [`Session::atomic`].
///
/// As long as it lives, compaction leaves the object where it is, and its chunk. After a put or remove of its key it shows the object from
/// before.
pub struct AtomicView<'a, T: SharedAtomic> {
    inner: &'a Inner,
    record: Record<'a>,
    payload: Payload<'a>,
    _hold: Option<SharedHold<'a>>,
    _type: PhantomData<fn() -> T>,
}

impl<T: SharedAtomic> AtomicView<'_, T> {
    /// The object as it is now: each of its atomics by itself.
    ///
    /// # Errors
    /// [`Error::SessionOver`].
    #[inline]
    pub fn load(&self) -> Result<T> {
        let copy = self.payload.map().read_object::<T>(self.payload.offset);
        self.inner.still(copy.ok_or_else(|| out_of_bounds(&self.record)))
    }

    /// Whether this is still the object under its key.
    ///
    /// # Errors
    /// As for [`Session::contains`].
    pub fn is_current(&self) -> Result<bool> {
        self.inner.still(self.inner.is_current(&self.record))
    }
}

impl<T: SharedAtomic> fmt::Debug for AtomicView<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicView").field("location", &self.record.location()).finish_non_exhaustive()
    }
}

impl Session {
    /// A view of the object made of atomics under `key`, or `None` where there is none: a look at it is some loads. The first view into a chunk, and the end
    /// of the last one, take a system call each.
    ///
    /// # Errors
    /// As for [`Session::load`]; [`Error::Busy`] while the writer moves objects out of the chunk, for longer than the busy timeout.
    pub fn atomic<T: SharedAtomic>(&self, key: impl AsRef<[u8]>) -> Result<Option<AtomicView<'_, T>>> {
        let inner = self.inner();
        let key = key.as_ref();
        let hash = inner.views.hashes.of_key(key);
        loop {
            inner.follow_files();
            let found = inner
                .with_object(key, hash, |record| Ok((record.clone(), inner.typed_payload::<T>(record)?)));
            let Some((record, payload)) = inner.still(found)? else { return Ok(None) };
            // Bodies are not moved, and those that are unlinked stay mapped.
            let hold = match payload.body() {
                Some(_) => None,
                None => match inner.hold_with_others(record.chunk.id)? {
                    None => return Err(Error::Busy { key: key.to_vec() }),
                    hold => hold,
                },
            };
            // It may have been moved before it was held.
            if inner.still(inner.is_current(&record))? {
                return Ok(Some(AtomicView { inner, record, payload, _hold: hold, _type: PhantomData }));
            }
        }
    }
}
