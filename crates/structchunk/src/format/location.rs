//! Where a record lies: chunk number and offset, packed in 48 bits.

use std::fmt;

/// Capacities that a store may choose, as powers of two: 256 KiB to 64 GiB.
pub(crate) const CAPACITY_LOG2: std::ops::RangeInclusive<u8> = 18..=36;

/// A chunk's number. Numbers only rise and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkId(pub u32);

impl ChunkId {
    /// The chunk after this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A position in the log, in units of 16 bytes: `chunk << log2(capacity / 16) | offset / 16`.
///
/// Locations order as the log does. The end of the log is one too; it may equal the start of the chunk after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Location(u64);

impl Location {
    /// How many bits a location has.
    pub(crate) const BITS: u32 = 48;

    /// A location from its 48 bits; `None` for 0, which no record can have, and for more bits.
    pub(crate) const fn new(bits: u64) -> Option<Self> {
        if bits == 0 || bits >> 48 != 0 { None } else { Some(Self(bits)) }
    }

    /// The 48 bits.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// How locations are packed in one store: its chunk capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    capacity_log2: u8,
    /// log2 of the 16-byte units of a chunk.
    units_log2: u8,
}

impl Geometry {
    /// `None` where the capacity is out of [`CAPACITY_LOG2`].
    pub(crate) fn new(capacity_log2: u8) -> Option<Self> {
        CAPACITY_LOG2.contains(&capacity_log2).then(|| Self { capacity_log2, units_log2: capacity_log2 - 4 })
    }

    /// log2 of the capacity.
    pub(crate) const fn capacity_log2(self) -> u8 {
        self.capacity_log2
    }

    /// Bytes in one chunk file.
    pub(crate) const fn capacity(self) -> u64 {
        1 << self.capacity_log2
    }

    /// Objects larger than this get a body of their own, in bytes.
    pub(crate) const fn largest_inline(self) -> u64 {
        self.capacity() / 8
    }

    /// One more than the highest possible chunk number.
    pub(crate) const fn chunk_limit(self) -> u64 {
        let bits = 48 - self.units_log2;
        if bits >= 32 { 1 << 32 } else { 1 << bits }
    }

    /// The location of `offset` (a multiple of 16) in `chunk`.
    pub(crate) const fn location(self, chunk: ChunkId, offset: u64) -> Location {
        Location(((chunk.0 as u64) << self.units_log2) + offset / 16)
    }

    /// The chunk of a location.
    #[inline]
    pub(crate) const fn chunk(self, location: Location) -> ChunkId {
        ChunkId((location.0 >> self.units_log2) as u32)
    }

    /// The offset of a location in its chunk, in bytes.
    #[inline]
    pub(crate) const fn offset(self, location: Location) -> u64 {
        (location.0 & ((1 << self.units_log2) - 1)) << 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_pack_chunk_and_offset_and_order_as_the_log_does() {
        let geometry = Geometry::new(28).unwrap();
        let here = geometry.location(ChunkId(7), 4096);
        assert_eq!(here.get(), 7 << 24 | 256);
        assert_eq!((geometry.chunk(here), geometry.offset(here)), (ChunkId(7), 4096));
        assert!(here < geometry.location(ChunkId(8), 4096));
        assert_eq!(geometry.location(ChunkId(7), geometry.capacity()), geometry.location(ChunkId(8), 0));
        assert_eq!(Location::new(0), None);
        assert_eq!(Location::new(1 << 48), None);
        assert_eq!(geometry.chunk_limit(), 1 << 24);
    }

    #[test]
    fn capacities_out_of_range_are_refused() {
        assert!(Geometry::new(17).is_none() && Geometry::new(37).is_none());
        assert_eq!(Geometry::new(18).unwrap().chunk_limit(), 1 << 32);
    }

    #[test]
    fn an_eighth_of_a_chunk_is_inline_and_chunks_are_shown_as_their_files_are_named() {
        assert_eq!(Geometry::new(18).unwrap().largest_inline(), 32 << 10);
        assert_eq!((ChunkId(9).next(), ChunkId(0xab).to_string()), (ChunkId(10), "000000ab".to_owned()));
    }
}
