//! What becomes of the path of a store while it is open: the handle goes on with its own files and touches no other store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use structchunk::{Found, Store};

use crate::common::*;

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a name").path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).expect("bytes"));
        }
    }
    files
}

/// A store with an object, and then another one, closed, at its path. The first is open, and lies where the second path says; it is nowhere
/// with `removed`.
fn replaced(path: &Path, moved: &Path, removed: bool) -> Store {
    let store = open(path);
    store.put("own", &1_u64).expect("put");
    store.sync().expect("sync");
    if removed {
        fs::remove_dir_all(path).expect("removed");
    } else {
        fs::rename(path, moved).expect("a new name");
    }
    let other = open(path);
    other.put("own", &2_u64).expect("put");
    other.put("other", &vec![3_u64; 10_000][..]).expect("put");
    other.close().expect("close");
    store
}

/// Everything that makes, changes or removes files; how much of it was an error.
fn work(store: &Store) -> u64 {
    let mut errors = 0;
    let mut done = |outcome: structchunk::Result<()>| errors += u64::from(outcome.is_err());
    // More chunks, bodies with files of their own, the views grown.
    for number in 0..3_000_u64 {
        done(store.put(number.to_le_bytes(), &Wide { words: [number; 128] }));
    }
    done(store.put("large", &vec![4_u64; 20_000][..]));
    done(store.rename("large", "renamed").map(drop));
    done(store.sync());
    for number in 0..2_900_u64 {
        done(store.remove(number.to_le_bytes()).map(drop));
    }
    done(store.remove("renamed").map(drop));
    done(store.sync_index());
    done(store.compact().map(drop));
    for _ in 0..3 {
        done(store.sync());
    }
    errors
}

#[test]
fn a_store_that_is_renamed_and_replaced_goes_on_in_its_own_files() {
    let folder = folder();
    let (path, moved) = (folder.path().join("store"), folder.path().join("moved"));
    let store = replaced(&path, &moved, false);
    let before = contents(&path);
    assert_eq!(work(&store), 0);
    assert_eq!(store.load::<u64>("own").expect("load"), Some(1));
    store.close().expect("close");
    assert!(contents(&path) == before, "the store that came in its place was changed");
    let store = open(&moved);
    assert_eq!((store.recovery().found, store.len()), (Found::Clean, 101));
    assert_eq!(store.check().expect("a check").count(), 0);
    assert_eq!(open(&path).load::<u64>("own").expect("load"), Some(2));
}

#[test]
fn a_store_that_is_removed_and_replaced_changes_nothing_of_the_new_one() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = replaced(&path, &path, true);
    let before = contents(&path);
    assert!(work(&store) > 0, "no file can be made in a folder that is gone");
    assert_eq!(store.load::<u64>("own").expect("load"), Some(1), "what is mapped is still read");
    // Whatever it answers.
    let _ = store.close();
    assert!(contents(&path) == before, "the store that came in its place was changed");
    let store = open(&path);
    assert_eq!((store.recovery().found, store.len()), (Found::Clean, 2));
    assert_eq!(store.load::<u64>("own").expect("load"), Some(2));
}

#[test]
fn two_stores_that_change_places_while_both_are_open_stay_apart() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (one, two) = (open(at("one")), open(at("two")));
    fs::rename(at("one"), at("middle")).expect("a new name");
    fs::rename(at("two"), at("one")).expect("a new name");
    fs::rename(at("middle"), at("two")).expect("a new name");
    for (number, store) in [(1_u64, &one), (2, &two)] {
        store.put("which", &number).expect("put");
        assert_eq!(work(store), 0);
    }
    assert!(
        open_with(options(), at("one")).is_err() && open_with(options(), at("two")).is_err(),
        "both are locked"
    );
    one.close().expect("close");
    two.close().expect("close");
    for (number, name) in [(1_u64, "two"), (2, "one")] {
        let store = open(at(name));
        assert_eq!(store.recovery().found, Found::Clean);
        assert_eq!(store.load::<u64>("which").expect("load"), Some(number));
        assert_eq!(store.check().expect("a check").count(), 0);
    }
}

#[test]
fn a_removed_store_that_is_dropped_without_a_close_changes_nothing_of_the_new_one() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = replaced(&path, &path, true);
    // The new one is open, and has records that were not synced: they are what a stray writer of `shared` or `STORE` would lose.
    let other = open(&path);
    other.put("late", &5_u64).expect("put");
    work(&store);
    drop(store);
    drop(other);
    let other = open(&path);
    assert_eq!((other.recovery().found, other.len()), (Found::ProcessDied, 3));
    assert_eq!(other.load::<u64>("late").expect("load"), Some(5));
    assert_eq!(other.check().expect("a check").count(), 0);
}
