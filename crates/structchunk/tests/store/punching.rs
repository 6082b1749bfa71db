//! Holes where superseded objects were: when they are made, where, and what nobody may ever see.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use structchunk::testing::{Call, Faults};
use structchunk::{Error, Store};

use crate::common::*;

/// As many bytes as a few of fit into a chunk; nearly all of them in whole pages.
const BYTES: usize = 30_000;

fn value(byte: u8) -> Vec<u8> {
    vec![byte; BYTES]
}

/// Bytes of disk that a chunk takes.
fn allocated(path: &Path, chunk: u32) -> u64 {
    std::fs::metadata(path.join(format!("chunks/{chunk:08x}.chunk"))).expect("a chunk").blocks() * 512
}

fn sync_twice(store: &Store) {
    for number in 0..2_u64 {
        store.put("something", &number).expect("put");
        store.sync().expect("sync");
    }
}

#[test]
fn a_superseded_object_becomes_a_hole_with_the_sync_after_the_next_and_its_record_stays() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    // Whether there can be holes was tried out.
    faults.forget();
    let mut model = Model::new();
    for number in 0..20_u8 {
        let (key, value) = (format!("key {}", number % 10).into_bytes(), Value::Bytes(value(number)));
        value.put(&store, &key).expect("put");
        model.insert(key, value);
    }
    store.remove("key 9").expect("remove");
    model.remove(&b"key 9"[..]);
    let before = allocated(&path, 0);
    assert_eq!(faults.count(Call::Punch), 0);
    store.sync().expect("sync");
    assert_eq!(
        (allocated(&path, 0), faults.count(Call::Punch)),
        (before, 0),
        "the other checkpoint needs it"
    );
    store.sync().expect("sync");
    assert_eq!(faults.count(Call::Punch), 11, "{:?}", faults.trace());
    // The first chunk has eight objects of seven whole pages, all superseded.
    assert!(before - allocated(&path, 0) >= 8 * 6 * 4096, "{before}, then {}", allocated(&path, 0));
    assert_same(&store, &model);
    drop(store);
    for trust in [true, false] {
        let store = open_with(options().trust_page_cache(trust), &path).expect("open");
        assert_same(&store, &model);
        assert!(!store.recovery().damaged, "{:?}", store.recovery());
        store.close().expect("close");
    }
    std::fs::remove_file(path.join("STORE")).expect("removed");
    // SAFETY: the store is closed, and nobody else knows its folder.
    #[expect(unsafe_code, reason = "a rebuild opens the store")]
    let report = unsafe { Store::rebuild(&path) }.expect("rebuild");
    assert!(!report.recovery.damaged, "{report:?}");
    assert_same(&open(&path), &model);
}

#[test]
fn a_close_leaves_no_superseded_object_behind() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(Store::options().create(true).chunk_capacity(64 << 20), &path).expect("open");
    for round in 0..3_u8 {
        for number in 0..70_u8 {
            store.put([number], &vec![round + 1; 100_000][..]).expect("put");
        }
    }
    store.close().expect("close");
    let bytes = allocated(&path, 0);
    assert!(bytes < 70 * 110_000 + 140 * 13_000 + (2 << 20), "{bytes} bytes for 7 MB of objects");
    assert_eq!(open(&path).check().expect("a check").count(), 0);
}

#[test]
fn what_a_guard_refers_to_is_no_hole_until_it_is_gone() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("key", &value(1)[..]).expect("put");
    store.put("held", &value(2)[..]).expect("put");
    let guard = store.get_owned::<[u8]>("key").expect("get").expect("there");
    let held = hold(&path, 0);
    store.put("key", &value(3)[..]).expect("put");
    store.put("held", &value(4)[..]).expect("put");
    let before = allocated(&path, 0);
    for _ in 0..3 {
        sync_twice(&store);
    }
    assert!(*guard == *value(1), "the old object");
    assert_eq!(allocated(&path, 0), before, "another process holds the chunk");
    drop(held);
    for _ in 0..2 {
        sync_twice(&store);
    }
    assert!(*guard == *value(1), "the old object");
    assert_eq!(before - allocated(&path, 0), 6 * 4096, "the other one is a hole");
    drop(guard);
    for _ in 0..2 {
        sync_twice(&store);
    }
    assert_eq!(before - allocated(&path, 0), 2 * 6 * 4096);
}

/// Holds a chunk, as another process does.
fn hold(path: &Path, chunk: i64) -> std::fs::File {
    crate::compact::hold_byte(&path.join("LOCK"), (1 << 32) + chunk)
}

#[test]
fn an_entry_of_what_became_a_hole_shows_the_object_that_is_there_now() {
    let folder = folder();
    let store = open(folder.path());
    store.put("key", &value(1)[..]).expect("put");
    store.put("gone", &value(1)[..]).expect("put");
    let entry = store.entry("key").expect("entry").expect("there");
    let gone = store.entry("gone").expect("entry").expect("there");
    store.put("key", &value(2)[..]).expect("put");
    store.remove("gone").expect("remove");
    sync_twice(&store);
    assert_eq!(entry.bytes(9).expect("bytes"), [2; 9]);
    let shown = entry.value(3).expect("a value").to_string();
    assert!(shown.contains('2') && !shown.contains("0, 0"), "{shown}");
    assert_eq!(entry.load::<[u8; BYTES]>().expect("load")[BYTES - 1], 2);
    assert_eq!(entry.get::<[u8]>().expect("get").expect("there")[0], 2);
    assert!(matches!(gone.bytes(9), Err(Error::Io { .. })) && gone.value(3).is_err());
    assert!(gone.get::<[u8]>().expect("get").is_none());
}

#[test]
fn nobody_ever_reads_a_hole() {
    type Bytes = [u64; 3000];
    let folder = folder();
    let store = open(folder.path());
    store.put("key", &[1_u64; 3000]).expect("put");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 2..cases(400) {
                store.put("key", &[round; 3000]).expect("put");
                if round % 2 == 0 {
                    store.sync().expect("sync");
                }
                if round % 50 == 0 {
                    store.compact().expect("compact");
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        let whole = |bytes: &[u64]| bytes[0] != 0 && bytes.iter().all(|word| *word == bytes[0]);
        for reader in 0..3 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    match reader {
                        0 => assert!(whole(&store.load::<Bytes>("key").expect("load").expect("there"))),
                        1 => assert!(whole(&store.get::<[u64]>("key").expect("get").expect("there"))),
                        _ => {
                            let entry = store.iter().expect("a scan").next().expect("one").expect("a record");
                            std::thread::yield_now();
                            assert!(whole(&entry.load::<Bytes>().expect("load")));
                            assert!(entry.bytes(24_000).expect("bytes").iter().any(|byte| *byte != 0));
                        }
                    }
                }
            });
        }
    });
}
