//! References to change: one at a time.
#![expect(unsafe_code, reason = "guards are references into mapped memory")]

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

use super::WriteHold;
use crate::error::{Error, Result};
use crate::layout::{Plain, fixed_size};
use crate::map::{Buffer, object_at};
use crate::store::borrow::Want;
use crate::store::mutate::Staged;
use crate::store::read::{LARGEST_STAGED, out_of_bounds};
use crate::store::{Inner, Store};

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

impl Inner {
    fn borrow_mut<T: Plain + ?Sized>(&self, key: &[u8], wait: bool) -> Result<Option<RefMut<'_, T>>> {
        self.check_not_shared()?;
        Ok(self.borrow_to_write::<T>(key, Want::Exclusive, wait)?.map(guard_of))
    }

    #[inline]
    fn update<T: Plain + ?Sized>(&self, key: &[u8], wait: bool, change: impl FnOnce(&mut T)) -> Result<bool> {
        if self.shares_changes {
            return self.update_shared(key, wait, change);
        }
        let find = |hash| self.find_typed::<T>(key, hash);
        let Some(hold) = self.borrow_found(key, Want::Exclusive, wait, find)? else { return Ok(false) };
        // What the compiler knows makes copies of a few words.
        let bytes = const { fixed_size::<T>() }.unwrap_or(hold.payload.bytes as usize);
        if bytes as u64 > LARGEST_STAGED {
            let mut object = guard_of::<T>(hold);
            change(&mut object);
            return object.commit().map(|()| true);
        }
        let from = hold.address();
        // (It is; what the compiler knows of that makes the copy a straight one.)
        if !from.addr().is_multiple_of(T::ALIGN) {
            return Err(out_of_bounds(&hold.record));
        }
        let mut room = MaybeUninit::<Room>::uninit();
        let wider = (T::ALIGN > align_of::<Room>()).then(|| Buffer::few_zeroes(bytes, T::ALIGN));
        let copy = wider.as_ref().map_or(room.as_mut_ptr().cast::<u8>(), Buffer::as_ptr);
        // SAFETY: the object was checked to be a `T` of this size, aligned; the copy has room for it, aligned, and is nobody else's.
        unsafe { T::copy_racy(from, copy, bytes) };
        let object = object_at::<T>(copy, bytes).cast_mut();
        // SAFETY: all bytes of the copy were written, any bytes are a `T`, and nobody else has it.
        change(unsafe { &mut *object });
        self.write_back::<T>(&hold, copy)?;
        Ok(true)
    }
}

/// Room for what is staged.
#[repr(align(64))]
struct Room {
    _bytes: [u8; LARGEST_STAGED as usize],
}

/// The guard of an object that was checked to be a `T`.
fn guard_of<T: Plain + ?Sized>(hold: WriteHold<'_>) -> RefMut<'_, T> {
    let bytes = hold.payload.bytes as usize;
    let staged = hold.payload.bytes <= LARGEST_STAGED;
    let buffer = staged.then(|| Buffer::few_zeroes(bytes, T::ALIGN));
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
    RefMut { target, staged: buffer, panicking, finished: false, hold }
}

impl Inner {
    /// Refuses references to what other processes change in place.
    pub(in crate::store) fn check_not_shared(&self) -> Result<()> {
        if self.shares_changes { Err(Error::SharedStore { path: self.path.clone() }) } else { Ok(()) }
    }

    /// Changes an object of any size in a copy, which is written back under the claim that began before it was made.
    #[cold]
    fn update_shared<T: Plain + ?Sized>(
        &self,
        key: &[u8],
        wait: bool,
        change: impl FnOnce(&mut T),
    ) -> Result<bool> {
        let find = |hash| self.find_typed::<T>(key, hash);
        let Some(hold) = self.borrow_found(key, Want::Exclusive, wait, find)? else { return Ok(false) };
        let Some(claim) = &hold.claim else { return Err(Error::Busy { key: key.to_vec() }) };
        let mut staged = Staged::copy::<T>(&hold.record, &hold.payload)?;
        staged.change(change);
        self.check_writable()?;
        staged.write_back::<T>(&hold.record, &hold.payload, claim)?;
        Ok(true)
    }
}

impl Store {
    /// A mutable reference to the object under `key`, or `None`; see [`RefMut`].
    ///
    /// Waits for all other guards of the object, at most the busy timeout.
    ///
    /// # Errors
    /// As for [`Store::get`], and [`Error::Sealed`], [`Error::ReadOnly`], [`Error::Poisoned`], [`Error::Forked`];
    /// [`Error::SharedStore`] in a store with [`shared_mutation`](crate::Options::shared_mutation), which has [`Store::update`].
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

    /// Changes the object under `key` in place; whether there was one. For arrays of any length too: `T` may be a slice. When `change` panics, objects
    /// up to 512 bytes stay as they were.
    ///
    /// In a store with [`shared_mutation`](crate::Options::shared_mutation) an object of any size is changed in a copy, alone among all processes:
    /// others wait meanwhile, at most their busy timeout. When `change` panics, it stays as it was. Of a sparse one only what is no hole is copied, and
    /// what stays zero stays a hole.
    ///
    /// # Durability
    /// As for [`RefMut`].
    ///
    /// # Errors
    /// As for [`Store::get_mut`]; [`Error::Torn`] instead of [`Error::SharedStore`]: see [`Store::mend`], and [`Error::NoSpace`] where a hole of a sparse
    /// object in such a store is to be filled and the disk has no room: then nothing has changed.
    pub fn update<T: Plain + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(&mut T),
    ) -> Result<bool> {
        self.inner.update(key.as_ref(), true, change)
    }

    /// [`Store::update`] that answers [`Error::Busy`] at once instead of waiting.
    ///
    /// # Durability
    /// As for [`RefMut`].
    ///
    /// # Errors
    /// As for [`Store::get_mut`].
    pub fn try_update<T: Plain + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(&mut T),
    ) -> Result<bool> {
        self.inner.update(key.as_ref(), false, change)
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
            assert!(matches!(store.try_update("key", |_: &mut u64| {}), Err(Error::Busy { .. })));
        }
        drop(guard);
        assert!(store.try_get::<u64>("key").unwrap().is_some());
    }
}
