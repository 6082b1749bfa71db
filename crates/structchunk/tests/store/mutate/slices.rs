//! Arrays whose length is known at run time only, changed in place by the writer and beside it.

use structchunk::{Entry, Error, Found, Mutator, Result, Store};

use super::{attach, mutator, shared};
use crate::common::*;
use crate::readers::{self, process};

/// Lengths in words: changed in a few words, in two pages of the log, and with a file of its own.
const LENGTHS: [usize; 5] = [1, 40, 500, 1000, 9000];

/// Either side's call, with a change of a slice.
type Change<'a> = &'a dyn Fn(&str, &mut dyn FnMut(&mut [u64])) -> Result<bool>;

fn for_each_side(store: &Store, beside: &Mutator, mut test: impl FnMut(&str, Change<'_>)) {
    test("writer", &|key, change| store.update(key, change));
    test("writer, at once", &|key, change| store.try_update(key, change));
    test("beside", &|key, change| beside.update(key, change));
    test("beside, at once", &|key, change| beside.try_update(key, change));
}

fn words_of(entry: &Entry<'_>) -> Result<Vec<u64>> {
    let bytes = entry.bytes(u64::MAX)?;
    Ok(bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect())
}

fn words(store: &Store, key: &str) -> Vec<u64> {
    words_of(&store.entry(key).unwrap().expect("an object")).unwrap()
}

fn put_slices(store: &Store) {
    for length in LENGTHS {
        store.put(format!("{length}"), &vec![1_u64; length][..]).unwrap();
    }
}

#[test]
fn slices_of_any_length_are_changed_where_they_are_by_the_writer_and_beside_it() {
    let folder = folder();
    let store = shared(folder.path());
    put_slices(&store);
    let beside = attach(folder.path()).unwrap();
    let places = LENGTHS.map(|length| store.entry(format!("{length}")).unwrap().unwrap().place());
    for_each_side(&store, &beside, |side, change| {
        for (length, place) in LENGTHS.into_iter().zip(&places) {
            let key = length.to_string();
            let before = words(&store, &key);
            let raise = |words: &mut [u64]| {
                assert_eq!(words, before, "{side}: {length}");
                words[length / 2] += 1;
                words[length - 1] += 2;
            };
            assert!(change(&key, &mut { raise }).unwrap(), "{side}: {length}");
            let mut expected = before.clone();
            expected[length / 2] += 1;
            expected[length - 1] += 2;
            assert_eq!(words(&store, &key), expected, "{side}: {length}");
            assert_eq!(store.entry(&key).unwrap().unwrap().place(), *place, "{side}: {length}");
        }
        assert!(!change("nothing", &mut |_| panic!("there is none")).unwrap(), "{side}");
    });
    // All of them at the same time, also when the store is opened anew.
    drop(beside);
    store.close().unwrap();
    let store = open(folder.path());
    assert_eq!(words(&store, "9000")[4499..=4501], [1, 5, 1]);
    assert_eq!(store.check_deep().unwrap().count(), 0);
}

#[test]
fn what_is_no_such_slice_or_sealed_is_refused_and_nothing_changes() {
    let folder = folder();
    let store = shared(folder.path());
    put_slices(&store);
    store.put("one", &7_u64).unwrap();
    store.put("bytes", &[7_u8; 24][..]).unwrap();
    store.put("sealed", &[7_u64; 4][..]).unwrap();
    assert!(store.seal("sealed").unwrap());
    let beside = attach(folder.path()).unwrap();
    for_each_side(&store, &beside, |side, change| {
        for key in ["one", "bytes"] {
            let outcome = change(key, &mut |_| panic!("it is none"));
            assert!(matches!(outcome, Err(Error::LayoutMismatch { .. })), "{side}: {key}: {outcome:?}");
        }
        let outcome = change("sealed", &mut |_| panic!("it is sealed"));
        assert!(matches!(outcome, Err(Error::Sealed { .. })), "{side}: {outcome:?}");
    });
    for length in LENGTHS {
        let key = length.to_string();
        let outcomes = [
            store.update(&key, |_: &mut [f64]| panic!("it is none")),
            store.update(&key, |_: &mut [u64; 7]| panic!("it is none")),
            beside.update(&key, |_: &mut [f64]| panic!("it is none")),
            beside.update(&key, |_: &mut [u64; 7]| panic!("it is none")),
        ];
        for outcome in outcomes {
            assert!(matches!(outcome, Err(Error::LayoutMismatch { .. })), "{length}: {outcome:?}");
        }
    }
    assert_eq!((store.load("one").unwrap(), words(&store, "sealed")), (Some(7_u64), vec![7; 4]));
}

#[test]
fn a_change_of_a_slice_that_panics_changes_nothing_and_is_in_nobodys_way() {
    let folder = folder();
    let store = shared(folder.path());
    put_slices(&store);
    let beside = attach(folder.path()).unwrap();
    for_each_side(&store, &beside, |side, change| {
        for length in LENGTHS {
            let key = length.to_string();
            let panicking = || {
                change(&key, &mut |words| {
                    words.fill(9);
                    panic!("in the middle");
                })
            };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking));
            assert!(outcome.is_err(), "{side}: {length}");
            assert_eq!(words(&store, &key), vec![1; length], "{side}: {length}");
            assert!(change(&key, &mut |_| {}).unwrap(), "{side}: {length}");
        }
    });
}

