//! Where the usual object lies, found in as few steps as that takes.
//!
//! A plain object in the log that stands in the line of slots where the search for its key begins. Everything else, and every error, is left to
//! the general way, which knows all cases.

use std::sync::atomic::Ordering;

use super::place::Place;
use crate::chunk::{Chunk, ChunkRef, Record};
use crate::directory::AtHome;
use crate::format::{Kind, Location, PAGE_BYTES, Placement, RecordHeader};
use crate::store::Inner;

impl Inner {
    /// Where the object under a key lies, as far as one glance tells.
    #[inline]
    pub(super) fn place_at_a_glance(&self, key: &[u8], hash: u64) -> AtHome<Place> {
        self.views.directory.find_at_home(hash, |location| self.place_of_usual(location, key))
    }

    #[inline]
    fn place_of_usual(&self, location: Location, key: &[u8]) -> Option<Place> {
        // Where chunks come and go a glance holds nothing.
        let chunk = self.chunks.lasting(location)?;
        let offset = self.chunks.geometry.offset(location);
        // Fetched at the same time as the record, which takes as long.
        self.views.live.prefetch(location);
        let (header, parts) = plain_object(chunk, offset, key)?;
        if !self.ends_in_log(location, chunk, parts.end) {
            return None;
        }
        let record = Record::recognised(ChunkRef::new(chunk), offset);
        // Who changes what is said there.
        if self.shares_changes || record.is_sealed() {
            return None;
        }
        self.check_alone(&record).ok()?;
        Some(Place::in_chunk(chunk.id, location, &header, &parts))
    }
}

/// The header at an offset, and where the parts of the record lie, if it is of an object under `key` and lies inside the chunk.
#[inline]
fn plain_object(chunk: &Chunk, offset: u64, key: &[u8]) -> Option<(RecordHeader, Placement)> {
    let window = chunk.map.window();
    // Key and payload often lie behind the header's cache line; so both lines are fetched at the same time.
    window.prefetch(offset + 64);
    let words = window.cells::<3>(offset)?.each_ref().map(|word| u64::from_le(word.load(Ordering::Relaxed)));
    let header = RecordHeader::parse(words).filter(|_| offset >= PAGE_BYTES)?;
    let parts = header.place(offset);
    let is_it = header.kind == Kind::Object
        && usize::from(header.key_length) == key.len()
        && window.eq_bytes(parts.key, key)
        && window.address(parts.payload, header.payload_length).is_some()
        && parts.end <= chunk.map.len();
    is_it.then_some((header, parts))
}
