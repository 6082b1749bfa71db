//! Guards: references to objects where they lie.
//!
//! What makes them sound: a [`Ref`] has the object's shared borrow and a [`RefMut`] the exclusive one, in a table that every
//! guard of every thread goes through; records are never overwritten by a put; and mappings stay until the last handle and guard
//! are gone. That no other process writes is the contract of opening a store.
#![expect(unsafe_code, reason = "guards are references into mapped memory")]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::borrow::{Deadline, Subject, Want};
use super::find::Payload;
use super::read::{LARGEST_STAGED, out_of_bounds};
use super::{Inner, Store};
use crate::chunk::{Body, Record, WRITING};
use crate::error::{Error, Result};
use crate::layout::{Object, Plain, SharedAtomic};
use crate::map::{Buffer, object_at};

/// The 32 bits of the version in the version word.
const VERSION_BITS: u64 = 0xffff_ffff;

/// A reference to an object, without a copy. While it lives nobody changes the object in place; a put supersedes it, and the
/// guard keeps the old one.
pub struct Ref<'a, T: ?Sized> {
    target: *const T,
    borrow: Borrow<'a>,
    /// Keeps a body mapped.
    body: Option<Arc<Body>>,
}

// SAFETY: it is a `&T`, and the hold can be released by any thread.
unsafe impl<T: ?Sized + Sync> Send for Ref<'_, T> {}
// SAFETY: it is a `&T`.
unsafe impl<T: ?Sized + Sync> Sync for Ref<'_, T> {}

/// An entry in the table of what is borrowed, for as long as it lives.
pub(super) struct Borrow<'a> {
    inner: &'a Inner,
    subject: Subject,
    want: Want,
}

impl<'a> Borrow<'a> {
    pub(super) fn acquire(
        inner: &'a Inner,
        record: &Record<'_>,
        want: Want,
        deadline: &mut Deadline,
    ) -> Option<Self> {
        let subject = Subject::of(record);
        // Made only when it is taken: a `Borrow` that is dropped gives the object back, whoever has it.
        inner.borrows.acquire(subject, want, deadline).then(|| Self { inner, subject, want })
    }
}

impl Drop for Borrow<'_> {
    fn drop(&mut self) {
        self.inner.borrows.release(self.subject, self.want);
        self.inner.release_lock_if_unused();
    }
}

impl<'a, T: ?Sized> Ref<'a, T> {
    /// A reference to a part of the object.
    ///
    /// An associated function, so that it hides no method of the object.
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&T) -> &U) -> Ref<'a, U> {
        let target = std::ptr::from_ref(part(&this));
        Ref { target, borrow: this.borrow, body: this.body }
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
    _body: Option<Arc<Body>>,
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
        self.inner.release_lock_if_unused();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A mutable reference to an object, alone with it.
///
/// Objects up to 512 bytes are changed in a copy, which is written back as a whole by [`RefMut::commit`] or when the guard is
/// dropped (not while panicking); larger ones are changed where they are.
///
/// # Durability
/// The change survives the death of the process once it is written back. After a power cut, bytes changed since the last sync are
/// old or new, in pieces.
pub struct RefMut<'a, T: Plain + ?Sized> {
    target: *mut T,
    /// `None`: `target` is the object itself.
    staged: Option<Buffer>,
    panicking: bool,
    finished: bool,
    hold: WriteHold<'a>,
}

// SAFETY: it is a `&mut T`, and the hold can be released by any thread.
unsafe impl<T: Plain + ?Sized> Send for RefMut<'_, T> {}
// SAFETY: it is a `&T` to others.
unsafe impl<T: Plain + ?Sized> Sync for RefMut<'_, T> {}

/// A borrow of an object that will be changed.
struct WriteHold<'a> {
    record: Record<'a>,
    payload: Payload<'a>,
    borrow: Borrow<'a>,
}

