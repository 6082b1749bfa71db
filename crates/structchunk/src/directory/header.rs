//! The first page of a directory: whose it is, and where its table begins.

use std::sync::atomic::Ordering;

use super::segment::UNIT_WORDS;
use super::{Directory, Link, MAX_DEPTH};
use crate::error::{Error, Result};
use crate::map::words::Words;

/// "SCHKDIR1", little-endian.
const MAGIC: u64 = u64::from_le_bytes(*b"SCHKDIR1");
const FORMAT_VERSION: u64 = 1;
/// Set in the stamp word beside the sequence, so that 0 means "no stamp".
const STAMPED: u64 = 1 << 63;

const HEADER_WORDS: usize = if cfg!(loom) { 20 } else { 512 };
pub(super) const HEADER_UNITS: u64 = (HEADER_WORDS / UNIT_WORDS) as u64;

/// Hash bits that index the first table: as many as fill a unit.
const FIRST_DEPTH: u32 = if cfg!(loom) { 0 } else { UNIT_WORDS.ilog2() };

/// Indices of the header's words.
pub(super) mod field {
    pub const MAGIC: u64 = 0;
    pub const FORMAT_VERSION: u64 = 1;
    pub const UUID: u64 = 2;
    pub const EPOCH: u64 = 4;
    pub const GENERATION: u64 = 5;
    pub const STAMP: u64 = 6;
    // What readers look at all the time; apart from what the writer changes all the time.
    pub const ROOT: u64 = 8;
    pub const RETIRED: u64 = 9;
    pub const NEXT_UNIT: u64 = 16;
    pub const DEAD_UNITS: u64 = 17;
    pub const OBJECTS: u64 = 18;
}

/// Whose directory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The store's uuid, as two words.
    pub(crate) uuid: [u64; 2],
    /// The store's epoch; nothing derived survives an epoch.
    pub(crate) epoch: u64,
}

impl Directory {
    /// Makes an empty directory in zeroed words. `grow` makes the file at least so many words long, backed by reserved
    /// space.
    ///
    /// # Errors
    ///
    /// What `grow` says.
    pub(crate) fn create(
        words: Words,
        identity: &Identity,
        generation: u64,
        grow: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Self> {
        let directory = Self { words };
        grow((HEADER_UNITS + 2) * UNIT_WORDS as u64)?;
        directory.set(field::NEXT_UNIT, HEADER_UNITS);
        let segment = Link::new(directory.allocate(1, grow)?, 0);
        let table = Link::new(directory.allocate(1, grow)?, FIRST_DEPTH);
        for entry in 0..1 << FIRST_DEPTH {
            directory.set(table.first_word() + entry, segment.0);
        }
        let [uuid_low, uuid_high] = identity.uuid;
        directory.set(field::FORMAT_VERSION, FORMAT_VERSION);
        directory.set(field::UUID, uuid_low);
        directory.set(field::UUID + 1, uuid_high);
        directory.set(field::EPOCH, identity.epoch);
        directory.set(field::GENERATION, generation);
        directory.set(field::ROOT, table.0);
        directory.set(field::MAGIC, MAGIC);
        Ok(directory)
    }

    /// How many objects there were in a directory of this store, whatever it is worth: a guess at how many there are now.
    pub(crate) fn objects_in(words: Words, uuid: [u64; 2]) -> Option<u64> {
        let directory = Self { words };
        let expected = [
            (field::MAGIC, MAGIC),
            (field::FORMAT_VERSION, FORMAT_VERSION),
            (field::UUID, uuid[0]),
            (field::UUID + 1, uuid[1]),
        ];
        let is_of_store = expected.iter().all(|&(index, value)| directory.get(index) == value);
        is_of_store.then(|| directory.len())
    }

    /// Takes a directory as it lies there. `None` when it is not of this store and epoch, is retired, or cannot be
    /// right; with a `stamp` also when it was not closed at exactly that sequence. (Without, for those who join a
    /// writer at work.)
    pub(crate) fn open(words: Words, identity: &Identity, stamp: Option<u64>) -> Option<Self> {
        let directory = Self { words };
        let [uuid_low, uuid_high] = identity.uuid;
        let expected = [
            (field::MAGIC, MAGIC),
            (field::FORMAT_VERSION, FORMAT_VERSION),
            (field::UUID, uuid_low),
            (field::UUID + 1, uuid_high),
            (field::EPOCH, identity.epoch),
            (field::RETIRED, 0),
        ];
        let root = directory.root()?;
        let next_unit = directory.get(field::NEXT_UNIT);
        let table_end = root.unit().checked_add(table_units(root.depth()))?;
        let agrees = expected.iter().all(|&(index, value)| directory.get(index) == value)
            && stamp.is_none_or(|sequence| directory.get(field::STAMP) == STAMPED | sequence)
            && root.depth() >= FIRST_DEPTH
            && table_end <= next_unit
            && directory.get(field::DEAD_UNITS) < next_unit
            && directory.words.covers(next_unit.checked_mul(UNIT_WORDS as u64)?);
        agrees.then_some(directory)
    }

    /// Notes that this is the state at checkpoint sequence `sequence`, the last thing before a clean close.
    pub(crate) fn stamp(&self, sequence: u64) {
        self.set(field::STAMP, STAMPED | sequence);
    }

    /// Puts the directory into another epoch, before anybody has seen it.
    pub(crate) fn set_epoch(&self, epoch: u64) {
        self.set(field::EPOCH, epoch);
    }

    /// Tells everybody who has it mapped that a newer directory has taken its place.
    pub(crate) fn retire(&self) {
        self.set(field::RETIRED, 1);
    }

    /// Whether a newer directory has taken its place.
    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.get(field::RETIRED) != 0
    }

