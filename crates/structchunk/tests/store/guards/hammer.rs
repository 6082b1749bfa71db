//! Many threads on the same keys: nothing is lost, and batches are one change.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use structchunk::{Error, Store};

use super::race;
use crate::common::{Random, cases, folder, open};

#[test]
fn no_update_is_lost() {
    const SHARE: u64 = 3000;
    let store = Store::in_memory().unwrap();
    store.put("small", &0_u64).unwrap();
    store.put("large", &[0_u64; 200]).unwrap();
    store.put("swapped", &0_u64).unwrap();
    let write = |_: &mut Random| {
        store.update("small", |n: &mut u64| *n += 1).unwrap();
        store.get_mut::<[u64; 200]>("large").unwrap().unwrap()[199] += 1;
        loop {
            // The sequence first: a value that is newer than its sequence is refused.
            let sequence = store.sequence("swapped").unwrap().unwrap();
            let value = store.load::<u64>("swapped").unwrap().unwrap();
            if store.put_if("swapped", sequence, &(value + 1)).unwrap() {
                break;
            }
        }
    };
    race(4, SHARE, write, 0, |_| {});
    assert_eq!(store.load::<u64>("small").unwrap(), Some(4 * SHARE));
    assert_eq!(store.load::<[u64; 200]>("large").unwrap().unwrap()[199], 4 * SHARE);
    assert_eq!(store.load::<u64>("swapped").unwrap(), Some(4 * SHARE));
}

#[test]
fn a_batch_is_seen_all_together_or_not_at_all() {
    let folder = folder();
    let store = open(folder.path());
    let number = AtomicU64::new(0);
    let commit = |random: &mut Random| {
        let n = number.fetch_add(1, Relaxed);
        let mut batch = store.batch();
        batch.put("a", &n).unwrap();
        batch.put("b", &n).unwrap();
        // One of the two is always there.
        let (comes, goes) = if random.one_in(2) { ("this", "that") } else { ("that", "this") };
        batch.put(comes, &n).unwrap();
        batch.remove(goes).unwrap();
        batch.commit().unwrap();
    };
    commit(&mut Random::new(0));
    let read = |_: &mut Random| {
        let load = |key: &str| store.load::<u64>(key).unwrap();
        // One writer counts up: what is read later is never older.
        let (a, b) = (load("a"), load("b"));
        assert!(a <= b, "a was {a:?} before b was {b:?}");
        let (b, a) = (load("b"), load("a"));
        assert!(b <= a, "b was {b:?} before a was {a:?}");
        let both = store.load_many::<u64, _>(&["a", "b"]).unwrap();
        assert!(both[0] <= both[1]);
        let (before, this, that, after) = (load("a"), load("this"), load("that"), load("a"));
        if before == after {
            assert!(this.is_some() != that.is_some(), "{this:?} and {that:?} at {before:?}");
        }
    };
    race(1, cases(5000), commit, 2, read);
    assert_eq!((store.len(), store.check().unwrap().count()), (3, 0));
}

#[test]
fn insert_take_and_get_or_insert_agree_on_who_was_first() {
    let store = Store::in_memory().unwrap();
    let (inserted, taken, made) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let write = |random: &mut Random| {
        let key = format!("{}", random.below(3));
        match random.below(3) {
            0 => match store.insert_new(&key, &1_u64) {
                Ok(()) => drop(inserted.fetch_add(1, Relaxed)),
                Err(Error::KeyExists { .. }) => {}
                Err(error) => panic!("{error}"),
            },
            1 => drop(taken.fetch_add(store.take::<u64>(&key).unwrap().unwrap_or(0), Relaxed)),
            _ => {
                // Several may make a value; all of them get the one that came first.
                let guard = store.get_or_insert_with("fourth", || made.fetch_add(1, Relaxed)).unwrap();
                assert_eq!(store.load::<u64>("fourth").unwrap(), Some(*guard));
            }
        }
    };
    race(4, cases(3000), write, 0, |_| {});
    assert!(store.remove("fourth").unwrap());
    assert_eq!(inserted.into_inner() - taken.into_inner(), store.len());
}
