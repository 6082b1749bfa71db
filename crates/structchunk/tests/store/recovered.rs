//! What a recovery keeps, gives and tells, where mutation testing has found nothing that would have noticed.

use std::fs;
use std::path::Path;

use structchunk::{Found, Store};

use crate::common::*;
use crate::craft::walk;

/// Puts until the log goes on in another chunk; the keys.
fn two_chunks(store: &Store) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    while store.stats().expect("stats").chunks.len() < 2 {
        let key = format!("key {}", keys.len()).into_bytes();
        store.put(&key, &[7_u64; 2000]).expect("put");
        keys.push(key);
    }
    keys
}

/// Puts bytes into a file.
fn poke(path: &Path, at: usize, bytes: &[u8]) {
    let mut file = fs::read(path).expect("a file");
    file[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, file).expect("a file");
}

#[test]
fn a_process_that_died_right_after_a_sync_died_in_the_same_boot() {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &1_u64).expect("put");
    store.sync().expect("sync");
    drop(store);
    assert_eq!(open(folder.path()).recovery().found, Found::ProcessDied);
}

#[test]
fn the_records_of_a_chunk_whose_seal_is_damaged_are_taken_as_far_as_they_go() {
    for trust in [true, false] {
        let folder = folder();
        let store = open(folder.path());
        let keys = two_chunks(&store);
        store.sync().expect("sync");
        drop(store);
        poke(&folder.path().join("chunks/00000000.chunk"), 512 + 20, &[0xff; 8]);
        let store = open_with(options().trust_page_cache(trust), folder.path()).expect("open");
        let report = store.recovery();
        assert!(report.dropped.iter().any(|it| it.contains("as far as they go")), "{report:?}");
        assert_eq!(store.len(), keys.len() as u64);
        assert!(keys.iter().all(|key| store.contains(key).expect("a look-up")));
    }
}

#[test]
fn a_damaged_pointer_to_a_body_costs_no_body() {
    let folder = folder();
    let chunk = folder.path().join("chunks/00000000.chunk");
    let body = folder.path().join("chunks/0000000000000000.body");
    let store = open(folder.path());
    store.put("body", &[5_u64; 20_000]).expect("put");
    let head = store.stats().expect("stats").chunks[0].head as usize;
    store.sync().expect("sync");
    drop(store);
    let places = walk(&fs::read(&chunk).expect("a chunk"), head);
    let pointer =
        places.iter().find(|place| place.payload.len() == 16 && place.key.len() == 4).expect("a pointer");
    // Another number.
    poke(&chunk, pointer.payload.start, &[9]);
    let store = open(folder.path());
    assert!(body.exists(), "what is damaged may have pointed to it");
    let report = store.recovery();
    assert!(report.dropped.iter().any(|it| it.contains("are kept")), "{report:?}");
}

#[test]
fn what_is_wiped_and_removed_is_told() {
    let folder = folder();
    let store = open(folder.path());
    store.put("kept", &1_u64).expect("put");
    store.sync().expect("sync");
    store.put("lost", &2_u64).expect("put");
    store.put("lost body", &[5_u64; 20_000]).expect("put");
    drop(store);
    fs::write(folder.path().join("chunks/0000002a.chunk.tmp"), [0; 4096]).expect("a file");
    let store = open_with(options().trust_page_cache(false), folder.path()).expect("open");
    let report = store.recovery();
    assert!(report.wiped_bytes > 100 && report.wiped_bytes < 4096, "{report:?}");
    assert!(report.dropped.iter().any(|it| it.starts_with("2 records behind the end")), "{report:?}");
    let mut removed = report.removed_files.clone();
    removed.sort();
    assert_eq!(removed, ["0000000000000000.body", "0000002a.chunk.tmp"]);
}

#[test]
fn numbers_go_on_above_every_name_that_was_found() {
    let folder = folder();
    let store = open(folder.path());
    two_chunks(&store);
    store.put("body", &[5_u64; 20_000]).expect("put");
    store.sync().expect("sync");
    drop(store);
    let chunks = folder.path().join("chunks");
    fs::write(chunks.join("00000029.chunk"), [0; 4096]).expect("a file");
    fs::write(chunks.join("0000000000000029.body"), [0; 4096]).expect("a file");
    let store = open(folder.path());
    let mut active = 0;
    for key in 0..60_u64 {
        store.put(key.to_le_bytes(), &[7_u64; 2000]).expect("put");
        active = store.stats().expect("stats").chunks.len();
    }
    store.put("another body", &[5_u64; 20_000]).expect("put");
    assert!(active > 3 && chunks.join("0000002a.chunk").exists(), "no number is given twice");
    assert!(!chunks.join("00000002.chunk").exists());
    assert!(chunks.join("000000000000002a.body").exists());
}
