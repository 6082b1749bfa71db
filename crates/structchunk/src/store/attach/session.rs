//! A store as one session of its writer has it.

use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;

use super::super::{Entry, Inner, Iter, Keys, Range, Stats, Store, StoredType};
use crate::error::Result;
use crate::layout::Object;

/// What a [`Reader`](super::Reader) sees until another writer takes over, the present one closes or the store is recovered: after that, every
/// call and every step of a scan answers [`Error::SessionOver`](crate::Error::SessionOver). Until then, whatever the writer does is seen at once.
///
/// Where nobody writes the store and nobody has in this boot of the machine, a session is what the last checkpoint holds, and it is over when
/// a writer begins to change that.
///
/// A handle; clones are the same session. No call takes a lock, but for scans in key order.
#[derive(Clone)]
pub struct Session {
    store: Store,
}

impl Session {
    pub(in crate::store) fn inner(&self) -> &Inner {
        &self.store.inner
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Whether the writer's own views serve, so that what it puts from now on is seen. If not, this is what the last checkpoint holds.
    pub fn is_shared(&self) -> bool {
        self.store.inner.follows()
    }

    /// Refuses a session that is over.
    pub(super) fn check(&self) -> Result<()> {
        self.store.inner.still(Ok(()))
    }

    /// Takes over what the session before has sorted, where the log is still the same.
    pub(super) fn adopt(&self, before: &Self) {
        let (inner, before) = (&self.store.inner, &before.store.inner);
        if (inner.identity.uuid, inner.epoch) == (before.identity.uuid, before.epoch) {
            inner.ordered.adopt(&before.ordered);
        }
    }

    /// Asks the store, and looks whether that counts.
    #[inline]
    pub(in crate::store) fn ask<R>(&self, question: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        self.store.inner.still(question(&self.store))
    }

    /// A consistent copy of the object under `key`, or `None` where there is none; see [`Reader::load`](super::Reader::load).
    ///
    /// # Errors
    /// As for [`Reader::load`](super::Reader::load), and [`Error::SessionOver`](crate::Error::SessionOver).
    #[inline]
    pub fn load<T: Object>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.ask(|store| store.load(key.as_ref()))
    }

    /// [`Session::load`] for many keys at once: their cache misses overlap.
    ///
    /// # Errors
    /// As for [`Session::load`]; the first error ends the call.
    pub fn load_many<T: Object, K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<T>>> {
        self.ask(|store| store.load_many(keys))
    }

    /// A copy of the object under `key`, also where a process died in the middle of changing it; see [`Store::load_torn`].
    ///
    /// # Errors
    /// As for [`Session::load`], but for [`Error::Torn`](crate::Error::Torn).
    pub fn load_torn<T: Object>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.ask(|store| store.load_torn(key.as_ref()))
    }

    /// Whether there is an object under `key`.
    ///
    /// # Errors
    /// As for [`Reader::contains`](super::Reader::contains), and [`Error::SessionOver`](crate::Error::SessionOver).
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.ask(|store| store.contains(key.as_ref()))
    }

    /// The sequence of the record of the object under `key`.
    ///
    /// # Errors
    /// As for [`Session::contains`].
    pub fn sequence(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.ask(|store| store.sequence(key.as_ref()))
    }

    /// How many objects there are.
    ///
    /// # Errors
    /// [`Error::SessionOver`](crate::Error::SessionOver).
    pub fn len(&self) -> Result<u64> {
        self.ask(|store| Ok(store.len()))
    }

    /// Whether there are no objects.
    ///
    /// # Errors
    /// [`Error::SessionOver`](crate::Error::SessionOver).
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|objects| objects == 0)
    }

    /// The types that objects of this store have or had.
    ///
    /// # Errors
    /// As for [`Session::contains`].
    pub fn types(&self) -> Result<Vec<StoredType>> {
        self.ask(Store::types)
    }

    /// The object under `key`, whatever its type, or `None` where there is none.
    ///
    /// # Errors
    /// As for [`Session::contains`].
    pub fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry<'_>>> {
        self.store.inner.still(self.store.entry(key))
    }

    /// Sizes and counts; see [`Store::stats`]. Of a writer at work they are of several moments.
    ///
    /// # Errors
    /// As for [`Session::contains`].
    pub fn stats(&self) -> Result<Stats> {
        self.ask(Store::stats)
    }

    /// All objects, in the order in which they were last put. Every key that is there throughout the scan is met exactly once.
    ///
    /// Maps all chunks that this session has not mapped yet, some microseconds each.
    ///
    /// # Errors
    /// As for [`Session::contains`].
    #[expect(clippy::iter_not_returning_iterator, reason = "beginning a scan can fail")]
    pub fn iter(&self) -> Result<Iter<'_>> {
        self.store.iter()
    }

    /// The objects of type `T`, with their keys, in the order in which they were last put; others are stepped over.
    ///
    /// # Errors
    /// As for [`Session::iter`].
    pub fn iter_of<T: Object>(&self) -> Result<impl Iterator<Item = Result<(Vec<u8>, T)>> + '_> {
        self.store.iter_of()
    }

    /// The objects whose keys lie in a range, in key order.
    ///
    /// A reader sorts the keys itself, in memory: the first such scan reads the headers and keys of the whole log and takes the bytes of the keys and
    /// 16 more for each; later ones read and sort only what was put since, and share it with all clones of this session, and with the
    /// next session where the store was not recovered otherwise than after the mere death of a process.
    ///
    /// # Errors
    /// As for [`Session::contains`]. An entry is an error where the log is damaged; the scan goes on after it.
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Range<'_>> {
        self.store.range(range)
    }

    /// The objects whose keys begin with `prefix`, in key order.
    ///
    /// # Errors
    /// As for [`Session::range`].
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Range<'_>> {
        self.store.prefix(prefix)
    }

    /// All objects in key order.
    ///
    /// # Errors
    /// As for [`Session::range`].
    pub fn ordered(&self) -> Result<Range<'_>> {
        self.store.ordered()
    }

    /// All keys in order, with the locations of their records.
    ///
    /// # Errors
    /// As for [`Session::range`].
    pub fn keys(&self) -> Result<Keys<'_>> {
        self.store.keys()
    }

    /// The object with the first key.
    ///
    /// # Errors
    /// As for [`Session::range`].
    pub fn first(&self) -> Result<Option<Entry<'_>>> {
        self.store.first()
    }

    /// The object with the last key.
    ///
    /// # Errors
    /// As for [`Session::range`].
    pub fn last(&self) -> Result<Option<Entry<'_>>> {
        self.store.last()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("path", &self.path()).field("is_shared", &self.is_shared()).finish()
    }
}
