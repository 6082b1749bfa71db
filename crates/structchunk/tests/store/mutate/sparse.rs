//! Changes of sparse objects take space for what they change only.

use std::path::Path;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Result, Space, Store};

use super::{mutator, shared};
use crate::common::*;

/// 128 KiB and a bit, nothing of which has space.
const WORDS: u64 = (16 << 10) + 13;

type Grid = [u64; WORDS as usize];

fn put_grid(store: &Store) {
    store.loan_array::<u64>("grid", &[WORDS], Space::Sparse).unwrap().publish().unwrap();
}

fn allocated(store: &Store) -> u64 {
    store.stats().unwrap().bytes_allocated
}

fn word(store: &Store, at: u64) -> u64 {
    // (A load of all would fill it.)
    let mut file = None;
    for entry in std::fs::read_dir(store.path().join("chunks")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "body") {
            file = Some(std::fs::File::open(path).unwrap());
        }
    }
    let mut word = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(&file.expect("a body"), &mut word, 4096 + at * 8).unwrap();
    u64::from_le_bytes(word)
}

/// Changes words of the grid by a call, with and without space.
fn takes_space_for_what_it_changes(
    store: &Store,
    faults: &Faults,
    mut change: impl FnMut(&[u64], u64) -> Result<bool>,
) {
    let before = allocated(store);
    let ends = [0, 511, 512, 8 << 10, WORDS - 1];
    assert!(change(&ends, 8).unwrap());
    assert!(allocated(store) - before < 48 << 10, "{before}, then {}", allocated(store));
    assert_eq!(ends.map(|at| word(store, at)), [8; 5]);
    // Where there is something already, and for zeroes, none is taken.
    faults.plan(Fault::nth(1, libc::ENOSPC).of(Call::Allocate).from_then_on());
    assert!(change(&ends, 0).unwrap() && change(&[600], 9).unwrap());
    assert_eq!((ends.map(|at| word(store, at)), word(store, 600)), ([0; 5], 9));
    let refused = change(&[600, 12 << 10], 7);
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    faults.heal();
    assert_eq!((word(store, 600), word(store, 12 << 10)), (9, 0), "nothing has changed");
    assert!(change(&[600, 12 << 10], 7).unwrap(), "nor is it torn");
    assert_eq!((word(store, 600), word(store, 12 << 10), word(store, WORDS - 1)), (7, 7, 0));
}

fn set(grid: &mut [u64], at: &[u64], value: u64) {
    for &at in at {
        grid[at as usize] = value;
    }
}

#[test]
fn an_update_beside_the_writer_takes_space_for_what_it_changes_and_is_refused_where_there_is_none() {
    let (folder, faults) = (folder(), Faults::recorded());
    let store = shared(folder.path());
    put_grid(&store);
    #[expect(unsafe_code, reason = "attaching to a store is unsafe")]
    // SAFETY: nobody else knows the folder.
    let beside = unsafe { options().faults(faults.clone()).attach_mut(folder.path()) }.unwrap();
    takes_space_for_what_it_changes(&store, &faults, |at, value| {
        beside.update("grid", |grid: &mut [u64]| set(grid, at, value))
    });
}

fn shared_with(faults: &Faults, path: &Path) -> Store {
    open_with(options().shared_mutation(true).faults(faults.clone()), path).unwrap()
}

#[test]
fn so_does_one_by_the_writer_of_a_store_that_is_shared() {
    let (folder, faults) = (folder(), Faults::recorded());
    let store = shared_with(&faults, folder.path());
    put_grid(&store);
    takes_space_for_what_it_changes(&store, &faults, |at, value| {
        store.update("grid", |grid: &mut Grid| set(grid, at, value))
    });
}

#[test]
fn so_does_one_by_the_writer_that_knows_no_length() {
    let (folder, faults) = (folder(), Faults::recorded());
    let store = shared_with(&faults, folder.path());
    put_grid(&store);
    takes_space_for_what_it_changes(&store, &faults, |at, value| {
        store.update("grid", |grid: &mut [u64]| set(grid, at, value))
    });
}

#[test]
fn so_does_mending_which_leaves_the_object_torn_where_it_is_refused() {
    let (folder, faults) = (folder(), Faults::recorded());
    let store = shared_with(&faults, folder.path());
    put_grid(&store);
    takes_space_for_what_it_changes(&store, &faults, |at, value| {
        // (A refusal has left it as the one before.)
        if !matches!(store.try_update("grid", |_: &mut Grid| {}), Err(Error::Torn { .. })) {
            let mut child = mutator(folder.path());
            assert_eq!(child.tell("dwell_words grid"), "dwelling");
            child.kill();
        }
        let mended = store.mend("grid", |grid: &mut [u64]| set(grid, at, value));
        let is_torn = matches!(store.try_update("grid", |_: &mut Grid| {}), Err(Error::Torn { .. }));
        assert_eq!(is_torn, mended.is_err());
        mended
    });
}
