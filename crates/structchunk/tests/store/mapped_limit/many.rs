//! Everything that a store can do, with little of it mapped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use structchunk::{Error, Store};

use super::{limited, mapped};
use crate::common::*;

/// A few MiB.
const LIMIT: u64 = 2 << 20;

#[test]
fn a_store_a_hundred_times_as_large_as_the_limit_works() {
    let folder = folder();
    let path = folder.path().join("store");
    let open = || open_with(options().mapped_limit(LIMIT).sorted_keys(1 << 20), &path).unwrap();
    let store = open();
    let key = |n: u64| format!("key {n:06}");
    // 16 KiB each: 213 MiB.
    let count = 13_000;
    for n in 0..count {
        store.put(key(n), &[n; 2048]).unwrap();
    }
    let within = |store: &Store| {
        assert!(mapped(store) <= LIMIT, "{} bytes are mapped", mapped(store));
        assert!(store.stats().unwrap().bytes_apparent > 100 * LIMIT);
    };
    within(&store);
    let mut model: BTreeMap<String, [u64; 2]> = (0..count).map(|n| (key(n), [n, n])).collect();
    let mut random = Random::new(seed());
    for _ in 0..2000 {
        let n = random.below(count);
        match random.below(4) {
            0 => {
                let changed = store.update(key(n), |words: &mut [u64; 2048]| words[2047] += 1).unwrap();
                assert_eq!(changed, model.contains_key(&key(n)));
                model.entry(key(n)).and_modify(|words| words[1] += 1);
            }
            1 => {
                store.put(key(n), &[n + 1; 2048]).unwrap();
                model.insert(key(n), [n + 1, n + 1]);
            }
            2 => assert_eq!(store.remove(key(n)).unwrap(), model.remove(&key(n)).is_some()),
            _ => {
                let words = store.get::<[u64; 2048]>(key(n)).unwrap();
                assert_eq!(words.map(|words| [words[0], words[2047]]), model.get(&key(n)).copied());
            }
        }
    }
    within(&store);
    let same = |store: &Store| {
        let in_order = store.range::<&str>(..).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let words = entry.load::<[u64; 2048]>().unwrap();
            (String::from_utf8(entry.key().to_vec()).unwrap(), [words[0], words[2047]])
        });
        assert!(in_order.eq(model.iter().map(|(key, words)| (key.clone(), *words))));
        assert_eq!(store.iter_of::<[u64; 2048]>().unwrap().map(Result::unwrap).count(), model.len());
        let keys: Vec<_> = model.keys().step_by(97).collect();
        let loaded = store.load_many::<[u64; 2048], _>(&keys).unwrap();
        assert!(keys.iter().zip(loaded).all(|(key, words)| words.unwrap()[0] == model[*key][0]));
        within(store);
        assert_eq!(store.check().unwrap().count(), 0);
    };
    same(&store);
    store.sync().unwrap();
    assert!(mapped(&store) <= LIMIT);
    drop(store);
    // As after a kill, and after a close.
    let store = open();
    same(&store);
    store.close().unwrap();
    same(&open());
}

#[test]
fn compaction_copies_and_rebuilds_need_no_more_than_is_allowed() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(limited(), &path).unwrap();
    let count = 1500;
    for n in 0..count {
        store.put(format!("{n}"), &[n; 2048]).unwrap();
    }
    for n in (0..count).filter(|n| n % 4 != 0) {
        store.remove(format!("{n}")).unwrap();
    }
    store.sync().unwrap();
    let same = |store: &Store| {
        assert!(mapped(store) <= super::LIMIT, "{} bytes are mapped", mapped(store));
        for n in 0..count {
            let words = store.load::<[u64; 2048]>(format!("{n}")).unwrap();
            assert_eq!(words.map(|words| words[2000]), (n % 4 == 0).then_some(n));
        }
        assert_eq!(store.check().unwrap().count(), 0);
        assert!(mapped(store) <= super::LIMIT);
    };
    store.copy_to(folder.path().join("copy")).unwrap();
    same(&store);
    let report = store.compact().unwrap();
    assert!(report.dropped_chunks.len() > 40, "{report:?}");
    same(&store);
    (0..3).for_each(|_| store.sync().unwrap());
    same(&store);
    store.close().unwrap();
    same(&open_with(limited(), folder.path().join("copy")).unwrap());
    std::fs::remove_file(path.join("STORE")).unwrap();
    #[expect(unsafe_code, reason = "rebuilding is as unsafe as opening")]
    // SAFETY: nobody else knows the folder.
    let report = unsafe { limited().rebuild(&path) }.unwrap();
    assert_eq!(report.objects, count / 4);
    same(&open_with(limited(), &path).unwrap());
}

#[test]
fn threads_that_read_change_scan_and_compact_all_find_what_is_there() {
    let folder = folder();
    // Nothing stays: every look-up maps and every end of one unmaps.
    let store =
        open_with(options().mapped_limit(0).busy_timeout(Duration::from_mins(1)), folder.path()).unwrap();
    let count = 300;
    let key = |n: u64| format!("{n}");
    for n in 0..count {
        // Only the first word ever changes.
        store.put(key(n), &[n; 1024]).unwrap();
        store.put(format!("small {n}"), &[n; 3]).unwrap();
    }
    let is_right = |n: u64, words: &[u64; 1024]| words[1..].iter().all(|&word| word == n);
    let done = AtomicBool::new(false);
    let share = cases(250);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                let mut random = Random::new(seed() + thread);
                while !done.load(Relaxed) {
                    let n = random.below(count);
                    match random.below(5) {
                        0 => assert!(is_right(n, &store.get::<[u64; 1024]>(key(n)).unwrap().unwrap())),
                        1 => assert!(is_right(n, &store.load::<[u64; 1024]>(key(n)).unwrap().unwrap())),
                        2 => {
                            let [first, second, third] =
                                store.load::<[u64; 3]>(format!("small {n}")).unwrap().unwrap();
                            assert!(first >= n && (second, third) == (n, n));
                        }
                        3 => {
                            for entry in store.prefix(key(n)).unwrap() {
                                let entry = entry.unwrap();
                                let words = entry.load::<[u64; 1024]>().unwrap();
                                assert_eq!(entry.key(), words[1].to_string().as_bytes());
                            }
                        }
                        _ => {
                            for entry in store.iter().unwrap().take(50) {
                                match entry.unwrap().load::<[u64; 1024]>() {
                                    Ok(words) => assert!(is_right(words[1], &words)),
                                    Err(Error::LayoutMismatch { .. }) => {}
                                    Err(error) => panic!("{error}"),
                                }
                            }
                        }
                    }
                }
            });
        }
        let mut random = Random::new(seed() + 9);
        for round in 0..share {
            let n = random.below(count);
            assert!(store.update(key(n), |words: &mut [u64; 1024]| words[0] += 1).unwrap());
            assert!(store.update(format!("small {n}"), |words: &mut [u64; 3]| words[0] += 1).unwrap());
            let again = store.load::<[u64; 1024]>(key(n)).unwrap().unwrap();
            store.put(key(n), &again).unwrap();
            match round % 100 {
                50 => drop(store.compact().unwrap()),
                70 => store.sync().unwrap(),
                _ => {}
            }
        }
        done.store(true, Relaxed);
    });
    let changes: u64 = (0..count).map(|n| store.load::<[u64; 1024]>(key(n)).unwrap().unwrap()[0] - n).sum();
    assert_eq!(changes, share);
    assert_eq!(store.check().unwrap().count(), 0);
}
