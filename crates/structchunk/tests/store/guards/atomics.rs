//! Objects of atomics: any number of threads change them at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use structchunk::{Object, Store};

use super::{is_busy, waits_for};
use crate::common::{Counter, LARGEST_INLINE, folder, open};

/// A [`Counter`] as plain numbers: the same layout.
#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[object(name = "Counter")]
#[repr(C)]
struct Numbers {
    hits: u64,
    sum: u64,
}

#[test]
fn threads_count_together_without_losing_anything() {
    let folder = folder();
    let store = open(folder.path());
    store.put("c", &Counter::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let counter = store.get_atomic::<Counter>("c").unwrap().unwrap();
                    counter.hits.fetch_add(1, Relaxed);
                    counter.sum.fetch_add(3, Relaxed);
                }
            });
        }
    });
    let counter = store.load::<Counter>("c").unwrap().unwrap();
    assert_eq!((counter.hits.into_inner(), counter.sum.into_inner()), (4000, 12_000));
    assert!(store.get_atomic::<Counter>("absent").unwrap().is_none());
    drop(store);
    let counter = open(folder.path()).load::<Counter>("c").unwrap().unwrap();
    assert_eq!(counter.hits.into_inner(), 4000);
}

#[test]
fn whoever_sees_the_same_object_as_plain_numbers_excludes_the_atomics() {
    let folder = folder();
    let store = open(folder.path());
    store.put("c", &Counter::default()).unwrap();
    let atomic = store.get_atomic::<Counter>("c").unwrap().unwrap();
    let second = store.get_atomic::<Counter>("c").unwrap().unwrap();
    is_busy(store.try_get::<Numbers>("c"), "c");
    is_busy(store.try_get_mut::<Numbers>("c"), "c");
    drop(atomic);
    is_busy(store.get::<Numbers>("c"), "c");
    waits_for(second, || drop(store.get::<Numbers>("c").unwrap().unwrap()));
    let plain = store.get::<Numbers>("c").unwrap().unwrap();
    is_busy(store.get_atomic::<Counter>("c"), "c");
    is_busy(store.try_get_atomic::<Counter>("c"), "c");
    assert_eq!(*plain, Numbers { hits: 0, sum: 0 });
    drop(plain);
    store.update("c", |numbers: &mut Numbers| numbers.hits = 7).unwrap();
    assert_eq!(store.get_atomic::<Counter>("c").unwrap().unwrap().hits.load(Relaxed), 7);
}

const CELLS: usize = LARGEST_INLINE as usize / 8 + 1;

/// An object of atomics in a body.
#[derive(Object)]
#[object(atomic)]
#[repr(C)]
struct Large {
    cells: [AtomicU64; CELLS],
}

/// A [`Large`] as plain numbers.
#[derive(Object)]
#[object(name = "Large")]
#[repr(C)]
struct LargeNumbers {
    cells: [u64; CELLS],
}

fn put_large(store: &Store) {
    store.put("k", &Large { cells: std::array::from_fn(|n| AtomicU64::new(n as u64)) }).unwrap();
}

#[test]
fn a_large_object_of_atomics_that_was_renamed_is_no_plain_number_meanwhile() {
    let folder = folder();
    let store = open(folder.path());
    put_large(&store);
    let atomic = store.get_atomic::<Large>("k").unwrap().unwrap();
    assert!(store.rename("k", "new").unwrap());
    is_busy(store.try_get::<LargeNumbers>("new"), "new");
    atomic.cells[0].store(5, Relaxed);
    assert_eq!(store.get_atomic::<Large>("new").unwrap().unwrap().cells[0].load(Relaxed), 5);
    drop(atomic);
    assert_eq!(store.get::<LargeNumbers>("new").unwrap().unwrap().cells[..2], [5, 1]);
}

#[test]
fn syncs_go_on_while_a_body_that_was_removed_is_still_written_to() {
    let folder = folder();
    let store = open(folder.path());
    put_large(&store);
    let guard = store.get_atomic::<Large>("k").unwrap().unwrap();
    store.remove("k").unwrap();
    for round in 0..5_u64 {
        guard.cells[0].store(round, Relaxed);
        store.put("other", &round).unwrap();
        store.sync().unwrap();
    }
    drop(guard);
    store.sync().unwrap();
    store.close().unwrap();
    assert_eq!(open(folder.path()).stats().unwrap().bodies, 0);
}

#[test]
fn a_put_over_an_object_of_atomics_leaves_its_guards_the_old_one() {
    let store = Store::in_memory().unwrap();
    store.put("c", &Counter::default()).unwrap();
    let old = store.get_atomic::<Counter>("c").unwrap().unwrap();
    store.put("c", &Counter::default()).unwrap();
    old.hits.store(9, Relaxed);
    assert_eq!(store.get_atomic::<Counter>("c").unwrap().unwrap().hits.load(Relaxed), 0);
    assert_eq!(store.load::<Counter>("c").unwrap().unwrap().hits.into_inner(), 0);
}