impl WriteHold<'_> {
    /// Makes the version odd. Its checksum half then names the writer: slot 0, the writer of the store.
    fn begin_writing(&self) {
        let version = self.record.version_word(Ordering::Relaxed) & VERSION_BITS;
        self.record.set_version_word(version | WRITING, Ordering::Relaxed);
        fence(Ordering::Release);
    }

    /// Makes the version even again, another one than before.
    fn end_writing(&self) {
        let version = self.record.version_word(Ordering::Relaxed) & VERSION_BITS;
        self.record.settle_version(version, self.borrow.inner.chunks.seed);
    }

    fn address(&self) -> *mut u8 {
        self.payload.map().as_ptr().wrapping_add(self.payload.offset as usize)
    }
}

impl Drop for WriteHold<'_> {
    fn drop(&mut self) {
        for file in writers(&self.record, &self.payload) {
            file.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The counts of guards that may write into the files that hold an object: its version word and, where it has one, its body.
fn writers<'p>(record: &'p Record<'_>, payload: &'p Payload<'_>) -> impl Iterator<Item = &'p AtomicU32> {
    [Some(&record.chunk.writers), payload.body().map(|body| &body.writers)].into_iter().flatten()
}

impl<T: Plain + ?Sized> RefMut<'_, T> {
    /// Writes the change back now, so that an error can be seen.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::Poisoned`] when the store came to that meanwhile; a staged change is lost then.
    pub fn commit(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        self.finished = true;
        match &self.staged {
            // In a forked child, the object is still borrowed by the parent, whose guard ends the change.
            None if self.hold.borrow.inner.is_forked() => Err(Error::Forked),
            None => {
                self.hold.end_writing();
                Ok(())
            }
            Some(buffer) => self.hold.borrow.inner.write_back::<T>(&self.hold, buffer.as_ptr()),
        }
    }
}

impl Inner {
    /// Stores a staged copy into the object, under the odd version word.
    #[inline]
    fn write_back<T: Plain + ?Sized>(&self, hold: &WriteHold<'_>, from: *const u8) -> Result<()> {
        self.check_writable()?;
        hold.begin_writing();
        // SAFETY: `from` is a whole `T` of the payload's size; the target was checked to be one, lies in a mapping that may be
        // written, and others use it only through `copy_racy` while it is borrowed exclusively.
        unsafe { T::write_racy(from, hold.address(), hold.payload.bytes as usize) };
        hold.end_writing();
        Ok(())
    }
}

impl<T: Plain + ?Sized> Deref for RefMut<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `target` is a whole, aligned `T`: the staged copy, or the object itself, which is borrowed exclusively.
        unsafe { &*self.target }
    }
}

