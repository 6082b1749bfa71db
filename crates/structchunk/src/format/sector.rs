//! Checksummed 512-byte sectors: what a disk writes whole or not at all.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size of a sector, in bytes.
pub(crate) const SECTOR_BYTES: usize = 512;

/// A 512-byte structure whose last four bytes are a checksum of the others, seeded with `SEED` so that no sector is taken for
/// one of another sort.
pub(crate) trait Sector: FromBytes + IntoBytes + Immutable + KnownLayout + Clone {
    /// What this sort of sector mixes into its checksum.
    const SEED: &'static [u8];

    /// The bytes to write, with their checksum.
    fn to_sector(&self) -> [u8; SECTOR_BYTES] {
        const { assert!(size_of::<Self>() == SECTOR_BYTES) };
        let mut bytes = [0; SECTOR_BYTES];
        bytes.copy_from_slice(self.as_bytes());
        let sum = checksum(Self::SEED, &bytes);
        bytes[SECTOR_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The structure in `bytes`; `None` unless the checksum holds.
    fn from_sector(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SECTOR_BYTES)?;
        let stored = bytes.last_chunk::<4>()?;
        if checksum(Self::SEED, bytes).to_le_bytes() != *stored {
            return None;
        }
        Self::read_from_bytes(bytes).ok()
    }
}

fn checksum(seed: &[u8], bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(seed), &bytes[..SECTOR_BYTES - 4])
}
