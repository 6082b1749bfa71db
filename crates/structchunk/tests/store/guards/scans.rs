//! Scans of a store that others change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use structchunk::{Error, Space, Store};

use super::{LARGE, is_busy, race};
use crate::common::{Wide, cases, folder, open};

#[test]
fn a_key_that_is_there_throughout_a_scan_is_seen_once_whatever_happens_to_it() {
    const STAYING: u64 = 300;
    let folder = folder();
    let store = open(folder.path());
    for n in 0..STAYING {
        store.put(format!("stays/{n}"), &n).unwrap();
    }
    let write = |random: &mut crate::common::Random| {
        let n = random.below(STAYING);
        match random.below(5) {
            0 => store.put(format!("stays/{n}"), &n).unwrap(),
            1 => drop(store.update(format!("stays/{n}"), |value: &mut u64| *value = n).unwrap()),
            2 => store.put(format!("comes/{n}"), &n).unwrap(),
            3 => drop(store.remove(format!("comes/{n}")).unwrap()),
            _ => {
                let next = (n + 1) % STAYING;
                let mut batch = store.batch();
                batch.put(format!("stays/{n}"), &n).unwrap();
                batch.put(format!("stays/{next}"), &next).unwrap();
                batch.commit().unwrap();
            }
        }
    };
    let scan = |_: &mut crate::common::Random| {
        let mut seen = HashMap::new();
        for entry in store.iter().unwrap() {
            let entry = entry.unwrap();
            *seen.entry(String::from_utf8(entry.key().to_vec()).unwrap()).or_insert(0) += 1;
            let value = entry.load::<u64>().unwrap();
            assert!(entry.key().ends_with(format!("/{value}").as_bytes()), "{entry:?} is {value}");
        }
        for n in 0..STAYING {
            assert_eq!(seen.get(&format!("stays/{n}")), Some(&1), "stays/{n}");
        }
        assert!(seen.values().all(|&times| times == 1), "a key came twice");
    };
    race(1, cases(20_000), write, 1, scan);
}

#[test]
fn a_key_with_a_past_is_seen_once_while_it_is_put_again() {
    let (turn, rounds) = (AtomicU64::new(0), cases(3000));
    let stores: Vec<_> = (0..4).map(|_| Store::in_memory().unwrap()).collect();
    let store = |round: u64| &stores[(round % 4) as usize];
    let wait_for = |value: u64| {
        while turn.load(SeqCst) < value {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..rounds {
                wait_for(2 * round + 1);
                store(round).put("k", &3_u64).unwrap();
                turn.fetch_add(1, SeqCst);
            }
        });
        for round in 0..rounds {
            wait_for(2 * round);
            let store = store(round);
            store.put("k", &1_u64).unwrap();
            store.put("k", &2_u64).unwrap();
            let scan = store.iter().unwrap();
            turn.fetch_add(1, SeqCst);
            let seen: Vec<_> = scan.map(|entry| entry.unwrap().load::<u64>().unwrap()).collect();
            assert_eq!(seen.len(), 1, "{seen:?}");
        }
    });
}

#[test]
fn an_entry_whose_body_was_given_back_shows_the_object_that_is_there_now() {
    type Grid = [[u64; 64]; 128];
    let folder = folder();
    let store = open(folder.path());
    store.put("body", &[[1_u64; 64]; 128]).unwrap();
    store.close().unwrap();
    // Opened again, so that nobody has the body mapped.
    let store = open(folder.path());
    let entry = store.iter().unwrap().next().unwrap().unwrap();
    for round in 2..6_u64 {
        store.put("body", &[[round; 64]; 128]).unwrap();
        store.sync().unwrap();
    }
    assert_eq!(entry.load::<Grid>().unwrap()[127][63], 5);
    assert_eq!(entry.get::<[u64]>().unwrap().unwrap()[0], 5);
}

#[test]
fn the_bytes_of_an_object_are_not_read_while_it_is_changed_where_it_lies() {
    let folder = folder();
    let store = open(folder.path());
    store.put("large", &LARGE).unwrap();
    let entry = store.iter().unwrap().next().unwrap().unwrap();
    let guard = store.get_mut::<Wide>("large").unwrap().unwrap();
    is_busy(entry.bytes(8), "large");
    drop(guard);
    assert_eq!(entry.bytes(9).unwrap(), [1, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn the_value_of_an_object_is_not_read_while_it_is_changed_where_it_lies() {
    let folder = folder();
    let store = open(folder.path());
    store.put("large", &LARGE).unwrap();
    let mut grid = store.loan_with::<[u64; 4]>("body", Space::Sparse).unwrap();
    grid[0] = 7;
    grid.publish().unwrap();
    let guard = store.get_mut::<Wide>("large").unwrap().unwrap();
    let body = store.get_mut::<[u64; 4]>("body").unwrap().unwrap();
    for key in ["large", "body"] {
        is_busy(store.entry(key).unwrap().unwrap().value(10), key);
    }
    drop((guard, body));
    let value = |key: &str| store.entry(key).unwrap().unwrap().value(2).unwrap().to_string();
    assert_eq!((value("body").as_str(), &value("large")[..12]), ("[7, ... 3 more]", "{ words: [1,"));
}

#[test]
fn a_scan_that_outlives_the_close_says_so() {
    let folder = folder();
    let store = open(folder.path());
    store.put("a", &1_u64).unwrap();
    store.put("b", &2_u64).unwrap();
    let mut scan = store.iter().unwrap();
    let entry = scan.next().unwrap().unwrap();
    store.clone().close().unwrap();
    assert!(matches!(scan.next(), Some(Err(Error::Closed))) && scan.next().is_none());
    assert!(matches!(entry.load::<u64>(), Err(Error::Closed)));
    assert!(matches!(entry.bytes(8), Err(Error::Closed)));
}
