//! Block 3 of `STORE`: the session block, which holds the poison mark.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Sector;

const MAGIC: [u8; 8] = *b"SCPOISN\x01";

/// "A sync of this session failed: do not believe the page cache." A block without a valid mark is no mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoisonMark {
    /// The session that was poisoned.
    pub session: u64,
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: [u8; 8],
    session: U64,
    reserved: [u8; 492],
    checksum: U32,
}

impl Sector for Raw {
    const SEED: &'static [u8] = b"poison";
}

impl PoisonMark {
    /// The first sector of the session block.
    pub(crate) fn encode(self) -> [u8; 512] {
        Raw { magic: MAGIC, session: self.session.into(), reserved: [0; 492], checksum: U32::ZERO }
            .to_sector()
    }

    /// The mark in the session block.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let raw = Raw::from_sector(bytes).filter(|raw| raw.magic == MAGIC)?;
        Some(Self { session: raw.session.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::PoisonMark;

    #[test]
    fn a_mark_comes_back_and_an_empty_block_is_none() {
        assert_eq!(PoisonMark::decode(&PoisonMark { session: 3 }.encode()), Some(PoisonMark { session: 3 }));
        assert_eq!(PoisonMark::decode(&[0; 512]), None);
    }
}
