//! The objects that every engine gets: 64-byte structs under 16-byte random keys, both made from a number.

use structchunk::Object;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Object, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Particle {
    /// Its number: whoever reads it can tell that it is the right one.
    pub number: u64,
    /// The field that is changed in place.
    pub counter: u64,
    position: [f64; 3],
    velocity: [f64; 3],
}

/// The key of a particle.
pub type Key = [u8; 16];

impl Particle {
    /// The particle with this number.
    pub fn new(number: u64) -> Self {
        Self { number, counter: 0, position: [1.5; 3], velocity: [0.25; 3] }
    }
}

/// The key of the particle with this number. Two numbers have two keys, and their order says nothing about the numbers'.
#[inline]
pub fn key(number: u64) -> Key {
    let [low, high] = [mix(number), mix(number ^ 0x5bd1_e995_0000_0000)];
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

/// So many particles have a prefix in common.
pub const GROUP: u64 = 100;

/// What the keys of a group begin with.
#[inline]
pub fn prefix(group: u64) -> [u8; 8] {
    mix(group ^ 0x70_7265_6669_7800).to_be_bytes()
}

/// How groups came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// All of them grew, a particle at a time: those of one group come far from each other.
    SideBySide,
    /// One was there before the next: those of one group come one after the other.
    OneByOne,
}

/// The particles of so many groups, and their keys.
pub fn grouped(groups: u64, growth: Growth) -> impl Iterator<Item = (Key, Particle)> {
    (0..groups * GROUP).map(move |index| {
        let (group, member) = match growth {
            Growth::SideBySide => (index % groups, index / groups),
            Growth::OneByOne => (index / GROUP, index % GROUP),
        };
        let number = number_in_group(group, member);
        let mut key = Key::default();
        key[..8].copy_from_slice(&prefix(group));
        key[8..].copy_from_slice(&mix(number).to_be_bytes());
        (key, Particle::new(number))
    })
}

/// What the numbers of a group's particles add up to.
pub fn sum_of_group(group: u64) -> u64 {
    (0..GROUP).map(|member| number_in_group(group, member)).sum()
}

fn number_in_group(group: u64, member: u64) -> u64 {
    group * GROUP + member
}

/// The first eight bytes of a key, as a number: whoever has it has looked at the key.
#[inline]
pub fn first_word(key: &[u8]) -> Result<u64, &'static str> {
    key.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or("a key is too short")
}

/// The next number of a chain of look-ups: known only when the particle before it was read. The number of the step keeps the
/// chain from running in a circle, which it would soon find otherwise.
#[inline]
pub fn next_in_chain(step: u64, read: u64, count: u64) -> u64 {
    scale(mix(step.rotate_left(32) ^ read), count)
}

/// `count` random numbers below `below`.
pub fn random_numbers(seed: u64, count: u64, below: u64) -> Vec<u32> {
    (0..count).map(|index| scale(mix(seed << 40 ^ index), below) as u32).collect()
}

/// The numbers below `count`, each once, in random order.
pub fn shuffled(seed: u64, count: u64) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    for left in (1..count).rev() {
        numbers.swap(left as usize, scale(mix(seed << 40 ^ left), left + 1) as usize);
    }
    numbers
}

/// A random word, scaled to `0..count`.
#[inline]
pub fn scale(random: u64, count: u64) -> u64 {
    ((u128::from(random) * u128::from(count)) >> 64) as u64
}

/// Spreads a number over all bits, one to one (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[inline]
pub fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::Growth::{OneByOne, SideBySide};
    use super::{GROUP, grouped, prefix, shuffled, sum_of_group};

    #[test]
    fn a_group_has_a_prefix_and_a_hundred_keys_of_its_own_however_it_grew() {
        for growth in [SideBySide, OneByOne] {
            let mut sums = BTreeMap::<_, (u64, u64)>::new();
            let mut keys = BTreeSet::new();
            for (key, particle) in grouped(7, growth) {
                assert!(keys.insert(key));
                let (count, sum) = sums.entry(key[..8].try_into().unwrap()).or_default();
                (*count, *sum) = (*count + 1, *sum + particle.number);
            }
            let expected = (0..7).map(|group| (prefix(group), (GROUP, sum_of_group(group)))).collect();
            assert_eq!(sums, expected, "{growth:?}");
        }
    }

    #[test]
    fn groups_that_grow_side_by_side_take_turns_and_others_do_not() {
        let turns = |growth| {
            let prefixes: Vec<_> = grouped(7, growth).map(|(key, _)| key[..8].to_vec()).collect();
            prefixes.windows(2).filter(|pair| pair[0] != pair[1]).count()
        };
        assert_eq!(turns(SideBySide), 699);
        assert_eq!(turns(OneByOne), 6);
    }

    #[test]
    fn shuffled_numbers_are_all_there_once_in_an_order_that_the_seed_decides() {
        let numbers = shuffled(1, 1000);
        assert_eq!(numbers, shuffled(1, 1000));
        assert_ne!(numbers, shuffled(2, 1000));
        assert!(!numbers.is_sorted());
        assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (0..1000).collect());
    }
}
