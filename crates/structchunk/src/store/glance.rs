//! The usual load, in as few steps as it takes: what a processor can overlap with the next one.
//!
//! A small plain object in the log, of the right type, that nobody changes at this moment. Everything else, and every error, is left to
//! the general way in `find.rs` and `read.rs`, which knows all cases.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::Inner;
use super::read::LARGEST_STAGED;
use crate::chunk::{Chunk, Record, WRITING};
use crate::format::{HEADER_BYTES, Location, Usual, align_up};
use crate::layout::Object;

/// What a glance came to.
pub(crate) enum Glance<T> {
    /// A copy that nobody changed meanwhile.
    Copy(T),
    /// There is no such key.
    Absent,
    /// Something that wants a closer look.
    Unusual,
}

/// A usual object under the right key.
#[derive(Clone, Copy)]
struct Sight<'a> {
    location: Location,
    chunk: &'a Chunk,
    version_word: &'a AtomicU64,
    type_number: u32,
    /// Where the object lies, as an offset in its chunk.
    payload: u64,
}

/// What the record of a key is.
enum Verified<'a> {
    Usual(Sight<'a>),
    /// Not the usual one; or it may not be the key's at all.
    Other,
}

impl Inner {
    /// Looks a key up and copies its object, where that is as simple as it mostly is.
    #[inline]
    pub(crate) fn glance<T: Object>(&self, key: &[u8], hash: u64) -> Glance<T> {
        let Some(usual) = self.usual::<T>(key.len()) else { return Glance::Unusual };
        let verify = |location| self.verify::<T>(location, key, usual);
        match self.views.directory.find_at_home(hash, verify) {
            Some(found) => self.look_at(found.as_ref()),
            None => self.glance_further(key, hash, usual),
        }
    }

    /// The same by a whole search.
    #[inline(never)]
    fn glance_further<T: Object>(&self, key: &[u8], hash: u64, usual: Usual) -> Glance<T> {
        let found = self.views.directory.find(hash, |location| self.verify::<T>(location, key, usual));
        self.look_at(found.as_ref())
    }

    #[inline]
    fn look_at<T: Object>(&self, found: Option<&Verified<'_>>) -> Glance<T> {
        match found {
            None => Glance::Absent,
            Some(Verified::Usual(sight)) if sight.location.get() < self.shared.end() => {
                self.copy_still(sight).map_or(Glance::Unusual, Glance::Copy)
            }
            Some(_) => Glance::Unusual,
        }
    }

    /// `None`: the record there is not the key's.
    #[inline]
    fn verify<T: Object>(&self, location: Location, key: &[u8], usual: Usual) -> Option<Verified<'_>> {
        match self.sight::<T>(location, key, usual) {
            Some(sight) => Some(Verified::Usual(sight)),
            None => self.is_other(location, key).then_some(Verified::Other),
        }
    }

    /// A copy of the object that a record holds, where that is as simple as it mostly is.
    #[inline]
    pub(crate) fn glance_into<T: Object>(&self, record: &Record<'_>) -> Option<T> {
        let key_length = record.header().key_length;
        let usual = self.usual::<T>(key_length.into())?;
        let (_, sight) = sight_at::<T>(record.chunk, record.location(), key_length.into(), usual)?;
        self.copy_still(&sight)
    }

    /// What a header looks like that leads to a `T`; `None` when no glance will do.
    #[inline]
    fn usual<T: Object>(&self, key_length: usize) -> Option<Usual> {
        let bytes = size_of::<T>() as u64;
        if T::ATOMIC || bytes > LARGEST_STAGED || self.borrows.any_atomic() {
            return None;
        }
        Some(Usual::new(u16::try_from(key_length).ok()?, align_log2::<T>(), T::ARRAY, bytes))
    }

    #[inline]
    fn sight<T: Object>(&self, location: Location, key: &[u8], usual: Usual) -> Option<Sight<'_>> {
        let chunk = self.chunks.mapped(location)?;
        let (key_at, sight) = sight_at::<T>(chunk, location, key.len() as u64, usual)?;
        chunk.map.eq_bytes(key_at, key).then_some(sight)
    }

    /// Whether a record that is not the usual one may be the key's all the same: the general way will tell.
    #[cold]
    fn is_other(&self, location: Location, key: &[u8]) -> bool {
        let Some(chunk) = self.chunks.mapped(location) else { return true };
        Record::read_about(chunk, self.chunks.geometry.offset(location), key).is_some()
    }

    /// A copy, if the object is a `T` and stood still meanwhile.
    #[inline]
    fn copy_still<T: Object>(&self, sight: &Sight<'_>) -> Option<T> {
        let stored = self.types.met(sight.type_number)?;
        let before = sight.version_word.load(Ordering::Acquire);
        if stored.fingerprint != T::FINGERPRINT || before & WRITING != 0 {
            return None;
        }
        let copy = sight.chunk.map.read_object::<T>(sight.payload)?;
        fence(Ordering::Acquire);
        (sight.version_word.load(Ordering::Relaxed) == before).then_some(copy)
    }
}

const fn align_log2<T: Object>() -> u8 {
    let align = if T::ALIGN > 16 { T::ALIGN } else { 16 };
    align.ilog2() as u8
}

/// What the header at a location leads to, and where the key lies, if it is the usual one.
#[inline]
fn sight_at<T: Object>(
    chunk: &Chunk,
    location: Location,
    key_length: u64,
    usual: Usual,
) -> Option<(u64, Sight<'_>)> {
    let offset = chunk.geometry.offset(location);
    // Key and payload often lie behind the header's cache line; so both lines are fetched at the same time.
    chunk.map.prefetch(offset + 64);
    let [first, second, third, version_word] = chunk.map.cells::<4>(offset)?;
    let words = [first, second, third].map(|cell| u64::from_le(cell.load(Ordering::Relaxed)));
    let particulars = usual.recognise(words)?;
    let key_at = offset + HEADER_BYTES + particulars.extension_bytes;
    let payload = align_up(key_at + key_length, 1 << const { align_log2::<T>() });
    Some((key_at, Sight { location, chunk, version_word, type_number: particulars.type_number, payload }))
}