#[test]
fn no_copy_of_a_slice_is_torn_and_no_change_is_lost_whoever_changes_it() {
    let folder = folder();
    let patient = options().shared_mutation(true).busy_timeout(std::time::Duration::from_secs(20));
    let store = open_with(patient, folder.path()).unwrap();
    put_slices(&store);
    let rounds = cases(300);
    let mut children: Vec<_> = LENGTHS.iter().map(|length| (length, mutator(folder.path()))).collect();
    for (length, child) in &mut children {
        child.order(&format!("raise_words {length} {rounds}"));
    }
    let reader = readers::attach(folder.path());
    let (mut copies, mut values) = (0, std::collections::BTreeSet::new());
    let mut look = |words: Result<Vec<u64>>| {
        // Others may be at it all the time that this one waits.
        let words = match words {
            Err(Error::Busy { .. }) => return,
            words => words.unwrap(),
        };
        assert!(words.iter().all(|word| *word == words[0]), "{} words are torn", words.len());
        copies += 1;
        values.insert(words[0]);
    };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                for length in LENGTHS {
                    let raise = |words: &mut [u64]| words.iter_mut().for_each(|word| *word += 1);
                    assert!(store.update(length.to_string(), raise).unwrap());
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            let session = reader.session().unwrap();
            for length in LENGTHS {
                let key = length.to_string();
                look(words_of(&session.prefix(&key).unwrap().next().expect("an object").unwrap()));
                look(words_of(&store.entry(&key).unwrap().expect("an object")));
            }
        }
    });
    for (_, child) in &mut children {
        assert_eq!(child.answer(), "ok");
    }
    assert!(copies > 5 && values.len() > 1, "{copies} copies of {} values", values.len());
    for length in LENGTHS {
        assert_eq!(words(&store, &length.to_string()), vec![1 + 2 * rounds; length]);
    }
}

#[test]
fn a_slice_that_a_killed_process_was_changing_is_torn_until_the_writer_mends_it() {
    let folder = folder();
    let store = shared(folder.path());
    put_slices(&store);
    for length in LENGTHS {
        let key = length.to_string();
        let mut child = mutator(folder.path());
        assert_eq!(child.tell(&format!("dwell_words {key}")), "dwelling");
        let busy = store.try_update(&key, |_: &mut [u64]| panic!("another one is at it"));
        assert!(matches!(busy, Err(Error::Busy { .. })), "{length}: {busy:?}");
        child.kill();
        let torn = store.update(&key, |_: &mut [u64]| panic!("it is torn"));
        assert!(matches!(torn, Err(Error::Torn { .. })), "{length}: {torn:?}");
        assert!(store.mend(&key, |words: &mut [u64]| words.fill(5)).unwrap());
        assert!(store.update(&key, |words: &mut [u64]| words[0] += 1).unwrap());
        assert_eq!(words(&store, &key)[0], 6);
        assert!(words(&store, &key)[1..].iter().all(|word| *word == 5));
    }
}

#[test]
fn a_slice_that_the_writer_was_changing_when_it_was_killed_is_torn_and_as_it_was_after_the_recovery() {
    for length in LENGTHS {
        let folder = folder();
        let mut first = process(folder.path());
        assert_eq!(first.tell("open_shared"), "ok");
        assert_eq!(first.tell(&format!("put_words key 1 {length} 3")), "ok");
        assert_eq!(first.tell("dwell_own_words key000000"), "dwelling");
        first.kill();
        let beside = attach(folder.path()).unwrap();
        let torn = beside.update("key000000", |_: &mut [u64]| panic!("it is torn"));
        assert!(matches!(torn, Err(Error::Torn { .. })), "{length}: {torn:?}");
        drop(beside);
        let store = open(folder.path());
        assert_eq!(store.recovery().found, Found::ProcessDied);
        assert_eq!(store.recovery().torn, [b"key000000".to_vec()]);
        assert_eq!(words(&store, "key000000"), vec![3; length]);
        assert!(store.update("key000000", |words: &mut [u64]| words.fill(4)).unwrap());
        assert_eq!(words(&store, "key000000"), vec![4; length]);
    }
}
