//! Scans beside threads that change the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

#[test]
fn a_scan_beside_a_writer_meets_every_key_that_stays_once() {
    for source in SOURCES {
        let folder = folder();
        let store = source.open(folder.path());
        (0..2000_u32).for_each(|n| store.put(format!("stays {n:04}"), &n).unwrap());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random::new(3);
                while !done.load(Ordering::Relaxed) {
                    let n = random.below(2000) as u32;
                    store.put(format!("stays {n:04}"), &n).unwrap();
                    store.put(format!("comes {n:04}"), &n).unwrap();
                    let mut batch = store.batch();
                    batch.put(format!("stays {:04}", n / 2), &n).unwrap();
                    batch.remove(format!("comes {:04}", n / 2)).unwrap();
                    batch.commit().unwrap();
                }
            });
            for round in 0..10 {
                let scan = store.keys().unwrap();
                let all: Vec<_> = if round % 2 == 0 { scan.collect() } else { scan.rev().collect() };
                let mut all: Vec<_> = all.into_iter().map(|key| key.unwrap().into_key()).collect();
                if round % 2 == 1 {
                    all.reverse();
                }
                assert!(all.is_sorted_by(|a, b| a < b));
                assert_eq!(all.iter().filter(|key| key.starts_with(b"stays")).count(), 2000);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(keys(&store), sorted(&store));
        store.close().unwrap();
    }
}

#[test]
fn a_scan_holds_no_lock_between_two_steps() {
    for source in SOURCES {
        let folder = folder();
        let store = source.open(folder.path());
        fill(&store, 300);
        let mut scan = store.ordered().unwrap();
        scan.next().unwrap().unwrap();
        // Would wait for ever, or for a lock that is held, if the scan held one.
        store.put("new", &1_u8).unwrap();
        store.sync().unwrap();
        store.sync_index().unwrap();
        assert!(scan.all(|entry| entry.is_ok()));
    }
}

#[test]
fn many_threads_scan_at_the_same_time() {
    for source in SOURCES {
        let folder = folder();
        let store = source.open(folder.path());
        fill(&store, 500);
        let expected = sorted(&store);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(keys(&store), expected));
            }
        });
    }
}

#[test]
fn a_key_that_is_met_after_a_change_is_said_to_lie_where_it_lies_now() {
    for source in SOURCES {
        let folder = folder();
        let store = source.open(folder.path());
        (0..50_u8).for_each(|n| store.put([n], &n).unwrap());
        let mut scan = store.keys().unwrap();
        let first = scan.next().unwrap().unwrap();
        store.put([30], &99_u8).unwrap();
        let now = store.range(&[30][..]..).unwrap().keys().next().unwrap().unwrap();
        assert!(now.location() > first.location());
        assert_eq!(
            scan.find(|entry| entry.as_ref().unwrap().key() == [30]).unwrap().unwrap(),
            now,
            "{source:?}"
        );
    }
}
