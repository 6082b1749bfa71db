//! Bytes <-> meaning. No I/O and no unsafe: every structure on disk is parsed here, once, and behind these doors no second
//! check is needed. `FORMAT.md` says the same for people.

mod checkpoint;
mod chunk_page;
mod dropped;
mod extension;
mod extern_payload;
mod features;
pub mod hostile;
mod identity;
mod index;
mod location;
mod names;
mod record;
mod sector;
mod session;

pub(crate) use checkpoint::{Checkpoint, ChunkNumbers, Evidence};
pub(crate) use chunk_page::{BodyIdentity, BodySeal, ChunkIdentity, Seal};
pub(crate) use dropped::DroppedChunks;
pub(crate) use extension::{Extension, MAX_DIMENSIONS};
pub(crate) use extern_payload::ExternPayload;
pub(crate) use features::Features;
pub(crate) use identity::{IdentityError, StoreIdentity};
#[cfg(feature = "leveldb")]
pub(crate) use index::MARK_KEY;
pub(crate) use index::{IndexMark, IndexValue};
pub(crate) use location::{CAPACITY_LOG2, ChunkId, Geometry, Location};
pub(crate) use names::{BodyNumber, FileName};
pub(crate) use record::{
    Flags, HEADER_BYTES, Kind, Placement, RECORD_ALIGN, RecordHeader, RecordSeed, Usual,
};
pub(crate) use sector::{SECTOR_BYTES, Sector};
pub(crate) use session::PoisonMark;

/// Size of the header page of chunks and bodies, and of each block of `STORE`, in bytes.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// The format version that this code writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Sequences have 48 bits.
pub(crate) const MAX_SEQUENCE: u64 = (1 << 48) - 1;

/// Rounds `value` up to a multiple of `align`, a power of two; saturates instead of wrapping.
pub(crate) const fn align_up(value: u64, align: u64) -> u64 {
    value.saturating_add(align - 1) & !(align - 1)
}

/// Rounds `value` down to a multiple of `align`, a power of two.
pub(crate) const fn align_down(value: u64, align: u64) -> u64 {
    value & !(align - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_goes_to_the_next_multiple_and_stays_in_range() {
        assert_eq!([0, 1, 16, 17].map(|value| align_up(value, 16)), [0, 16, 16, 32]);
        assert_eq!([0, 1, 16, 47].map(|value| align_down(value, 16)), [0, 0, 16, 32]);
        assert_eq!(align_up(u64::MAX, 16), u64::MAX - 15);
        assert_eq!(MAX_SEQUENCE, 0xffff_ffff_ffff);
    }
}
