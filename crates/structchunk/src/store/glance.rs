//! The usual load, in as few steps as it takes: what a processor can overlap with the next one.
//!
//! A small plain object in the log, of the right type, that nobody changes at this moment. Everything else, and every error, is left to
//! the general way in `find.rs` and `read.rs`, which knows all cases.

use std::sync::atomic::{Ordering, fence};

use super::Inner;
use super::read::LARGEST_STAGED;
use crate::chunk::{Record, WRITING};
use crate::format::{Kind, Location, Placement, RecordHeader};
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

impl Inner {
    /// Looks a key up and copies its object, where that is as simple as it mostly is.
    #[inline]
    pub(crate) fn glance<T: Object>(&self, key: &[u8], hash: u64) -> Glance<T> {
        if T::ATOMIC || size_of::<T>() as u64 > LARGEST_STAGED || self.borrows.any_atomic() {
            return Glance::Unusual;
        }
        let found = self.views.directory.find(hash, |location| self.glance_at(key, location));
        found.unwrap_or(Glance::Absent)
    }

    /// `None`: the record there has another key.
    #[inline]
    fn glance_at<T: Object>(&self, key: &[u8], location: Location) -> Option<Glance<T>> {
        let Some(chunk) = self.chunks.mapped(location) else { return Some(Glance::Unusual) };
        let offset = self.chunks.geometry.offset(location);
        // Key and payload often lie behind the header's cache line; so both lines are fetched at the same time.
        chunk.map.prefetch(offset + 64);
        let (header, place) = Record::header_at(chunk, offset)?;
        if usize::from(header.key_length) != key.len() || !chunk.map.eq_bytes(place.key, key) {
            return None;
        }
        let record = Record::read_header(chunk, offset);
        if location.get() >= self.shared.end() || !self.is_usual::<T>(&header) {
            // A type has keys of its own; another search will not stop at it.
            return (header.kind != Kind::Type).then_some(Glance::Unusual);
        }
        Some(Self::copy_still(&record, &place).map_or(Glance::Unusual, Glance::Copy))
    }

    /// A copy of the object that a record holds, where that is as simple as it mostly is.
    #[inline]
    pub(crate) fn glance_into<T: Object>(&self, record: &Record<'_>) -> Option<T> {
        if T::ATOMIC || size_of::<T>() as u64 > LARGEST_STAGED || self.borrows.any_atomic() {
            return None;
        }
        let header = record.header();
        let usual = self.is_usual::<T>(&header);
        if usual { Self::copy_still(record, &header.place(record.offset())) } else { None }
    }

    #[inline]
    fn is_usual<T: Object>(&self, header: &RecordHeader) -> bool {
        header.kind == Kind::Object
            && header.payload_length == size_of::<T>() as u64
            && header.flags.array == T::ARRAY
            && self.types.met(header.type_number).is_some_and(|known| known.fingerprint == T::FINGERPRINT)
    }

    /// A copy, if the object stood still meanwhile.
    #[inline]
    fn copy_still<T: Object>(record: &Record<'_>, place: &Placement) -> Option<T> {
        let before = record.version_word(Ordering::Acquire);
        let copy = record.chunk.map.read_object::<T>(place.payload);
        fence(Ordering::Acquire);
        let still = before & WRITING == 0 && record.version_word(Ordering::Relaxed) == before;
        copy.filter(|_| still)
    }
}
