//! The usual load, in as few steps as it takes: what a processor can overlap with the next one.
//!
//! A small plain object in the log, of the right type, that nobody changes at this moment. Everything else, and every error, is left to
//! the general way in `find.rs` and `read.rs`, which knows all cases.
#![expect(
    clippy::inline_always,
    reason = "a call costs as much as what is called, and stands in the way of overlapping look-ups"
)]

use std::sync::atomic::Ordering;

use super::Inner;
use super::find::Payload;
use super::read::LARGEST_STAGED;
use crate::chunk::{Chunk, ChunkRef, Record};
use crate::directory::{AtHome, Candidate};
use crate::error::Result;
use crate::format::{HEADER_BYTES, Location, Usual, align_up};
use crate::layout::{Object, fixed_size};
use crate::map::Window;
use crate::protocol::{VersionWord, WRITING};

/// A usual object under the right key.
#[derive(Clone, Copy)]
struct Sight<'a> {
    chunk: &'a Chunk,
    window: Window<'a>,
    /// Where the record lies, as an offset in its chunk.
    offset: u64,
    version_word: VersionWord<'a>,
    type_number: u32,
    /// Where the object lies, as an offset in its chunk.
    payload: u64,
}

impl Inner {
    /// Looks a key up and copies its object, where that is as simple as it mostly is; goes the general way else.
    #[inline]
    pub(crate) fn load<T: Object>(&self, key: &[u8], hash: u64) -> Result<Option<T>> {
        if let Some(usual) = self.usual::<T>(key.len()) {
            match self.views.directory.find_at_home(hash, |location| self.sight::<T>(location, key, usual)) {
                AtHome::Found(sight) => {
                    if let Some(copy) = self.copy_still(&sight) {
                        return Ok(Some(copy));
                    }
                }
                AtHome::Absent => return Ok(None),
                AtHome::Unclear => return self.load_further(key, hash, usual),
            }
        }
        self.load_with_care(key, hash)
    }

    /// The same by a whole search.
    #[inline(never)]
    fn load_further<T: Object>(&self, key: &[u8], hash: u64, usual: Usual) -> Result<Option<T>> {
        if self.chunks.residents.is_limited() {
            // A glance holds nothing, and chunks come and go.
            return self.load_with_care(key, hash);
        }
        // `None`: it is the key's record, or may be one, but not the usual one.
        let found = self.views.directory.find(hash, |location| match self.sight::<T>(location, key, usual) {
            None => self.is_other(location, key).then_some(None),
            sight => Some(sight),
        });
        let Some(sight) = found else { return Ok(None) };
        match sight.and_then(|sight| self.copy_still(&sight)) {
            None => self.load_with_care(key, hash),
            copy => Ok(copy),
        }
    }

    /// The same for a record that a search has led to; `None` when only a search will tell.
    #[inline]
    pub(crate) fn load_at<T: Object>(&self, key: &[u8], candidate: Candidate<'_>) -> Option<T> {
        let usual = self.usual::<T>(key.len())?;
        let copy = self.copy_still(&self.sight::<T>(candidate.location, key, usual)?)?;
        candidate.is_current().then_some(copy)
    }

    /// The record of an object that may be seen as a `T`, and where the object lies.
    #[inline]
    pub(crate) fn find_typed<T: Object + ?Sized>(
        &self,
        key: &[u8],
        hash: u64,
    ) -> Result<Option<(Record<'_>, Payload<'_>)>> {
        if let Some(bytes) = bytes_of_any::<T>()
            && let Some(usual) = self.usual::<T>(key.len())
            && let AtHome::Found(sight) =
                self.views.directory.find_at_home(hash, |location| self.sight::<T>(location, key, usual))
            && self.is_a::<T>(&sight)
            && self.ends_in_log(
                sight.chunk.geometry.location(sight.chunk.id, sight.offset),
                sight.chunk,
                sight.payload + bytes,
            )
            && sight.window.address(sight.payload, bytes).is_some()
        {
            let chunk = ChunkRef::new(sight.chunk);
            let payload = Payload::inline(chunk.clone(), sight.payload, bytes);
            return Ok(Some((Record::recognised(chunk, sight.offset), payload)));
        }
        let Some(record) = self.find_hashed(key, hash)? else { return Ok(None) };
        let payload = self.typed_payload::<T>(&record)?;
        Ok(Some((record, payload)))
    }

