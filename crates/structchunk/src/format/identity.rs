//! Block 0 of `STORE`: what a store is, written once.

use std::mem::offset_of;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{FORMAT_VERSION, Geometry, Sector};

const MAGIC: [u8; 8] = *b"STRCHNK\x01";

/// Written in the byte order of the machine: objects are stored as they lie in memory.
const BYTE_ORDER: u32 = 0x0102_0304;

/// What a store is. Written once, when it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreIdentity {
    /// Tells this store from all others.
    pub uuid: [u8; 16],
    /// Chunk capacity.
    pub geometry: Geometry,
    /// Keys the hash of the directory, so that nobody can prepare colliding keys.
    pub hash_seed: u64,
    /// When the store was created, in nanoseconds since 1970.
    pub created: u64,
}

/// Why block 0 is not the identity of a store that this version can open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdentityError {
    /// Not a store at all, or damaged.
    NotAStore(&'static str),
    /// A store, but not for this version or machine.
    Unsupported(String),
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: [u8; 8],
    format_version: U32,
    byte_order: [u8; 4],
    uuid: [u8; 16],
    hash_seed: U64,
    created: U64,
    capacity_log2: u8,
    reserved: [u8; 459],
    checksum: U32,
}

const _: () = assert!(
    offset_of!(Raw, uuid) == 16
        && offset_of!(Raw, hash_seed) == 32
        && offset_of!(Raw, created) == 40
        && offset_of!(Raw, capacity_log2) == 48
        && offset_of!(Raw, checksum) == 508
);

impl Sector for Raw {
    const SEED: &'static [u8] = b"identity";
}

impl StoreIdentity {
    /// The first sector of `STORE`.
    #[expect(clippy::host_endian_bytes, reason = "the mark is there to show the host's byte order")]
    pub(crate) fn encode(&self) -> [u8; 512] {
        Raw {
            magic: MAGIC,
            format_version: FORMAT_VERSION.into(),
            byte_order: BYTE_ORDER.to_ne_bytes(),
            uuid: self.uuid,
            hash_seed: self.hash_seed.into(),
            created: self.created.into(),
            capacity_log2: self.geometry.capacity_log2(),
            reserved: [0; 459],
            checksum: U32::ZERO,
        }
        .to_sector()
    }

    /// The identity in the first sector of `STORE`.
    #[expect(clippy::host_endian_bytes, reason = "the mark is there to show the host's byte order")]
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IdentityError> {
        if bytes.get(..8) != Some(&MAGIC) {
            return Err(IdentityError::NotAStore("STORE does not begin with the magic number"));
        }
        let raw = Raw::from_sector(bytes).ok_or(IdentityError::NotAStore(
            "the checksum of STORE's identity is wrong; rebuild makes a new one from the chunks",
        ))?;
        if raw.format_version.get() != FORMAT_VERSION {
            return Err(IdentityError::Unsupported(format!("format version {}", raw.format_version)));
        }
        if raw.byte_order != BYTE_ORDER.to_ne_bytes() {
            return Err(IdentityError::Unsupported(
                "it was written on a machine of another byte order".into(),
            ));
        }
        let geometry = Geometry::new(raw.capacity_log2)
            .ok_or_else(|| IdentityError::Unsupported(format!("chunks of 2^{} bytes", raw.capacity_log2)))?;
        Ok(Self { uuid: raw.uuid, geometry, hash_seed: raw.hash_seed.get(), created: raw.created.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> StoreIdentity {
        StoreIdentity { uuid: [7; 16], geometry: Geometry::new(20).unwrap(), hash_seed: 5, created: 9 }
    }

    #[test]
    fn an_identity_comes_back_and_any_flipped_bit_is_noticed() {
        let bytes = identity().encode();
        assert_eq!(StoreIdentity::decode(&bytes), Ok(identity()));
        for bit in 0..512 * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(StoreIdentity::decode(&bytes).is_err(), "bit {bit}");
        }
        assert!(StoreIdentity::decode(&bytes[..100]).is_err());
    }

    #[test]
    fn another_version_and_another_byte_order_are_told_from_damage() {
        let mut raw = Raw::read_from_bytes(&identity().encode()).unwrap();
        raw.format_version = 2.into();
        assert!(
            matches!(StoreIdentity::decode(&raw.to_sector()), Err(IdentityError::Unsupported(what)) if what.contains('2'))
        );
        raw.format_version = 1.into();
        raw.byte_order.reverse();
        assert!(
            matches!(StoreIdentity::decode(&raw.to_sector()), Err(IdentityError::Unsupported(what)) if what.contains("byte order"))
        );
    }
}
