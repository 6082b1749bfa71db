//! Every order of the steps of those who agree by a word, up to a number of preemptions, on the real code.
//!
//! Objects are two words that change together, loaded and stored relaxed as in a mapping.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use loom::sync::atomic::AtomicU64;
use loom::thread;

use super::{EndOfLog, VERSION_BITS, VersionWord, WRITING, next_version};
use crate::directory::{Directory, Identity, Supply};
use crate::format::Location;
use crate::map::words::Words;

/// Tries a race in every order.
fn check(race: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 10_000;
    builder.check(race);
}

/// An object of two words, and its version.
#[derive(Default)]
struct Versioned {
    version: AtomicU64,
    words: [AtomicU64; 2],
}

impl Versioned {
    fn word(&self) -> VersionWord<'_> {
        VersionWord::new(&self.version)
    }

    /// A load as `store/glance.rs` does it.
    fn copy_still(&self) -> Option<[u64; 2]> {
        let before = self.word().look();
        if before & WRITING != 0 {
            return None;
        }
        let copy = self.words.each_ref().map(|word| word.load(Relaxed));
        self.word().is_still(before).then_some(copy)
    }

    fn is_never_torn(&self, numbers: std::ops::RangeInclusive<u64>) {
        if let Some([first, second]) = self.copy_still() {
            assert_eq!(first, second, "torn");
            assert!(numbers.contains(&first));
        }
    }

    /// A claim as `store/mutate/claim.rs` does it.
    fn claim(&self, mark: u64) -> u64 {
        loop {
            let seen = self.word().look();
            if seen & WRITING == 0
                && let Some(odd) = self.word().claim(seen, mark << 32)
            {
                return odd;
            }
            thread::yield_now();
        }
    }

    /// Adds one to both words under a claim.
    fn add_claimed(&self, mark: u64) {
        let odd = self.claim(mark);
        let sum = self.words[0].load(Relaxed) + 1;
        assert_eq!(self.words[1].load(Relaxed) + 1, sum, "claimed while another one was at work");
        self.words.iter().for_each(|word| word.store(sum, Relaxed));
        assert!(self.word().end_claim(odd, next_version(odd & VERSION_BITS)), "nobody else ends a claim");
    }
}

#[test]
fn loom_no_copy_beside_the_only_one_who_changes_is_torn() {
    check(|| {
        let object = Arc::new(Versioned::default());
        let changing = {
            let object = object.clone();
            thread::spawn(move || {
                for number in 1..=2 {
                    object.word().begin_change();
                    object.words.iter().for_each(|word| word.store(number, Relaxed));
                    object.word().end_change(2 * number);
                }
            })
        };
        object.is_never_torn(0..=2);
        changing.join().expect("the changer ends");
        assert_eq!(object.copy_still(), Some([2, 2]));
    });
}

#[test]
fn loom_no_copy_beside_a_claim_is_torn() {
    check(|| {
        let object = Arc::new(Versioned::default());
        let changing = {
            let object = object.clone();
            thread::spawn(move || {
                let mut version = 0;
                // (It looks at nothing: loom remembers one access per word, and would forget the reader's.)
                for number in 1..=2 {
                    let odd = object.word().claim(version, 1 << 32).expect("nobody else claims");
                    object.words.iter().for_each(|word| word.store(number, Relaxed));
                    version = next_version(odd & VERSION_BITS);
                    assert!(object.word().end_claim(odd, version));
                }
            })
        };
        object.is_never_torn(0..=2);
        changing.join().expect("the changer ends");
        assert_eq!(object.copy_still(), Some([2, 2]));
    });
}

#[test]
fn loom_one_claims_at_a_time_and_nothing_is_lost() {
    check(|| {
        let object = Arc::new(Versioned::default());
        let other = {
            let object = object.clone();
            thread::spawn(move || object.add_claimed(1))
        };
        object.add_claimed(2);
        other.join().expect("the other one ends");
        assert_eq!(object.copy_still(), Some([2, 2]));
        assert_eq!(object.word().look(), 4);
    });
}

/// The writer counts its claims: an odd word of its own is a dead writer's when there are none, unless the word has changed since.
/// (The count is ordered more strictly there; here the word alone must do.)
#[test]
fn loom_a_claim_that_is_under_way_is_not_taken_for_a_dead_ones() {
    check(|| {
        let object = Arc::new(Versioned::default());
        let claims = Arc::new(AtomicU64::new(0));
        let changing = {
            let (object, claims) = (object.clone(), claims.clone());
            thread::spawn(move || {
                claims.fetch_add(1, Relaxed);
                // (As above, it looks at nothing.)
                let odd = object.word().claim(0, 0).expect("nobody else claims");
                assert!(object.word().end_claim(odd, next_version(odd & VERSION_BITS)));
                claims.fetch_sub(1, Release);
            })
        };
        let seen = object.word().look();
        if seen & WRITING != 0 && claims.load(Acquire) == 0 {
            assert_ne!(object.word().look(), seen, "taken for dead");
        }
        changing.join().expect("the changer ends");
    });
}

