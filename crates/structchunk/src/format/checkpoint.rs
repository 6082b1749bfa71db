//! Blocks 1 and 2 of `STORE`: the durable mark written by `sync()`.

use std::mem::offset_of;

use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::dropped::{DroppedChunks, RawDropped};
use super::{ChunkId, Features, Sector};

const MAGIC: [u8; 8] = *b"SCCHECK\x01";
const CLEAN: u32 = 1;

/// "Everything up to sequence S is on disk."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Rises by one with every checkpoint; the higher one counts.
    pub generation: u64,
    /// S, the sequence of the last durable record.
    pub sequence: u64,
    /// Raised by every recovery after the machine died, and by any that dropped something.
    pub epoch: u64,
    /// Whether the views on disk agree with S. Counts only when both slots are valid.
    pub clean: bool,
    /// What the store uses beyond the basic format.
    pub features: Features,
    /// The chunk that records are appended to.
    pub active: ChunkId,
    /// The end of the log in that chunk, in bytes.
    pub head: u64,
    /// Number of the next chunk.
    pub next_chunk: u32,
    /// Number of the next body.
    pub next_body: u64,
    /// Number of the next type.
    pub next_type: u32,
    /// Tells a dropped chunk from a lost one.
    pub chunks: ChunkNumbers,
    /// Chunks that are not counted although their files may be there.
    pub dropped: DroppedChunks,
    /// Where and in which boot the session that wrote this runs.
    pub evidence: Evidence,
}

/// Count and checksum of the chunk numbers that exist. The checksum does not depend on their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ChunkNumbers {
    /// How many chunks there are.
    pub count: u64,
    /// Sum of the xxh3 hashes of their numbers.
    pub checksum: u64,
}

impl FromIterator<ChunkId> for ChunkNumbers {
    fn from_iter<I: IntoIterator<Item = ChunkId>>(chunks: I) -> Self {
        chunks.into_iter().fold(Self::default(), |sum, chunk| Self {
            count: sum.count + 1,
            checksum: sum.checksum.wrapping_add(xxh3_64(&chunk.0.to_le_bytes())),
        })
    }
}

/// What tells "the process died" from "the machine died".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Evidence {
    /// The kernel's random number of the boot; zero where it is unknown, which equals no boot.
    pub boot: [u8; 16],
    /// Device of `STORE`.
    pub device: u64,
    /// Inode of `STORE`.
    pub inode: u64,
    /// Random number of the session, also in `shared`.
    pub session: u64,
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: [u8; 8],
    generation: U64,
    sequence: U64,
    epoch: U64,
    features: Features,
    flags: U32,
    active: U32,
    head: U64,
    next_body: U64,
    next_chunk: U32,
    next_type: U32,
    chunk_count: U64,
    chunk_checksum: U64,
    boot: [u8; 16],
    device: U64,
    inode: U64,
    session: U64,
    journal_position: U64,
    dropped: RawDropped,
    reserved: [u8; 92],
    checksum: U32,
}

const _: () = assert!(
    offset_of!(Raw, features) == 32
        && offset_of!(Raw, flags) == 56
        && offset_of!(Raw, head) == 64
        && offset_of!(Raw, next_chunk) == 80
        && offset_of!(Raw, chunk_count) == 88
        && offset_of!(Raw, boot) == 104
        && offset_of!(Raw, session) == 136
        && offset_of!(Raw, journal_position) == 144
        && offset_of!(Raw, dropped) == 152
        && offset_of!(Raw, reserved) == 416
        && offset_of!(Raw, checksum) == 508
);

impl Sector for Raw {
    const SEED: &'static [u8] = b"checkpoint";
}

impl Checkpoint {
    /// The first sector of a checkpoint slot.
    pub(crate) fn encode(&self) -> [u8; 512] {
        Raw {
            magic: MAGIC,
            generation: self.generation.into(),
            sequence: self.sequence.into(),
            epoch: self.epoch.into(),
            features: self.features,
            flags: if self.clean { CLEAN } else { 0 }.into(),
            active: self.active.0.into(),
            head: self.head.into(),
            next_body: self.next_body.into(),
            next_chunk: self.next_chunk.into(),
            next_type: self.next_type.into(),
            chunk_count: self.chunks.count.into(),
            chunk_checksum: self.chunks.checksum.into(),
            boot: self.evidence.boot,
            device: self.evidence.device.into(),
            inode: self.evidence.inode.into(),
            session: self.evidence.session.into(),
            journal_position: U64::ZERO,
            dropped: self.dropped.encode(),
            reserved: [0; 92],
            checksum: U32::ZERO,
        }
        .to_sector()
    }

    /// The checkpoint in a slot; `None` when it is damaged or was never written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let raw = Raw::from_sector(bytes).filter(|raw| raw.magic == MAGIC)?;
        Some(Self {
            generation: raw.generation.get(),
            sequence: raw.sequence.get(),
            epoch: raw.epoch.get(),
            clean: raw.flags.get() & CLEAN != 0,
            features: raw.features,
            active: ChunkId(raw.active.get()),
            head: raw.head.get(),
            next_chunk: raw.next_chunk.get(),
            next_body: raw.next_body.get(),
            next_type: raw.next_type.get(),
            chunks: ChunkNumbers { count: raw.chunk_count.get(), checksum: raw.chunk_checksum.get() },
            dropped: DroppedChunks::decode(&raw.dropped)?,
            evidence: Evidence {
                boot: raw.boot,
                device: raw.device.get(),
                inode: raw.inode.get(),
                session: raw.session.get(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_and_any_flipped_bit_is_noticed() {
        let checkpoint = Checkpoint {
            generation: 1,
            sequence: 2,
            epoch: 3,
            clean: true,
            features: Features { compat: 4.into(), ro_compat: 5.into(), incompat: 6.into() },
            active: ChunkId(7),
            head: 8,
            next_chunk: 9,
            next_body: 10,
            next_type: 11,
            chunks: [ChunkId(1), ChunkId(2)].into_iter().collect(),
            dropped: DroppedChunks::new(&[ChunkId(3)].into()).unwrap(),
            evidence: Evidence { boot: [12; 16], device: 13, inode: 14, session: 15 },
        };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        for bit in 0..512 * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Checkpoint::decode(&bytes), None, "bit {bit}");
        }
        assert_eq!(Checkpoint::decode(&[0; 512]), None);
        let unclean = Checkpoint { clean: false, ..checkpoint };
        assert_eq!(Checkpoint::decode(&unclean.encode()), Some(unclean));
    }

    #[test]
    fn chunk_numbers_tell_sets_apart_whatever_their_order() {
        let sum = |chunks: &[u32]| chunks.iter().map(|&chunk| ChunkId(chunk)).collect::<ChunkNumbers>();
        assert_eq!(sum(&[1, 2, 3]), sum(&[3, 1, 2]));
        assert_eq!((sum(&[]).count, sum(&[1, 2, 3]).count), (0, 3));
        assert_ne!(sum(&[1, 2, 3]), sum(&[1, 2, 4]));
        assert_ne!(sum(&[1, 2]), sum(&[1, 2, 3]));
    }
}
