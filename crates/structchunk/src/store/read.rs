//! Reading: copies of objects, taken without a lock.

use super::borrow::{Subject, Want};
use super::find::Payload;
use super::mutate::is_changing;
use super::{Inner, Store};
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::format::HEADER_BYTES;
use crate::layout::Object;

/// Objects up to this size are changed through a staged copy and read under the version word; larger ones are changed where they
/// are, under the object's lock. In bytes.
pub(crate) const LARGEST_STAGED: u64 = 512;

/// Look-ups that are under way together, so that their cache misses overlap.
const IN_FLIGHT: usize = 16;

impl Inner {
    /// [`Store::load`], whatever there is under the key.
    #[cold]
    pub(crate) fn load_with_care<T: Object>(&self, key: &[u8], hash: u64) -> Result<Option<T>> {
        self.with_object(key, hash, |record| self.copy_object(record))
    }

    /// A copy of an object that nobody changed meanwhile.
    pub(crate) fn copy_object<T: Object>(&self, record: &Record<'_>) -> Result<T> {
        let payload = self.typed_payload::<T>(record)?;
        if T::ATOMIC {
            // Every field by itself, at its own width, beside others who do the same.
            return self.copy_locked(record, &payload, Want::Atomic);
        }
        // Two records may lead to one body for a moment, each with a version of its own.
        if payload.bytes > LARGEST_STAGED || payload.body().is_some() || self.borrows.any_atomic() {
            return self.copy_locked(record, &payload, Want::Shared);
        }
        let before = record.look();
        // A read-only handle keeps writers out: what is odd was left by one that died, and is in the report.
        if !is_changing(before) || self.read_only && self.attached.is_none() && !self.shares_changes {
            let copy = Self::copy_once::<T>(record, &payload)?;
            if record.is_still(before) {
                return Ok(copy);
            }
        }
        self.copy_contended(record, &payload)
    }

    #[inline]
    fn copy_once<T: Object>(record: &Record<'_>, payload: &Payload<'_>) -> Result<T> {
        payload.map().read_object(payload.offset).ok_or_else(|| out_of_bounds(record))
    }

    /// Under the version word.
    #[cold]
    fn copy_contended<T: Object>(&self, record: &Record<'_>, payload: &Payload<'_>) -> Result<T> {
        let mut deadline = self.patience(true);
        loop {
            let before = record.look();
            if !is_changing(before) {
                let copy = Self::copy_once::<T>(record, payload)?;
                if record.is_still(before) {
                    return Ok(copy);
                }
            }
            self.check_not_torn(record)?;
            if deadline.is_over() {
                return Err(Error::Busy { key: record.key().to_vec() });
            }
            std::thread::yield_now();
        }
    }

    /// A copy of an object that nobody changes: under the writer's lock, after a look at its borrow. (Who waits for the object may
    /// have its borrow already, but changes nothing before it has had the writer's lock. So there is nothing to wait for.)
    pub(crate) fn copy_settled<T: Object>(&self, record: &Record<'_>) -> Result<T> {
        let payload = self.typed_payload::<T>(record)?;
        Self::copy_once(record, &payload)
    }

    /// Where no borrow of the writer's is seen, in its forked children and in readers: under the version word, whatever the size.
    #[cold]
    fn copy_of_others<T: Object>(&self, record: &Record<'_>, payload: &Payload<'_>) -> Result<T> {
        let copy = self.copy_contended(record, payload)?;
        self.check_not_gone_on(record, payload)?;
        Ok(copy)
    }

    /// Under the object's borrow: its writer stores into it directly, or in other widths.
    fn copy_locked<T: Object>(&self, record: &Record<'_>, payload: &Payload<'_>, want: Want) -> Result<T> {
        // On some file systems looking into a hole takes space; so before as well.
        self.check_not_given_back(record, payload)?;
        if want == Want::Shared && self.sees_no_borrows() {
            return self.copy_of_others(record, payload);
        }
        let subject = Subject::of(record);
        if !self.borrows.acquire(subject, want, &mut self.patience(true)) {
            return Err(Error::Busy { key: record.key().to_vec() });
        }
        let copy = Self::copy_once(record, payload);
        self.borrows.release(subject, want);
        self.release_lock_if_unused();
        self.check_not_given_back(record, payload)?;
        copy
    }
}

#[cold]
pub(crate) fn out_of_bounds(record: &Record<'_>) -> Error {
    Error::corrupt(record.chunk.path(), record.offset(), "the record leads outside of the file")
}

impl Store {
    /// A consistent copy of the object under `key`, or `None` where there is none.
    ///
    /// Up to 512 bytes are copied without a lock or a system call (but for mapping a chunk when it is first needed), again if somebody
    /// changed them meanwhile. Larger objects are borrowed while they are copied, so they wait for a [`RefMut`](crate::RefMut). Objects
    /// made of atomics are read field by field.
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`] when the object has another type, or is an array of another length; [`Error::Misaligned`],
    /// [`Error::Busy`] when it did not stand still for the busy timeout, [`Error::Closed`], [`Error::Corrupt`].
    #[inline]
    pub fn load<T: Object>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.inner.check_open()?;
        let key = key.as_ref();
        self.inner.load(key, self.inner.views.hashes.of_key(key))
    }

    /// [`Store::load`] for many keys at once: their cache misses overlap.
    ///
    /// Every copy is consistent by itself; they need not be of the same moment. The answers have the order of the keys.
    ///
    /// # Errors
    /// As for [`Store::load`]; the first error ends the call.
    pub fn load_many<T: Object, K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<T>>> {
        self.inner.check_open()?;
        let mut objects = Vec::with_capacity(keys.len());
        for keys in keys.chunks(IN_FLIGHT) {
            let mut hashes = [0; IN_FLIGHT];
            for (hash, key) in hashes.iter_mut().zip(keys) {
                *hash = self.inner.views.hashes.of_key(key.as_ref());
                self.inner.views.directory.prefetch_entry(*hash);
            }
            for hash in &hashes[..keys.len()] {
                self.inner.views.directory.prefetch_line(*hash);
            }
            let mut candidates = [None; IN_FLIGHT];
            for ((candidate, hash), key) in candidates.iter_mut().zip(&hashes).zip(keys) {
                *candidate = self.inner.views.directory.candidate(*hash);
                if let Some(candidate) = candidate {
                    let bytes = HEADER_BYTES + (key.as_ref().len() + size_of::<T>()) as u64;
                    self.inner.chunks.prefetch(candidate.location, bytes);
                }
            }
            for ((hash, key), candidate) in hashes.iter().zip(keys).zip(candidates) {
                let key = key.as_ref();
                objects.push(match candidate.and_then(|candidate| self.inner.load_at(key, candidate)) {
                    None => self.inner.load(key, *hash)?,
                    copy => copy,
                });
            }
        }
        Ok(objects)
    }

    /// Whether there is an object under `key`.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Corrupt`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.inner.check_open()?;
        Ok(self.inner.find(key.as_ref())?.is_some())
    }

    /// The sequence of the record of the object under `key`: another one after every put. See [`Store::put_if`].
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Corrupt`].
    pub fn sequence(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.inner.check_open()?;
        Ok(self.inner.find(key.as_ref())?.map(|record| record.header().sequence))
    }

    /// How many objects there are. Takes the same time whatever their number.
    pub fn len(&self) -> u64 {
        self.inner.views.directory.len()
    }

    /// Whether there are no objects.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
