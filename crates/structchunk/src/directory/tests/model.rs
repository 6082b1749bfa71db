use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Supply, audit, directory, find, hash, key_of, location, reserve};
use crate::directory::Directory;

/// Keys of the model; enough for several splits.
const KEYS: u64 = 2_000;

#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Remove(u64),
    Move(u64),
    Batch(Vec<u64>),
    /// Removes or puts many neighbours, to make segments full of deleted slots.
    Sweep(u64, u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        4 => key.clone().prop_map(Step::Put),
        2 => key.clone().prop_map(Step::Remove),
        1 => key.clone().prop_map(Step::Move),
        1 => prop::collection::vec(key.clone(), 1..300).prop_map(Step::Batch),
        2 => (key, 1..600_u64, any::<bool>()).prop_map(|(from, count, put)| Step::Sweep(from, count, put)),
    ]
}

/// Hashes of several qualities: how many home lines there are, and whether the next split separates anything.
fn worse_hash(key: u64, lines: u64, common: u32) -> u64 {
    let lines = lines - 1;
    (hash(key) & !31 | hash(key) & lines) & (u64::MAX >> common)
}

/// The directory, and what should be in it.
struct Pair<'a> {
    directory: Directory,
    model: BTreeMap<u64, u8>,
    hash_of: &'a dyn Fn(u64) -> u64,
}

impl Pair<'_> {
    fn put(&mut self, key: u64) {
        let hash = (self.hash_of)(key);
        let version = self.model.get(&key).map_or(0, |version| version.wrapping_add(1));
        let mut slot = self.directory.find_slot(hash, |found| key_of(found) == key).unwrap();
        assert_eq!(slot.location(), self.model.get(&key).map(|&version| location(key, version)));
        if let Some(free) = self.directory.free_at_home(hash) {
            assert_eq!(free, slot, "a glance says something else than a search");
        }
        if slot.location().is_none() && !self.directory.has_room(&slot) {
            reserve(&self.directory, &mut [hash], self.hash_of).unwrap();
            slot = self.directory.find_slot(hash, |found| key_of(found) == key).unwrap();
        }
        self.directory.store(&slot, location(key, version));
        self.model.insert(key, version);
    }

    fn remove(&mut self, key: u64) {
        let version = self.model.remove(&key);
        let gone = version.unwrap_or(0);
        assert_eq!(self.directory.remove((self.hash_of)(key), location(key, gone)), version.is_some());
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Put(key) => self.put(key),
            Step::Remove(key) => self.remove(key),
            Step::Move(key) => {
                let Some(version) = self.model.get_mut(&key) else { return };
                let (old, new) = (location(key, *version), location(key, version.wrapping_add(1)));
                let slot = self.directory.find_slot((self.hash_of)(key), |found| found == old).unwrap();
                assert_eq!(slot.location(), Some(old));
                self.directory.store(&slot, new);
                *version = version.wrapping_add(1);
            }
            Step::Batch(mut keys) => {
                keys.sort_unstable();
                keys.dedup();
                keys.retain(|key| !self.model.contains_key(key));
                let mut hashes: Vec<_> = keys.iter().map(|&key| (self.hash_of)(key)).collect();
                reserve(&self.directory, &mut hashes, self.hash_of).unwrap();
                let used = self.directory.used_words();
                for key in keys {
                    let hash = (self.hash_of)(key);
                    let old = self.directory.insert(hash, location(key, 0), |found| key_of(found) == key);
                    assert_eq!(old.unwrap(), None);
                    self.model.insert(key, 0);
                }
                assert_eq!(self.directory.used_words(), used);
            }
            Step::Sweep(from, count, put) => {
                let keys = (from..from + count).map(|key| key % KEYS);
                for key in keys {
                    if put { self.put(key) } else { self.remove(key) }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_directory_holds_what_the_model_holds(
        steps in prop::collection::vec(step(), 1..60),
        lines in prop::sample::select(vec![1_u64, 2, 8, 32]),
        common in prop::sample::select(vec![0_u32, 3, 7]),
    ) {
        let hash_of = |key| worse_hash(key, lines, common);
        let mut pair = Pair { directory: directory(1 << 20), model: BTreeMap::new(), hash_of: &hash_of };
        for step in steps {
            pair.apply(step);
        }
        audit(&pair.directory, hash_of);
        for key in 0..KEYS {
            let expected = pair.model.get(&key).map(|&version| location(key, version));
            prop_assert_eq!(find(&pair.directory, hash_of(key), key), expected);
        }
        let mut locations: Vec<_> = pair.directory.locations().collect();
        locations.sort_unstable();
        let expected: Vec<_> = pair.model.iter().map(|(&key, &version)| location(key, version)).collect();
        prop_assert_eq!(locations, expected);
    }
}

#[test]
fn entries_survive_more_splits_than_a_tag_has_bits() {
    // Nothing differs in the first eleven bits: the first few entries are split again and again.
    let hash_of = |key: u64| hash(key) >> 11;
    let directory = directory(1 << 20);
    let mut records_read = 0;
    for key in 0..1_000 {
        let rehash = &mut |location| {
            records_read += 1;
            Ok(hash_of(key_of(location)))
        };
        directory.reserve(&mut [hash_of(key)], &mut Supply { grow: &mut |_| Ok(()), rehash }).unwrap();
        directory.insert(hash_of(key), location(key, 0), |found| key_of(found) == key).unwrap();
    }
    assert!((100..1_000).contains(&records_read), "{records_read} records read");
    audit(&directory, hash_of);
    assert!((0..1_000).all(|key| find(&directory, hash_of(key), key) == Some(location(key, 0))));
}

#[test]
fn equal_hashes_beyond_a_segment_are_refused_and_nothing_is_lost() {
    let hash_of = |_| 0x1234_5678_9abc_def0;
    let directory = directory(1 << 24);
    let mut entered = 0;
    let refusal = loop {
        if let Err(error) = reserve(&directory, &mut [hash_of(entered)], &hash_of) {
            break error;
        }
        directory.insert(hash_of(entered), location(entered, 0), |found| key_of(found) == entered).unwrap();
        entered += 1;
    };
    assert!(matches!(refusal, crate::Error::Exhausted { .. }), "{refusal}");
    assert_eq!(entered, crate::directory::grow::MAX_LIVE as u64);
    assert!((0..entered).all(|key| find(&directory, hash_of(key), key).is_some()));
    reserve(&directory, &mut [5; 1_000], &hash_of).expect_err("a thousand equal hashes");
    audit(&directory, hash_of);
}
