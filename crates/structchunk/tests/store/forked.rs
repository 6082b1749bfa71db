//! What a child of the writing process reads while its parent goes on changing objects where they lie.
#![expect(unsafe_code, reason = "fork")]

mod locks;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use structchunk::{Error, Reader, Sparse, Store};

use crate::common::{Grown, Sample, Wide, folder, open, open_with, options};
use crate::process::ran_apart;

/// 33,600 bytes, with a file of its own.
type Grid = [[u64; 42]; 100];

/// Runs `read` in a child until it says something, and `write` in this process meanwhile. True when all was well.
fn beside_the_parent(store: &Store, mut read: impl FnMut() -> Option<bool>, mut write: impl FnMut()) -> bool {
    // SAFETY: the child uses the store only, and no lock is held by another thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let well = loop {
            if let Some(well) = read() {
                break well;
            }
        };
        // SAFETY: ends the process without running anything else.
        unsafe { libc::_exit(i32::from(!well)) };
    }
    let mut status = 0;
    // SAFETY: asks for the child above, and writes its status.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        write();
    }
    assert!(store.contains("wide").expect("a look-up"), "the parent is unharmed");
    status == 0
}

#[test]
fn a_large_object_is_copied_whole_in_a_child_while_the_parent_changes_it() {
    const ENOUGH: u32 = 3000;
    if ran_apart(a_large_object_is_copied_whole_in_a_child_while_the_parent_changes_it) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    store.put("wide", &Wide { words: [0; 128] }).expect("put");
    store.put("grid", &[[0_u64; 42]; 100]).expect("put");
    let (mut round, mut copies, mut failures) = (0, 0, 0);
    let well = beside_the_parent(
        &store,
        || {
            let wide = store
                .load::<Wide>("wide")
                .map(|wide| wide.is_some_and(|wide| wide.words.iter().all(|word| *word == wide.words[0])));
            // Now and then it has another key.
            let grid = store.load::<Grid>("grid").map(|grid| {
                grid.is_none_or(|grid| grid.as_flattened().iter().all(|word| *word == grid[0][0]))
            });
            for outcome in [wide, grid] {
                match outcome {
                    Ok(true) => copies += 1,
                    Err(Error::Busy { .. }) => failures += 1,
                    _ => return Some(false),
                }
            }
            (copies >= ENOUGH || failures >= ENOUGH).then_some(copies >= ENOUGH)
        },
        || {
            round += 1;
            store.update("wide", |wide: &mut Wide| wide.words.fill(round)).expect("update");
            store.update("grid", |grid: &mut Grid| grid.as_flattened_mut().fill(round)).expect("update");
            // A body goes on under another key, and back: two more records lead to it.
            if round.is_multiple_of(50) {
                store.rename("grid", "other").expect("rename");
                store.rename("other", "grid").expect("rename");
            }
            std::thread::sleep(Duration::from_micros(200));
        },
    );
    assert!(well, "the child saw half of a change, or too little");
}

#[test]
fn whatever_way_a_child_reads_an_object_it_sees_it_whole() {
    if ran_apart(whatever_way_a_child_reads_an_object_it_sees_it_whole) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    store.put("wide", &Wide { words: [0; 128] }).expect("put");
    let (mut round, mut copies, mut failures) = (0, 0, 0);
    let well = beside_the_parent(
        &store,
        || {
            let Ok(Some(entry)) = store.entry("wide") else { return Some(false) };
            let bytes = entry.bytes(u64::MAX).map(|bytes| bytes.chunks(8).all(|word| *word == bytes[..8]));
            let value = entry.value(1000).map(|value| {
                let text = value.to_string();
                let words = text.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
                words.collect::<std::collections::BTreeSet<_>>().len() == 1
            });
            for outcome in [bytes, value] {
                match outcome {
                    Ok(true) => copies += 1,
                    Err(Error::Busy { .. }) => failures += 1,
                    _ => return Some(false),
                }
            }
            (copies >= 2000 || failures >= 2000).then_some(copies >= 2000)
        },
        || {
            round += 1;
            store.update("wide", |wide: &mut Wide| wide.words.fill(round)).expect("update");
            std::thread::sleep(Duration::from_micros(20));
        },
    );
    assert!(well, "the child saw half of a change, or too little");
}

#[test]
fn a_child_borrows_nothing_of_what_its_parent_may_change() {
    if ran_apart(a_child_borrows_nothing_of_what_its_parent_may_change) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    store.put("wide", &Wide { words: [1; 128] }).expect("put");
    store.put("older", &Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5; 2] }).expect("put");
    let forked = |error: Option<Error>| matches!(error, Some(Error::Forked));
    let well = beside_the_parent(
        &store,
        || {
            let refused = [
                forked(store.get::<Wide>("wide").err()),
                forked(store.try_get::<Wide>("wide").err()),
                forked(store.get_owned::<Wide>("wide").err()),
                forked(store.get_or_insert_with("wide", || Wide { words: [2; 128] }).err()),
                forked(store.load_as::<Grown>("older").err()),
                forked(store.put_many::<u64, &str>(&[], &[]).err()),
            ];
            let read = store.load::<Wide>("wide").is_ok_and(|wide| wide == Some(Wide { words: [1; 128] }));
            Some(read && refused.into_iter().all(|refused| refused))
        },
        || {},
    );
    assert!(well, "the child reads, and is refused references");
}

