//! The header pages of chunks and bodies: an identity sector, written once, and a seal sector.

use std::mem::offset_of;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BodyNumber, ChunkId, FORMAT_VERSION, Features, Sector};

const CHUNK_MAGIC: [u8; 8] = *b"SCCHUNK\x01";
const BODY_MAGIC: [u8; 8] = *b"SCBODY\0\x01";
const SEAL_MAGIC: [u8; 8] = *b"SCSEAL\0\x01";
const BODY_SEAL_MAGIC: [u8; 8] = *b"SCSEALB\x01";

/// Sector 0 of a chunk: which chunk of which store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkIdentity {
    /// The store it belongs to.
    pub store: [u8; 16],
    /// Its number.
    pub chunk: ChunkId,
    /// log2 of the store's chunk capacity.
    pub capacity_log2: u8,
    /// Size of this file, in bytes.
    pub file_bytes: u64,
    /// What the store uses beyond the basic format.
    pub features: Features,
    /// When it was created, in nanoseconds since 1970.
    pub created: u64,
}

/// Sector 0 of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyIdentity {
    /// The store it belongs to.
    pub store: [u8; 16],
    /// Its number.
    pub number: BodyNumber,
    /// Size of the payload, which begins at byte 4,096, in bytes.
    pub payload_bytes: u64,
    /// When it was created, in nanoseconds since 1970.
    pub created: u64,
}

/// Sector 1 of a chunk: it is full. Counts only in chunks before the checkpoint's active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    /// The epoch in which it was sealed.
    pub epoch: u64,
    /// End of its records, in bytes.
    pub head: u64,
    /// Sequence of its first record; above `last_sequence` when it has none.
    pub first_sequence: u64,
    /// Sequence of its last record.
    pub last_sequence: u64,
}

/// Sector 1 of a body: the checksum of its payload. Counts only where the record that points to the body is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodySeal {
    /// Of the payload, as [`RecordSeed::payload_checksum`](super::RecordSeed::payload_checksum) has it.
    pub payload_checksum: u32,
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIdentity {
    magic: [u8; 8],
    format_version: U32,
    capacity_log2: u8,
    reserved0: [u8; 3],
    store: [u8; 16],
    number: U64,
    bytes: U64,
    created: U64,
    features: Features,
    reserved: [u8; 428],
    checksum: U32,
}

const _: () = assert!(
    offset_of!(RawIdentity, store) == 16
        && offset_of!(RawIdentity, number) == 32
        && offset_of!(RawIdentity, created) == 48
        && offset_of!(RawIdentity, features) == 56
        && offset_of!(RawIdentity, checksum) == 508
);

impl Sector for RawIdentity {
    const SEED: &'static [u8] = b"file";
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSeal {
    magic: [u8; 8],
    epoch: U64,
    head: U64,
    first_sequence: U64,
    last_sequence: U64,
    chunk: U64,
    store: [u8; 16],
    reserved: [u8; 444],
    checksum: U32,
}

const _: () = assert!(offset_of!(RawSeal, store) == 48 && offset_of!(RawSeal, checksum) == 508);

impl Sector for RawSeal {
    const SEED: &'static [u8] = b"seal";
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawBodySeal {
    magic: [u8; 8],
    number: U64,
    store: [u8; 16],
    payload_checksum: U32,
    reserved: [u8; 472],
    checksum: U32,
}

const _: () =
    assert!(offset_of!(RawBodySeal, payload_checksum) == 32 && offset_of!(RawBodySeal, checksum) == 508);

impl Sector for RawBodySeal {
    const SEED: &'static [u8] = b"sealed";
}

impl ChunkIdentity {
    /// The bytes of sector 0.
    pub(crate) fn encode(&self) -> [u8; 512] {
        RawIdentity {
            magic: CHUNK_MAGIC,
            format_version: FORMAT_VERSION.into(),
            capacity_log2: self.capacity_log2,
            reserved0: [0; 3],
            store: self.store,
            number: u64::from(self.chunk.0).into(),
            bytes: self.file_bytes.into(),
            created: self.created.into(),
            features: self.features,
            reserved: [0; 428],
            checksum: U32::ZERO,
        }
        .to_sector()
    }

    /// The identity in sector 0; `None` when it is damaged, or of a version that is not known.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let raw = decode_identity(bytes, CHUNK_MAGIC)?;
        Some(Self {
            store: raw.store,
            chunk: ChunkId(raw.number.get().try_into().ok()?),
            capacity_log2: raw.capacity_log2,
            file_bytes: raw.bytes.get(),
            features: raw.features,
            created: raw.created.get(),
        })
    }
}

impl BodyIdentity {
    /// The bytes of sector 0.
    pub(crate) fn encode(&self) -> [u8; 512] {
        RawIdentity {
            magic: BODY_MAGIC,
            format_version: FORMAT_VERSION.into(),
            capacity_log2: 0,
            reserved0: [0; 3],
            store: self.store,
            number: self.number.0.into(),
            bytes: self.payload_bytes.into(),
            created: self.created.into(),
            features: Features::default(),
            reserved: [0; 428],
            checksum: U32::ZERO,
        }
        .to_sector()
    }

