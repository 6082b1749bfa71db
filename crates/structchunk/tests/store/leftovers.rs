//! Files that are there although nothing needs them any more, and files that are gone although somebody still holds them.
#![expect(unsafe_code, reason = "a rebuild is unsafe as opening is")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use structchunk::testing::{Call, Event, Fault, Faults};
use structchunk::{Object, Store};

use crate::common::*;

/// 64 KiB of atomics: a body.
#[derive(Object)]
#[object(atomic)]
#[repr(C)]
struct ManyCounters {
    hits: [AtomicU64; 8192],
}

/// Puts until the log goes on in a chunk that was not there.
fn roll_over(store: &Store) {
    let chunks = store.stats().expect("stats").chunks.len();
    for key in 0.. {
        store.put(format!("roll {}", key % 5), &vec![key; 4000][..]).expect("put");
        if store.stats().expect("stats").chunks.len() > chunks {
            return;
        }
    }
}

#[test]
fn a_chunk_that_could_not_be_mapped_when_it_was_made_is_not_in_the_way_later() {
    for call in [Call::Map, Call::Open, Call::Read] {
        let folder = folder();
        let path = folder.path().join("store");
        let faults = Faults::recorded();
        let store = open_with(options().faults(faults.clone()), &path).expect("open");
        faults.plan(Fault::nth(1, libc::ENOMEM).of(call).on("00000001.chunk"));
        let refused = (0..100_u64).any(|key| store.put(key.to_le_bytes(), &vec![key; 4000][..]).is_err());
        assert!(refused, "{call:?}: the fault struck");
        roll_over(&store);
        store.sync().expect("sync");
        let objects = store.len();
        drop(store);
        for trust in [true, false] {
            let store = open_with(options().trust_page_cache(trust), &path).expect("open");
            assert_eq!(store.len(), objects, "{call:?}");
            assert_eq!(store.check().expect("a check").count(), 0);
        }
    }
}

#[test]
fn a_chunk_made_ahead_that_comes_back_after_a_power_cut_is_not_in_the_way_later() {
    let folder = folder();
    let path = folder.path().join("store");
    let (ahead, saved) = (path.join("chunks/00000001.chunk"), folder.path().join("saved"));
    let store = open(&path);
    // Close to the end of a chunk the next one is made, but not used.
    for key in 0_u64.. {
        store.put("key", &[key; 500][..]).expect("put");
        if ahead.exists() {
            break;
        }
    }
    fs::copy(&ahead, &saved).expect("a copy");
    store.close().expect("close");
    assert!(!ahead.exists(), "close removes what was made ahead");
    // Its removal had not reached the disk when the power went.
    fs::copy(&saved, &ahead).expect("a copy");
    let store = open(&path);
    for _ in 0..3 {
        roll_over(&store);
    }
    store.sync().expect("sync");
    let objects = store.len();
    drop(store);
    for _ in 0..2 {
        let store = open(&path);
        assert_eq!(store.len(), objects);
        assert_eq!(store.check().expect("a check").count(), 0);
        store.close().expect("close");
    }
}

#[test]
fn a_batch_whose_second_body_gets_no_name_leaves_nothing_that_a_sync_would_miss() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    let mut batch = store.batch();
    batch.put("a", &vec![1_u64; 10_000][..]).expect("put");
    batch.put("b", &vec![2_u64; 10_000][..]).expect("put");
    faults.plan(Fault::nth(2, libc::ENOSPC).of(Call::Rename));
    batch.commit().expect_err("the fault struck");
    assert!(store.is_empty());
    for _ in 0..3 {
        store.put("key", &1_u64).expect("put");
        store.sync().expect("sync");
    }
    store.close().expect("close");
    let left = fs::read_dir(path.join("chunks")).expect("a folder").count();
    assert_eq!(left, 1, "only the chunk");
}

