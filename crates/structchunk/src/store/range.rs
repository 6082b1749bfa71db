//! Scans in key order.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::RangeBounds;

use super::ordered::{INDEX, Source};
use super::{Entry, Inner, Store};
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::format::{IndexValue, Location};
use crate::index::{Block, Bounds, Direction, Index};
use crate::key::{EscapedKey, MAX_KEY_BYTES};

/// So many entries are looked up at first, and at most, at a time.
const FIRST_BLOCK: usize = 128;
const LARGEST_BLOCK: usize = 4096;

/// Records are fetched so many entries ahead.
const AHEAD: usize = 32;

/// What a scan has to go through yet, from both ends.
struct Scan<'a> {
    store: &'a Store,
    source: Source,
    /// What the scan was begun with, and what neither end has passed yet, but for what was taken out of a block since it was noted.
    whole: Bounds,
    left: Bounds,
    front: End,
    back: End,
    /// Which end moved last, and whether both have: then a block may reach beyond the other end.
    going: Direction,
    both: bool,
    use_index: bool,
    /// To be told first.
    trouble: Option<Error>,
    course: Course,
}

/// Whether a scan goes on.
#[derive(PartialEq, Eq)]
enum Course {
    Going,
    /// The ends have met; it takes a seek to part them.
    Met,
    /// It ended with an error.
    Ended,
}

#[derive(Default)]
struct End {
    block: Block,
    most: usize,
}

impl<'a> Scan<'a> {
    fn new(store: &'a Store, bounds: Bounds) -> Result<Self> {
        store.inner.check_open()?;
        let (source, trouble) = if bounds.is_empty() {
            (Source::Runs(crate::index::Snapshot::default()), None)
        } else {
            store.inner.source(bounds.is_everything(), true)?
        };
        let end = || End { block: Block::default(), most: FIRST_BLOCK };
        let (front, back) = (end(), end());
        Ok(Self {
            store,
            source,
            left: bounds.clone(),
            whole: bounds,
            front,
            back,
            going: Direction::Forward,
            both: false,
            use_index: true,
            trouble,
            course: Course::Going,
        })
    }

    /// Goes on at the first key that is not before `key`, seen from one end.
    fn seek(&mut self, key: &[u8], direction: Direction) {
        let bound = std::ops::Bound::Included(key.to_vec());
        match direction {
            Direction::Forward if self.whole.is_above_lower(key) => self.left.lower = bound,
            Direction::Forward => self.left.lower = self.whole.lower.clone(),
            Direction::Backward if self.whole.is_below_upper(key) => self.left.upper = bound,
            Direction::Backward => self.left.upper = self.whole.upper.clone(),
        }
        // Where it stands now, a step further is no longer the next key.
        if self.course == Course::Met {
            self.course = Course::Going;
        }
        self.both = true;
        let end = self.end(direction);
        end.block.clear();
        end.most = FIRST_BLOCK;
    }

    /// Takes note of how far one end has come.
    fn note(&mut self, direction: Direction) {
        let end = match direction {
            Direction::Forward => &self.front,
            Direction::Backward => &self.back,
        };
        if let Some(key) = end.block.taken() {
            self.left.pass(key, direction);
        }
    }

    /// The other end moves on.
    #[cold]
    fn turn(&mut self) {
        self.note(self.going);
        self.going = match self.going {
            Direction::Forward => Direction::Backward,
            Direction::Backward => Direction::Forward,
        };
        self.both = true;
    }

    fn end(&mut self, direction: Direction) -> &mut End {
        match direction {
            Direction::Forward => &mut self.front,
            Direction::Backward => &mut self.back,
        }
    }