    /// The identity in sector 0; `None` when it is damaged, or of a version that is not known.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let raw = decode_identity(bytes, BODY_MAGIC)?;
        Some(Self {
            store: raw.store,
            number: BodyNumber(raw.number.get()),
            payload_bytes: raw.bytes.get(),
            created: raw.created.get(),
        })
    }
}

fn decode_identity(bytes: &[u8], magic: [u8; 8]) -> Option<RawIdentity> {
    RawIdentity::from_sector(bytes)
        .filter(|raw| raw.magic == magic && raw.format_version.get() == FORMAT_VERSION)
}

impl Seal {
    /// The bytes of sector 1 of `chunk` of `store`.
    pub(crate) fn encode(&self, store: [u8; 16], chunk: ChunkId) -> [u8; 512] {
        RawSeal {
            magic: SEAL_MAGIC,
            epoch: self.epoch.into(),
            head: self.head.into(),
            first_sequence: self.first_sequence.into(),
            last_sequence: self.last_sequence.into(),
            chunk: u64::from(chunk.0).into(),
            store,
            reserved: [0; 444],
            checksum: U32::ZERO,
        }
        .to_sector()
    }

    /// The seal in sector 1; `None` when there is none for this chunk of this store.
    pub(crate) fn decode(bytes: &[u8], store: [u8; 16], chunk: ChunkId) -> Option<Self> {
        let raw = RawSeal::from_sector(bytes).filter(|raw| {
            raw.magic == SEAL_MAGIC && raw.store == store && raw.chunk.get() == u64::from(chunk.0)
        })?;
        Some(Self {
            epoch: raw.epoch.get(),
            head: raw.head.get(),
            first_sequence: raw.first_sequence.get(),
            last_sequence: raw.last_sequence.get(),
        })
    }
}

impl BodySeal {
    /// The bytes of sector 1 of a body of `store`.
    pub(crate) fn encode(self, store: [u8; 16], number: BodyNumber) -> [u8; 512] {
        RawBodySeal {
            magic: BODY_SEAL_MAGIC,
            number: number.0.into(),
            store,
            payload_checksum: self.payload_checksum.into(),
            reserved: [0; 472],
            checksum: U32::ZERO,
        }
        .to_sector()
    }

    /// The seal in sector 1; `None` when there is none for this body of this store.
    pub(crate) fn decode(bytes: &[u8], store: [u8; 16], number: BodyNumber) -> Option<Self> {
        let raw = RawBodySeal::from_sector(bytes).filter(|raw| {
            raw.magic == BODY_SEAL_MAGIC && raw.store == store && raw.number.get() == number.0
        })?;
        Some(Self { payload_checksum: raw.payload_checksum.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seal_of_a_body_counts_only_for_its_own_body_and_store() {
        let seal = BodySeal { payload_checksum: 3 };
        let bytes = seal.encode([5; 16], BodyNumber(6));
        assert_eq!(BodySeal::decode(&bytes, [5; 16], BodyNumber(6)), Some(seal));
        assert_eq!(BodySeal::decode(&bytes, [5; 16], BodyNumber(7)), None);
        assert_eq!(BodySeal::decode(&bytes, [4; 16], BodyNumber(6)), None);
        assert_eq!(Seal::decode(&bytes, [5; 16], ChunkId(6)), None);
    }

    #[test]
    fn identities_come_back_and_are_not_taken_for_each_other() {
        let chunk = ChunkIdentity {
            store: [1; 16],
            chunk: ChunkId(2),
            capacity_log2: 20,
            file_bytes: 1 << 20,
            features: Features::default(),
            created: 4,
        };
        let body = BodyIdentity { store: [1; 16], number: BodyNumber(2), payload_bytes: 3, created: 4 };
        assert_eq!(ChunkIdentity::decode(&chunk.encode()), Some(chunk));
        assert_eq!(BodyIdentity::decode(&body.encode()), Some(body));
        assert_eq!(BodyIdentity::decode(&chunk.encode()), None);
        assert_eq!(ChunkIdentity::decode(&body.encode()), None);
    }

    #[test]
    fn a_seal_counts_only_for_its_own_chunk_and_store() {
        let seal = Seal { epoch: 1, head: 2, first_sequence: 3, last_sequence: 4 };
        let bytes = seal.encode([5; 16], ChunkId(6));
        assert_eq!(Seal::decode(&bytes, [5; 16], ChunkId(6)), Some(seal));
        assert_eq!(Seal::decode(&bytes, [5; 16], ChunkId(7)), None);
        assert_eq!(Seal::decode(&bytes, [4; 16], ChunkId(6)), None);
    }
}
