//! Scans in log order.

use std::collections::HashSet;

use super::borrow::{Subject, Want};
use super::read::{LARGEST_STAGED, out_of_bounds};
use super::{Inner, Ref, Store};
use crate::chunk::{ChunkRef, Record, Step, Walk, is_odd};
use crate::error::{Error, Result};
use crate::format::{ChunkId, Kind, Location, PAGE_BYTES, RecordSeed};
use crate::layout::{Fingerprint, Layout, Object, Plain};

/// An object met by a scan, or by [`Store::entry`].
pub struct Entry<'a> {
    pub(super) store: &'a Store,
    pub(super) record: Record<'a>,
    /// A copy of the key, where another process may wipe it: when it recovers the store after a failed sync.
    key: Option<Box<[u8]>>,
}

impl<'a> Entry<'a> {
    #[inline]
    pub(super) fn new(store: &'a Store, record: Record<'a>) -> Result<Self> {
        if store.inner.attached.is_none() {
            return Ok(Self { store, record, key: None });
        }
        let mut key = vec![0; usize::from(record.header().key_length)];
        let copied = record.chunk.map.copy_out(record.place().key, &mut key);
        store.inner.still(copied.ok_or_else(|| out_of_bounds(&record)))?;
        Ok(Self { store, record, key: Some(key.into()) })
    }

    /// The object's key.
    pub fn key(&self) -> &[u8] {
        self.key.as_deref().unwrap_or_else(|| self.record.key())
    }

    /// The name that its type was stored with.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the type cannot be read.
    pub fn type_name(&self) -> Result<&'a str> {
        Ok(self.layout()?.name())
    }

    /// The number of its type in this store.
    pub fn type_number(&self) -> u32 {
        self.record.header().type_number
    }

    /// The layout that its type was stored with.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the type cannot be read.
    pub fn layout(&self) -> Result<&'a Layout> {
        Ok(&self.store.inner.stored_type(self.record.header().type_number)?.layout)
    }

    /// The fingerprint of its type.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the type cannot be read.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(self.store.inner.stored_type(self.record.header().type_number)?.fingerprint)
    }

    /// The dimensions of an array; `None` for what is no array.
    pub fn shape(&self) -> Option<Vec<u64>> {
        self.record.header().flags.array.then(|| self.record.extension().shape)
    }

    /// The object's size, in bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the pointer to its body is damaged.
    pub fn len(&self) -> Result<u64> {
        self.store.inner.object_bytes(&self.record)
    }

    /// Whether the object has no bytes: never.
    ///
    /// # Errors
    /// As for [`Entry::len`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The sequence of its record; see [`Store::put_if`].
    pub fn sequence(&self) -> u64 {
        self.record.header().sequence
    }

    /// Does something with the object; where its body was given back, with the one that is current now.
    pub(super) fn with_object<R>(&self, action: impl Fn(&'a Inner, &Record<'a>) -> Result<R>) -> Result<R> {
        let inner: &'a Inner = &self.store.inner;
        inner.check_open()?;
        match action(inner, &self.record) {
            Err(error) if error.is_absent() => {
                let hash = inner.views.hashes.of_record(&self.record);
                inner.with_object(self.key(), hash, |record| action(inner, record))?.ok_or(error)
            }
            outcome => outcome,
        }
    }

    /// A consistent copy of the object: as the scan met it or, where that was given back meanwhile, as it is now.
    ///
    /// # Errors
    /// As for [`Store::load`].
    #[inline]
    pub fn load<T: Object>(&self) -> Result<T> {
        let inner = &*self.store.inner;
        inner.check_open()?;
        let copy = match inner.glance_into(&self.record) {
            Some(copy) => Ok(copy),
            None => self.with_object(|inner, record| inner.copy_object(record)),
        };
        inner.still(copy)
    }

    /// A reference to the object that is current under this key now; `None` when it was removed meanwhile.
    ///
    /// # Errors
    /// As for [`Store::get`]; [`Error::SharedStore`] for an entry of a [`Reader`](crate::Reader)'s scan.
    pub fn get<T: Plain + ?Sized>(&self) -> Result<Option<Ref<'a, T>>> {
        self.store.get(self.key())
    }

    /// A copy of the object's first bytes, at most `limit`, whatever its type. It is of one moment unless the object is made of atomics.
    ///
    /// # Errors
    /// [`Error::Busy`] when the object did not stand still for the busy timeout; [`Error::TooLarge`] when there is no memory for them,
    /// [`Error::Closed`], [`Error::Corrupt`].
    pub fn bytes(&self, limit: u64) -> Result<Vec<u8>> {
        let inner = &*self.store.inner;
        inner.still(self.with_object(|inner, record| inner.copy_free_bytes(record, limit)))
    }
}

