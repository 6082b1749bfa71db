//! Stores whose objects several processes change in place.
#![expect(unsafe_code, reason = "attaching to a store is unsafe: others could change its files")]

mod alone;
mod copies;
mod dead;
mod forked;
mod hostile;
mod others;
mod raw;
mod refused;
mod slices;
mod sparse;
mod totals;

use std::path::Path;

use structchunk::{Error, Mutator, Result, Store};

use crate::common::*;
use crate::process::Told;
use crate::readers::process;

pub fn attach(path: &Path) -> Result<Mutator> {
    // SAFETY: the tests change the files of stores that nobody is attached to only.
    unsafe { options().attach_mut(path) }
}

/// For calls that have to wait for many others.
pub fn attach_patiently(path: &Path) -> Result<Mutator> {
    // SAFETY: as above.
    unsafe { options().busy_timeout(std::time::Duration::from_mins(1)).attach_mut(path) }
}

pub fn shared(path: &Path) -> Store {
    open_with(options().shared_mutation(true), path).unwrap()
}

/// A process that changes objects.
pub fn mutator(path: &Path) -> Told {
    let mut child = process(path);
    assert_eq!(child.tell("attach_mut"), "ok");
    child
}

fn is_shared<T>(outcome: Result<T>) -> bool {
    matches!(outcome.err(), Some(Error::SharedStore { .. }))
}

#[test]
fn in_a_store_that_is_shared_nobody_refers_to_what_is_not_sealed() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &7_u64).unwrap();
    store.put("wide", &Wide { words: [1; 128] }).unwrap();
    store.put_sealed("sealed", &9_u64).unwrap();
    assert!(is_shared(store.get::<u64>("key")) && is_shared(store.get_mut::<u64>("key")));
    assert!(is_shared(store.try_get::<u64>("key")) && is_shared(store.try_get_mut::<u64>("key")));
    assert!(is_shared(store.get_owned::<u64>("key")) && is_shared(store.raw().locate(b"key")));
    assert!(is_shared(store.upgrade::<Grown>("key")) && is_shared(store.upgrade_all::<Grown>()));
    assert_eq!(*store.get::<u64>("sealed").unwrap().unwrap(), 9);
    assert!(store.update("wide", |wide: &mut Wide| wide.words[127] += 1).unwrap());
    assert!(!store.update("nothing", |_: &mut u64| {}).unwrap());
    assert_eq!(store.load::<Wide>("wide").unwrap().unwrap().words[126..], [1, 2]);
    assert_eq!((store.replace("key", &8_u64).unwrap(), store.take("key").unwrap()), (Some(7), Some(8_u64)));
    // It stays what it was made as, whatever the next one asks for.
    store.close().unwrap();
    let store = open(folder.path());
    assert!(is_shared(store.get::<Wide>("wide")));
    drop(store);
    let store = open_with(options().create(false).read_only(true), folder.path()).unwrap();
    assert!(is_shared(store.get::<Wide>("wide")));
    assert_eq!(
        (*store.get::<u64>("sealed").unwrap().unwrap(), store.load::<Wide>("wide").unwrap().is_some()),
        (9, true)
    );
}

#[test]
fn one_process_changes_what_another_one_put_and_all_see_it_at_once() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    store.put("wide", &Wide { words: [1; 128] }).unwrap();
    store.put("large", &vec![1_u64; 9000][..]).unwrap();
    let mutator = attach(folder.path()).unwrap();
    assert!(mutator.update("key", |value: &mut u64| *value += 1).unwrap());
    assert!(mutator.update("wide", |wide: &mut Wide| wide.words = [2; 128]).unwrap());
    assert!(mutator.update("large", |large: &mut [u64]| large.fill(2)).unwrap());
    assert!(!mutator.update("nothing", |_: &mut u64| {}).unwrap());
    assert!(matches!(mutator.update("key", |_: &mut Point| {}), Err(Error::LayoutMismatch { .. })));
    assert_eq!((store.load("key").unwrap(), mutator.load("key").unwrap()), (Some(2_u64), Some(2_u64)));
    assert_eq!(store.load("wide").unwrap(), Some(Wide { words: [2; 128] }));
    let reader = crate::readers::attach(folder.path());
    assert_eq!(reader.load("wide").unwrap(), Some(Wide { words: [2; 128] }));
    let entry = store.entry("large").unwrap().unwrap();
    assert!(entry.bytes(u64::MAX).unwrap().chunks(8).all(|word| word == 2_u64.to_le_bytes()));
    // What is sealed is not changed any more, by anybody; and can be referred to.
    assert!(store.seal("key").unwrap());
    assert!(matches!(mutator.update("key", |_: &mut u64| {}), Err(Error::Sealed { .. })));
    assert_eq!(*mutator.get::<u64>("key").unwrap().unwrap(), 2);
    assert_eq!(store.check_deep().unwrap().count(), 0);
}

#[test]
fn only_a_store_that_is_shared_and_has_a_session_can_be_attached_to_for_changes() {
    let folder = folder();
    let path = folder.path().join("own");
    let store = open(&path);
    assert!(matches!(attach(&path), Err(Error::Unsupported { .. })));
    drop(store);
    let path = folder.path().join("shared");
    assert!(matches!(attach(&path), Err(Error::NotAStore { .. } | Error::Io { .. })));
    let store = shared(&path);
    store.put("key", &1_u64).unwrap();
    store.close().unwrap();
    assert!(matches!(attach(&path), Err(Error::NoWriter { .. })));
    let store = open(&path);
    assert_eq!(store.recovery().found, structchunk::Found::Clean);
    let mutator = attach(&path).unwrap();
    assert!(mutator.update("key", |value: &mut u64| *value += 1).unwrap());
    assert_eq!(store.load("key").unwrap(), Some(2_u64));
}

#[test]
fn a_change_that_panics_changes_nothing_and_is_in_nobodys_way() {
    let folder = folder();
    let store = shared(folder.path());
    store.put("key", &1_u64).unwrap();
    let mutator = attach(folder.path()).unwrap();
    let panicking = || {
        let change = |value: &mut u64| {
            *value = 5;
            panic!("in the middle");
        };
        let _ = mutator.update("key", change);
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
    assert_eq!(mutator.load("key").unwrap(), Some(1_u64));
    assert!(store.update("key", |value: &mut u64| *value += 1).unwrap());
    assert_eq!(mutator.load("key").unwrap(), Some(2_u64));
}
