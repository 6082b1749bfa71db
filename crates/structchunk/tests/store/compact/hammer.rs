//! Everything else goes on while objects are moved.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use structchunk::{Error, Store};

use super::*;

/// Runs `work` on threads, again and again, while a store is compacted so many times.
fn while_compacting(store: &Store, times: u64, work: &[&(dyn Fn(u64) + Sync)]) -> u64 {
    let (done, moved) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (done, moved) = (&done, &moved);
        for work in work {
            scope.spawn(move || {
                let mut turn = 0;
                while !done.load(Ordering::SeqCst) {
                    work(turn);
                    turn += 1;
                }
            });
        }
        scope.spawn(move || {
            // Others end when this one panics, too.
            struct Done<'a>(&'a AtomicBool);
            impl Drop for Done<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::SeqCst);
                }
            }
            let _done = Done(done);
            for _ in 0..times {
                // Enough that the active chunk is worth emptying.
                for number in 0..80_u64 {
                    store.put("garbage", &Wide { words: [number; 128] }).expect("put");
                }
                let report = store.compact_with(everything()).expect("compact");
                moved.fetch_add(report.moved_objects, Ordering::SeqCst);
            }
        });
    });
    moved.into_inner()
}

#[test]
fn no_change_in_place_is_lost_when_objects_are_moved_between() {
    const KEYS: u64 = 40;
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for key in 0..KEYS {
        store.put(format!("small {key}"), &0_u64).expect("put");
        store.put(format!("wide {key}"), &Wide { words: [0; 128] }).expect("put");
        store.put(format!("atomic {key}"), &Counter::default()).expect("put");
    }
    let returned = [const { AtomicU64::new(0) }; 3];
    let patient = |outcome: Result<bool, Error>, count: &AtomicU64| match outcome {
        Ok(there) => {
            assert!(there);
            count.fetch_add(1, Ordering::SeqCst);
        }
        Err(Error::Busy { .. }) => {}
        Err(error) => panic!("{error}"),
    };
    let small = |n: u64| {
        let key = format!("small {}", n % KEYS);
        patient(store.update(key, |value: &mut u64| *value += 1), &returned[0]);
    };
    let wide = |n: u64| {
        let add = |wide: &mut Wide| wide.words.iter_mut().for_each(|word| *word += 1);
        patient(store.update(format!("wide {}", n % KEYS), add), &returned[1]);
    };
    let atomic = |n: u64| {
        let counter = store.get_atomic::<Counter>(format!("atomic {}", n % KEYS)).map(|counter| {
            counter.expect("there").hits.fetch_add(1, Ordering::SeqCst);
            true
        });
        patient(counter, &returned[2]);
    };
    let moved = while_compacting(&store, cases(60), &[&small, &wide, &atomic]);
    assert!(moved > 1000, "{moved} moved");
    let sums = |store: &Store| {
        let mut sums = [0; 3];
        for key in 0..KEYS {
            sums[0] += store.load::<u64>(format!("small {key}")).expect("load").expect("there");
            let wide = store.load::<Wide>(format!("wide {key}")).expect("load").expect("there");
            assert!(wide.words.iter().all(|word| *word == wide.words[0]), "half of a change");
            sums[1] += wide.words[0];
            let counter = store.load::<Counter>(format!("atomic {key}")).expect("load").expect("there");
            sums[2] += counter.hits.into_inner();
        }
        sums
    };
    let returned = returned.map(AtomicU64::into_inner);
    assert_eq!(sums(&store), returned);
    store.close().expect("close");
    assert_eq!(sums(&open(&path)), returned);
}

#[test]
fn a_guard_keeps_others_out_although_its_object_may_have_been_moved_before() {
    let folder = folder();
    let store = open(folder.path());
    for key in 0..20_u64 {
        store.put(key.to_le_bytes(), &Wide { words: [key; 128] }).expect("put");
    }
    let guarded = |n: u64| {
        let key = (n % 20).to_le_bytes();
        if let Ok(guard) = store.get::<Wide>(key) {
            let guard = guard.expect("there");
            let second = store.try_get_mut::<Wide>(key);
            assert!(second.is_err_and(|error| matches!(error, Error::Busy { .. })), "it is borrowed");
            assert_eq!(guard.words[127], n % 20);
        }
    };
    while_compacting(&store, cases(100), &[&guarded, &guarded]);
    assert_eq!(store.check().expect("check").count(), 0);
}

#[test]
fn scans_and_loads_and_removes_go_on_while_objects_are_moved() {
    const STAYING: u64 = 300;
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for n in 0..STAYING {
        store.put(format!("stays/{n}"), &[n; 10]).expect("put");
    }
    let scan = |_: u64| {
        let mut seen: HashMap<Vec<u8>, u64> = HashMap::new();
        for entry in store.iter().expect("a scan") {
            let entry = entry.expect("a record");
            *seen.entry(entry.key().to_vec()).or_default() += 1;
        }
        for n in 0..STAYING {
            assert_eq!(seen.get(format!("stays/{n}").as_bytes()), Some(&1), "stays/{n}");
        }
        assert!(seen.values().all(|&times| times == 1), "a key came twice");
    };
    let load = |n: u64| {
        let n = n % STAYING;
        assert_eq!(store.load::<[u64; 10]>(format!("stays/{n}")).expect("load"), Some([n; 10]));
    };
    let come_and_go = |n: u64| {
        store.put(format!("comes/{}", n % 7), &n).expect("put");
        assert!(store.remove(format!("comes/{}", n % 7)).expect("remove"));
        let mut batch = store.batch();
        batch.put(format!("stays/{}", n % STAYING), &[n % STAYING; 10]).expect("put");
        batch.remove("nothing").expect("remove");
        batch.commit().expect("commit");
    };
    while_compacting(&store, cases(40), &[&scan, &load, &come_and_go]);
    assert_eq!(store.check().expect("check").map(|finding| finding.to_string()).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(store.len(), STAYING + 1);
    store.close().expect("close");
    let store = open(&path);
    assert_eq!(contents(&store).len() as u64, STAYING + 1);
    assert_eq!(store.check().expect("check").count(), 0);
}
