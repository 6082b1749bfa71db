//! The live map: which records are current. Derived from the log; a rebuild makes it anew.
//!
//! One bit for every 16 bytes of chunk, set at the start of the current record of every object, and beside it how many bytes
//! and records of the chunk are live. Changed by the writer alone, under its lock; read by anybody.

use std::ops::Range;
use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::format::{ChunkId, FORMAT_VERSION, Geometry, Location, PAGE_BYTES, RECORD_ALIGN, align_up};
use crate::map::Words;
use crate::map::words::AtomicU64;

const MAGIC: u64 = u64::from_le_bytes(*b"SCLIVE\0\x01");
const HEADER_WORDS: u64 = PAGE_BYTES / 8;

// Words of the header page: magic, version, uuid (two), and
const AT_EPOCH: u64 = 4;
const AT_STAMP: u64 = 5;
const AT_FIRST_CHUNK: u64 = 6;

// Words of a chunk's region: a line of counters, then the bits.
const AT_DIRTY: u64 = 0;
const AT_LIVE_BYTES: u64 = 1;
const AT_LIVE_RECORDS: u64 = AT_LIVE_BYTES + 1;
const AT_TOMBSTONE_BYTES: u64 = 3;
const AT_BITS: u64 = 8;

/// Makes the file at least so many words long, backed by disk space.
pub(crate) type Grow<'a> = &'a mut dyn FnMut(u64) -> Result<()>;

/// Has a range of words backed by disk space, lengthening the file where needed.
pub(crate) type Back<'a> = &'a mut dyn FnMut(u64, u64) -> Result<()>;

/// What is marked of the bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    /// The record itself.
    first: bool,
    /// Anything behind its beginning.
    others: bool,
}

/// Which records are current.
pub(crate) struct LiveMap {
    words: Words,
    geometry: Geometry,
    first_chunk: u64,
    /// How many words each chunk's region has.
    region_words: u64,
}

impl LiveMap {
    /// An empty map for chunks from `first_chunk` on, which must be in fresh (zeroed) words.
    pub(crate) fn create(
        words: Words,
        uuid: [u8; 16],
        epoch: u64,
        first_chunk: ChunkId,
        geometry: Geometry,
        grow: Grow<'_>,
    ) -> Result<Self> {
        grow(HEADER_WORDS)?;
        let [low, high] = uuid_words(uuid);
        let header = [MAGIC, FORMAT_VERSION.into(), low, high, epoch, 0, first_chunk.0.into()];
        for (index, word) in (0..).zip(header) {
            words.store(index, word, Ordering::Relaxed);
        }
        Ok(Self { words, geometry, first_chunk: first_chunk.0.into(), region_words: region_words(geometry) })
    }

    /// The map on disk; `None` unless it is of this uuid and epoch and, with a `stamp`, was closed at exactly that sequence. (Without, for
    /// those who join a writer at work.)
    pub(crate) fn open(
        words: Words,
        uuid: [u8; 16],
        epoch: u64,
        stamp: Option<u64>,
        geometry: Geometry,
    ) -> Option<Self> {
        let at = |index: u64| words.load(index, Ordering::Relaxed);
        let [low, high] = uuid_words(uuid);
        let header = [MAGIC, FORMAT_VERSION.into(), low, high, epoch];
        let is_ours = (0..).zip(header).all(|(index, word)| at(index) == Some(word));
        if !is_ours || stamp.is_some_and(|sequence| at(AT_STAMP) != Some(sequence)) {
            return None;
        }
        let first_chunk = at(AT_FIRST_CHUNK).filter(|&first| first < geometry.chunk_limit())?;
        Some(Self { words, geometry, first_chunk, region_words: region_words(geometry) })
    }

    /// Says that the map agrees with the log up to `sequence`, in `epoch`.
    pub(crate) fn stamp(&self, epoch: u64, sequence: u64) {
        self.words.store(AT_EPOCH, epoch, Ordering::Relaxed);
        self.words.store(AT_STAMP, sequence, Ordering::Relaxed);
    }

    /// Makes room for the counters of a chunk and for the bits of its bytes `from..to`: has those words of the file backed.
    /// What lies between the regions of chunks stays a hole.
    pub(crate) fn reserve(&self, chunk: ChunkId, from: u64, to: u64, back: Back<'_>) -> Result<()> {
        let Some(region) = self.region(chunk) else { return Ok(()) };
        let bits_to = |bytes: u64| region + AT_BITS + bytes.div_ceil(RECORD_ALIGN * 64);
        let from = if from <= PAGE_BYTES { region } else { bits_to(from) - 1 };
        back(from, bits_to(to))
    }

