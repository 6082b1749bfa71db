//! Who waits for whom, and until when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::time::Duration;

use structchunk::{Plain, Ref, Store};

use super::{EachSort, LARGE, SMALL, is_busy, put_each_sort, time_of, waits_for};
use crate::common::{Point, Wide, folder, open, open_with, options};

/// The busy timeout of `options()`.
const TIMEOUT: Duration = Duration::from_millis(200);

#[test]
fn readers_share_an_object_and_keep_its_changer_out() {
    struct Test;
    impl EachSort for Test {
        fn test<T: Plain + ?Sized>(store: &Store, key: &str) {
            let first = store.get::<T>(key).unwrap().unwrap();
            let second = store.try_get::<T>(key).unwrap().unwrap();
            let third = store.get_owned::<T>(key).unwrap().unwrap();
            is_busy(store.try_get_mut::<T>(key), key);
            let waited = time_of(|| is_busy(store.get_mut::<T>(key), key));
            assert!(waited >= TIMEOUT, "{waited:?}");
            drop((first, second));
            is_busy(store.try_get_mut::<T>(key), key);
            drop(third);
            assert!(store.try_get_mut::<T>(key).unwrap().is_some());
        }
    }
    let folder = folder();
    Test::run(&open(folder.path()));
}

#[test]
fn a_changer_keeps_everybody_else_out_until_the_timeout() {
    struct Test;
    impl EachSort for Test {
        fn test<T: Plain + ?Sized>(store: &Store, key: &str) {
            let guard = store.get_mut::<T>(key).unwrap().unwrap();
            is_busy(store.try_get::<T>(key), key);
            is_busy(store.try_get_mut::<T>(key), key);
            is_busy(store.try_put(key, &SMALL), key);
            is_busy(store.try_remove(key), key);
            let waited = time_of(|| {
                is_busy(store.get::<T>(key), key);
                is_busy(store.get_owned::<T>(key), key);
                is_busy(store.get_mut::<T>(key), key);
                is_busy(store.put(key, &SMALL), key);
                is_busy(store.remove(key), key);
                is_busy(store.rename(key, "other"), key);
                let mut batch = store.batch();
                batch.put(key, &SMALL).unwrap();
                batch.put("unrelated", &SMALL).unwrap();
                is_busy(batch.commit(), key);
            });
            assert!(waited >= 7 * TIMEOUT, "{waited:?}");
            assert!(!store.contains("unrelated").unwrap() && !store.contains("other").unwrap());
            drop(guard);
            assert!(store.try_remove(key).unwrap());
        }
    }
    let folder = folder();
    Test::run(&open(folder.path()));
}

#[test]
fn everybody_goes_on_when_the_changer_is_done() {
    struct Test;
    impl EachSort for Test {
        fn test<T: Plain + ?Sized>(store: &Store, key: &str) {
            let held = || store.get_mut::<T>(key).unwrap().unwrap();
            waits_for(held(), || drop(store.get::<T>(key).unwrap().unwrap()));
            waits_for(held(), || drop(store.get_mut::<T>(key).unwrap().unwrap()));
            let reader = store.get::<T>(key).unwrap().unwrap();
            waits_for(reader, || drop(store.get_mut::<T>(key).unwrap().unwrap()));
            waits_for(held(), || assert!(store.rename(key, "other").unwrap()));
            let other = store.get_mut::<T>("other").unwrap().unwrap();
            waits_for(other, || store.put("other", &SMALL).unwrap());
            waits_for(store.get_mut::<Point>("other").unwrap().unwrap(), || {
                let mut batch = store.batch();
                batch.remove("other").unwrap();
                batch.commit().unwrap();
            });
            assert!(!store.contains("other").unwrap());
        }
    }
    Test::run(&Store::in_memory().unwrap());
}

