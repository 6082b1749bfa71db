//! Children that are forked beside a store whose objects several processes change.
#![expect(unsafe_code, reason = "fork")]

use structchunk::{Error, Mutator, Result, Store};

use super::{attach, shared};
use crate::common::*;
use crate::process::ran_apart;

#[test]
fn a_child_of_a_mutator_changes_nothing_and_keeps_nobody_waiting() {
    if ran_apart(a_child_of_a_mutator_changes_nothing_and_keeps_nobody_waiting) {
        return;
    }
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    let beside = attach(folder.path()).unwrap();
    // SAFETY: the child uses the handle only, and no lock is held by another thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = [
            matches!(beside.update("key", |_: &mut u64| {}), Err(Error::Forked)),
            matches!(beside.load::<u64>("key"), Err(Error::Forked)),
            matches!(beside.session(), Err(Error::Forked)),
            matches!(beside.clone().load::<u64>("key"), Err(Error::Forked)),
            matches!(store.update("key", |_: &mut u64| {}), Err(Error::Forked)),
            store.load("key").is_ok_and(|value| value == Some(1_u64)),
        ];
        // SAFETY: ends the process without running anything else.
        unsafe { libc::_exit(i32::from(refused != [true; 6])) };
    }
    let mut status = 0;
    // SAFETY: waits for the child above, and writes its status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0);
    assert!(beside.update("key", |value: &mut u64| *value += 1).unwrap());
    assert_eq!(store.load("key").unwrap(), Some(2_u64));
}

/// A change of the number under `key`, by the writer or beside it.
type Change = fn(&Store, &Mutator, &mut dyn FnMut(&mut u64)) -> Result<bool>;

const CHANGES: [Change; 2] =
    [|_, beside, change| beside.update("key", change), |store, _, change| store.update("key", change)];

#[test]
fn a_child_that_was_made_in_the_middle_of_a_change_leaves_it_to_its_parent() {
    if ran_apart(a_child_that_was_made_in_the_middle_of_a_change_leaves_it_to_its_parent) {
        return;
    }
    let folder = folder();
    let store = shared(folder.path());
    for change in CHANGES {
        store.put("key", &0_u64).unwrap();
        let beside = attach(folder.path()).unwrap();
        let (mut told, mut tell) = std::io::pipe().unwrap();
        let mut child = 0;
        let outcome = change(&store, &beside, &mut |value| {
            // SAFETY: the child uses the stores and a pipe only, and no lock is held by another thread.
            let forked = unsafe { libc::fork() };
            child = forked;
            if child == 0 {
                // Until others have changed it.
                let _ = std::io::Read::read(&mut told, &mut [0]);
            }
            *value += 1;
        });
        if child == 0 {
            // SAFETY: ends the process without running anything else.
            unsafe { libc::_exit(i32::from(!matches!(outcome, Err(Error::Forked)))) };
        }
        assert!(outcome.unwrap());
        for _ in 0..10 {
            assert!(beside.update("key", |value: &mut u64| *value += 1).unwrap());
        }
        std::io::Write::write_all(&mut tell, &[1]).unwrap();
        let mut status = 0;
        // SAFETY: waits for the child above, and writes its status.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((status, store.load("key").unwrap()), (0, Some(11_u64)));
    }
}

#[test]
fn a_child_that_ends_in_the_middle_of_a_change_leaves_its_object_claimed() {
    if ran_apart(a_child_that_ends_in_the_middle_of_a_change_leaves_its_object_claimed) {
        return;
    }
    let folder = folder();
    let store = shared(folder.path());
    let (beside, witness) = (attach(folder.path()).unwrap(), attach(folder.path()).unwrap());
    for change in CHANGES {
        store.put("key", &0_u64).unwrap();
        let (mut child, mut status) = (0, 1);
        let outcome = change(&store, &beside, &mut |value| {
            // SAFETY: the child uses the stores only, and no lock is held by another thread.
            let forked = unsafe { libc::fork() };
            child = forked;
            if child != 0 {
                // SAFETY: waits for the child above, and writes its status.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                let seen = witness.load::<u64>("key");
                assert!(matches!(seen, Err(Error::Busy { .. })), "{seen:?}");
            }
            *value += 1;
        });
        if child == 0 {
            // SAFETY: ends the process without running anything else.
            unsafe { libc::_exit(i32::from(!matches!(outcome, Err(Error::Forked)))) };
        }
        assert!(outcome.unwrap());
        assert_eq!((status, store.load("key").unwrap()), (0, Some(1_u64)));
    }
}
