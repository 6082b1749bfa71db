//! A record where it lies.

use std::sync::atomic::Ordering;

use super::{Chunk, ChunkRef};
use crate::format::{Extension, Kind, Location, PAGE_BYTES, Placement, RecordHeader, RecordSeed};
use crate::protocol::{VersionWord, WRITING, next_version};

/// The highest bit of the version: the object never changes, and its payload has a checksum.
pub(crate) const SEALED: u64 = 1 << 31;

/// Whether a word says that somebody is at work on its object. Nobody ever is on a sealed one: should its version be odd, it was damaged, and
/// whoever ended that change for somebody who died would take the seal away from under references.
#[inline]
pub(crate) fn is_odd(word: u64) -> bool {
    word & (WRITING | SEALED) == WRITING
}

/// A record whose header can be one and which lies wholly inside its chunk.
///
/// Two words, so that it travels in registers; what the header says is read where it is needed, out of a line that is near by then.
#[derive(Clone)]
pub(crate) struct Record<'a> {
    pub chunk: ChunkRef<'a>,
    offset: u64,
}

impl<'a> Record<'a> {
    /// The record at `offset`; `None` where there cannot be one. The checksum is not looked at.
    #[inline]
    pub(crate) fn read(chunk: &ChunkRef<'a>, offset: u64) -> Option<Self> {
        Self::read_with_header(chunk, offset).map(|(record, _, _)| record)
    }

    /// As [`Record::read`], with what the header says and where the parts lie.
    #[inline]
    pub(crate) fn read_with_header(
        chunk: &ChunkRef<'a>,
        offset: u64,
    ) -> Option<(Self, RecordHeader, Placement)> {
        if offset < PAGE_BYTES {
            return None;
        }
        let header = RecordHeader::parse(words(chunk, offset)?)?;
        let place = header.place(offset);
        (place.end <= chunk.map.len()).then(|| (Self { chunk: chunk.clone(), offset }, header, place))
    }

    /// The record at `offset` if it is of the object under `key`, or says that there is none. (Types have keys of their own.)
    #[inline]
    pub(crate) fn read_about(chunk: &ChunkRef<'a>, offset: u64, key: &[u8]) -> Option<Self> {
        let header = RecordHeader::decode(words(chunk, offset)?);
        let is_about = header.kind != Kind::Type
            && usize::from(header.key_length) == key.len()
            && chunk.map.eq_bytes(header.place(offset).key, key);
        // Only what has the right key is worth a closer look.
        if is_about { Self::read(chunk, offset) } else { None }
    }

    /// The record at `offset` of a chunk that stays mapped, if it is of the object under `key`; and where it ends.
    #[inline]
    pub(crate) fn read_object(chunk: &'a Chunk, offset: u64, key: &[u8]) -> Option<(Self, u64)> {
        if offset < PAGE_BYTES {
            return None;
        }
        let header = RecordHeader::parse(words(chunk, offset)?)?;
        let place = header.place(offset);
        let is_it = header.kind.is_object()
            && usize::from(header.key_length) == key.len()
            && place.end <= chunk.map.len()
            && chunk.map.eq_bytes(place.key, key);
        is_it.then(|| (Self { chunk: ChunkRef::new(chunk), offset }, place.end))
    }

    /// The record at `offset`, of which the caller has seen that it is one and lies wholly inside its chunk.
    #[inline]
    pub(crate) fn recognised(chunk: ChunkRef<'a>, offset: u64) -> Self {
        Self { chunk, offset }
    }

    /// What the header says.
    #[inline]
    pub(crate) fn header(&self) -> RecordHeader {
        // `read` found the words, and that they are a header; they never change.
        RecordHeader::decode(words(&self.chunk, self.offset).unwrap_or_default())
    }

    /// Where its parts lie.
    #[inline]
    pub(crate) fn place(&self) -> Placement {
        self.header().place(self.offset)
    }

    /// Where it lies in the log.
    #[inline]
    pub(crate) fn location(&self) -> Location {
        self.chunk.geometry.location(self.chunk.id, self.offset)
    }

    /// Whether the checksum over header, extension and key holds.
    pub(crate) fn checksum_holds(&self, seed: RecordSeed) -> bool {
        words(&self.chunk, self.offset)
            .is_some_and(|words| seed.holds(self.location(), words, self.extension_bytes(), self.key()))
    }

    /// [`Record::checksum_holds`] for who knows another way to it: `go_on` is given the checksum of what stands before extension and key.
    pub(super) fn checksum_is(&self, seed: RecordSeed, go_on: impl FnOnce(u32) -> u32) -> bool {
        words(&self.chunk, self.offset)
            .is_some_and(|words| words[0] as u32 == go_on(seed.begin(self.location(), words)))
    }

    /// Whether the record has this key.
    #[inline]
    pub(crate) fn key_is(&self, key: &[u8]) -> bool {
        self.has_key(&self.header(), key)
    }

    /// Whether the record is of the object under this key.
    #[inline]
    pub(crate) fn is_object_under(&self, key: &[u8]) -> bool {
        let header = self.header();
        header.kind.is_object() && self.has_key(&header, key)
    }