#[test]
fn guards_of_other_objects_never_matter() {
    let folder = folder();
    let store = open_with(options().busy_timeout(Duration::ZERO), folder.path()).unwrap();
    for n in 0..1000_u64 {
        store.put(n.to_le_bytes(), &n).unwrap();
    }
    let held: Vec<_> =
        (0..500_u64).map(|n| store.get_mut::<u64>(n.to_le_bytes()).unwrap().unwrap()).collect();
    for n in 500..1000_u64 {
        store.update(n.to_le_bytes(), |value: &mut u64| *value += 1).unwrap();
        store.put(n.to_le_bytes(), &n).unwrap();
    }
    drop(held);
}

#[test]
fn two_threads_that_want_each_others_object_get_busy_and_nothing_hangs() {
    let folder = folder();
    let store = open(folder.path());
    store.put("a", &LARGE).unwrap();
    store.put("b", &LARGE).unwrap();
    let together = Barrier::new(2);
    let take = |mine: &str, other: &str| {
        let guard = store.get_mut::<Wide>(mine).unwrap().unwrap();
        together.wait();
        is_busy(store.get_mut::<Wide>(other), other);
        together.wait();
        drop(guard);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| take("a", "b"));
        scope.spawn(|| take("b", "a"));
    });
    assert!(store.try_get_mut::<Wide>("a").unwrap().is_some());
}

#[test]
fn a_guard_keeps_its_object_through_put_remove_and_sync() {
    let folder = folder();
    let store = open(folder.path());
    put_each_sort(&store);
    let small = store.get::<Point>("small").unwrap().unwrap();
    let large = store.get_owned::<Wide>("large").unwrap().unwrap();
    let body = store.get::<[u64]>("body").unwrap().unwrap();
    for round in 0..3 {
        store.put("small", &Point { x: 7.0, y: f64::from(round) }).unwrap();
        store.remove("large").unwrap();
        store.put("large", &SMALL).unwrap();
        store.put("body", &vec![2_u64; 40_000][..]).unwrap();
        store.sync().unwrap();
        assert!(*small == SMALL && *large == LARGE && body.iter().all(|&word| word == 1));
    }
    assert_eq!(store.load::<Point>("small").unwrap(), Some(Point { x: 7.0, y: 2.0 }));
    assert!(store.get::<[u64]>("body").unwrap().unwrap().iter().all(|&word| word == 2));
    // The new objects are nobody's, though guards of the old ones live.
    assert!(store.try_get_mut::<Point>("small").unwrap().is_some());
    assert!(store.try_get_mut::<[u64]>("body").unwrap().is_some());
}

#[test]
fn a_large_object_that_was_renamed_is_still_the_one_its_guards_see() {
    let folder = folder();
    let store = open(folder.path());
    put_each_sort(&store);
    let reader = store.get::<[u64]>("body").unwrap().unwrap();
    assert!(store.rename("body", "new").unwrap());
    // One body, two records: whoever reads through the first keeps out who would change through the second.
    is_busy(store.try_get_mut::<[u64]>("new"), "new");
    is_busy(store.update("new", |_: &mut [u64; 40_000]| unreachable!()), "new");
    drop(reader);
    let mut guard = store.try_get_mut::<[u64]>("new").unwrap().unwrap();
    guard[0] = 9;
    is_busy(store.try_put("new", &SMALL), "new");
    drop(guard);
    assert_eq!(store.get::<[u64]>("new").unwrap().unwrap()[..2], [9, 1]);
}

#[test]
fn a_staged_change_is_seen_when_it_is_committed_or_dropped_and_not_before() {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &SMALL).unwrap();
    let mut guard = store.get_mut::<Point>("k").unwrap().unwrap();
    guard.x = 2.0;
    assert_eq!((guard.x, store.load("k").unwrap()), (2.0, Some(SMALL)));
    store.sync().unwrap();
    assert_eq!(store.load("k").unwrap(), Some(SMALL), "sync includes no staged change");
    guard.commit().unwrap();
    assert_eq!(store.load("k").unwrap(), Some(Point { x: 2.0, y: 1.0 }));
    store.get_mut::<Point>("k").unwrap().unwrap().y = 3.0;
    assert_eq!(store.load("k").unwrap(), Some(Point { x: 2.0, y: 3.0 }));
    drop(store);
    assert_eq!(open(folder.path()).load("k").unwrap(), Some(Point { x: 2.0, y: 3.0 }));
}

