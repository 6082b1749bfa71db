//! Recoveries of more records than one thread looks at.

use std::os::unix::fs::FileExt;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Store};
use tempfile::TempDir;

use crate::common::*;

/// So many that the directory is made longer while they are replayed.
const OBJECTS: u64 = 30_000;

/// Where a directory says how many objects there are, in bytes.
const OBJECTS_AT: u64 = 8 * 18;

/// What is under a key, if anything is: some were replaced, some removed.
fn value(number: u64) -> Option<[u64; 2]> {
    (!number.is_multiple_of(7)).then_some([number, number % 5])
}

/// A store whose process died; without the directory when `views_lost`.
fn killed(objects: u64, views_lost: bool) -> TempDir {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for number in 0..objects {
        store.put(number.to_be_bytes(), &[number, 0]).expect("put");
    }
    for number in 0..objects {
        match value(number) {
            None => assert!(store.remove(number.to_be_bytes()).expect("remove")),
            Some([_, 0]) => {}
            Some(value) => store.put(number.to_be_bytes(), &value).expect("put"),
        }
    }
    // So that a copy of it holds everything, too.
    store.sync().expect("sync");
    drop(store);
    if views_lost {
        std::fs::remove_file(path.join("directory")).expect("a directory");
    }
    folder
}

fn assert_whole(store: &Store, objects: u64) {
    assert_eq!(store.len(), (0..objects).filter_map(value).count() as u64);
    for number in 0..objects {
        let found = store.load::<[u64; 2]>(number.to_be_bytes()).expect("load");
        assert_eq!(found, value(number), "{number}");
    }
    let findings: Vec<_> = store.check().expect("check").collect();
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn many_records_are_recovered_whether_the_last_directory_says_how_many_or_not() {
    for views_lost in [false, true] {
        let folder = killed(OBJECTS, views_lost);
        assert_whole(&open(folder.path().join("store")), OBJECTS);
    }
    // Where chunks come and go, in one thread.
    with_nothing_kept_mapped(|| assert_whole(&open(killed(OBJECTS, true).path().join("store")), OBJECTS));
}

#[test]
fn a_recovery_of_many_records_may_fail_where_they_are_replayed_and_where_they_are_read() {
    let killed = killed(OBJECTS, true);
    for (file, step) in [("directory", 1), ("live", 8)] {
        assert!(fail_each(&killed, OBJECTS, file, step) > 1, "{file}");
    }
}

#[test]
fn a_recovery_that_fails_in_the_last_records_that_were_handed_over_fails() {
    // In one of them the directory is made longer when everything was handed over.
    const STEP: u64 = 4000;
    let folder = folder();
    let (path, killed) = (folder.path().join("store"), folder.path().join("killed"));
    let store = open(&path);
    let mut failures = 0;
    for number in 1..=6 * STEP {
        store.put(number.to_be_bytes(), &number).expect("put");
        if number % STEP > 0 {
            continue;
        }
        store.sync().expect("sync");
        copy_folder(&path, &killed);
        std::fs::remove_file(killed.join("directory")).expect("a directory");
        let faults = Faults::recorded();
        // The first call is for what every directory has.
        faults.plan(Fault::nth(2, libc::EIO).of(Call::Allocate).on("directory"));
        let opened = open_with(options().faults(faults), &killed);
        std::fs::remove_dir_all(&killed).expect("removed");
        match opened {
            Err(Error::Io { .. }) => failures += 1,
            Err(error) => panic!("{number} objects: {error}"),
            Ok(store) => assert_eq!(store.len(), number),
        }
    }
    assert!(failures > 0, "the directory is made longer on the way");
}

/// Lets every `step`-th call that makes a file longer fail, one in each recovery; how many there were.
fn fail_each(killed: &TempDir, objects: u64, file: &str, step: u64) -> u64 {
    let mut failures = 0;
    loop {
        let folder = folder();
        let path = folder.path().join("store");
        copy_folder(&killed.path().join("store"), &path);
        let faults = Faults::recorded();
        faults.plan(Fault::nth(1 + failures * step, libc::EIO).of(Call::Allocate).on(file));
        match open_with(options().faults(faults), &path) {
            Err(Error::Io { .. }) => failures += 1,
            Err(error) => panic!("{file}, failure {failures}: {error}"),
            Ok(store) => {
                assert_whole(&store, objects);
                return failures;
            }
        }
        assert_whole(&open(&path), objects);
    }
}

#[test]
fn a_recovery_of_many_records_makes_its_views_in_memory_where_the_disk_is_full() {
    let folder = killed(OBJECTS, true);
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    faults.plan(Fault::nth(2, libc::ENOSPC).of(Call::Allocate).on("directory").from_then_on());
    let store = open_with(options().faults(faults), &path).expect("open");
    assert_whole(&store, OBJECTS);
    drop(store);
    assert_whole(&open(&path), OBJECTS);
}

#[test]
fn a_directory_that_claims_more_objects_than_there_is_room_for_is_not_believed() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for number in 0..100_u64 {
        store.put(number.to_be_bytes(), &number).expect("put");
    }
    drop(store);
    let claim = || {
        let directory = std::fs::OpenOptions::new().write(true).open(path.join("directory")).expect("open");
        directory.write_all_at(&(1_u64 << 20).to_le_bytes(), OBJECTS_AT).expect("write");
    };
    claim();
    let store = open(&path);
    assert_eq!(store.len(), 100);
    let bytes = std::fs::metadata(path.join("directory")).expect("metadata").len();
    assert!(bytes < 1 << 20, "{bytes} bytes for 100 objects");
    store.close().expect("close");
    claim();
    let store = open(&path);
    assert_eq!(store.len(), 1 << 20, "the number is not looked into by an open");
    assert_eq!(store.check().expect("check").count(), 1, "the number is wrong");
}