#[test]
fn a_child_finds_what_its_parent_puts_after_the_fork() {
    const KEYS: u64 = 60_000;
    if ran_apart(a_child_finds_what_its_parent_puts_after_the_fork) {
        return;
    }
    for sparse in [Sparse::Auto, Sparse::Never] {
        let folder = folder();
        let options = options().chunk_capacity(4 << 20).sparse(sparse);
        let store = open_with(options, folder.path()).expect("open");
        store.put("wide", &Wide { words: [1; 128] }).expect("put");
        let (mut next, begun) = (0, Instant::now());
        let well = beside_the_parent(
            &store,
            || {
                let Ok(Some(last)) = store.load::<u64>("last") else {
                    return (begun.elapsed() > Duration::from_secs(20)).then_some(false);
                };
                Some(finds_all(&store, last))
            },
            || {
                while next < KEYS {
                    store.put(next.to_le_bytes(), &next).expect("put");
                    next += 1;
                    if next == KEYS {
                        store.put("last", &KEYS).expect("put");
                    }
                }
            },
        );
        assert!(well, "{sparse:?}: the child missed some");
    }
}

/// Whether every way to look finds the numbers before `last`.
fn finds_all(store: &Store, last: u64) -> bool {
    let keys: Vec<_> = (0..last).map(u64::to_le_bytes).collect();
    let of = |key: &[u8]| <[u8; 8]>::try_from(key).map(u64::from_le_bytes);
    let loaded = keys.iter().all(|key| store.load(key).is_ok_and(|it| it == of(key).ok()));
    let found = keys.iter().all(|key| store.contains(key).is_ok_and(|found| found));
    let many = store.load_many::<u64, _>(&keys);
    let many = many.is_ok_and(|all| all.into_iter().zip(0..).all(|(it, key)| it == Some(key)));
    let scanned =
        store.keys().map_or(0, |keys| keys.map_while(Result::ok).filter(|key| of(key.key()).is_ok()).count());
    loaded && found && many && scanned as u64 == last
}

#[test]
fn a_child_opens_and_writes_a_store_although_its_parent_has_used_an_index() {
    if ran_apart(a_child_opens_and_writes_a_store_although_its_parent_has_used_an_index) {
        return;
    }
    let folder = folder();
    let open = || open_with(options().index(true), folder.path()).expect("an open store");
    let store = open();
    store.put("parent", &1_u64).expect("put");
    store.sync_index().expect("an index");
    store.close().expect("close");
    // SAFETY: the child uses a store of its own only, and no lock is held by another thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends this process, should it wait for ever.
        unsafe { libc::alarm(30) };
        let store = open();
        let well = store.put("child", &2_u64).is_ok() && store.keys().is_ok_and(|keys| keys.count() == 2);
        let well = well && store.close().is_ok();
        // SAFETY: ends the process without running anything else.
        unsafe { libc::_exit(i32::from(!well)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child above, and writes its status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0);
    let store = open();
    store.sync_index().expect("an index that goes on");
    let keys: Vec<_> = store.keys().unwrap().map(|key| key.unwrap().into_key()).collect();
    assert_eq!(keys, [b"child".to_vec(), b"parent".to_vec()]);
    assert_eq!(store.check().unwrap().count(), 0);
}

#[test]
fn a_child_waits_for_no_lock_that_a_thread_of_its_parent_had() {
    if ran_apart(a_child_waits_for_no_lock_that_a_thread_of_its_parent_had) {
        return;
    }
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &[7_u64; 4096]).expect("put");
    // SAFETY: nobody but this test has the files.
    let reader = unsafe { Reader::attach(folder.path()) }.expect("attach");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert!(reader.load::<[u64; 4096]>("k").expect("load").is_some());
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                store.put("l", &1_u64).expect("put");
                assert_eq!(store.keys().expect("a scan").count(), 2);
            }
        });
        let mut end = 0;
        for _ in 0..40 {
            // SAFETY: that the child does with threads of its parent about what the test is about, and nothing that takes a lock otherwise.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: ends the process if it hangs.
                unsafe { libc::alarm(20) };
                let seen = reader.load::<[u64; 4096]>("k").is_ok_and(|object| object.is_some());
                let keys = store.keys().is_ok_and(|mut keys| keys.all(|key| key.is_ok()));
                // SAFETY: ends the process without running anything else.
                unsafe { libc::_exit(i32::from(!(seen && keys))) };
            }
            // SAFETY: waits for the child above, and writes its status.
            unsafe { libc::waitpid(child, &raw mut end, 0) };
            if end != 0 {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(end, 0, "of a child");
    });
}
