//! Copies of stores whose objects other processes change meanwhile.

use std::path::Path;

use structchunk::{Compaction, Error, Mutator, Store};

use super::{attach, mutator, shared};
use crate::common::*;
use crate::process::Told;
use crate::readers;

const LARGE: u64 = 3 * LARGEST_INLINE / 8;

/// So many items that a copy is made in two parts.
const HUGE: u64 = 5 << 20;

fn put_huge(store: &Store, key: &str) {
    let mut loan = store.loan_slice::<u64>(key, HUGE).unwrap();
    (loan[0], loan[HUGE as usize - 1]) = (1, 1);
    loan.publish().unwrap();
}

fn raise(mutator: &Mutator, key: &str) {
    let raise = |words: &mut [u64]| {
        words[0] += 1;
        *words.last_mut().unwrap() += 1;
    };
    assert!(mutator.update(key, raise).unwrap());
}

/// The first and the last item.
fn ends(copy: &Path, key: &str) -> (u64, u64) {
    let copy = open_with(options().create(false), copy).unwrap();
    assert_eq!(copy.check_deep().unwrap().map(|it| it.to_string()).collect::<Vec<_>>(), [""; 0]);
    let bytes = copy.entry(key).unwrap().expect("an object").bytes(u64::MAX).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    (word(0), word(bytes.len() - 8))
}

#[test]
fn a_large_object_that_is_renamed_and_then_changed_by_another_process_is_copied_in_one_piece() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = shared(&path);
    put_huge(&store, "large");
    let mutator = attach(&path).unwrap();
    let copy = folder.path().join("copy");
    let mut turns = 0;
    store
        .copy_to_with(&copy, |_| {
            turns += 1;
            if turns == 1 {
                assert!(store.rename("large", "renamed").unwrap());
            }
            raise(&mutator, "renamed");
        })
        .unwrap();
    assert!(turns > 2, "{turns} turns");
    let (first, last) = ends(&copy, "large");
    assert!(first == last && first > 1, "{first} {last}");
}

#[test]
fn a_large_object_that_is_moved_and_then_changed_by_another_process_is_copied_in_one_piece() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = shared(&path);
    put_huge(&store, "large");
    for index in 0..9000_u64 {
        store.put(format!("waste/{}", index % 10), &index).unwrap();
    }
    let mutator = attach(&path).unwrap();
    let copy = folder.path().join("copy");
    let sequence = store.sequence("large").unwrap();
    let mut turns = 0;
    store
        .copy_to_with(&copy, |_| {
            turns += 1;
            if turns == 1 {
                store.compact_with(Compaction::new().fill_ratio(1.0)).unwrap();
            }
            raise(&mutator, "large");
        })
        .unwrap();
    assert_ne!(store.sequence("large").unwrap(), sequence, "it was moved");
    let (first, last) = ends(&copy, "large");
    assert!(first == last && first > 1, "{first} {last}");
}

#[test]
fn a_copy_of_a_reader_holds_large_objects_in_one_piece_whoever_changes_and_renames_them() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = shared(&path);
    put_huge(&store, "large");
    put_huge(&store, "other");
    let (mutator, reader) = (attach(&path).unwrap(), readers::attach(&path));
    let copy = folder.path().join("copy");
    let mut turns = 0;
    reader
        .copy_to_with(&copy, |_| {
            turns += 1;
            if turns == 1 {
                assert!(store.rename("large", "renamed").unwrap());
            }
            raise(&mutator, "renamed");
            raise(&mutator, "other");
        })
        .unwrap();
    let copied = open_with(options().create(false), &copy).unwrap();
    let key = if copied.contains("large").unwrap() { "large" } else { "renamed" };
    drop(copied);
    for key in [key, "other"] {
        let (first, last) = ends(&copy, key);
        assert!(first == last && first > 1, "{key}: {first} {last}");
    }
}