/// Takes a guard while a thread unwinds.
struct Late<'a>(&'a Store);
impl Drop for Late<'_> {
    fn drop(&mut self) {
        self.0.try_get_mut::<Point>("small").unwrap().unwrap().y = 6.0;
    }
}

#[test]
fn a_small_object_whose_changer_panics_stays_as_it_was() {
    let folder = folder();
    let store = open(folder.path());
    put_each_sort(&store);
    let panics = |action: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(action)).is_err());
    panics(&|| {
        let mut guard = store.get_mut::<Point>("small").unwrap().unwrap();
        guard.x = 5.0;
        panic!("half way");
    });
    panics(&|| {
        let change = |point: &mut Point| {
            point.x = 5.0;
            panic!("half way");
        };
        store.update("small", change).unwrap();
    });
    panics(&|| {
        let change = |wide: &mut Wide| {
            wide.words[0] = 5;
            panic!("half way");
        };
        store.update("large", change).unwrap();
    });
    assert_eq!(store.load("small").unwrap(), Some(SMALL));
    assert_eq!(store.load::<Wide>("large").unwrap().unwrap().words[..2], [5, 1], "changed where it lies");
    // Nobody holds anything any more; and a guard that was taken while unwinding counts.
    panics(&|| {
        let _late = Late(&store);
        panic!("on the way");
    });
    assert_eq!(store.load("small").unwrap(), Some(Point { x: 1.0, y: 6.0 }));
    assert!(store.try_put("large", &LARGE).is_ok());
    assert_eq!(store.check().unwrap().count(), 0);
}

#[test]
fn a_part_of_an_object_is_borrowed_like_the_whole() {
    let store = Store::in_memory().unwrap();
    store.put("large", &LARGE).unwrap();
    let part = Ref::map(store.get::<Wide>("large").unwrap().unwrap(), |wide| &wide.words[5..7]);
    assert_eq!((part.len(), format!("{part:?}")), (2, "[1, 1]".to_owned()));
    is_busy(store.try_get_mut::<Wide>("large"), "large");
    let smaller = Ref::map(part, |words| &words[1]);
    assert_eq!(*smaller, 1);
    is_busy(store.try_get_mut::<Wide>("large"), "large");
    drop(smaller);
    assert!(store.try_get_mut::<Wide>("large").unwrap().is_some());
    // A projection that panics gives the object back.
    let guard = store.get::<Wide>("large").unwrap().unwrap();
    let refused = catch_unwind(AssertUnwindSafe(|| drop(Ref::map(guard, |_| -> &u8 { panic!() }))));
    assert!(refused.is_err() && store.try_get_mut::<Wide>("large").unwrap().is_some());
}

#[test]
fn an_object_may_be_put_from_a_guard_of_itself() {
    let store = Store::in_memory().unwrap();
    put_each_sort(&store);
    let guard = store.get::<Wide>("large").unwrap().unwrap();
    store.put("large", &*guard).unwrap();
    store.put("copy", &*store.get::<[u64]>("body").unwrap().unwrap()).unwrap();
    assert_eq!(store.load::<Wide>("large").unwrap(), Some(*guard));
    assert_eq!(store.get::<[u64]>("copy").unwrap().unwrap().len(), 40_000);
}

#[test]
fn take_and_replace_of_a_large_object_wait_for_nobody_who_waits_for_them() {
    let folder = folder();
    let store = open_with(options().busy_timeout(Duration::from_secs(20)), folder.path()).unwrap();
    let waited = time_of(|| {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..2000).for_each(|_| drop(store.get_mut::<Wide>("k").unwrap())));
                scope.spawn(|| {
                    for _ in 0..2000 {
                        store.replace("k", &LARGE).unwrap();
                        store.take::<Wide>("k").unwrap();
                    }
                });
            }
        });
    });
    assert!(waited < Duration::from_secs(15), "somebody waited for the timeout: {waited:?}");
}
