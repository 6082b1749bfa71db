//! Guards that are forgotten: less is possible afterwards, nothing is unsound, and the next open has everything.

use structchunk::{Found, Store};

use super::{LARGE, SMALL, is_busy, put_each_sort};
use crate::common::{Point, Wide, folder, open};

#[test]
fn a_forgotten_reader_keeps_changers_out_and_nobody_else() {
    let folder = folder();
    let store = open(folder.path());
    put_each_sort(&store);
    std::mem::forget(store.get::<Wide>("large").unwrap());
    std::mem::forget(store.get_owned::<[u64]>("body").unwrap());
    is_busy(store.try_get_mut::<Wide>("large"), "large");
    is_busy(store.try_get_mut::<[u64]>("body"), "body");
    assert_eq!(store.load::<Wide>("large").unwrap(), Some(LARGE));
    assert_eq!(store.get::<Wide>("large").unwrap().as_deref(), Some(&LARGE));
    store.put("large", &LARGE).unwrap();
    assert!(
        store.try_get_mut::<Wide>("large").unwrap().is_some(),
        "the new object is not the one that is held"
    );
    store.remove("body").unwrap();
    for _ in 0..3 {
        store.sync().unwrap();
    }
}

#[test]
fn a_forgotten_change_of_a_small_object_is_lost_and_its_old_value_is_read() {
    let folder = folder();
    let store = open(folder.path());
    put_each_sort(&store);
    let mut guard = store.get_mut::<Point>("small").unwrap().unwrap();
    guard.x = 9.0;
    std::mem::forget(guard);
    assert_eq!(store.load("small").unwrap(), Some(SMALL));
    is_busy(store.try_get::<Point>("small"), "small");
    is_busy(store.try_put("small", &SMALL), "small");
    store.sync().unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.load("small").unwrap(), store.recovery().torn.len()), (Some(SMALL), 0));
    store.put("small", &LARGE).unwrap();
}

#[test]
fn a_forgotten_change_of_a_large_object_leaves_it_busy_until_the_store_is_opened_again() {
    let folder = folder();
    let store = open(folder.path());
    put_each_sort(&store);
    let mut guard = store.get_mut::<Wide>("large").unwrap().unwrap();
    guard.words[0] = 9;
    std::mem::forget(guard);
    is_busy(store.load::<Wide>("large"), "large");
    is_busy(store.get::<Wide>("large"), "large");
    is_busy(store.remove("large"), "large");
    is_busy(store.rename("large", "x"), "large");
    assert_eq!(store.load("small").unwrap(), Some(SMALL), "others are free");
    store.sync().unwrap();
    store.clone().close().unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert_eq!(store.recovery().torn, [b"large".to_vec()]);
    assert_eq!(store.load::<Wide>("large").unwrap().unwrap().words[..2], [9, 1]);
    assert!(store.try_get_mut::<Wide>("large").unwrap().is_some());
}

#[test]
fn forgotten_batches_and_loans_change_nothing() {
    let folder = folder();
    let store = open(folder.path());
    let mut batch = store.batch();
    batch.put("a", &SMALL).unwrap();
    batch.put("b", &vec![1_u8; 100_000][..]).unwrap();
    std::mem::forget(batch);
    std::mem::forget(store.loan::<Wide>("c").unwrap());
    std::mem::forget(store.loan_slice::<u64>("d", 1 << 20).unwrap());
    assert!(store.is_empty() && store.iter().unwrap().next().is_none());
    store.put("e", &SMALL).unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.len(), store.recovery().removed_files.len()), (1, 2), "{:?}", store.recovery());
}

#[test]
fn a_store_in_memory_lives_as_long_as_its_last_guard() {
    let store = Store::in_memory().unwrap();
    put_each_sort(&store);
    let owned = store.get_owned::<[u64]>("body").unwrap().unwrap();
    let small = store.get_owned::<Point>("small").unwrap().unwrap();
    drop(store);
    assert!(owned.iter().all(|&word| word == 1) && *small == SMALL);
}