#[test]
fn what_a_dead_process_left_half_changed_is_in_a_copy_as_it_is_and_named() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = shared(&path);
    store.put("small", &7_u64).unwrap();
    store.put("large", &vec![7_u64; LARGE as usize][..]).unwrap();
    for order in ["dwell small", "dwell_words large"] {
        let mut child = mutator(&path);
        assert_eq!(child.tell(order), "dwelling");
        child.kill();
    }
    let places = ["own", "of a reader"].map(|name| folder.path().join(name));
    let reports = [store.copy_to(&places[0]).unwrap(), readers::attach(&path).copy_to(&places[1]).unwrap()];
    for (report, place) in reports.iter().zip(&places) {
        let mut torn = report.torn.clone();
        torn.sort_unstable();
        assert_eq!(torn, [b"large".to_vec(), b"small".to_vec()]);
        assert_eq!(ends(place, "large"), (7, 7));
        assert_eq!(open(place).load("small").unwrap(), Some(7_u64));
    }
    // Who mends one while it is copied is not copied in the middle of that.
    let mutator = attach(&path).unwrap();
    let (copy, mut mended) = (folder.path().join("mended"), false);
    let report = store
        .copy_to_with(&copy, |_| mended |= mutator.mend("large", |words: &mut [u64]| words.fill(8)).unwrap())
        .unwrap();
    assert!(mended);
    assert_eq!((report.torn, ends(&copy, "large")), (vec![b"small".to_vec()], (8, 8)));
}

#[test]
fn a_copy_waits_for_who_changes_an_object_and_is_refused_when_that_takes_too_long() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = shared(&path);
    for (order, key) in [("dwell", "small"), ("dwell_words", "large")] {
        store.put("small", &7_u64).unwrap();
        store.put("large", &vec![7_u64; LARGE as usize][..]).unwrap();
        let mut child = mutator(&path);
        assert_eq!(child.tell(&format!("{order} {key}")), "dwelling");
        let copy = folder.path().join("copy");
        for refused in [store.copy_to(&copy), readers::attach(&path).copy_to(&copy)] {
            assert!(matches!(&refused, Err(Error::Busy { key: it }) if it == key.as_bytes()), "{refused:?}");
            assert!(!copy.exists(), "it was removed");
        }
        assert_eq!(child.tell("go on"), "true");
        store.copy_to(&copy).unwrap();
        let expected = if key == "small" { 8 } else { 7 };
        assert_eq!(ends(&copy, key).0, expected);
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn copies_hold_each_object_as_before_or_after_a_change_and_all_changes_from_before_the_copy() {
    const ROUNDS: u64 = 1_000_000;
    let folder = folder();
    let path = folder.path().join("store");
    let patient = options().shared_mutation(true).busy_timeout(std::time::Duration::from_secs(20));
    let store = open_with(patient, &path).unwrap();
    let sizes = [("small", 8), ("wide", 500), ("large", LARGE)];
    for (key, words) in sizes {
        store.put(key, &vec![0_u64; words as usize][..]).unwrap();
    }
    let children: Vec<_> = sizes
        .map(|(key, _)| {
            let mut child = mutator(&path);
            child.order(&format!("raise_words {key} {ROUNDS}"));
            child
        })
        .into();
    let reader = readers::attach(&path);
    let value = |store: &Store, key: &str| {
        let bytes = store.entry(key).unwrap().expect("an object").bytes(u64::MAX).unwrap();
        let words: Vec<_> =
            bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        assert!(words.iter().all(|word| *word == words[0]), "{key} is torn");
        words[0]
    };
    let mut last = 0;
    for round in 0..cases(12) {
        for index in 0..2000 {
            store.put(format!("waste/{index}"), &round).unwrap();
        }
        let before = sizes.map(|(key, _)| value(&store, key));
        let copy = folder.path().join(format!("copy {round}"));
        if round % 2 == 0 { store.copy_to(&copy) } else { reader.copy_to(&copy) }.unwrap();
        store.compact_with(Compaction::new().fill_ratio(0.9)).unwrap();
        let copied = open_with(options().create(false), &copy).unwrap();
        for ((key, _), before) in sizes.into_iter().zip(before) {
            let now = value(&copied, key);
            assert!(now >= before, "{key}: {now} is older than {before}");
            last = now;
        }
        drop(copied);
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(last > 0, "they were at work");
    children.into_iter().for_each(Told::kill);
}
