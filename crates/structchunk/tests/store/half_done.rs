//! Calls that fail in the middle, where nothing can be taken back any more: what they had written never exists, for nobody.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use structchunk::{Error, Store};

use crate::common::*;
use crate::craft::edit_checkpoints;

/// Records of a batch, more than there are sequences for.
const TOO_MANY: u64 = 4000;

/// A store that has so few sequences left that a large batch fails in its middle.
fn almost_exhausted(path: &Path) -> Store {
    let store = open(path);
    store.put("before", &1_u64).expect("put");
    store.close().expect("close");
    let last = (1 << 48) - 1;
    edit_checkpoints(path, |checkpoint| checkpoint.set_u64(16, last - TOO_MANY / 2));
    let store = open(path);
    store.put("before", &2_u64).expect("put");
    store
}

fn fail_in_the_middle(store: &Store) {
    let mut batch = store.batch();
    for number in 0..TOO_MANY {
        batch.put(format!("batch {number}"), &number).expect("put");
    }
    let error = batch.commit().expect_err("there are not so many sequences");
    assert!(matches!(error, Error::Exhausted { .. }), "{error}");
}

fn nothing_of_it_is_there(store: &Store) {
    let keys: Vec<_> = contents(store).into_keys().filter(|key| key.starts_with(b"batch")).collect();
    assert!(keys.is_empty(), "{} records of half a batch exist; {:?}", keys.len(), store.recovery());
}

#[test]
fn half_a_batch_is_not_made_durable_by_a_sync_that_waits_for_its_end() {
    for round in 0..20 {
        let folder = folder();
        let path = folder.path().join("store");
        let store = almost_exhausted(&path);
        let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    let _ = store.sync();
                    begun.store(true, Ordering::SeqCst);
                }
            });
            while !begun.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            fail_in_the_middle(&store);
            ended.store(true, Ordering::SeqCst);
        });
        assert!(matches!(store.sync(), Err(Error::Poisoned { .. })));
        assert!(matches!(store.put_many::<u64, &str>(&[], &[]), Err(Error::Poisoned { .. })));
        drop(store);
        for trust in [false, true] {
            let store = open_with(options().trust_page_cache(trust), &path)
                .unwrap_or_else(|error| panic!("round {round}: {error}"));
            nothing_of_it_is_there(&store);
        }
    }
}

#[test]
fn half_a_batch_is_in_no_copy() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = almost_exhausted(&path);
    fail_in_the_middle(&store);
    let copy = folder.path().join("copy");
    match store.copy_to(&copy) {
        Ok(_) => {
            let copy = open(&copy);
            assert_eq!(copy.load::<u64>("before").expect("load"), Some(2));
            nothing_of_it_is_there(&copy);
        }
        Err(error) => assert!(matches!(error, Error::Poisoned { .. }), "{error}"),
    }
}

#[test]
fn nothing_is_left_behind_the_head_by_a_put_that_met_somebody_at_work() {
    const MARK: u64 = 0xa5a5_5a5a_a5a5_5a5a;
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(options().busy_timeout(Duration::ZERO), &path).expect("create");
    store.put("key", &Wide { words: [1; 128] }).expect("put");
    let end = store.stats().expect("stats").sequence;
    let at_work = store.get_mut::<Wide>("key").expect("get_mut").expect("it is there");
    for put in [Store::put::<Wide>, Store::try_put::<Wide>] {
        let outcome = put(&store, "key", &Wide { words: [MARK; 128] });
        assert!(matches!(outcome, Err(Error::Busy { .. })), "{outcome:?}");
    }
    drop(at_work);
    assert_eq!(store.stats().expect("stats").sequence, end);
    store.close().expect("close");
    for chunk in std::fs::read_dir(path.join("chunks")).expect("chunks") {
        let bytes = std::fs::read(chunk.expect("chunk").path()).expect("read");
        let is_left = bytes.chunks_exact(8).any(|word| word == MARK.to_le_bytes());
        assert!(!is_left, "what was not put lies in a chunk");
    }
}