impl<T: Plain + ?Sized> DerefMut for RefMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`.
        unsafe { &mut *self.target }
    }
}

impl<T: Plain + ?Sized> Drop for RefMut<'_, T> {
    fn drop(&mut self) {
        let unwinding = std::thread::panicking() && !self.panicking;
        if self.finished || unwinding && self.staged.is_some() {
            return;
        }
        if let Err(error) = self.finish() {
            tracing::error!(%error, "a change in place was lost; commit() would have told");
        }
    }
}

impl<T: Plain + ?Sized + fmt::Debug> fmt::Debug for RefMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A reference to an object made of atomics: any number of threads change the object at once. Only guards that see the same
/// object as plain numbers exclude it.
///
/// # Durability
/// Stores survive the death of the process at once; after a power cut, each atomic changed since the last sync is old or new.
pub struct AtomicRef<'a, T: SharedAtomic> {
    target: *const T,
    _hold: WriteHold<'a>,
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
    /// A guard of the object under a key.
    fn borrow_shared<T: Plain + ?Sized>(&self, key: &[u8], wait: bool) -> Result<Option<Ref<'_, T>>> {
        self.check_open()?;
        let hash = self.views.hashes.of_key(key);
        let (mut deadline, relocations) = (self.patience(wait), self.relocations.load(Ordering::SeqCst));
        let found = self.with_object(key, hash, |record| {
            let payload = self.typed_payload::<T>(record)?;
            let borrow = Borrow::acquire(self, record, Want::Shared, &mut deadline);
            let borrow = borrow.ok_or_else(|| Error::Busy { key: key.to_vec() })?;
            self.check_not_moved(record, relocations)?;
            Ok((*record, payload, borrow))
        })?;
        let Some((record, payload, borrow)) = found else { return Ok(None) };
        // Whoever closes the store looks for borrows after it has said so; one of the two sees the other.
        self.check_open()?;
        let address = payload.map().address(payload.offset, payload.bytes);
        let target = address.and_then(|address| T::from_raw_parts(address, payload.bytes as usize));
        let target = target.ok_or_else(|| out_of_bounds(&record))?;
        Ok(Some(Ref { target, borrow, body: payload.body().cloned() }))
    }

    /// A borrow of the object under a key for changing it. Its file counts as dirty from here on.
    fn borrow_to_write<T: Object + ?Sized>(
        &self,
        key: &[u8],
        want: Want,
        waits: bool,
    ) -> Result<Option<WriteHold<'_>>> {
        self.borrow_found(key, want, waits, |hash| {
            let Some(record) = self.find_hashed(key, hash)? else { return Ok(None) };
            Ok(Some((record, self.typed_payload::<T>(&record)?)))
        })
    }

    /// The same, where somebody else finds the object by the hash of its key.
    #[inline]
    fn borrow_found<'a>(
        &'a self,
        key: &[u8],
        want: Want,
        waits: bool,
        find: impl Fn(u64) -> Result<Option<(Record<'a>, Payload<'a>)>>,
    ) -> Result<Option<WriteHold<'a>>> {
        let mut deadline = self.patience(waits);
        let mut waited_for: Option<Borrow<'_>> = None;
        let hash = self.views.hashes.of_key(key);
        self.views.directory.prefetch_line(hash);
        loop {
            let mut writer = self.begin_change()?;
            let Some((record, payload)) = find(hash)? else { return Ok(None) };
            // What was waited for may have been superseded meanwhile.
            let borrow = match waited_for.take() {
                Some(borrow) if borrow.subject == Subject::of(&record) => Some(borrow),
                _ => Borrow::acquire(self, &record, want, &mut Deadline::Now),
            };
            if let Some(borrow) = borrow {
                // The record's chunk changes even where the object has a body: its version word does.
                writer.dirty_chunks.insert(record.chunk.id);
                writer.dirty_bodies.extend(payload.body().map(|body| body.number));
                writer.changed = true;
                for file in writers(&record, &payload) {
                    file.fetch_add(1, Ordering::SeqCst);
                }
                return Ok(Some(WriteHold { record, payload, borrow }));
            }
            drop(writer);
            waited_for = Borrow::acquire(self, &record, want, &mut deadline);
            if waited_for.is_none() {
                return Err(Error::Busy { key: key.to_vec() });
            }
        }
    }

    fn borrow_mut<T: Plain + ?Sized>(&self, key: &[u8], wait: bool) -> Result<Option<RefMut<'_, T>>> {
        let Some(hold) = self.borrow_to_write::<T>(key, Want::Exclusive, wait)? else { return Ok(None) };
        let bytes = hold.payload.bytes as usize;
        let staged = hold.payload.bytes <= LARGEST_STAGED;
        let buffer = staged.then(|| Buffer::zeroed(bytes, T::ALIGN));
        let address = if let Some(buffer) = &buffer {
            // SAFETY: the object was checked to be a `T` of this size, aligned; the buffer is as large, and nobody else's.
            unsafe { T::copy_racy(hold.address(), buffer.as_ptr(), bytes) };
            buffer.as_ptr()
        } else {
            hold.begin_writing();
            hold.address()
        };
        let target = object_at::<T>(address, bytes).cast_mut();
        let panicking = std::thread::panicking();
        Ok(Some(RefMut { target, staged: buffer, panicking, finished: false, hold }))
    }
}

impl Store {
    /// A reference to the object under `key`, or `None`. Copies nothing; for slices and arrays of any length too.
    ///
    /// Waits for whoever changes the object, at most the busy timeout.
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`] when the object has another type or no such length, [`Error::Misaligned`], [`Error::Busy`],
    /// [`Error::Closed`], [`Error::Corrupt`].
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
        let Ref { target, borrow, body } = guard;
        let subject = borrow.subject;
        // The borrow goes over to the owned guard.
        std::mem::forget(borrow);
        Ok(Some(OwnedRef { target, subject, _body: body, inner: self.inner.clone() }))
    }

    /// A mutable reference to the object under `key`, or `None`; see [`RefMut`].
    ///
    /// Waits for all other guards of the object, at most the busy timeout.
    ///
    /// # Errors
    /// As for [`Store::get`], and [`Error::ReadOnly`], [`Error::Poisoned`], [`Error::Forked`].
    pub fn get_mut<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<RefMut<'_, T>>> {
        self.inner.borrow_mut(key.as_ref(), true)
    }

    /// [`Store::get_mut`] that answers [`Error::Busy`] at once instead of waiting.
    ///
    /// # Errors
    /// As for [`Store::get_mut`].
    pub fn try_get_mut<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>) -> Result<Option<RefMut<'_, T>>> {
        self.inner.borrow_mut(key.as_ref(), false)
    }

    /// Changes the object under `key` in place; whether there was one. When `change` panics, objects up to 512 bytes stay as they
    /// were.
    ///
    /// # Durability
    /// As for [`RefMut`].
    ///
    /// # Errors
    /// As for [`Store::get_mut`].
    pub fn update<T: Plain>(&self, key: impl AsRef<[u8]>, change: impl FnOnce(&mut T)) -> Result<bool> {
        let key = key.as_ref();
        if size_of::<T>() as u64 > LARGEST_STAGED {
            let Some(mut object) = self.inner.borrow_mut::<T>(key, true)? else { return Ok(false) };
            change(&mut object);
            return object.commit().map(|()| true);
        }
        let inner = &*self.inner;
        let find = |hash| inner.find_typed::<T>(key, hash);
        let Some(hold) = inner.borrow_found(key, Want::Exclusive, true, find)? else { return Ok(false) };
        let copy = hold.payload.map().read_object::<T>(hold.payload.offset);
        let mut copy = copy.ok_or_else(|| out_of_bounds(&hold.record))?;
        change(&mut copy);
        inner.write_back::<T>(&hold, std::ptr::from_ref(&copy).cast())?;
        Ok(true)
    }

    /// A reference to an object made of atomics, through which any number of threads change it at once.
    ///
    /// # Errors
    /// As for [`Store::get_mut`]; [`Error::Busy`] only when a guard sees the same object as plain numbers.
    pub fn get_atomic<T: SharedAtomic>(&self, key: impl AsRef<[u8]>) -> Result<Option<AtomicRef<'_, T>>> {
        let inner = &*self.inner;
        let Some(hold) = inner.borrow_to_write::<T>(key.as_ref(), Want::Atomic, true)? else {
            return Ok(None);
        };
        let address = hold.payload.map().address(hold.payload.offset, hold.payload.bytes);
        let target = address.and_then(|address| T::from_raw_parts(address, hold.payload.bytes as usize));
        let target = target.ok_or_else(|| out_of_bounds(&hold.record))?;
        Ok(Some(AtomicRef { target, _hold: hold }))
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

#[cfg(test)]
mod tests {
    use crate::{Error, Store};

    #[test]
    fn a_guard_that_is_refused_does_not_end_the_one_that_is_there() {
        let store = Store::in_memory().unwrap();
        store.put("key", &1_u64).unwrap();
        let guard = store.get_mut::<u64>("key").unwrap();
        for _ in 0..2 {
            assert!(matches!(store.try_get_mut::<u64>("key"), Err(Error::Busy { .. })));
            assert!(matches!(store.try_get::<u64>("key"), Err(Error::Busy { .. })));
        }
        drop(guard);
        assert!(store.try_get::<u64>("key").unwrap().is_some());
    }
}
