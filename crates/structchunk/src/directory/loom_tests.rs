//! Every interleaving of one writer and one searcher, up to a number of preemptions, on the real code with segments of
//! three slots: line 0 has one slot (beside the header), line 1 two; three entries make it split.
//!
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p structchunk --lib --release loom_`

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::AtomicU64;
use loom::thread;

use super::grow::Supply;
use super::{AtHome, Directory, Identity};
use crate::format::Location;
use crate::map::words::Words;

/// A key of the tests. Its hash: the top two bits, and the home line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    number: u64,
    top: u64,
    home: u64,
}

const LEFT: Key = Key { number: 1, top: 0b00, home: 0 };
const RIGHT: Key = Key { number: 2, top: 0b10, home: 0 };
const FAR_RIGHT: Key = Key { number: 3, top: 0b11, home: 1 };
const MIDDLE: Key = Key { number: 4, top: 0b01, home: 1 };

impl Key {
    fn hash(self) -> u64 {
        self.top << 62 | self.number << 55 | self.home
    }

    fn location(self, version: u64) -> Location {
        Location::new(self.number << 8 | self.top << 4 | self.home << 3 | version).expect("not 0")
    }

    fn owns(self, location: Location) -> bool {
        location.get() >> 8 == self.number
    }
}

/// What a writer would read from a record.
fn hash_at(location: Location) -> u64 {
    let packed = location.get();
    Key { number: packed >> 8, top: packed >> 4 & 3, home: packed >> 3 & 1 }.hash()
}

fn directory() -> Directory {
    let identity = Identity { uuid: [1, 2], epoch: 1 };
    Directory::create(Words::heap(64), &identity, 1, &mut |_| Ok(())).expect("there is room")
}

fn insert(directory: &Directory, key: Key, version: u64) {
    let rehash = &mut |location| Ok(hash_at(location));
    let reserved = directory.reserve(&mut [key.hash()], &mut Supply { grow: &mut |_| Ok(()), rehash });
    reserved.expect("there is room");
    directory.insert(key.hash(), key.location(version), |found| key.owns(found)).expect("reserved");
}

/// A search as `load` does it.
fn find(directory: &Directory, key: Key) -> Option<Location> {
    let verify = |location| key.owns(location).then_some(location);
    match directory.find_at_home(key.hash(), verify) {
        AtHome::Found(location) => Some(location),
        AtHome::Absent => None,
        AtHome::Unclear => directory.find(key.hash(), verify),
    }
}

/// Runs a writer beside a searcher, over the directory that `prepare` makes, in every order.
fn race(prepare: fn(&Directory), write: fn(&Directory), search: fn(&Directory)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 10_000;
    builder.check(move || {
        let shared = Arc::new(directory());
        prepare(&shared);
        let writing = {
            let shared = shared.clone();
            thread::spawn(move || write(&shared))
        };
        search(&shared);
        writing.join().expect("the writer ends");
    });
}

fn is_there(directory: &Directory, key: Key) {
    assert!(find(directory, key).is_some(), "{key:?} was missed");
}

#[test]
fn loom_who_finds_a_location_sees_the_record() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let record = Arc::new(AtomicU64::new(0));
        let shared = Arc::new(directory());
        let writing = {
            let (shared, record) = (shared.clone(), record.clone());
            thread::spawn(move || {
                record.store(7, Ordering::Relaxed);
                insert(&shared, LEFT, 0);
            })
        };
        let seen = shared.find(LEFT.hash(), |_| Some(record.load(Ordering::Relaxed)));
        assert!(matches!(seen, None | Some(7)), "{seen:?}");
        writing.join().expect("the writer ends");
        assert_eq!(find(&shared, LEFT), Some(LEFT.location(0)));
    });
}

#[test]
fn loom_a_replaced_location_is_never_absent_and_never_comes_back() {
    race(
        |directory| insert(directory, RIGHT, 0),
        |directory| {
            insert(directory, RIGHT, 1);
            insert(directory, LEFT, 0);
            insert(directory, RIGHT, 2);
        },
        |directory| {
            let versions: Vec<_> =
                (0..3).map(|_| find(directory, RIGHT).expect("never absent").get() & 7).collect();
            assert!(versions.is_sorted(), "{versions:?}");
        },
    );
}

/// `RIGHT` lies in the home line of both; `LEFT` was displaced from it and stays.
fn displaced(directory: &Directory) {
    insert(directory, RIGHT, 0);
    insert(directory, LEFT, 0);
}

#[test]
fn loom_a_split_hides_nothing_that_stays() {
    race(displaced, |directory| insert(directory, FAR_RIGHT, 0), |directory| is_there(directory, LEFT));
}

#[test]
fn loom_a_split_hides_nothing_that_moves() {
    race(displaced, |directory| insert(directory, FAR_RIGHT, 0), |directory| is_there(directory, RIGHT));
}

#[test]
fn loom_what_moves_and_is_replaced_is_found_in_order() {
    race(
        displaced,
        |directory| {
            insert(directory, FAR_RIGHT, 0);
            insert(directory, RIGHT, 1);
        },
        |directory| {
            let first = find(directory, RIGHT).expect("never absent");
            let second = find(directory, RIGHT).expect("never absent");
            assert!(first <= second, "{first:?} {second:?}");
        },
    );
}

#[test]
fn loom_a_second_split_and_a_doubling_hide_nothing() {
    race(
        |directory| {
            displaced(directory);
            insert(directory, FAR_RIGHT, 0);
        },
        |directory| {
            insert(directory, Key { number: 5, ..RIGHT }, 0);
            assert!(directory.remove(LEFT.hash(), LEFT.location(0)));
        },
        |directory| {
            is_there(directory, RIGHT);
            is_there(directory, FAR_RIGHT);
        },
    );
}

#[test]
fn loom_a_deletion_hides_nothing_behind_it() {
    race(
        displaced,
        |directory| {
            assert!(directory.remove(RIGHT.hash(), RIGHT.location(0)));
            insert(directory, MIDDLE, 0);
        },
        |directory| {
            is_there(directory, LEFT);
            let right = find(directory, RIGHT);
            assert!(matches!(right, None | Some(_)) && right.is_none_or(|found| found == RIGHT.location(0)));
        },
    );
}

#[test]
fn loom_tidying_and_rewriting_hide_nothing() {
    race(
        |directory| {
            displaced(directory);
            assert!(directory.remove(RIGHT.hash(), RIGHT.location(0)));
            insert(directory, MIDDLE, 0);
            assert!(directory.remove(MIDDLE.hash(), MIDDLE.location(0)));
            // One entry, displaced; the other two slots are deleted: the next insertion cleans up.
            assert_eq!(directory.used_words(), directory.words.length() - 36);
        },
        |directory| {
            insert(directory, MIDDLE, 0);
            assert_eq!(directory.used_words(), directory.words.length() - 32, "a segment was written anew");
        },
        |directory| {
            is_there(directory, LEFT);
            is_there(directory, LEFT);
        },
    );
}

#[test]
fn loom_what_is_deleted_stays_deleted() {
    race(
        displaced,
        |directory| {
            insert(directory, FAR_RIGHT, 0);
            assert!(directory.remove(RIGHT.hash(), RIGHT.location(0)));
        },
        |directory| {
            let first = find(directory, RIGHT);
            let second = find(directory, RIGHT);
            assert!(first.is_some() || second.is_none(), "came back as {second:?}");
        },
    );
}