    /// How often the store's directory had been made anew when this one was.
    pub(crate) fn generation(&self) -> u64 {
        self.get(field::GENERATION)
    }

    /// Number of objects, as kept by [`change_len`](Self::change_len).
    pub(crate) fn len(&self) -> u64 {
        self.get(field::OBJECTS)
    }

    /// Counts objects that came (positive) or went (negative).
    #[inline]
    pub(crate) fn change_len(&self, difference: i64) {
        self.set(field::OBJECTS, self.get_own(field::OBJECTS).saturating_add_signed(difference));
    }

    /// How many words of the file are in use.
    #[cfg(test)]
    pub(crate) fn used_words(&self) -> u64 {
        self.get(field::NEXT_UNIT).saturating_mul(UNIT_WORDS as u64)
    }

    /// Whether making it anew would give back much: over half of it is dead, or its segments are less than a quarter
    /// full.
    pub(crate) fn needs_compaction(&self) -> bool {
        /// What is so small that nothing is gained.
        const SMALL: u64 = 64;
        let units = self.get(field::NEXT_UNIT);
        let dead = self.get(field::DEAD_UNITS);
        let table = self.root().map_or(0, |root| table_units(root.depth()));
        let segments = units.saturating_sub(dead).saturating_sub(table).saturating_sub(HEADER_UNITS);
        let slots = segments.saturating_mul(UNIT_WORDS as u64 - 1);
        units > SMALL && (dead > units / 2 || self.len() < slots / 4)
    }

    /// Takes `count` consecutive units that were never used.
    pub(super) fn allocate(&self, count: u64, grow: &mut dyn FnMut(u64) -> Result<()>) -> Result<u64> {
        let first = self.get_own(field::NEXT_UNIT);
        let end = first.saturating_add(count);
        let total = end.saturating_mul(UNIT_WORDS as u64);
        let too_large = || Error::TooLarge {
            what: "a directory",
            bytes: total.saturating_mul(8),
            limit: self.words.length().saturating_mul(8),
        };
        if total > self.words.length() || first < HEADER_UNITS {
            return Err(too_large());
        }
        if !self.words.covers(total) {
            grow(total)?;
            if !self.words.covers(total) {
                return Err(too_large());
            }
        }
        self.set(field::NEXT_UNIT, end);
        Ok(first)
    }

    /// Counts units that nothing leads to any more.
    pub(super) fn count_dead(&self, units: u64) {
        self.set(field::DEAD_UNITS, self.get_own(field::DEAD_UNITS).saturating_add(units));
    }

    /// A word as anybody sees it.
    #[inline]
    pub(super) fn get(&self, index: u64) -> u64 {
        self.words.load(index, Ordering::Acquire).unwrap_or(0)
    }

    /// A word, for the writer.
    #[inline]
    pub(super) fn get_own(&self, index: u64) -> u64 {
        self.words.load_own(index).unwrap_or(0)
    }

    /// A word of the header or of a unit that was allocated; these are backed.
    #[inline]
    pub(super) fn set(&self, index: u64, value: u64) {
        self.words.store(index, value, Ordering::Release);
    }
}

/// Units of a table that `depth` hash bits index.
pub(super) fn table_units(depth: u32) -> u64 {
    (1_u64 << depth.min(MAX_DEPTH)).div_ceil(UNIT_WORDS as u64)
}
