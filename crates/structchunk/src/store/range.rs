//! Scans in key order.

mod scan;

use std::fmt;
use std::iter::FusedIterator;
use std::ops::RangeBounds;

use self::scan::Scan;
use super::{Entry, Inner, Store};
use crate::chunk::Record;
use crate::error::Result;
use crate::format::Location;
use crate::index::{Bounds, Direction};
use crate::key::EscapedKey;

impl Inner {
    /// The current record of a key, of which it was said that it lies at `location`.
    #[inline]
    fn current(&self, key: &[u8], location: Location) -> Result<Option<Record<'_>>> {
        self.at_hand(key, location).map_or_else(|| self.current_with_care(key, location), |it| Ok(Some(it)))
    }

    /// The same where that is so, and the chunk is one that stays mapped.
    #[inline]
    fn at_hand(&self, key: &[u8], location: Location) -> Option<Record<'_>> {
        if !self.views.live.is_live(location) {
            return None;
        }
        let chunk = self.chunks.lasting(location)?;
        let (record, end) = Record::read_object(chunk, self.chunks.geometry.offset(location), key)?;
        self.ends_in_log(location, chunk, end).then_some(record)
    }

    /// The same in all other cases.
    #[cold]
    fn current_with_care(&self, key: &[u8], location: Location) -> Result<Option<Record<'_>>> {
        if self.views.live.is_live(location) {
            match self.chunks.record(location) {
                Ok(Some(record)) if record.is_object_under(key) && self.is_in_log(&record) => {
                    return Ok(Some(record));
                }
                Err(error) if !error.is_absent() => return Err(error),
                _ => {}
            }
        }
        self.find(key)
    }
}

/// Objects in key order, from both ends: see [`Store::range`].
///
/// Every key that is there throughout the scan is met exactly once, whatever is put, removed or moved meanwhile; one that comes or goes
/// meanwhile may be met or not. No lock is held between two steps.
pub struct Range<'a> {
    scan: Scan<'a>,
}

impl<'a> Range<'a> {
    fn step(&mut self, direction: Direction) -> Option<Result<Entry<'a>>> {
        let record =
            self.scan.next::<false, _>(direction, |inner, _, key, location| inner.current(key, location))?;
        Some(record.and_then(|record| Entry::new(self.scan.store(), record)))
    }

    /// Lets the front go to `key`: what `next` yields is the first object of the range from there on. It may go back, too; what the back
    /// has passed stays passed.
    pub fn seek(&mut self, key: impl AsRef<[u8]>) {
        self.scan.seek(key.as_ref(), Direction::Forward);
    }

    /// Lets the back go to `key`: what `next_back` yields is the last object of the range up to there, `key` included.
    pub fn seek_back(&mut self, key: impl AsRef<[u8]>) {
        self.scan.seek(key.as_ref(), Direction::Backward);
    }

    /// The same keys, with the locations of their records, without a look at the objects.
    pub fn keys(self) -> Keys<'a> {
        Keys { scan: self.scan }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Result<Entry<'a>>;

    fn next(&mut self) -> Option<Result<Entry<'a>>> {
        self.step(Direction::Forward)
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(Direction::Backward)
    }
}

impl FusedIterator for Range<'_> {}

impl fmt::Debug for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").field("of", self.scan.whole()).finish_non_exhaustive()
    }
}

/// A key, and where its record lies.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyEntry {
    key: Vec<u8>,
    location: Location,
}

impl KeyEntry {
    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The key, taken out.
    pub fn into_key(self) -> Vec<u8> {
        self.key
    }

    /// Where the record of the object lay when the scan met it: chunk and offset, packed as FORMAT.md says.
    pub fn location(&self) -> u64 {
        self.location.get()
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}", EscapedKey(&self.key), self.location.get())
    }
}

/// Keys in order, with the locations of their records, from both ends: see [`Store::keys`]. As stable as a [`Range`].
pub struct Keys<'a> {
    scan: Scan<'a>,
}