#[test]
fn loom_of_two_who_mend_one_object_one_gets_it_and_the_dead_one_ends_nothing() {
    check(|| {
        let object = Arc::new(Versioned::default());
        let dead = object.word().claim(0, 1 << 32).expect("nobody else is there");
        let mend = move |object: &Versioned, mark: u64| {
            let odd = object.word().claim(dead, mark << 32)?;
            object.words.iter().for_each(|word| word.store(mark, Relaxed));
            assert!(object.word().end_claim(odd, next_version(odd & VERSION_BITS)));
            Some(mark)
        };
        let other = {
            let object = object.clone();
            thread::spawn(move || mend(&object, 2))
        };
        let late = {
            let object = object.clone();
            // Taken for dead, but it was only slow: it comes to its end before anybody mends, or not at all.
            thread::spawn(move || object.word().end_claim(dead, 2))
        };
        let mended = mend(&object, 3);
        let others = other.join().expect("the other one ends");
        let ended = late.join().expect("the late one ends");
        let got = [mended.is_some(), others.is_some(), ended];
        assert_eq!(got.iter().filter(|&&got| got).count(), 1, "{got:?}");
        let mark = mended.or(others).unwrap_or(0);
        assert_eq!(object.copy_still(), Some([mark, mark]));
    });
}

/// A log of three records, of one word each, behind an end; and a directory of them.
struct Log {
    records: [AtomicU64; 4],
    end: EndOfLog<Box<AtomicU64>>,
    directory: Directory,
}

/// Two keys in lines of their own. Records 1 and 2 are of the first, 3 is of the second.
const KEYS: [u64; 2] = [1 << 55, 2 << 55 | 1];

impl Log {
    fn new() -> Self {
        let identity = Identity { uuid: [1, 2], epoch: 1 };
        let directory = Directory::create(Words::heap(64), &identity, 1, &mut |_| Ok(()));
        let word = || Box::new(AtomicU64::new(0));
        let end = EndOfLog { end: word(), before: word() };
        end.begin(1);
        Self { records: Default::default(), end, directory: directory.expect("there is room") }
    }

    fn append(&self, record: u64) {
        self.records[record as usize].store(record, Relaxed);
    }

    fn point(&self, key: usize, record: u64) {
        let rehash = &mut |location: Location| Ok(KEYS[key_of(location.get())]);
        let supply = &mut Supply { grow: &mut |_| Ok(()), rehash };
        self.directory.reserve(&mut [KEYS[key]], supply).expect("there is room");
        let location = Location::new(record).expect("not 0");
        let owns = |found: Location| key_of(found.get()) == key;
        self.directory.insert(KEYS[key], location, owns).expect("reserved");
    }

    fn find(&self, key: usize) -> Option<u64> {
        let is_it = |location: Location| (key_of(location.get()) == key).then(|| location.get());
        self.directory.find(KEYS[key], is_it)
    }

    fn holds(&self, record: u64) -> bool {
        self.records[record as usize].load(Relaxed) == record
    }
}

fn key_of(record: u64) -> usize {
    usize::from(record == 3)
}

/// Runs a writer beside a reader, over a log that `prepare` makes.
fn race(prepare: fn(&Log), write: fn(&Log), read: fn(&Log)) {
    check(move || {
        let log = Arc::new(Log::new());
        prepare(&log);
        let writing = {
            let log = log.clone();
            thread::spawn(move || write(&log))
        };
        read(&log);
        writing.join().expect("the writer ends");
    });
}

fn nothing(_: &Log) {}

fn put_first(log: &Log) {
    log.append(1);
    log.end.publish(2);
    log.point(0, 1);
}

#[test]
fn loom_who_sees_the_end_of_the_log_sees_the_records_before_it() {
    race(
        nothing,
        |log| {
            for record in 1..=2 {
                log.append(record);
                log.end.publish(record + 1);
            }
        },
        |log| {
            let end = log.end.get();
            assert!((1..end).all(|record| log.holds(record)), "not all before {end}");
        },
    );
}

/// Else a search would take what it has found for nothing, and answer that there is none.
#[test]
fn loom_who_finds_a_single_record_sees_the_end_behind_it() {
    race(
        put_first,
        |log| {
            log.append(2);
            log.end.publish(3);
            log.point(0, 2);
        },
        |log| {
            let record = log.find(0).expect("never absent");
            assert!(record < log.end.get() && log.holds(record), "{record} does not exist");
        },
    );
}

/// The slots of a batch come before its end; until then the record before counts.
#[test]
fn loom_a_batch_exists_as_a_whole() {
    race(
        put_first,
        |log| {
            log.append(2);
            log.append(3);
            log.point(0, 2);
            log.point(1, 3);
            log.end.publish(4);
        },
        |log| {
            let exists = |record: &u64| *record < log.end.get();
            let first = log.find(0).expect("never absent");
            let has_first = first == 2 && exists(&2);
            let second = log.find(1).filter(exists);
            assert!(!has_first || second.is_some(), "half a batch");
            assert!(log.holds(first) && second.is_none_or(|record| log.holds(record)));
        },
    );
}

#[test]
fn loom_what_is_settled_is_in_the_directory() {
    race(
        nothing,
        |log| {
            put_first(log);
            log.append(3);
            log.end.publish(4);
            log.point(1, 3);
        },
        |log| {
            let (end, settled) = log.end.get_and_settled();
            assert!(settled <= end);
            assert!(settled <= 1 || log.find(0) == Some(1), "up to {settled}, but record 1 is missing");
            assert!(settled <= 3 || log.find(1) == Some(3), "up to {settled}, but record 3 is missing");
        },
    );
}