    #[inline]
    fn has_key(&self, header: &RecordHeader, key: &[u8]) -> bool {
        usize::from(header.key_length) == key.len()
            && self.chunk.map.eq_bytes(header.place(self.offset).key, key)
    }

    /// The key. Keys are written before anybody can find them and never again.
    pub(crate) fn key(&self) -> &[u8] {
        let header = self.header();
        self.chunk.map.frozen(header.place(self.offset).key, u64::from(header.key_length))
    }

    /// The payload of a record whose payload never changes: types and externs.
    pub(crate) fn frozen_payload(&self) -> &[u8] {
        let header = self.header();
        debug_assert!(matches!(header.kind, Kind::Type | Kind::Extern));
        self.chunk.map.frozen(header.place(self.offset).payload, header.payload_length)
    }

    /// Whether the payload checksum of a type or extern record holds. While somebody changes the object behind an extern
    /// record, its checksum is not there.
    pub(crate) fn payload_checksum_holds(&self, seed: RecordSeed) -> bool {
        let word = self.version_word(Ordering::Relaxed);
        is_odd(word) || (word >> 32) as u32 == seed.payload_checksum(self.frozen_payload())
    }

    /// Whether the object was sealed: nobody changes it in place, in this process or another.
    #[inline]
    pub(crate) fn is_sealed(&self) -> bool {
        self.version_word(Ordering::Acquire) & SEALED != 0
    }

    /// Whether a sealed object in the log has the bytes that were sealed.
    pub(crate) fn sealed_payload_holds(&self, seed: RecordSeed) -> bool {
        let header = self.header();
        let payload = self.chunk.map.frozen(header.place(self.offset).payload, header.payload_length);
        (self.version_word(Ordering::Acquire) >> 32) as u32 == seed.payload_checksum(payload)
    }

    /// The word at 24, the only one that changes after a record is written, in a chunk that may be written.
    pub(crate) fn version_to_change(&self) -> Option<VersionWord<'_>> {
        self.chunk.map.word(self.offset + 24).map(VersionWord::new)
    }

    /// The word at 24 before anything of the object is read.
    #[inline]
    pub(crate) fn look(&self) -> u64 {
        self.version().map_or(0, VersionWord::look)
    }

    /// Whether nobody has changed the object since that look.
    #[inline]
    pub(crate) fn is_still(&self, before: u64) -> bool {
        self.version().is_some_and(|version| version.is_still(before))
    }

    #[inline]
    fn version(&self) -> Option<VersionWord<'_>> {
        let [word] = self.chunk.map.cells(self.offset + 24)?;
        Some(VersionWord::new(word))
    }

    /// Ends a change: the version becomes even, another one than before, and the payload checksum comes back.
    pub(crate) fn settle_version(&self, version: u64, seed: RecordSeed) {
        // Inside the chunk, as `read` has shown; the version of a chunk mapped for reading is never stored.
        if let Some(word) = self.version_to_change() {
            word.end_change(self.settled_word(version, seed));
        }
    }

    /// What the word at 24 becomes when a change ends that began at this version.
    pub(crate) fn settled_word(&self, version: u64, seed: RecordSeed) -> u64 {
        let next = next_version(version);
        let checksum = match self.header().kind {
            Kind::Type | Kind::Extern => u64::from(seed.payload_checksum(self.frozen_payload())),
            _ => 0,
        };
        checksum << 32 | next
    }

    /// The extension as it lies there.
    pub(crate) fn extension_bytes(&self) -> &[u8] {
        let header = self.header();
        self.chunk.map.frozen(header.place(self.offset).extension, u64::from(header.extension_units) * 16)
    }

    /// What the extension says.
    pub(crate) fn extension(&self) -> Extension {
        Extension::decode(self.extension_bytes())
    }

    /// The word at 24: version, and payload checksum.
    #[inline]
    pub(crate) fn version_word(&self, order: Ordering) -> u64 {
        self.chunk.map.load_u64(self.offset + 24, order).unwrap_or(0)
    }

    /// Where the record begins in its chunk, in bytes.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the chunk that the record takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.place().end - self.offset
    }
}

#[inline]
fn words(chunk: &Chunk, offset: u64) -> Option<[u64; 3]> {
    let cells = chunk.map.cells::<3>(offset)?;
    Some(std::array::from_fn(|index| u64::from_le(cells[index].load(Ordering::Relaxed))))
}

/// Writes a header. The record must lie beyond the end of the log, and its other parts have been written inside of the chunk.
#[inline]
pub(crate) fn write_header<'a>(
    chunk: &ChunkRef<'a>,
    offset: u64,
    words: [u64; 3],
    version_word: u64,
) -> Option<Record<'a>> {
    let cells = chunk.map.writable_cells::<4>(offset)?;
    let [first, second, third] = words.map(u64::to_le);
    for (cell, word) in cells.iter().zip([first, second, third, version_word]) {
        cell.store(word, Ordering::Relaxed);
    }
    Some(Record { chunk: chunk.clone(), offset })
}