impl Keys<'_> {
    fn step(&mut self, direction: Direction) -> Option<Result<KeyEntry>> {
        self.scan.next::<true, _>(direction, |inner, is_own, key, location| {
            // A location that we noted ourselves is that of a record of this key.
            let location = if is_own && inner.views.live.is_live(location) {
                Some(location)
            } else {
                inner.current(key, location)?.map(|record| record.location())
            };
            Ok(location.map(|location| KeyEntry { key: key.to_vec(), location }))
        })
    }

    /// As [`Range::seek`].
    pub fn seek(&mut self, key: impl AsRef<[u8]>) {
        self.scan.seek(key.as_ref(), Direction::Forward);
    }

    /// As [`Range::seek_back`].
    pub fn seek_back(&mut self, key: impl AsRef<[u8]>) {
        self.scan.seek(key.as_ref(), Direction::Backward);
    }
}

impl Iterator for Keys<'_> {
    type Item = Result<KeyEntry>;

    #[inline]
    fn next(&mut self) -> Option<Result<KeyEntry>> {
        self.step(Direction::Forward)
    }
}

impl DoubleEndedIterator for Keys<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(Direction::Backward)
    }
}

impl FusedIterator for Keys<'_> {}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("of", self.scan.whole()).finish_non_exhaustive()
    }
}

impl Store {
    /// The objects whose keys lie in a range, in key order, which is that of their bytes. Bounds of every kind are possible; in an inverted
    /// range there is nothing.
    ///
    /// Before the scan begins, what orders the keys is brought up to date from the log. That is the index on disk, at about a million
    /// records a second; or, where there is none (a store in memory, a read-only one, one opened without [`Options::index`](crate::Options::index)), and
    /// where [`Options::sorted_keys`](crate::Options::sorted_keys) says so, keys sorted in memory: a key costs its own bytes and 16 more, and only what came
    /// since the last scan is sorted again.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed); what the disk says where the log cannot be read. Where only the index fails, keys are sorted in memory. An entry
    /// is an error where the log is damaged; the scan goes on after it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> structchunk::Result<()> {
    /// let store = structchunk::Store::in_memory()?;
    /// for key in ["a", "b/1", "b/2", "c"] {
    ///     store.put(key, &1_u32)?;
    /// }
    /// let keys = |range: structchunk::Range<'_>| -> structchunk::Result<Vec<Vec<u8>>> {
    ///     range.map(|entry| Ok(entry?.key().to_vec())).collect()
    /// };
    /// assert_eq!(keys(store.range("b".."c")?)?, [b"b/1", b"b/2"]);
    /// assert_eq!(keys(store.range("b/2"..)?)?, [&b"b/2"[..], b"c"]);
    /// let last = store.range(..="b/9")?.next_back().transpose()?;
    /// assert_eq!(last.as_ref().map(|entry| entry.key()), Some(&b"b/2"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<Range<'_>> {
        Ok(Range { scan: Scan::new(self, Bounds::new(&range))? })
    }

    /// The objects whose keys begin with `prefix`, in key order.
    ///
    /// # Errors
    /// As for [`Store::range`].
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Range<'_>> {
        Ok(Range { scan: Scan::new(self, Bounds::of_prefix(prefix.as_ref()))? })
    }

    /// All objects in key order. [`Store::iter`] is faster, where the order does not matter.
    ///
    /// # Errors
    /// As for [`Store::range`].
    pub fn ordered(&self) -> Result<Range<'_>> {
        self.range::<&[u8]>(..)
    }

    /// All keys in order, with the locations of their records. See also [`Range::keys`].
    ///
    /// # Errors
    /// As for [`Store::range`].
    pub fn keys(&self) -> Result<Keys<'_>> {
        Ok(self.ordered()?.keys())
    }

    /// The object with the first key.
    ///
    /// # Errors
    /// As for [`Store::range`].
    pub fn first(&self) -> Result<Option<Entry<'_>>> {
        self.ends()?.next().transpose()
    }

    /// The object with the last key.
    ///
    /// # Errors
    /// As for [`Store::range`].
    pub fn last(&self) -> Result<Option<Entry<'_>>> {
        self.ends()?.next_back().transpose()
    }

    /// All objects, for somebody who is interested in one or two of them.
    fn ends(&self) -> Result<Range<'_>> {
        self.range(&[0][..]..)
    }
}
