//! What a recovery keeps, gives and tells, where mutation testing has found nothing that would have noticed.
#![expect(unsafe_code, reason = "a rebuild is unsafe as opening is")]

mod settled;

use std::fs;
use std::path::Path;

use structchunk::{Found, Store};

use crate::common::*;
use crate::craft::{PAGE, Sector, TYPE, edit_checkpoints, walk};

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

#[test]
fn a_checkpoint_that_cannot_be_is_refused_for_what_cannot_be() {
    type Change = fn(&mut Sector<'_>);
    let changes: [(Change, &str); 5] = [
        (|checkpoint| checkpoint.set_u64(64, CHUNK_BYTES + 16), "the head in the checkpoint"),
        (|checkpoint| checkpoint.set_u64(64, PAGE as u64 + 8), "the head in the checkpoint"),
        (|checkpoint| checkpoint.set_u32(60, u32::MAX), "the active chunk in the checkpoint"),
        (|checkpoint| checkpoint.set_u32(60, 1), "chunk 00000001, where the log ends, is missing"),
        (|checkpoint| checkpoint.set_u32(84, u32::MAX), "the number of types in the checkpoint"),
    ];
    for (change, words) in changes {
        let folder = folder();
        let store = open(folder.path());
        store.put("k", &1_u64).expect("put");
        store.close().expect("close");
        edit_checkpoints(folder.path(), change);
        let error = open_with(options(), folder.path()).expect_err("refused");
        assert!(error.is_corrupt() && error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn a_chunk_that_is_missing_is_told_and_nothing_is_opened_without_it() {
    let folder = folder();
    let store = open(folder.path());
    two_chunks(&store);
    store.close().expect("close");
    fs::remove_file(folder.path().join("chunks/00000000.chunk")).expect("removed");
    let error = open_with(options(), folder.path()).expect_err("refused");
    assert!(error.to_string().contains("the checkpoint counts 2"), "{error}");
}

#[test]
fn a_rebuild_puts_aside_a_chunk_with_records_and_removes_one_without() {
    let folder = folder();
    let store = open(folder.path());
    store.put("kept", &1_u64).expect("put");
    store.sync().expect("sync");
    two_chunks(&store);
    let chunk = |name: &str| folder.path().join("chunks").join(name);
    // Close to its end the next one is made.
    let mut number = 0_u64;
    while !chunk("00000002.chunk").exists() {
        store.put(number.to_le_bytes(), &[number; 100]).expect("put");
        number += 1;
    }
    assert_eq!(store.stats().expect("stats").chunks.len(), 2);
    drop(store);
    let after_a_power_cut = options().trust_page_cache(false);
    // SAFETY: the store is closed, and nobody else knows its folder.
    unsafe { after_a_power_cut.rebuild(folder.path()) }.expect("rebuild");
    assert!(chunk("00000001.chunk.aside").exists() && !chunk("00000001.chunk").exists());
    assert!(!chunk("00000002.chunk.aside").exists() && !chunk("00000002.chunk").exists());
}

/// Puts bytes that take all but so much of the first chunk.
fn fill_but(store: &Store, left: u64) {
    let head = || store.stats().expect("stats").chunks[0].head;
    let put = |key: u8, bytes: u64| {
        let before = head();
        store.put([key], &vec![key; bytes as usize][..]).expect("put");
        head() - before
    };
    put(0, 16);
    let besides = put(1, 16) - 16;
    for key in 2.. {
        let room = CHUNK_BYTES - left - head();
        // Of a few sizes, so that the last one is not too small.
        let bytes = if room > 40_000 { 20_000 } else { (room - besides).min(LARGEST_INLINE - 1024) };
        put(key, bytes);
        if head() == CHUNK_BYTES - left {
            return;
        }
    }
}

#[test]
fn a_log_that_ends_with_its_chunk_is_taken_to_its_end() {
    let folder = folder();
    let store = open(folder.path());
    fill_but(&store, 0);
    let stats = store.stats().expect("stats");
    assert_eq!((stats.chunks.len(), stats.chunks[0].head), (1, CHUNK_BYTES));
    let objects = store.len();
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.recovery().found, store.len()), (Found::ProcessDied, objects));
}

#[test]
fn a_log_that_ends_in_the_header_of_a_chunk_is_not_believed() {
    let folder = folder();
    let store = open(folder.path());
    store.put("kept", &1_u64).expect("put");
    store.sync().expect("sync");
    two_chunks(&store);
    drop(store);
    // Where `shared` has the end of the log, in units of 16 bytes: behind the first ones of the second chunk.
    poke(&folder.path().join("shared"), 128, &(CHUNK_BYTES / 16 + 1).to_le_bytes());
    let store = open(folder.path());
    assert_eq!((store.recovery().found, store.len()), (Found::MachineDied, 1), "{:?}", store.recovery());
}

#[test]
fn of_the_copies_of_a_type_a_damaged_one_is_not_the_one_that_counts() {
    let folder = folder();
    let store = open(folder.path());
    let keys = two_chunks(&store);
    store.sync().expect("sync");
    let head = store.stats().expect("stats").chunks[1].head as usize;
    drop(store);
    let chunk = folder.path().join("chunks/00000001.chunk");
    let places = walk(&fs::read(&chunk).expect("a chunk"), head);
    let copy =
        places.iter().find(|place| place.kind == TYPE).expect("each chunk has the types of its objects");
    poke(&chunk, copy.payload.end - 8, &[0xff; 8]);
    let store = open(folder.path());
    assert_eq!(store.recovery().found, Found::ProcessDied);
    for key in keys {
        let found = store.load::<[u64; 2000]>(&key).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found, Some([7; 2000]));
    }
}

#[test]
fn a_chunk_below_the_end_that_is_none_is_not_in_the_way_and_goes() {
    let folder = folder();
    let store = open(folder.path());
    fs::write(folder.path().join("chunks/00000029.chunk"), [0; 4096]).expect("a file");
    drop(store);
    let store = open(folder.path());
    two_chunks(&store);
    store.close().expect("close");
    // Below the active one now, and there again: its removal had not reached the disk.
    let stray = folder.path().join("chunks/00000029.chunk");
    assert!(folder.path().join("chunks/0000002a.chunk").exists());
    fs::write(&stray, [0; 4096]).expect("a file");
    let store = open(folder.path());
    store.put("k", &1_u64).expect("put");
    drop(store);
    assert_eq!(open(folder.path()).recovery().found, Found::ProcessDied);
    assert!(!stray.exists());
}

#[test]
fn the_sequence_of_a_record_that_was_lost_is_not_given_again() {
    let folder = folder();
    let store = open(folder.path());
    store.put("kept", &1_u64).expect("put");
    let lost = ["lost 0", "lost 1", "lost 2", "lost 3"];
    for key in lost {
        store.put(key, &2_u64).expect("put");
    }
    store.sync().expect("sync");
    let places = lost.map(|key| store.entry(key).expect("a look-up").expect("it was put").place().1.start);
    let taken = store.sequence("lost 3").expect("a look-up").expect("it was put");
    drop(store);
    for at in places {
        poke(&folder.path().join("chunks/00000000.chunk"), at as usize, &[0xff; 4]);
    }
    let store = open_with(options().trust_page_cache(false), folder.path()).expect("open");
    assert_eq!(store.len(), 1, "{:?}", store.recovery());
    store.put("next", &3_u64).expect("put");
    let next = store.sequence("next").expect("a look-up").expect("it was put");
    assert!(next > taken, "{next} after {taken}");
}

#[test]
fn a_chunk_below_the_end_that_was_not_counted_but_has_records_is_not_passed_over() {
    let folder = folder();
    let chunk = |number: u32| folder.path().join(format!("chunks/{number:08x}.chunk"));
    let store = open(folder.path());
    let mut number = 0_u64;
    while !chunk(1).exists() {
        store.put(number.to_le_bytes(), &[number; 100]).expect("put");
        number += 1;
    }
    let made_ahead = fs::read(chunk(1)).expect("a chunk");
    store.close().expect("close");
    // Its number is not given again.
    fs::write(chunk(1), &made_ahead).expect("a file");
    let store = open(folder.path());
    fs::remove_file(chunk(1)).expect("removed");
    two_chunks(&store);
    store.close().expect("close");
    assert!(!chunk(1).exists() && chunk(2).exists());
    for has_records in [true, false] {
        let mut bytes = made_ahead.clone();
        if has_records {
            let first = fs::read(chunk(0)).expect("a chunk")[PAGE..][..64].to_vec();
            bytes.resize(bytes.len().max(PAGE + 64), 0);
            bytes[PAGE..][..64].copy_from_slice(&first);
        }
        fs::write(chunk(1), &bytes).expect("a file");
        assert_eq!(open_with(options(), folder.path()).is_err(), has_records);
    }
}
