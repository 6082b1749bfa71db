//! Handles: clones, closing, and what outlives it.

use std::time::Duration;

use structchunk::raw::Described;
use structchunk::{Error, Found, Object, Ref, Store};

use super::on_both;
use crate::common::{Counter, Point, Wide, folder, open, open_with, options};

fn is_closed<T>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Closed)), "{:?}", result.err());
}

#[test]
fn clones_are_the_same_store() {
    on_both(|store| {
        let clone = store.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| clone.put("k", &1_u8).unwrap());
        });
        assert_eq!(store.load::<u8>("k").unwrap(), Some(1));
        let guard = store.get_mut::<u8>("k").unwrap().unwrap();
        assert!(matches!(clone.try_get::<u8>("k"), Err(Error::Busy { .. })));
        drop(guard);
    });
}

#[test]
fn a_closed_handle_answers_closed_to_everything() {
    let folder = folder();
    for store in [open(folder.path()), Store::in_memory().unwrap()] {
        store.put("k", &1_u64).unwrap();
        let mut batch = store.batch();
        batch.put("b", &1_u64).unwrap();
        let loan = store.loan::<u64>("l").unwrap();
        store.clone().close().unwrap();
        is_closed(batch.load::<u64>("k"));
        is_closed(batch.commit());
        is_closed(loan.publish());
        is_closed(store.put("k", &2_u64));
        is_closed(store.put("large", &vec![2_u64; 1 << 20][..]));
        is_closed(store.insert_new("x", &2_u64));
        is_closed(store.replace("k", &2_u64));
        is_closed(store.put_if("k", 1, &2_u64));
        is_closed(store.put_many(&["k"], &[2_u64]));
        is_closed(store.put_many::<u64, _>(&["k"], &[]));
        is_closed(store.put_many::<u64, &str>(&[], &[]));
        let what = Described::one(<u64 as Object>::ELEMENT.into());
        is_closed(store.raw().try_put_many(&["k"], &what, &[0; 8]));
        is_closed(store.raw().try_put_many(&["k"], &what, &[]));
        is_closed(store.raw().try_put_many::<&str>(&[], &what, &[]));
        is_closed(store.batch().commit());
        is_closed(store.load::<u64>("k"));
        is_closed(store.load_many::<u64, _>(&["k"]));
        is_closed(store.load_many::<u64, &str>(&[]));
        is_closed(store.get::<u64>("k"));
        is_closed(store.try_get::<u64>("k"));
        is_closed(store.get_owned::<u64>("k"));
        is_closed(store.get_mut::<u64>("k"));
        is_closed(store.update("k", |_: &mut u64| unreachable!()));
        is_closed(store.get_atomic::<Counter>("k"));
        is_closed(store.get_or_insert_with("k", || 1_u64));
        is_closed(store.take::<u64>("k"));
        is_closed(store.remove("k"));
        is_closed(store.rename("k", "l"));
        is_closed(store.contains("k"));
        is_closed(store.sequence("k"));
        is_closed(store.loan::<u64>("k"));
        is_closed(store.loan_slice::<u64>("k", 1 << 20));
        is_closed(store.reserve("k", 0..1));
        is_closed(store.iter());
        is_closed(store.iter_of::<u64>());
        is_closed(store.sync());
        is_closed(store.stats());
        is_closed(store.types());
        is_closed(store.check());
        is_closed(store.count_by_type());
        assert_eq!(Error::Closed.to_string(), "the store is closed");
        store.close().expect("closing twice is fine");
    }
}

