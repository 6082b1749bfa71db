//! Chunks that are no longer in the log, while their files may still be there: bytes 152..416 of a checkpoint.

use std::collections::BTreeSet;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ChunkId;

/// Numbers of dropped chunks. Each stands in the two checkpoints between which its file is unlinked, so that a file that is there, or
/// not, is no surprise to either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DroppedChunks {
    count: usize,
    numbers: [ChunkId; Self::MOST],
}

impl Default for DroppedChunks {
    fn default() -> Self {
        Self { count: 0, numbers: [ChunkId(0); Self::MOST] }
    }
}

impl DroppedChunks {
    /// How many can wait for their files to be unlinked.
    pub(crate) const MOST: usize = 64;

    /// `None` when there are more than [`Self::MOST`].
    pub(crate) fn new(chunks: &BTreeSet<ChunkId>) -> Option<Self> {
        let mut all = Self { count: chunks.len(), ..Self::default() };
        for (place, &chunk) in all.numbers.get_mut(..chunks.len())?.iter_mut().zip(chunks) {
            *place = chunk;
        }
        Some(all)
    }

    /// Whether a chunk is one of them.
    pub(crate) fn contains(&self, chunk: ChunkId) -> bool {
        self.numbers[..self.count].contains(&chunk)
    }

    pub(super) fn encode(&self) -> RawDropped {
        RawDropped {
            count: (self.count as u32).into(),
            zero: U32::ZERO,
            numbers: self.numbers.map(|chunk| chunk.0.into()),
        }
    }

    /// `None` when it says that there are more than there is room for.
    pub(super) fn decode(raw: &RawDropped) -> Option<Self> {
        let count = raw.count.get() as usize;
        let numbers = raw.numbers.map(|number| ChunkId(number.get()));
        (count <= Self::MOST).then_some(Self { count, numbers })
    }
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RawDropped {
    count: U32,
    zero: U32,
    numbers: [U32; DroppedChunks::MOST],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_no_more_than_there_is_room_for() {
        let chunks: BTreeSet<_> = (5..69).map(ChunkId).collect();
        let dropped = DroppedChunks::new(&chunks).unwrap();
        assert_eq!(DroppedChunks::decode(&dropped.encode()), Some(dropped));
        assert!(dropped.contains(ChunkId(5)) && dropped.contains(ChunkId(68)));
        assert!(!dropped.contains(ChunkId(0)) && !dropped.contains(ChunkId(69)));
        assert!(!DroppedChunks::default().contains(ChunkId(0)), "places without a number are not chunk 0");
        assert_eq!(DroppedChunks::new(&(0..65).map(ChunkId).collect()), None);
        let mut raw = dropped.encode();
        raw.count = 65.into();
        assert_eq!(DroppedChunks::decode(&raw), None);
    }
}
