//! References to objects made of atomics: any number at a time, and all of them change.
#![expect(unsafe_code, reason = "guards are references into mapped memory")]

use std::fmt;
use std::ops::Deref;

use super::WriteHold;
use crate::error::Result;
use crate::layout::SharedAtomic;
use crate::store::attach::Beside;
use crate::store::borrow::Want;
use crate::store::read::out_of_bounds;
use crate::store::{Inner, Store};

/// A reference to an object made of atomics: any number of threads change the object at once. Only guards that see the same
/// object as plain numbers exclude it.
///
/// # Durability
/// Stores survive the death of the process at once; after a power cut, each atomic changed since the last sync is old or new.
pub struct AtomicRef<'a, T: SharedAtomic> {
    target: *const T,
    _hold: AtomicHold<'a>,
}

/// What keeps the object where it is.
pub(in crate::store) enum AtomicHold<'a> {
    /// Of the process that writes the store.
    Own(WriteHold<'a>),
    /// Of another one.
    Beside(Beside<'a>),
}

// SAFETY: it is a `&T`, and it can be dropped by any thread.
unsafe impl<T: SharedAtomic> Send for AtomicRef<'_, T> {}
// SAFETY: it is a `&T`.
unsafe impl<T: SharedAtomic> Sync for AtomicRef<'_, T> {}

impl<T: SharedAtomic> Deref for AtomicRef<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: checked to be a whole, aligned `T` when the guard was made; the mapping may be written and lives as long as the
        // handle that `inner` belongs to, or `payload`; all of `T` is atomics.
        unsafe { &*self.target }
    }
}

impl<T: SharedAtomic + fmt::Debug> fmt::Debug for AtomicRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Inner {
    fn borrow_atomic<T: SharedAtomic>(&self, key: &[u8], wait: bool) -> Result<Option<AtomicRef<'_, T>>> {
        let Some(hold) = self.borrow_to_write::<T>(key, Want::Atomic, wait)? else { return Ok(None) };
        let address = hold.payload.map().address(hold.payload.offset, hold.payload.bytes);
        let target = address.and_then(|address| T::from_raw_parts(address, hold.payload.bytes as usize));
        let target = target.ok_or_else(|| out_of_bounds(&hold.record))?;
        Ok(Some(AtomicRef { target, _hold: AtomicHold::Own(hold) }))
    }

    /// The same in a process that changes objects beside the writer.
    pub(in crate::store) fn borrow_atomic_beside<T: SharedAtomic>(
        &self,
        key: &[u8],
    ) -> Result<Option<AtomicRef<'_, T>>> {
        let Some(beside) = self.hold_beside(key, true, Self::typed_payload::<T>)? else { return Ok(None) };
        let payload = beside.payload();
        let address = payload.map().address(payload.offset, payload.bytes);
        let target = address.and_then(|address| T::from_raw_parts(address, payload.bytes as usize));
        let target = target.ok_or_else(|| out_of_bounds(beside.record()))?;
        Ok(Some(AtomicRef { target, _hold: AtomicHold::Beside(beside) }))
    }
}

impl Store {
    /// A reference to an object made of atomics, through which any number of threads change it at once.
    ///
    /// # Errors
    /// As for [`Store::get_mut`]; [`Error::Busy`](crate::Error::Busy) only when a guard sees the same object as plain numbers.
    pub fn get_atomic<T: SharedAtomic>(&self, key: impl AsRef<[u8]>) -> Result<Option<AtomicRef<'_, T>>> {
        self.inner.borrow_atomic(key.as_ref(), true)
    }

    /// [`Store::get_atomic`] that answers [`Error::Busy`](crate::Error::Busy) at once instead of waiting.
    ///
    /// # Errors
    /// As for [`Store::get_atomic`].
    pub fn try_get_atomic<T: SharedAtomic>(&self, key: impl AsRef<[u8]>) -> Result<Option<AtomicRef<'_, T>>> {
        self.inner.borrow_atomic(key.as_ref(), false)
    }
}