    /// The next key at one end that `look` makes something of.
    ///
    /// `BLIND`: where the keys are our own, the records are not looked at.
    #[inline]
    fn next<const BLIND: bool, R>(
        &mut self,
        direction: Direction,
        mut look: impl FnMut(&'a Inner, bool, &[u8], Location) -> Result<Option<R>>,
    ) -> Option<Result<R>> {
        let inner: &'a Inner = &self.store.inner;
        if self.course != Course::Going {
            return None;
        }
        if let Err(error) = inner.check_open() {
            self.course = Course::Ended;
            return Some(Err(error));
        }
        if let Some(trouble) = self.trouble.take() {
            return Some(Err(trouble));
        }
        if self.going != direction {
            self.turn();
        }
        loop {
            let end = match direction {
                Direction::Forward => &mut self.front,
                Direction::Backward => &mut self.back,
            };
            let is_own = matches!(self.source, Source::Runs(_));
            if !(is_own && BLIND)
                && let Some(ahead) = end.block.ahead(AHEAD)
            {
                inner.chunks.prefetch(ahead);
            }
            let Some((key, location)) = end.block.take() else {
                match self.refill(direction) {
                    Ok(true) => {
                        let block = &self.end(direction).block;
                        let first: Vec<_> = (0..AHEAD).map_while(|ahead| block.ahead(ahead)).collect();
                        for location in first {
                            inner.chunks.prefetch(location);
                        }
                        continue;
                    }
                    Ok(false) => {
                        self.course = Course::Met;
                        return None;
                    }
                    Err(error) => {
                        self.course = Course::Ended;
                        return Some(Err(error));
                    }
                }
            };
            // The other end may have come this far.
            if self.both && !self.left.goes_on_to(key, direction) {
                end.block.put_back();
                self.course = Course::Met;
                return None;
            }
            if let Some(found) = look(inner, is_own, key, location).transpose() {
                return Some(found);
            }
        }
    }

    /// Gets some more keys; whether there are any.
    #[cold]
    fn refill(&mut self, direction: Direction) -> Result<bool> {
        self.note(direction);
        let end = match direction {
            Direction::Forward => &mut self.front,
            Direction::Backward => &mut self.back,
        };
        let most = end.most;
        end.most = (most * 4).min(LARGEST_BLOCK);
        loop {
            let end = match direction {
                Direction::Forward => &mut self.front,
                Direction::Backward => &mut self.back,
            };
            end.block.clear();
            if self.left.is_empty() {
                return Ok(false);
            }
            let failure = match &self.source {
                Source::Runs(runs) => {
                    runs.fill(&mut end.block, &self.left, direction, most);
                    return Ok(end.block.len() > 0);
                }
                // A forked child has none of LevelDB's threads, and perhaps a lock that nobody opens again.
                Source::Index(_) if self.store.inner.is_forked() => Some(Error::Closed),
                Source::Index(index) => match index.upgrade() {
                    Some(index) => read_block(&*index, &mut end.block, &self.left, direction, most).err(),
                    None => Some(Error::Closed),
                },
            };
            let Some(error) = failure else { return Ok(end.block.len() > 0) };
            let inner = &*self.store.inner;
            inner.check_open()?;
            if !matches!(error, Error::Closed) {
                inner.doubt_index(&error);
                self.use_index = false;
            }
            // It is gone, or of no use: from the next key on, the scan has another source.
            let (source, trouble) = inner.source(false, self.use_index)?;
            self.source = source;
            if trouble.is_some() {
                tracing::warn!("a scan goes on over a damaged log");
            }
        }
    }
}

/// Reads the next entries of the index. What cannot be there makes it useless: a scan must not go round in circles.
fn read_block(
    index: &dyn Index,
    block: &mut Block,
    bounds: &Bounds,
    direction: Direction,
    most: usize,
) -> Result<()> {
    let mut wrong = false;
    index.read(bounds.start(direction), direction, &mut |key, value| {
        if !bounds.goes_on_to(key, direction) {
            return false;
        }
        let in_order = match (block.last(), direction) {
            (None, Direction::Forward) => bounds.is_above_lower(key),
            (None, Direction::Backward) => bounds.is_below_upper(key),
            (Some((last, _)), Direction::Forward) => last < key,
            (Some((last, _)), Direction::Backward) => last > key,
        };
        let possible = in_order && (1..=MAX_KEY_BYTES).contains(&key.len());
        let Some(value) = IndexValue::decode(value).filter(|_| possible) else {
            wrong = true;
            return false;
        };
        block.push(key, value.location);
        block.len() < most
    })?;
    if wrong {
        return Err(Error::corrupt(INDEX, 0, "it holds an entry that cannot be"));
    }
    Ok(())
}

impl Inner {
    /// The current record of a key, of which it was said that it lies at `location`.
    fn current(&self, key: &[u8], location: Location) -> Result<Option<Record<'_>>> {
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
        Some(record.map(|record| Entry { store: self.scan.store, record }))
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
        f.debug_struct("Range").field("of", &self.scan.whole).finish_non_exhaustive()
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
        f.debug_struct("Keys").field("of", &self.scan.whole).finish_non_exhaustive()
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
    /// [`Error::Closed`]; what the disk says where the log cannot be read. Where only the index fails, keys are sorted in memory. An entry
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