    /// The first word of a chunk's region.
    #[inline]
    fn region(&self, chunk: ChunkId) -> Option<u64> {
        Some(HEADER_WORDS + u64::from(chunk.0).checked_sub(self.first_chunk)? * self.region_words)
    }

    /// Adds bits to a chunk's dirty word; false where the file has no such word. (The words of a region are backed before its chunk is in the log.)
    pub(crate) fn mark_dirty(&self, chunk: ChunkId, bits: u64) -> bool {
        let cell = self.region(chunk).and_then(|region| self.words.cell(region + AT_DIRTY));
        // With a full fence: what was changed before is there for whoever takes the bits.
        cell.map(|cell| cell.fetch_or(bits, Ordering::SeqCst)).is_some()
    }

    /// Whether there is a dirty word.
    pub(crate) fn can_mark(&self, chunk: ChunkId) -> bool {
        self.region(chunk).is_some_and(|region| self.words.cell(region + AT_DIRTY).is_some())
    }

    /// Takes the bits of a chunk's dirty word away.
    pub(crate) fn take_dirty(&self, chunk: ChunkId) -> u64 {
        let cell = self.region(chunk).and_then(|region| self.words.cell(region + AT_DIRTY));
        cell.map_or(0, |cell| cell.swap(0, Ordering::SeqCst))
    }

    /// The words of a chunk that is no longer in the log: nothing in them is of any use.
    pub(crate) fn words_of(&self, chunk: ChunkId) -> Option<Range<u64>> {
        let region = self.region(chunk)?;
        Some(region..region + self.region_words)
    }

    /// Word and bit of a record.
    #[inline]
    fn bit(&self, location: Location) -> Option<(u64, u64)> {
        let unit = self.geometry.offset(location) / RECORD_ALIGN;
        let region = self.region(self.geometry.chunk(location))?;
        Some((region + AT_BITS + unit / 64, 1 << (unit % 64)))
    }

    /// Whether the record there is the current one of its key.
    #[inline]
    pub(crate) fn is_live(&self, location: Location) -> bool {
        self.bit(location).is_some_and(|(word, bit)| {
            self.words.load(word, Ordering::Acquire).is_some_and(|bits| bits & bit != 0)
        })
    }

    /// Has the word fetched that [`LiveMap::is_live`] looks at.
    #[inline]
    pub(crate) fn prefetch(&self, location: Location) {
        if let Some((word, _)) = self.bit(location) {
            self.words.prefetch(word);
        }
    }

    /// Whether the record of `bytes` bytes there is the current one of its key, and no other current one begins inside of it.
    #[inline]
    pub(crate) fn stands_alone(&self, location: Location, bytes: u64) -> bool {
        self.marks(location, bytes) == Some(Marks { first: true, others: false })
    }

    /// Whether a current record begins inside the one of `bytes` bytes there, behind its own beginning.
    pub(crate) fn any_inside(&self, location: Location, bytes: u64) -> bool {
        self.marks(location, bytes).is_none_or(|marks| marks.others)
    }

    /// The bits of a record: a look at one or two words, as long as it is small.
    #[inline]
    fn marks(&self, location: Location, bytes: u64) -> Option<Marks> {
        let region = self.region(self.geometry.chunk(location))?;
        let unit = self.geometry.offset(location) / RECORD_ALIGN;
        let (word, skew) = (region + AT_BITS + unit / 64, unit % 64);
        let end = skew + bytes / RECORD_ALIGN;
        let (whole, rest) = (end / 64, end % 64);
        let words = self.words.cells_up_to(word, end.div_ceil(64) as usize);
        // Of the first word the bits from `skew` on, of the last one those before `rest`.
        let load = |index: usize| words.get(index).map_or(0, |word| word.load(Ordering::Acquire));
        let in_last = |bits: u64| bits & ((1 << rest) - 1);
        if whole == 0 {
            let bits = in_last(load(0)) >> skew;
            return Some(Marks { first: bits & 1 != 0, others: bits > 1 });
        }
        let bits = load(0) >> skew;
        let others = bits > 1
            || words.iter().take(whole as usize).skip(1).any(|word| word.load(Ordering::Acquire) != 0)
            || in_last(load(whole as usize)) != 0;
        Some(Marks { first: bits & 1 != 0, others })
    }

