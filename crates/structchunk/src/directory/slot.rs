//! What one 8-byte slot says: a tag of 16 bits, and a location of 48.
//!
//! The tag tells entries apart without a look at their records, and carries what a split needs to know about the
//! hash, so that splitting reads hardly any records either:
//!
//! | bits | field |
//! | --- | --- |
//! | 62..64 | kind: 0 empty, 1 deleted, 2 and 3 an entry whose base is even or odd |
//! | 60..62 | how many lines behind its home line the entry lies; 3 is "3 or more" |
//! | 48..60 | window: the 12 bits of the hash that begin with bit `4 * base`, counted from the top |
//! | 0..48 | location |
//!
//! An entry is made with base `depth / 4` of its segment, and keeps its tag while the segment is split: every base in
//! a segment is `depth / 4` or one less, which its parity tells. When a split would break that, the records of the few
//! entries that old (a sixteenth) are read, and they get a later window.

use crate::format::Location;

/// A slot that was never used, or through which no probe path leads on.
pub(super) const EMPTY: u64 = 0;
/// A slot that may be used again but does not end a probe path.
pub(super) const DELETED: u64 = 1 << KIND_AT;

/// Where the tag begins.
pub(super) const TAG_AT: u32 = Location::BITS;
const LOCATION_MASK: u64 = (1 << TAG_AT) - 1;
const KIND_AT: u32 = 62;
const ENTRY: u64 = 2;
const STEPS_AT: u32 = 60;
const MAX_STEPS: u64 = 3;
const WINDOW_BITS: u32 = STEPS_AT - TAG_AT;
const BITS_PER_BASE: u32 = if cfg!(loom) { 1 } else { 4 };

/// The base of new entries in a segment of this depth.
#[inline]
fn base(depth: u32) -> u32 {
    depth / BITS_PER_BASE
}

#[inline]
fn kind(base: u32) -> u64 {
    ENTRY | u64::from(base & 1)
}

/// The 16 tag bits, in place, of an entry in its home line.
#[inline]
fn tag(hash: u64, base: u32) -> u64 {
    // (No base is that large, but what a damaged table says is asked for, too.)
    let window = hash.wrapping_shl(base * BITS_PER_BASE) >> (u64::BITS - WINDOW_BITS);
    kind(base) << KIND_AT | window << TAG_AT
}

/// A new entry for `hash`, still without location, in a segment of this depth, so many lines behind its home line.
#[inline]
pub(super) fn new_entry(hash: u64, depth: u32, steps: u64) -> u64 {
    tag(hash, base(depth)) | steps.min(MAX_STEPS) << STEPS_AT
}

/// The location in a slot; `None` when it is empty or deleted.
#[inline]
pub(super) fn location(slot: u64) -> Option<Location> {
    Location::new(slot & LOCATION_MASK)
}

/// The same entry at another location.
#[inline]
pub(super) fn with_location(slot: u64, location: Location) -> u64 {
    slot & !LOCATION_MASK | location.get()
}

/// The same entry at another distance from its home line.
pub(super) fn with_steps(slot: u64, steps: u64) -> u64 {
    slot & !(MAX_STEPS << STEPS_AT) | steps.min(MAX_STEPS) << STEPS_AT
}

/// How many lines behind its home line the entry lies; `None` when its record must be asked.
pub(super) fn steps(slot: u64) -> Option<u64> {
    let steps = slot >> STEPS_AT & MAX_STEPS;
    (steps < MAX_STEPS).then_some(steps)
}

/// The base of an entry in a segment of this depth; `None` when it can have none.
fn base_of(slot: u64, depth: u32) -> Option<u32> {
    let newer = base(depth);
    if slot >> KIND_AT == kind(newer) { Some(newer) } else { newer.checked_sub(1) }
}

/// Whether the tag will say nothing any more when a segment of this depth is split.
pub(super) fn expires(slot: u64, depth: u32) -> bool {
    base(depth) != base(depth + 1) && base_of(slot, depth) != Some(base(depth))
}

/// The hash bit of an entry that decides where it goes when its segment, of this depth, is split.
pub(super) fn split_bit(slot: u64, depth: u32) -> bool {
    let within = base_of(slot, depth).map_or(0, |base| depth - base * BITS_PER_BASE);
    slot >> (STEPS_AT - 1 - within) & 1 == 1
}

/// The two tags that an entry for a hash may have in a segment, of the newer base and of the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    tags: [u16; 2],
}

impl Query {
    #[inline]
    pub(super) fn new(hash: u64, depth: u32) -> Self {
        let base = base(depth);
        // Both windows at once, the older one a few bits ahead. (There is no base before the first, and no entry that has its tag.)
        let windows = hash.rotate_left((base * BITS_PER_BASE).wrapping_sub(BITS_PER_BASE))
            >> (u64::BITS - WINDOW_BITS - BITS_PER_BASE);
        let tag = |base: u32, window: u64| (kind(base) << KIND_AT >> TAG_AT | window) as u16;
        let newer = tag(base, windows & ((1 << WINDOW_BITS) - 1));
        Self { tags: [newer, tag(base ^ 1, windows >> BITS_PER_BASE)] }
    }

    /// The two tags, so many lines behind the home line.
    #[inline]
    pub(super) fn tags(self, steps: u64) -> [u16; 2] {
        let steps = (steps.min(MAX_STEPS) << STEPS_AT >> TAG_AT) as u16;
        self.tags.map(|tag| tag | steps)
    }

    /// Whether a slot so many lines behind the home line may hold the entry.
    #[cfg(all(test, not(loom)))]
    pub(super) fn matches(self, slot: u64, steps: u64) -> bool {
        self.tags(steps).contains(&((slot >> TAG_AT) as u16))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_slot_matches_its_hash_and_tells_its_next_bit_until_it_expires(
            hash: u64, depth in 0..28_u32, steps in 0..32_u64, at in 1..1_u64 << 48,
        ) {
            let place = Location::new(at).unwrap();
            let slot = with_location(new_entry(hash, depth, steps), place);
            prop_assert_eq!(location(slot), Some(place));
            prop_assert_eq!(super::steps(slot), (steps < 3).then_some(steps));
            prop_assert!(Query::new(hash, depth).matches(with_steps(slot, steps + 1), steps + 1));
            let mut later = depth;
            loop {
                prop_assert!(Query::new(hash, later).matches(slot, steps));
                prop_assert_eq!(split_bit(slot, later), hash >> (63 - later) & 1 == 1);
                if expires(slot, later) {
                    break;
                }
                later += 1;
            }
            prop_assert_eq!(later - depth, 7 - depth % 4);
        }

        #[test]
        fn another_window_or_distance_does_not_match(
            hash: u64, depth in 0..4_u32, bit in 0..12_u32, at in 1..1_u64 << 48,
        ) {
            let slot = with_location(new_entry(hash, depth, 1), Location::new(at).unwrap());
            prop_assert!(!Query::new(hash ^ 1 << (63 - bit), depth).matches(slot, 1));
            prop_assert!(!Query::new(hash, depth).matches(slot, 0));
        }
    }

    #[test]
    fn neither_empty_nor_deleted_slots_match_anything() {
        for hash in [0, 1, DELETED, 1 << 53, u64::MAX] {
            for depth in 0..28 {
                assert!(!Query::new(hash, depth).tags(0).map(u64::from).contains(&(EMPTY >> TAG_AT)));
                assert!(!Query::new(hash, depth).tags(0).map(u64::from).contains(&(DELETED >> TAG_AT)));
            }
        }
    }
}