impl std::fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &format_args!("{}", crate::EscapedKey(self.key())))
            .finish_non_exhaustive()
    }
}

/// Records still to be met in one chunk.
struct Stretch<'a> {
    chunk: ChunkRef<'a>,
    offset: u64,
    end: u64,
    /// Up to here what was met are records, for sure: those that views lead to were verified.
    sure: u64,
}

impl Stretch<'_> {
    /// Where records go on behind the first damage at or after `sure`. What lies in between was met: no current object is among it.
    #[cold]
    fn behind_damage(&self, seed: RecordSeed) -> Option<Self> {
        let mut walk = Walk::new(&self.chunk, seed, self.end, 0);
        walk.go_to(self.sure);
        let to = walk.find_map(|step| match step {
            Step::Damage { to, .. } => Some(to),
            Step::Record(_) => None,
        })?;
        Some(Stretch { chunk: self.chunk.clone(), offset: to, end: self.end, sure: to })
    }
}

/// All objects, in the order in which they were last put.
///
/// Every key that is there throughout the scan is met exactly once; the store may be changed meanwhile.
pub struct Iter<'a> {
    store: &'a Store,
    /// Chunks still to be walked, the next one last.
    chunks: Vec<ChunkId>,
    current: Option<Stretch<'a>>,
    /// The log when the scan began.
    active: ChunkId,
    head: u64,
    end: Location,
    /// Keys of records that were superseded during the scan and are done.
    met: HashSet<Vec<u8>>,
    /// Keys that were being changed when it began: of these, two records may be met.
    unsettled: HashSet<Vec<u8>>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Result<Entry<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Result<Entry<'a>>> {
        let store = self.store;
        let inner = &*store.inner;
        if let Err(error) = inner.check_scan() {
            let ended = self.chunks.is_empty() && self.current.is_none();
            self.chunks.clear();
            self.current = None;
            return (!ended).then_some(Err(error));
        }
        loop {
            let Some(current) = self.current.as_mut().filter(|current| current.offset < current.end) else {
                self.current = None;
                let next = self.chunks.pop()?;
                match self.stretch(next) {
                    Ok(stretch) => self.current = Some(stretch),
                    Err(error) => return Some(Err(inner.explained(error))),
                }
                continue;
            };
            let next = Record::read_with_header(&current.chunk, current.offset);
            let Some((record, header, place)) = next.filter(|(_, _, place)| place.end <= current.end) else {
                let (path, offset) = (current.chunk.path().to_owned(), current.offset);
                self.current = current.behind_damage(inner.chunks.seed);
                return Some(Err(Error::corrupt(path, offset, "this is no record; run check")));
            };
            current.offset = place.end;
            if !header.kind.is_object() {
                continue;
            }
            if inner.views.live.is_live(record.location()) && !self.met.contains(record.key()) {
                current.sure = place.end;
                if !self.unsettled.is_empty() && self.unsettled.contains(record.key()) {
                    self.met.insert(record.key().to_vec());
                }
                return Some(Entry::new(store, record));
            }
            match self.successor(&record) {
                Ok(Some(record)) => return Some(Entry::new(store, record)),
                Ok(None) => {}
                Err(error) => return Some(Err(inner.explained(error))),
            }
        }
    }
}

impl<'a> Iter<'a> {
    /// The records of a chunk, as of the beginning of the scan.
    fn stretch(&self, id: ChunkId) -> Result<Stretch<'a>> {
        let chunk = self.store.inner.chunks.get(id)?;
        let end = if id == self.active { self.head } else { chunk.sealed_head()? };
        chunk.expect_scan(PAGE_BYTES..end)?;
        Ok(Stretch { chunk, offset: PAGE_BYTES, end, sure: PAGE_BYTES })
    }

    /// What to yield for a record that is not the current one: its successor when that came after the scan began.
    fn successor(&mut self, record: &Record<'a>) -> Result<Option<Record<'a>>> {
        let inner = &*self.store.inner;
        let Some(current) = inner.find(record.key())? else { return Ok(None) };
        if current.location() == record.location() {
            let is_new = !self.unsettled.contains(record.key()) || self.met.insert(record.key().to_vec());
            return Ok(is_new.then_some(current));
        }
        if current.location() < self.end || !self.met.insert(record.key().to_vec()) {
            return Ok(None);
        }
        Ok(Some(current))
    }
}