#[test]
fn a_large_object_that_was_replaced_while_somebody_held_it_disturbs_no_sync() {
    let store = Store::in_memory().expect("memory");
    let folder = folder();
    let on_disk = open(folder.path().join("store"));
    for store in [store, on_disk] {
        drop(store.loan_with::<[u64; 8192]>("other", structchunk::Space::Sparse).expect("a loan"));
        put_counters(&store, "counters");
        let held = store.get_atomic::<ManyCounters>("counters").expect("get").expect("there");
        store.remove("counters").expect("remove");
        for number in 0..5_u64 {
            store.put("key", &number).expect("put");
            held.hits[8191].store(number, Ordering::Relaxed);
            store.sync().unwrap_or_else(|error| panic!("sync {number}: {error}"));
        }
    }
}

fn put_counters(store: &Store, key: &str) {
    let counters: Box<ManyCounters> =
        Box::new(ManyCounters { hits: std::array::from_fn(|_| AtomicU64::new(0)) });
    store.insert_new(key, &*counters).expect("put");
}

#[test]
fn what_a_guard_of_a_large_object_changes_after_a_sync_is_durable_with_the_next() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), &path).expect("open");
    store.put("body", &vec![1_u64; 10_000][..]).expect("put");
    roll_over(&store);
    let mut guard = store.get_mut::<[u64]>("body").expect("get").expect("there");
    store.sync().expect("sync");
    guard[9_999] = 2;
    guard.commit().expect("commit");
    faults.forget();
    store.sync().expect("sync");
    let trace = faults.trace();
    let synced = |file: &str| trace.contains(&Event { call: Call::Sync, file: file.to_owned() });
    assert!(synced("0000000000000000.body.tmp"), "its bytes: {trace:?}");
    assert!(synced("00000000.chunk"), "the version word of its record: {trace:?}");
}

/// Damages one checkpoint of a closed store.
fn damage_slot(store: &Path, slot: usize) {
    let path = store.join("STORE");
    let mut bytes = fs::read(&path).expect("bytes");
    bytes[slot * 4096 + 20] ^= 0xff;
    fs::write(path, bytes).expect("written");
}

#[test]
fn either_checkpoint_alone_describes_a_store_of_which_nothing_is_missing() {
    let folder = folder();
    let path = folder.path().join("store");
    let body = |number: u64| Value::Numbers(vec![number; 10_000]);
    let look = |moment: &str| {
        for slot in [1, 2] {
            let copy = folder.path().join("copy");
            copy_folder(&path, &copy);
            damage_slot(&copy, slot);
            let store = open_with(options().trust_page_cache(false), &copy)
                .unwrap_or_else(|error| panic!("{moment}, without slot {slot}: {error}"));
            let findings: Vec<_> =
                store.check().expect("a check").map(|finding| finding.to_string()).collect();
            assert_eq!(findings, Vec::<String>::new(), "{moment}, without slot {slot}");
            for key in contents(&store).keys() {
                store.get::<[u64]>(key).expect("get").expect("there");
            }
            drop(store);
            fs::remove_dir_all(copy).expect("removed");
        }
    };
    let mut store = open(&path);
    for round in 0..6_u64 {
        let moment = |what: &str| format!("round {round}, {what}");
        for number in 0..4 {
            body(round).put(&store, format!("{number}").as_bytes()).expect("put");
        }
        look(&moment("before a sync"));
        store.sync().expect("sync");
        look(&moment("after a sync"));
        store.remove("0").expect("remove");
        store.sync().expect("sync");
        look(&moment("after another"));
        store.remove("1").expect("remove");
        if round % 2 == 0 {
            drop(store);
            store = open(&path);
            look(&moment("after a recovery"));
        } else {
            store.close().expect("close");
            look(&moment("after a close"));
            store = open(&path);
        }
    }
}

