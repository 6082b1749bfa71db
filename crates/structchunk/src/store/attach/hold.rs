//! Holds of a reader, and what it holds: objects that stay where they are as long as somebody looks at them.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::super::Inner;
use super::super::find::Payload;
use super::super::hold::{FIRST_BODY_BYTE, FIRST_BYTE};
use super::super::read::out_of_bounds;
use super::Session;
use crate::chunk::Record;
use crate::disk::Lock;
use crate::error::{Error, Result};
use crate::format::{BodyNumber, ChunkId};
use crate::layout::SharedAtomic;

/// While the writer is at work in a chunk.
const PAUSE: Duration = Duration::from_micros(100);

/// A file that stays as it is as long as this lives: nothing is moved out of a chunk, no space in it is given back, and a body is not sealed, nor its seal taken back.
pub(in crate::store) struct SharedHold<'a> {
    inner: &'a Inner,
    byte: u64,
}

impl SharedHold<'_> {
    /// Goes over to one who ends it by [`Inner::let_go_with_others`].
    pub(in crate::store) fn keep(self) -> u64 {
        let byte = self.byte;
        std::mem::forget(self);
        byte
    }
}

impl Inner {
    /// Holds a chunk together with others; `None` when somebody had it alone until the busy timeout.
    pub(in crate::store) fn hold_with_others(&self, chunk: ChunkId) -> Result<Option<SharedHold<'_>>> {
        self.hold_byte(FIRST_BYTE + u64::from(chunk.0))
    }

    /// Holds a body in the same way.
    pub(super) fn hold_body_with_others(&self, body: BodyNumber) -> Result<Option<SharedHold<'_>>> {
        self.hold_byte(FIRST_BODY_BYTE.saturating_add(body.0))
    }

    fn hold_byte(&self, byte: u64) -> Result<Option<SharedHold<'_>>> {
        Ok(self.enter_byte(byte)?.then(|| SharedHold { inner: self, byte }))
    }

    /// Holds a chunk together with others until as many calls of [`Inner::leave_to_others`]; false when somebody had it alone until the busy
    /// timeout.
    pub(in crate::store) fn enter_with_others(&self, chunk: ChunkId) -> Result<bool> {
        self.enter_byte(FIRST_BYTE + u64::from(chunk.0))
    }

    /// Ends a hold of a chunk together with others.
    pub(in crate::store) fn leave_to_others(&self, chunk: ChunkId) {
        self.let_go_with_others(FIRST_BYTE + u64::from(chunk.0));
    }

    fn enter_byte(&self, byte: u64) -> Result<bool> {
        // A child has lost the file of locks.
        self.still(Ok(()))?;
        let Some(lock) = self.attached.as_ref().and_then(super::Watch::lock) else {
            // Whoever makes the file begins a session before anything is moved.
            return Ok(true);
        };
        let mut deadline = self.patience(true);
        loop {
            let mut holds = self.lock_holds();
            let held = holds.with_others.get(&byte).is_some_and(|&count| count > 0);
            if held || lock.try_lock(byte, Lock::Shared)? {
                *holds.with_others.entry(byte).or_default() += 1;
                return Ok(true);
            }
            drop(holds);
            if deadline.is_over() {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends a shared hold.
    pub(in crate::store) fn let_go_with_others(&self, byte: u64) {
        // It counts for the parent only, one of whose threads may have had the table.
        if self.is_forked() {
            return;
        }
        let Some(lock) = self.attached.as_ref().and_then(super::Watch::lock) else { return };
        let mut holds = self.lock_holds();
        let Some(count) = holds.with_others.get_mut(&byte) else { return };
        *count -= 1;
        if *count == 0 {
            holds.with_others.remove(&byte);
            if let Err(error) = lock.unlock(byte) {
                tracing::debug!(%error, "the hold goes with the lock's file");
            }
        }
    }
}

impl Drop for SharedHold<'_> {
    fn drop(&mut self) {
        self.inner.let_go_with_others(self.byte);
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
    /// As for [`Session::load`]; [`Error::Busy`] while the writer moves objects out of the chunk, or puts another one in the place of this again and again, for
    /// longer than the busy timeout.
    pub fn atomic<T: SharedAtomic>(&self, key: impl AsRef<[u8]>) -> Result<Option<AtomicView<'_, T>>> {
        let inner = self.inner();
        let key = key.as_ref();
        let hash = inner.views.hashes.of_key(key);
        let mut deadline = inner.patience(true);
        loop {
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
            // It is replaced again and again.
            if deadline.is_over() {
                return Err(Error::Busy { key: key.to_vec() });
            }
        }
    }
}
