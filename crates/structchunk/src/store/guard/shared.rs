//! References to read: any number at a time.
#![expect(unsafe_code, reason = "guards are references into mapped memory")]

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Borrow;
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::layout::Plain;
use crate::store::attach::{Frozen, SharedHold};
use crate::store::borrow::{Subject, Want};
use crate::store::find::{Kept, Payload};
use crate::store::read::out_of_bounds;
use crate::store::{Inner, Store};

/// A reference to an object, without a copy. While it lives nobody changes the object in place; a put supersedes it, and the
/// guard keeps the old one.
pub struct Ref<'a, T: ?Sized> {
    target: *const T,
    borrow: Borrow<'a>,
    /// Keeps it mapped.
    payload: Payload<'a>,
    /// Where another process writes: keeps it as it is.
    held: Option<SharedHold<'a>>,
}

// SAFETY: it is a `&T`, and the hold can be released by any thread.
unsafe impl<T: ?Sized + Sync> Send for Ref<'_, T> {}
// SAFETY: it is a `&T`.
unsafe impl<T: ?Sized + Sync> Sync for Ref<'_, T> {}

impl<'a, T: ?Sized> Ref<'a, T> {
    /// A reference to a part of the object.
    ///
    /// An associated function, so that it hides no method of the object.
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&T) -> &U) -> Ref<'a, U> {
        let target = std::ptr::from_ref(part(&this));
        Ref { target, borrow: this.borrow, payload: this.payload, held: this.held }
    }
}

impl<T: ?Sized> Deref for Ref<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: checked to be a whole, aligned `T` when the guard was made; the hold keeps it mapped and unchanged.
        unsafe { &*self.target }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A [`Ref`] that keeps the store open by itself.
pub struct OwnedRef<T: ?Sized> {
    target: *const T,
    subject: Subject,
    kept: Kept,
    held: Option<u64>,
    inner: Arc<Inner>,
}

// SAFETY: it is a `&T`, and the hold can be released by any thread.
unsafe impl<T: ?Sized + Sync> Send for OwnedRef<T> {}
// SAFETY: it is a `&T`.
unsafe impl<T: ?Sized + Sync> Sync for OwnedRef<T> {}

impl<T: ?Sized> Deref for OwnedRef<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as for `Ref`; the mappings belong to `inner`.
        unsafe { &*self.target }
    }
}

impl<T: ?Sized> Drop for OwnedRef<T> {
    fn drop(&mut self) {
        self.inner.borrows.release(self.subject, Want::Shared);
        if let Kept::Chunk(chunk) = self.kept {
            self.inner.chunks.let_go(chunk);
        }
        if let Some(byte) = self.held {
            self.inner.let_go_with_others(byte);
        }
        self.inner.release_lock_if_unused();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Inner {
    /// A guard of the object under a key.
    fn borrow_shared<T: Plain + ?Sized>(&self, key: &[u8], wait: bool) -> Result<Option<Ref<'_, T>>> {
        self.check_open()?;
        if self.attached.is_some() {
            return self.borrow_sealed(key);
        }
        let sealed_only = |record: &Record<'_>| {
            if self.shares_changes && !record.is_sealed() { self.check_not_shared() } else { Ok(()) }
        };
        if self.is_forked() && !self.read_only {
            return Err(Error::Forked);
        }
        let hash = self.views.hashes.of_key(key);
        let (mut deadline, relocations) = (self.patience(wait), self.relocations.load(Ordering::SeqCst));
        let found = self.with_object(key, hash, |record| {
            sealed_only(record)?;
            let payload = self.typed_payload::<T>(record)?;
            let borrow = Borrow::acquire(self, record, Want::Shared, &mut deadline);
            let borrow = borrow.ok_or_else(|| Error::Busy { key: key.to_vec() })?;
            self.check_not_moved(record, relocations)?;
            // Not before: who supersedes it from here on sees the borrow.
            self.check_alone(record)?;
            Ok((record.clone(), payload, borrow))
        })?;
        let Some((record, payload, borrow)) = found else { return Ok(None) };
        // Whoever closes the store looks for borrows after it has said so; one of the two sees the other.
        self.check_open()?;
        let address = payload.map().address(payload.offset, payload.bytes);
        let target = address.and_then(|address| T::from_raw_parts(address, payload.bytes as usize));
        let target = target.ok_or_else(|| out_of_bounds(&record))?;
        Ok(Some(Ref { target, borrow, payload, held: None }))
    }

    /// A guard of a sealed object. The writer, which sees none of our borrows, may change any other under us.
    fn borrow_sealed<T: Plain + ?Sized>(&self, key: &[u8]) -> Result<Option<Ref<'_, T>>> {
        let Some(Frozen { record, payload, held }) = self.find_sealed::<T>(key)? else { return Ok(None) };
        let borrow = Borrow::acquire(self, &record, Want::Shared, &mut self.patience(true));
        let borrow = borrow.ok_or_else(|| Error::Busy { key: key.to_vec() })?;
        let address = payload.map().address(payload.offset, payload.bytes);
        let target = address.and_then(|address| T::from_raw_parts(address, payload.bytes as usize));
        let target = target.ok_or_else(|| out_of_bounds(&record))?;
        Ok(Some(Ref { target, borrow, payload, held }))
    }
}

impl Store {
    /// A reference to the object under `key`, or `None`. Copies nothing; for slices and arrays of any length too.
    ///
    /// Waits for whoever changes the object, at most the busy timeout.
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`] when the object has another type or no such length, [`Error::Misaligned`], [`Error::Busy`],
    /// [`Error::Closed`], [`Error::Corrupt`]; [`Error::Forked`] in a child of the process that writes, which can [`load`](Store::load);
    /// [`Error::SharedStore`] in a store with [`shared_mutation`](crate::Options::shared_mutation), unless the object is sealed.
    pub fn get<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<Ref<'_, T>>> {
        self.inner.borrow_shared(key.as_ref(), true)
    }

    /// [`Store::get`] that answers [`Error::Busy`] at once instead of waiting.
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub fn try_get<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<Ref<'_, T>>> {
        self.inner.borrow_shared(key.as_ref(), false)
    }

    /// [`Store::get`] whose guard does not borrow the handle: it keeps the store mapped by itself.
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub fn get_owned<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedRef<T>>> {
        let Some(guard) = self.inner.borrow_shared(key.as_ref(), true)? else { return Ok(None) };
        let Ref { target, borrow, payload, held } = guard;
        let subject = borrow.subject;
        // The borrow goes over to the owned guard.
        std::mem::forget(borrow);
        Ok(Some(OwnedRef {
            target,
            subject,
            kept: payload.keep(),
            held: held.map(SharedHold::keep),
            inner: self.inner.clone(),
        }))
    }

    /// A reference to the object under `key`, which is made and stored when there is none.
    ///
    /// # Errors
    /// As for [`Store::get`] and [`Store::put`].
    pub fn get_or_insert_with<T: Plain>(
        &self,
        key: impl AsRef<[u8]>,
        make: impl FnOnce() -> T,
    ) -> Result<Ref<'_, T>> {
        let key = key.as_ref();
        if let Some(there) = self.get(key)? {
            return Ok(there);
        }
        let object = make();
        loop {
            match self.insert_new(key, &object) {
                // Somebody else was faster, and may already have removed it again.
                Ok(()) | Err(Error::KeyExists { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(there) = self.get(key)? {
                return Ok(there);
            }
        }
    }
}