#[test]
fn a_seal_that_the_death_of_the_machine_took_back_hides_nothing_from_a_rebuild() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for number in 0..7_u64 {
        store.put(format!("large {number}"), &vec![number; 3900][..]).expect("put");
    }
    store.sync().expect("sync");
    // The next one does not fit: the chunk is sealed. Then the power goes.
    store.put("large 7", &vec![7_u64; 4000][..]).expect("put");
    store.put("large 8", &vec![8_u64; 4000][..]).expect("put");
    assert_eq!(store.stats().expect("stats").chunks.len(), 2);
    let sealed_at = store.stats().expect("stats").chunks[0].head;
    drop(store);
    let store = open_with(options().trust_page_cache(false), &path).expect("open");
    let mut number = 0_u64;
    while store.stats().expect("stats").chunks[0].head <= sealed_at {
        store.put(number.to_le_bytes(), &number).expect("put");
        number += 1;
    }
    assert_eq!(store.stats().expect("stats").chunks.len(), 1, "small ones still fit");
    store.sync().expect("sync");
    let objects = store.len();
    drop(store);
    fs::remove_file(path.join("STORE")).expect("removed");
    // SAFETY: the store is closed, and nobody else knows its folder.
    unsafe { Store::rebuild(&path) }.expect("rebuild");
    assert_eq!(open(&path).len(), objects);
}

#[test]
fn a_chunk_that_was_made_ahead_is_not_where_the_log_ends_for_a_rebuild() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let is_made = || path.join("chunks/00000001.chunk").exists();
    let mut number = 0_u64;
    while !is_made() {
        store.put(number.to_le_bytes(), &[number; 100]).expect("put");
        number += 1;
    }
    assert_eq!(store.stats().expect("stats").chunks.len(), 1, "there is room in the first one");
    drop(store);
    fs::remove_file(path.join("STORE")).expect("removed");
    // SAFETY: the store is closed, and nobody else knows its folder.
    unsafe { Store::rebuild(&path) }.expect("rebuild");
    let store = open(&path);
    assert_eq!(contents(&store).len() as u64, number, "a scan gets through");
    assert_eq!(store.check().expect("a check").count(), 0);
}

#[test]
fn chunks_beyond_the_end_of_a_damaged_log_are_not_in_the_way_later() {
    for rebuilt in [false, true] {
        let folder = folder();
        let path = folder.path().join("store");
        let store = open(&path);
        store.put("damaged", &1_u64).expect("put");
        store.put("kept", &2_u64).expect("put");
        store.put("body", &vec![3_u64; 10_000][..]).expect("put");
        let (_, range) = store.entry("damaged").expect("a look-up").expect("it was put").place();
        store.sync().expect("sync");
        // Not synced: records in chunks beyond the checkpoint's, a body, and a file that was being made.
        roll_over(&store);
        roll_over(&store);
        store.put("late", &vec![4_u64; 10_000][..]).expect("put");
        drop(store);
        let chunks = path.join("chunks");
        fs::write(chunks.join("0000000000000002.body.tmp"), [0; 4096]).expect("a file");
        let mut bytes = fs::read(chunks.join("00000000.chunk")).expect("a chunk");
        bytes[range.start as usize..][..4].copy_from_slice(&[0xff; 4]);
        fs::write(chunks.join("00000000.chunk"), bytes).expect("a chunk");

        let after_a_power_cut = options().trust_page_cache(false);
        if rebuilt {
            // SAFETY: nobody else has the store.
            unsafe { after_a_power_cut.clone().rebuild(&path) }.expect("rebuild");
        }
        let store = open_with(after_a_power_cut, &path).expect("open");
        assert_eq!(store.load::<u64>("kept").expect("load"), Some(2));
        assert_eq!(store.len(), 2, "what was not synced does not exist");
        let left = fs::read_dir(&chunks).expect("a folder").map(|entry| entry.expect("a name").file_name());
        let left: Vec<_> = left.map(|name| name.into_string().expect("a name of ours")).collect();
        for _ in 0..3 {
            roll_over(&store);
            store.put("large", &vec![5_u64; 10_000][..]).expect("put");
        }
        store.sync().expect("sync");
        let objects = store.len();
        drop(store);
        for trust in [true, false] {
            let store = open_with(options().trust_page_cache(trust), &path).expect("open");
            assert_eq!(store.len(), objects);
        }
        assert!(!left.iter().any(|name| name.contains(".tmp")), "{left:?}");
        assert!(!left.contains(&"00000001.chunk".to_owned()), "{left:?}");
        // What is damaged may have pointed to these.
        let bodies = left.iter().filter(|name| name.contains(".body")).count();
        assert_eq!(bodies, 2, "{left:?}");
    }
}