    /// Whether the object is a `T`.
    #[inline(always)]
    fn is_a<T: Object + ?Sized>(&self, sight: &Sight<'_>) -> bool {
        self.types.is(sight.type_number, T::FINGERPRINT)
    }

    /// A copy of the object that a record holds, where that is as simple as it mostly is.
    #[inline]
    pub(crate) fn glance_into<T: Object>(&self, record: &Record<'_>) -> Option<T> {
        let key_length = record.header().key_length;
        let usual = self.usual::<T>(key_length.into())?;
        let (_, sight) = sight_at::<T>(&record.chunk, record.offset(), key_length.into(), usual)?;
        self.copy_still(&sight)
    }

    /// What a header looks like that leads to a `T`; `None` when no glance will do.
    #[inline(always)]
    fn usual<T: Object + ?Sized>(&self, key_length: usize) -> Option<Usual> {
        let bytes = bytes_of_any::<T>()?;
        if T::ATOMIC || bytes > LARGEST_STAGED || self.borrows.any_atomic() {
            return None;
        }
        Some(Usual::new(u16::try_from(key_length).ok()?, align_log2::<T>(), T::ARRAY, bytes))
    }

    #[inline(always)]
    fn sight<T: Object + ?Sized>(&self, location: Location, key: &[u8], usual: Usual) -> Option<Sight<'_>> {
        // Told by the slot alone, so it is asked while the record is still far away.
        if location.get() >= self.shared.end() {
            return None;
        }
        // Nor where chunks come and go: a glance holds nothing.
        let chunk = self.chunks.lasting(location)?;
        let (key_at, sight) =
            sight_at::<T>(chunk, self.chunks.geometry.offset(location), key.len() as u64, usual)?;
        sight.window.eq_bytes(key_at, key).then_some(sight)
    }

    /// Whether a record that is not the usual one may be the key's all the same: the general way will tell.
    #[cold]
    fn is_other(&self, location: Location, key: &[u8]) -> bool {
        let Some(chunk) = self.chunks.lasting(location) else { return true };
        Record::read_about(&ChunkRef::new(chunk), self.chunks.geometry.offset(location), key).is_some()
    }

    /// A copy, if the object is a `T` and stood still meanwhile.
    #[inline(always)]
    fn copy_still<T: Object>(&self, sight: &Sight<'_>) -> Option<T> {
        let before = sight.version_word.look();
        if !self.is_a::<T>(sight) || before & WRITING != 0 {
            return None;
        }
        let copy = sight.window.read_object::<T>(sight.payload)?;
        sight.version_word.is_still(before).then_some(copy)
    }
}

/// The size of all `T`s, which the compiler knows; `None` for slices, which a glance has no eye for.
#[inline(always)]
const fn bytes_of_any<T: Object + ?Sized>() -> Option<u64> {
    match const { fixed_size::<T>() } {
        Some(bytes) => Some(bytes as u64),
        None => None,
    }
}

const fn align_log2<T: Object + ?Sized>() -> u8 {
    let align = if T::ALIGN > 16 { T::ALIGN } else { 16 };
    align.ilog2() as u8
}

/// What the header at an offset leads to, and where the key lies, if it is the usual one.
#[inline(always)]
fn sight_at<T: Object + ?Sized>(
    chunk: &Chunk,
    offset: u64,
    key_length: u64,
    usual: Usual,
) -> Option<(u64, Sight<'_>)> {
    let window = chunk.map.window();
    // Key and payload often lie behind the header's cache line, in two more; only the header tells where, and it is far away itself. So all
    // are fetched at the same time, from where they mostly are.
    window.prefetch(offset + 64);
    let bytes = bytes_of_any::<T>()?;
    window.prefetch(offset + HEADER_BYTES + key_length + bytes - 1);
    let [first, second, third, version_word] = window.cells::<4>(offset)?;
    let words = [first, second, third].map(|cell| u64::from_le(cell.load(Ordering::Relaxed)));
    let particulars = usual.recognise(words)?;
    let key_at = offset + HEADER_BYTES + particulars.extension_bytes;
    let payload = align_up(key_at + key_length, 1 << const { align_log2::<T>() });
    let type_number = particulars.type_number;
    let version_word = VersionWord::new(version_word);
    Some((key_at, Sight { chunk, window, offset, version_word, type_number, payload }))
}