    /// Clears the bits of bytes `from..to` of a chunk, where the log is about to go on: what a file says of them is not so. Those words
    /// must be backed.
    pub(crate) fn forget(&self, chunk: ChunkId, from: u64, to: u64) {
        let Some(region) = self.region(chunk) else { return };
        let (first, end) = (from / RECORD_ALIGN, to.div_ceil(RECORD_ALIGN));
        for word in first / 64..end.div_ceil(64) {
            // The bits of records before `from` stay; behind `to` there are none.
            let keep = if word == first / 64 { (1 << (first % 64)) - 1 } else { 0 };
            let index = region + AT_BITS + word;
            if let Some(bits) = self.words.load(index, Ordering::Relaxed).filter(|bits| bits & !keep != 0) {
                self.words.store(index, bits & keep, Ordering::Release);
            }
        }
    }

    /// Marks a record of `bytes` bytes as current.
    #[inline]
    pub(crate) fn set(&self, location: Location, bytes: u64) {
        self.change(location, true, bytes);
    }

    /// Marks a record of `bytes` bytes as superseded.
    #[inline]
    pub(crate) fn clear(&self, location: Location, bytes: u64) {
        self.change(location, false, bytes);
    }

    #[inline]
    fn change(&self, location: Location, live: bool, bytes: u64) {
        let Some(region) = self.region(self.geometry.chunk(location)) else { return };
        let unit = self.geometry.offset(location) / RECORD_ALIGN;
        let (Some(bits), Some([live_bytes, live_records])) =
            (self.words.cell(region + AT_BITS + unit / 64), self.words.line(region + AT_LIVE_BYTES))
        else {
            return;
        };
        // One writer: loading and storing need not be one step.
        let count = |counter: &AtomicU64, by: u64| {
            let old = counter.load(Ordering::Relaxed);
            let new = if live { old.wrapping_add(by) } else { old.wrapping_sub(by) };
            counter.store(new, Ordering::Relaxed);
        };
        let (old, bit) = (bits.load(Ordering::Relaxed), 1 << (unit % 64));
        bits.store(if live { old | bit } else { old & !bit }, Ordering::Release);
        count(live_bytes, bytes);
        count(live_records, 1);
    }

    /// Counts a tombstone of `bytes` bytes that was appended to the chunk.
    pub(crate) fn count_tombstone(&self, chunk: ChunkId, bytes: u64) {
        if let Some(region) = self.region(chunk) {
            let count = self.counter(chunk, AT_TOMBSTONE_BYTES);
            self.words.store(region + AT_TOMBSTONE_BYTES, count.wrapping_add(bytes), Ordering::Relaxed);
        }
    }

    /// Bytes of the chunk that tombstones take, whether anything still depends on them or not.
    pub(crate) fn tombstone_bytes(&self, chunk: ChunkId) -> u64 {
        self.counter(chunk, AT_TOMBSTONE_BYTES)
    }

    /// Bytes of the chunk that current records take.
    pub(crate) fn live_bytes(&self, chunk: ChunkId) -> u64 {
        self.counter(chunk, AT_LIVE_BYTES)
    }

    /// How many current records the chunk has.
    pub(crate) fn live_records(&self, chunk: ChunkId) -> u64 {
        self.counter(chunk, AT_LIVE_RECORDS)
    }

    /// Whether two maps mark the same records of a chunk.
    pub(crate) fn marks_as(&self, other: &Self, chunk: ChunkId) -> bool {
        let words = AT_BITS..AT_BITS + self.geometry.capacity() / RECORD_ALIGN / 64;
        words.into_iter().all(|at| self.counter(chunk, at) == other.counter(chunk, at))
    }

    fn counter(&self, chunk: ChunkId, at: u64) -> u64 {
        self.region(chunk).and_then(|region| self.words.load(region + at, Ordering::Relaxed)).unwrap_or(0)
    }
}

/// How many words each chunk's region has.
fn region_words(geometry: Geometry) -> u64 {
    let bits = geometry.capacity() / RECORD_ALIGN;
    align_up(AT_BITS + bits / 64, HEADER_WORDS)
}

