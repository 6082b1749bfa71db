//! The directory against a model, its size and speed, damaged files, and searches beside a writer.

mod damage;
mod edges;
mod model;
mod size;
mod threads;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::grow::Supply;
use super::segment::{LINE_SLOTS, LINES, UNIT_WORDS, first_slot, line_after};
use super::{Directory, Identity, slot};
use crate::error::{Error, Result};
use crate::format::Location;
use crate::map::words::Words;

const IDENTITY: Identity = Identity { uuid: [0x1234, 0x5678], epoch: 3 };

/// A directory of at most so many words.
fn directory(words: u64) -> Directory {
    Directory::create(Words::heap(words), &IDENTITY, 1, &mut |_| Ok(())).expect("there is room")
}

fn hash(key: u64) -> u64 {
    xxh3_64_with_seed(&key.to_le_bytes(), 7)
}

/// A location that tells its key: each key has 256 of them.
fn location(key: u64, version: u8) -> Location {
    Location::new((key + 1) << 8 | u64::from(version)).expect("a small key")
}

fn key_of(location: Location) -> u64 {
    (location.get() >> 8) - 1
}

fn find(directory: &Directory, hash: u64, key: u64) -> Option<Location> {
    directory.find(hash, |location| (key_of(location) == key).then_some(location))
}

fn reserve(directory: &Directory, hashes: &mut [u64], hash_of: &dyn Fn(u64) -> u64) -> Result<()> {
    let rehash = &mut |location| Ok(hash_of(key_of(location)));
    directory.reserve(hashes, &mut Supply { grow: &mut |_| Ok(()), rehash })
}

/// Enters keys one at a time, as puts do.
fn fill(directory: &Directory, keys: std::ops::Range<u64>) {
    for key in keys {
        reserve(directory, &mut [hash(key)], &hash).expect("there is room");
        let old = directory.insert(hash(key), location(key, 0), |found| key_of(found) == key);
        assert_eq!(old.expect("reserved"), None);
    }
}

/// Checks what must hold whenever nobody writes: counts, and that no path of an entry leads through an empty slot.
fn audit(directory: &Directory, hash_of: impl Fn(u64) -> u64) {
    for segment in directory.segments() {
        let image = directory.image(segment).expect("a segment of the table");
        assert_eq!(directory.fill(segment), image.fill());
        for (at, entry) in image.entries() {
            let key = key_of(slot::location(entry).expect("an entry"));
            let home = super::segment::home_line(hash_of(key));
            let steps = line_after(at / LINE_SLOTS, LINES - home);
            let query = slot::Query::new(hash_of(key), segment.depth());
            assert!(query.matches(entry, steps as u64), "key {key} has a wrong tag");
            for line in (0..steps).map(|steps| line_after(home, steps)) {
                let slots = line * LINE_SLOTS + first_slot(line)..(line + 1) * LINE_SLOTS;
                assert!(!image.words[slots].contains(&slot::EMPTY), "a search for key {key} ends early");
            }
        }
    }
}