impl Inner {
    /// A copy of up to `limit` bytes of an object that anybody may be changing: a larger one, where it lies.
    pub(super) fn copy_free_bytes(&self, record: &Record<'_>, limit: u64) -> Result<Vec<u8>> {
        if self.sees_no_borrows() {
            let payload = self.payload(record)?;
            self.check_not_given_back(record, &payload)?;
            let bytes = self.steadily(record, || self.copy_settled_bytes(record, limit))?;
            self.check_not_gone_on(record, &payload)?;
            return Ok(bytes);
        }
        let in_log = record.header().kind == Kind::Object;
        if in_log && record.header().payload_length <= LARGEST_STAGED {
            return self.copy_bytes(record, limit);
        }
        self.check_not_given_back(record, &self.payload(record)?)?;
        let subject = Subject::of(record);
        if !self.borrows.acquire(subject, Want::Shared, &mut self.patience(true)) {
            return Err(Error::Busy { key: record.key().to_vec() });
        }
        let bytes = self.copy_bytes(record, limit);
        self.borrows.release(subject, Want::Shared);
        self.check_not_given_back(record, &self.payload(record)?)?;
        bytes
    }

    /// A copy of up to `limit` bytes of an object that nobody changes where it lies.
    pub(crate) fn copy_bytes(&self, record: &Record<'_>, limit: u64) -> Result<Vec<u8>> {
        let mut deadline = self.patience(true);
        loop {
            let before = record.look();
            // A read-only handle keeps writers out: what is odd was left by one that died, and is in the report.
            if !is_odd(before) || self.read_only {
                let bytes = self.copy_settled_bytes(record, limit)?;
                if record.is_still(before) {
                    return Ok(bytes);
                }
            }
            if deadline.is_over() {
                return Err(Error::Busy { key: record.key().to_vec() });
            }
            std::thread::yield_now();
        }
    }

    /// The same for who looks after the version, or has seen to it that there is nothing to look after.
    pub(crate) fn copy_settled_bytes(&self, record: &Record<'_>, limit: u64) -> Result<Vec<u8>> {
        let payload = self.payload(record)?;
        let wanted = payload.bytes.min(limit);
        let mut bytes = Vec::new();
        let refused = |_| Error::NoMemory { what: "a copy", bytes: wanted };
        bytes.try_reserve_exact(wanted as usize).map_err(refused)?;
        bytes.resize(wanted as usize, 0);
        payload.map().copy_out(payload.offset, &mut bytes).ok_or_else(|| out_of_bounds(record))?;
        Ok(bytes)
    }
}

impl Store {
    /// All objects, in the order in which they were last put. Sequential reading: the fastest way to see everything.
    ///
    /// An entry is an error where the log is damaged; the scan goes on behind that.
    ///
    /// # Errors
    /// [`Error::Closed`]; for a [`Reader`](crate::Reader) what the system says when a chunk cannot be mapped.
    #[expect(clippy::iter_not_returning_iterator, reason = "beginning a scan can fail")]
    pub fn iter(&self) -> Result<Iter<'_>> {
        self.inner.check_open()?;
        let mut now = self.inner.log_now().map_err(|error| self.inner.explained(error))?;
        now.chunks.reverse();
        Ok(Iter {
            store: self,
            chunks: now.chunks,
            current: None,
            active: now.active,
            head: now.head,
            end: now.end,
            met: HashSet::new(),
            unsettled: now.unsettled,
        })
    }

    /// The objects of type `T`, with their keys, in the order in which they were last put; others are stepped over.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn iter_of<T: Object>(&self) -> Result<impl Iterator<Item = Result<(Vec<u8>, T)>> + '_> {
        Ok(self.iter()?.filter_map(|entry| {
            let one = |entry: Entry<'_>| match entry.load::<T>() {
                Ok(object) => Some(Ok((entry.key().to_vec(), object))),
                Err(Error::LayoutMismatch { .. }) => None,
                Err(error) => Some(Err(error)),
            };
            entry.map_or_else(|error| Some(Err(error)), one)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::{Error, Store};

    #[test]
    fn bytes_that_somebody_is_changing_are_waited_for_and_never_taken_as_they_are() {
        let mut store = Store::in_memory().unwrap();
        Arc::get_mut(&mut store.inner).unwrap().busy_timeout = Duration::from_millis(300);
        store.put("key", &[7_u64; 8]).unwrap();
        let entry = store.entry("key").unwrap().unwrap();
        let word = entry.record.version_to_change().unwrap();
        // As by a thread that was stopped there.
        word.begin_change();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(100));
                entry.record.settle_version(2, store.inner.chunks.seed);
            });
            assert_eq!(entry.bytes(8).unwrap(), 7_u64.to_le_bytes());
            assert_eq!(entry.record.look() & 1, 0, "waited");
        });
        word.begin_change();
        assert!(matches!(entry.bytes(8), Err(Error::Busy { .. })));
    }
}
