//! Many puts at once: each by itself, but they wait for memory together.

use super::{Inner, Store};
use crate::error::{Error, Result};
use crate::layout::Object;

/// Puts that are under way together, so that their cache misses overlap.
pub(crate) const IN_FLIGHT: usize = 16;

impl Inner {
    /// Begins to bring near what puts under these keys, at most [`IN_FLIGHT`], will look at first.
    pub(crate) fn fetch_slots<K: AsRef<[u8]>>(&self, keys: &[K]) {
        let mut hashes = [0; IN_FLIGHT];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.views.hashes.of_key(key.as_ref());
            self.views.directory.prefetch_entry(*hash);
        }
        for hash in &hashes[..keys.len().min(IN_FLIGHT)] {
            self.views.directory.prefetch_slot(*hash);
        }
    }
}

impl Store {
    /// [`Store::put`] for many keys, in their order: each takes place by itself (a [`Batch`](crate::Batch) makes them one change), but their
    /// cache misses overlap. For loading much.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// As for [`Store::put`]; the first error ends the call, and the puts before it have taken place. [`Error::Lengths`] when there are not as
    /// many values as keys: then none has.
    pub fn put_many<T: Object, K: AsRef<[u8]>>(&self, keys: &[K], values: &[T]) -> Result<()> {
        self.inner.check_writable()?;
        if keys.len() != values.len() {
            return Err(Error::Lengths { keys: keys.len(), values: values.len() });
        }
        for (keys, values) in keys.chunks(IN_FLIGHT).zip(values.chunks(IN_FLIGHT)) {
            self.inner.fetch_slots(keys);
            for (key, value) in keys.iter().zip(values) {
                self.put(key, value)?;
            }
        }
        Ok(())
    }
}