/// A uuid as the two words that the headers of derived files hold.
pub(crate) fn uuid_words(uuid: [u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(uuid);
    [both as u64, (both >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(words: u64) -> LiveMap {
        let geometry = Geometry::new(18).unwrap();
        LiveMap::create(Words::heap(words), [1; 16], 1, ChunkId(3), geometry, &mut |_| Ok(())).unwrap()
    }

    #[test]
    fn a_record_is_live_from_set_to_clear_and_is_counted() {
        let map = map(4096);
        let first = map.geometry.location(ChunkId(3), 4096);
        let second = map.geometry.location(ChunkId(4), 4096);
        map.set(first, 112);
        map.set(second, 48);
        map.set(map.geometry.location(ChunkId(3), 4112), 16);
        assert!(map.is_live(first) && map.is_live(second));
        assert_eq!((map.live_bytes(ChunkId(3)), map.live_records(ChunkId(3))), (128, 2));
        map.clear(first, 112);
        assert!(!map.is_live(first) && map.is_live(second));
        assert_eq!((map.live_bytes(ChunkId(3)), map.live_records(ChunkId(3))), (16, 1));
        map.count_tombstone(ChunkId(3), 48);
        map.count_tombstone(ChunkId(3), 64);
        assert_eq!((map.tombstone_bytes(ChunkId(3)), map.tombstone_bytes(ChunkId(4))), (112, 0));
    }

    #[test]
    fn a_record_stands_alone_when_its_bit_is_the_only_one_in_it() {
        let map = map(4096);
        let at = |unit: u64| map.geometry.location(ChunkId(3), 4096 + 16 * unit);
        for (unit, units) in [(0, 2), (0, 64), (0, 65), (3, 61), (3, 62), (63, 2), (5, 700), (128, 640)] {
            let bytes = 16 * units;
            assert!(!map.stands_alone(at(unit), bytes) && !map.any_inside(at(unit), bytes));
            map.set(at(unit), bytes);
            map.set(at(unit + units), 16);
            assert!(map.stands_alone(at(unit), bytes) && !map.any_inside(at(unit), bytes));
            for other in [1, units / 2, units - 1].map(|inside| at(unit + inside.max(1))) {
                map.set(other, 16);
                assert!(!map.stands_alone(at(unit), bytes) && map.any_inside(at(unit), bytes));
                map.clear(other, 16);
            }
            map.forget(ChunkId(3), 4096 + 16 * (unit + 1), 4096 + 16 * 1024);
            assert!(map.is_live(at(unit)) && !map.is_live(at(unit + units)), "what is before it stays");
            map.forget(ChunkId(3), 4096, 4096 + 16 * 1024);
            assert!(!map.is_live(at(unit)));
        }
        // A file may end before the region does; what is missing is 0.
        let short = self::map(HEADER_WORDS + AT_BITS + 5);
        short.set(at(0), 16 * 700);
        assert!(short.stands_alone(at(0), 16 * 700));
    }

    #[test]
    fn a_map_is_believed_only_as_what_it_is() {
        let geometry = Geometry::new(18).unwrap();
        let made = map(1100);
        let open = |change: Option<(u64, u64)>, uuid, epoch, stamp| {
            let words = Words::heap(1100);
            for at in 0..HEADER_WORDS {
                words.store(at, made.words.load(at, Ordering::Relaxed).unwrap(), Ordering::Relaxed);
            }
            if let Some((at, word)) = change {
                words.store(at, word, Ordering::Relaxed);
            }
            LiveMap::open(words, uuid, epoch, stamp, geometry).is_some()
        };
        assert!(open(None, [1; 16], 1, None) && !open(None, [1; 16], 1, Some(9)));
        made.stamp(2, 9);
        assert!(open(None, [1; 16], 2, Some(9)) && open(None, [1; 16], 2, None));
        assert!(!open(None, [1; 16], 1, Some(9)) && !open(None, [2; 16], 2, Some(9)));
        assert!(!open(Some((0, 0)), [1; 16], 2, Some(9)) && !open(Some((1, 77)), [1; 16], 2, Some(9)));
        assert!(!open(Some((AT_FIRST_CHUNK, geometry.chunk_limit())), [1; 16], 2, Some(9)));
    }

    #[test]
    fn a_record_that_is_not_live_may_have_one_right_behind_its_beginning() {
        let map = map(4096);
        let at = |unit: u64| map.geometry.location(ChunkId(3), 4096 + 16 * unit);
        for units in [2, 64, 65, 200] {
            map.set(at(1), 16);
            assert!(map.any_inside(at(0), 16 * units) && !map.stands_alone(at(0), 16 * units));
            map.clear(at(1), 16);
            assert!(!map.any_inside(at(0), 16 * units));
        }
    }

    #[test]
    fn chunks_outside_the_map_are_never_live() {
        let map = map(1100);
        for chunk in [0, 2, 1 << 20] {
            let location = map.geometry.location(ChunkId(chunk), 4096);
            map.set(location, 16);
            assert!(!map.is_live(location));
        }
    }

    #[test]
    fn room_is_asked_for_before_bits_are_needed() {
        let map = map(600);
        let mut asked = Vec::new();
        let mut back = |from, to| {
            asked.push((from, to));
            Ok(())
        };
        map.reserve(ChunkId(4), 0, 8192, &mut back).unwrap();
        map.reserve(ChunkId(4), 8192, 16384, &mut back).unwrap();
        let bits = 512 + 512 + 8;
        assert_eq!(asked, [(512 + 512, bits + 8), (bits + 7, bits + 16)]);
    }
}
