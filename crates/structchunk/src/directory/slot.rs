//! What one 8-byte slot says: a tag of 16 bits, and a location of 48.
//!
//! The tag tells entries apart without a look at their records, and carries what a split needs to know about the
//! hash, so that splitting reads no records either:
//!
//! | bits | field |
//! | --- | --- |
//! | 61..64 | base: the window begins at hash bit `4 * base`, counted from the top |
//! | 59..61 | how many lines behind its home line the entry lies; 3 is "3 or more" |
//! | 48..59 | window: 11 bits of the hash |
//! | 0..48 | location |
//!
//! An entry is made with the base of its segment's depth then, and keeps its tag for ever: the tag is a function of
//! the hash and of the tag's own first five bits. Only after seven or more splits is the window used up; then the
//! record is read once and the entry gets a tag with a later window.

use crate::format::Location;

/// A slot that was never used, or through which no probe path leads on.
pub(super) const EMPTY: u64 = 0;
/// A slot that may be used again but does not end a probe path. (No location, and not `EMPTY`.)
pub(super) const DELETED: u64 = 1 << TAG_AT;

const TAG_AT: u32 = Location::BITS;
const LOCATION_MASK: u64 = (1 << TAG_AT) - 1;
const BASE_AT: u32 = 61;
const STEPS_AT: u32 = 59;
const MAX_STEPS: u64 = 3;
const WINDOW_BITS: u32 = STEPS_AT - TAG_AT;
const BITS_PER_BASE: u32 = 4;

/// The 16 tag bits, in place, of `hash` in an entry with this base and this many lines from home.
#[inline]
fn tag(hash: u64, base: u64, steps: u64) -> u64 {
    let window = (hash << (base as u32 * BITS_PER_BASE)) >> (u64::BITS - WINDOW_BITS);
    base << BASE_AT | steps.min(MAX_STEPS) << STEPS_AT | window << TAG_AT
}

/// A new entry for `hash`, still without location, in a segment of this depth, so many lines behind its home line.
#[inline]
pub(super) fn new_entry(hash: u64, depth: u32, steps: u64) -> u64 {
    tag(hash, u64::from(depth / BITS_PER_BASE), steps)
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

/// Whether a slot `steps` lines behind the home line of `hash` may hold its entry.
#[inline]
pub(super) fn matches(slot: u64, hash: u64, steps: u64) -> bool {
    (slot ^ tag(hash, slot >> BASE_AT, steps)) <= LOCATION_MASK && slot & LOCATION_MASK != 0
}

/// How many lines behind its home line the entry lies; `None` when its record must be asked.
pub(super) fn steps(slot: u64) -> Option<u64> {
    let steps = slot >> STEPS_AT & MAX_STEPS;
    (steps < MAX_STEPS).then_some(steps)
}

/// Bit number `depth` (from the top) of the entry's hash; `None` when its record must be asked.
pub(super) fn hash_bit(slot: u64, depth: u32) -> Option<bool> {
    let first = (slot >> BASE_AT) as u32 * BITS_PER_BASE;
    let within = depth.checked_sub(first).filter(|&within| within < WINDOW_BITS)?;
    Some(slot >> (STEPS_AT - 1 - within) & 1 == 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_slot_matches_its_hash_and_tells_its_bits(
            hash: u64, depth in 0..=28_u32, later in 0..=28_u32, steps in 0..32_u64, at in 1..1_u64 << 48,
        ) {
            let place = Location::new(at).unwrap();
            let slot = with_location(new_entry(hash, depth, steps), place);
            prop_assert_eq!(location(slot), Some(place));
            prop_assert!(matches(slot, hash, steps));
            prop_assert_eq!(super::steps(slot), (steps < 3).then_some(steps));
            if let Some(bit) = hash_bit(slot, later) {
                prop_assert_eq!(bit, hash >> (63 - later) & 1 == 1);
            }
            prop_assert_eq!(hash_bit(slot, depth), Some(hash >> (63 - depth) & 1 == 1));
            prop_assert_eq!(hash_bit(slot, depth + 8).is_some(), depth % 4 + 8 < 11);
            prop_assert!(matches(with_steps(slot, steps + 1), hash, steps + 1));
        }

        #[test]
        fn another_window_or_distance_does_not_match(hash: u64, bit in 0..11_u32, at in 1..1_u64 << 48) {
            let slot = with_location(new_entry(hash, 0, 1), Location::new(at).unwrap());
            prop_assert!(!matches(slot, hash ^ 1 << (63 - bit), 1));
            prop_assert!(!matches(slot, hash, 0));
        }
    }

    #[test]
    fn neither_empty_nor_deleted_slots_match_anything() {
        for hash in [0, 1, DELETED, 1 << 53, u64::MAX] {
            assert!(!matches(EMPTY, hash, 0));
            assert!(!matches(DELETED, hash, 0));
        }
    }
}