#[test]
fn the_lock_stays_until_the_last_guard_goes() {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &Point { x: 1.0, y: 2.0 }).unwrap();
    store.put("large", &vec![5_u8; 100_000][..]).unwrap();
    let owned = store.get_owned::<Point>("k").unwrap().unwrap();
    let guard = store.get::<[u8]>("large").unwrap().unwrap();
    let part = Ref::map(guard, |bytes| &bytes[99_999]);
    store.clone().close().unwrap();
    let locked = || matches!(open_with(options(), folder.path()), Err(Error::Locked { .. }));
    assert!(locked() && *part == 5 && owned.y == 2.0);
    drop(part);
    assert!(locked() && owned.x == 1.0);
    drop(store);
    assert!(locked() && owned.y == 2.0, "the handle is gone, the owned guard is not");
    drop(owned);
    assert_eq!(open(folder.path()).recovery().found, Found::Clean);
}

#[test]
fn no_clean_mark_is_written_while_somebody_may_still_write() {
    let folder = folder();
    for kind in ["atomic", "mutable", "forgotten"] {
        let path = folder.path().join(kind);
        let store = open(&path);
        store.put("c", &Counter::default()).unwrap();
        store.put("w", &Wide { words: [0; 128] }).unwrap();
        match kind {
            "atomic" => {
                let counter = store.get_atomic::<Counter>("c").unwrap().unwrap();
                store.clone().close().unwrap();
                counter.hits.store(7, std::sync::atomic::Ordering::Relaxed);
            }
            "mutable" => {
                let mut wide = store.get_mut::<Wide>("w").unwrap().unwrap();
                store.clone().close().unwrap();
                wide.words[127] = 7;
            }
            _ => {
                std::mem::forget(store.get_mut::<Wide>("w").unwrap());
                store.clone().close().unwrap();
            }
        }
        drop(store);
        let store = open(&path);
        assert_eq!(store.recovery().found, Found::ProcessDied, "{kind}");
        if kind == "atomic" {
            assert_eq!(store.load::<Counter>("c").unwrap().unwrap().hits.into_inner(), 7);
        }
        assert_eq!(
            store.load::<Wide>("w").unwrap().unwrap().words[127],
            if kind == "mutable" { 7 } else { 0 }
        );
        assert_eq!(store.recovery().torn.len(), usize::from(kind == "forgotten"));
    }
}

#[test]
fn a_staged_change_that_comes_after_the_close_is_refused() {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &1_u64).unwrap();
    let mut guard = store.get_mut::<u64>("k").unwrap().unwrap();
    *guard = 2;
    store.clone().close().unwrap();
    is_closed(guard.commit());
    drop(store);
    assert_eq!(open(folder.path()).load::<u64>("k").unwrap(), Some(1));
}

#[test]
fn what_was_acknowledged_while_another_thread_closed_is_there() {
    let folder = folder();
    for round in 0..20 {
        let path = folder.path().join(round.to_string());
        let store = open(&path);
        let acknowledged = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4_u64)
                .map(|writer| {
                    let store = store.clone();
                    scope.spawn(move || {
                        let count = (0_u64..).take_while(|n| {
                            match store.put([writer.to_le_bytes(), n.to_le_bytes()].concat(), n) {
                                Ok(()) => true,
                                Err(Error::Closed) => false,
                                Err(error) => panic!("{error}"),
                            }
                        });
                        count.count() as u64
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(3));
            store.clone().close().unwrap();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        drop(store);
        let store = open(&path);
        assert_eq!(store.recovery().found, Found::Clean);
        assert_eq!(store.len(), acknowledged.iter().sum::<u64>());
        for (writer, &count) in (0_u64..).zip(&acknowledged) {
            for n in 0..count {
                let key = [writer.to_le_bytes(), n.to_le_bytes()].concat();
                assert_eq!(store.load::<u64>(key).unwrap(), Some(n), "{count} of writer {writer}");
            }
        }
        assert_eq!(store.check().unwrap().count(), 0);
    }
}

#[test]
fn handles_show_where_they_are_and_what_was_found() {
    let folder = folder();
    let store = open(folder.path());
    assert_eq!(store.path(), folder.path());
    assert!(format!("{store:?}").contains(&folder.path().display().to_string()));
    assert_eq!(store.recovery().found.to_string(), "new");
    assert_eq!(Store::in_memory().unwrap().path().to_str(), Some("memory:"));
}
