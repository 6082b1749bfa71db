//! A directory and a live map that lie, in a store that was closed cleanly: they are believed, and must do no harm.

use std::fs;
use std::path::Path;

use structchunk::Store;
use tempfile::TempDir;

use super::{Watchdog, read_everything, rebuild, survive, try_open, wary};
use crate::common::{CHUNK_BYTES, Point, Sample, copy_folder, folder, open, open_with, without_sparse_files};
use crate::craft::{self, Log, OBJECT, Record};

const LOCATION: u64 = (1 << 48) - 1;

fn base(path: &Path) {
    let store = open(path);
    store.put("k", &7_u64).unwrap();
    store.put("other", &8_u64).unwrap();
    store.put("point", &Point { x: 1.0, y: 2.0 }).unwrap();
    store.close().unwrap();
}

pub fn words(path: &Path) -> Vec<u64> {
    fs::read(path).unwrap().as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

pub fn write(path: &Path, words: &[u64]) {
    fs::write(path, words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>()).unwrap();
}

/// The location of the record of a key.
fn location_of(store: &Path, key: &[u8]) -> u64 {
    let log = Log::of(store);
    let records = craft::walk(&log.bytes, log.head);
    let found = records.iter().rfind(|record| log.bytes[record.key.clone()] == *key && record.kind == OBJECT);
    found.expect("a record").at as u64 / 16
}

/// Makes the directory's entry of `key` lead to another location.
pub fn lead(store: &Path, key: &[u8], to: u64) {
    let location = location_of(store, key);
    let mut all = words(&store.join("directory"));
    // Behind the page of the header.
    let slots: Vec<_> =
        (512..all.len()).filter(|&at| all[at] & LOCATION == location && all[at] > LOCATION).collect();
    assert_eq!(slots.len(), 1, "one slot has the location of {key:?}");
    all[slots[0]] = all[slots[0]] & !LOCATION | to;
    write(&store.join("directory"), &all);
}

/// With the entry of `k` leading elsewhere: what a look-up answers, that check finds it, and that a rebuild cures it.
fn astray(prepare: impl Fn(&Path) -> u64, look: impl FnOnce(&Store)) {
    let _watchdog = Watchdog::new("a directory entry that leads astray");
    let folder = folder();
    let path = folder.path().join("s");
    base(&path);
    let to = prepare(&path);
    lead(&path, b"k", to);
    for name in ["survivor", "rebuilt"] {
        copy_folder(&path, &folder.path().join(name));
    }
    survive(&folder.path().join("survivor"), &[b"k", b"other", b"point"]);
    let store = open_with(wary(), &path).unwrap();
    look(&store);
    assert!(store.check().unwrap().count() > 0, "check finds it");
    read_everything(&store, &[b"k"]);
    rebuild(&folder.path().join("rebuilt")).unwrap();
    let store = open(folder.path().join("rebuilt"));
    assert_eq!((store.load("k").unwrap(), store.len(), store.check().unwrap().count()), (Some(7_u64), 3, 0));
}

#[test]
fn an_entry_that_leads_to_another_key_finds_nothing() {
    astray(
        |path| location_of(path, b"other"),
        |store| {
            assert_eq!((store.load::<u64>("k").unwrap(), store.load("other").unwrap()), (None, Some(8_u64)));
        },
    );
}

#[test]
fn an_entry_that_leads_to_no_record_finds_nothing_or_says_so() {
    let places = [
        0,
        1,
        4096 / 16 + 1,
        CHUNK_BYTES / 16 - 1,
        CHUNK_BYTES / 16,
        CHUNK_BYTES / 16 + 4096 / 16,
        LOCATION,
        LOCATION - 1,
    ];
    for to in places {
        astray(
            |_| to,
            |store| {
                assert!(store.load::<u64>("k").map_or(true, |found| found.is_none()), "{to}");
                assert_eq!(store.load("other").unwrap(), Some(8_u64));
            },
        );
    }
}

#[test]
fn an_entry_that_leads_behind_the_end_of_the_log_finds_nothing() {
    astray(
        |path| {
            let mut log = Log::of(path);
            let at = log.head as u64 / 16;
            let stale = Record::new(OBJECT, b"k", 1, &666_u64.to_le_bytes()).bytes(&log.uuid, at, 99);
            log.bytes[log.head..log.head + stale.len()].copy_from_slice(&stale);
            fs::write(path.join("chunks/00000000.chunk"), &log.bytes).unwrap();
            at
        },
        |store| assert_eq!(store.load::<u64>("k").unwrap(), None),
    );
}

#[test]
fn an_entry_that_leads_into_a_payload_is_found_by_check() {
    astray(
        |path| {
            let store = open(path);
            store.put("outer", &[0_u64; 16]).unwrap();
            store.close().unwrap();
            let mut log = Log::of(path);
            let outer = location_of(path, b"outer") as usize * 16;
            let place =
                craft::walk(&log.bytes, log.head).into_iter().find(|record| record.at == outer).unwrap();
            let at = place.payload.start;
            let inner =
                Record::new(OBJECT, b"k", 1, &666_u64.to_le_bytes()).bytes(&log.uuid, at as u64 / 16, 99);
            log.bytes[at..at + inner.len()].copy_from_slice(&inner);
            fs::write(path.join("chunks/00000000.chunk"), &log.bytes).unwrap();
            // The number of objects stays what the test expects.
            let store = open(path);
            store.rename("outer", "outer2").unwrap();
            store.close().unwrap();
            fs::remove_file(path.join("directory")).unwrap();
            let store = open(path);
            store.put("outer2", &1_u8).unwrap();
            store.remove("outer2").unwrap();
            store.close().unwrap();
            at as u64 / 16
        },
        |store| {
            // The record there has the right key, type, length and checksum; but it is not of the log.
            let _ = store.load::<u64>("k");
        },
    );
}

#[test]
fn any_word_of_a_view_may_be_anything() {
    let folder = folder();
    let pristine = folder.path().join("pristine");
    base(&pristine);
    for view in ["directory", "live"] {
        let all = words(&pristine.join(view));
        let worth = (0..all.len()).filter(|&at| at < 32 || all[at] != 0 || at % 4001 == 0);
        for (n, at) in worth.enumerate() {
            // The table is 256 times the same word; some of them say enough.
            if at > 32 && n % 16 != 0 && view == "directory" {
                continue;
            }
            for value in
                [0, 1, u64::MAX, 1 << 63, all[at] << 1, all[at].wrapping_add(1 << 8), 0xff << 8 | 0x1c]
            {
                let _watchdog = Watchdog::new(format!("word {at} of {view} is {value:#x}"));
                let path = folder.path().join("s");
                copy_folder(&pristine, &path);
                let mut changed = all.clone();
                changed[at] = value;
                write(&path.join(view), &changed);
                if let Some(store) = try_open(wary(), &path) {
                    read_everything(&store, &[b"k"]);
                    for n in 0..20_u64 {
                        let _ = store.put(n.to_le_bytes(), &n);
                    }
                    let _ = (store.remove("k"), store.close());
                }
                rebuild(&path).unwrap();
                assert_eq!(
                    open(&path).load("other").unwrap(),
                    Some(8_u64),
                    "word {at} of {view} was {value:#x}"
                );
                fs::remove_dir_all(&path).unwrap();
            }
        }
    }
}

#[test]
fn views_of_another_store_are_not_believed() {
    let folder = folder();
    for name in ["a", "b"] {
        base(&folder.path().join(name));
    }
    let store = open(folder.path().join("b"));
    store.put("k", &9_u64).unwrap();
    store.close().unwrap();
    for view in ["directory", "live", "shared"] {
        fs::copy(folder.path().join("b").join(view), folder.path().join("a").join(view)).unwrap();
    }
    let store = open(folder.path().join("a"));
    assert_eq!((store.load("k").unwrap(), store.check().unwrap().count()), (Some(7_u64), 0));
}

/// A closed store whose last record, that of the bytes under `k`, says that they are so many.
fn with_a_longer_last_record(bytes: u64) -> TempDir {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &[1_u8; 600][..]).unwrap();
    store.close().unwrap();
    let mut log = Log::of(folder.path());
    let last = craft::walk(&log.bytes, log.head).pop().unwrap();
    assert_eq!(log.bytes[last.key], *b"k");
    let mut header = craft::Sector(&mut log.bytes[last.at..last.at + 32]);
    let length_and_type = header.u64(8);
    header.set_u64(8, length_and_type & !LOCATION | bytes);
    fs::write(folder.path().join("chunks/00000000.chunk"), &log.bytes).unwrap();
    folder
}

#[test]
fn no_guard_is_of_a_record_that_reaches_behind_the_end_of_the_log() {
    let folder = with_a_longer_last_record(4000);
    let store = open_with(wary(), folder.path()).unwrap();
    let guard = store.get::<[u8]>("k").unwrap();
    let seen = guard.as_deref().map(<[u8]>::to_vec);
    // This is written where the record would be.
    store.put("x", &[7_u8; 300]).unwrap();
    assert_eq!(guard.as_deref(), seen.as_deref(), "what is borrowed does not change");
    assert!(guard.is_none() && store.entry("k").unwrap().is_none());
    let all = store.range::<&[u8]>(..).unwrap().filter_map(Result::ok);
    assert_eq!(all.map(|entry| entry.key().to_vec()).collect::<Vec<_>>(), [b"x"]);
}

#[test]
fn a_small_object_that_reaches_behind_the_end_of_the_log_is_not_changed() {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5; 2] }).unwrap();
    store.close().unwrap();
    // The log ends in the middle of it.
    craft::edit_checkpoints(folder.path(), |checkpoint| {
        let head = checkpoint.u64(64);
        checkpoint.set_u64(64, head - 16);
    });
    let store = open_with(wary(), folder.path()).unwrap();
    store.put("x", &7_u64).unwrap();
    assert!(!store.update("k", |sample: &mut Sample| sample.kind = u32::MAX).unwrap());
    assert_eq!(store.load("x").unwrap(), Some(7_u64));
}

#[test]
fn a_record_that_is_longer_than_its_file_is_an_error_to_who_wants_to_change_it() {
    // Touching what the file does not have would be a signal.
    without_sparse_files(|| {
        let folder = folder();
        let store = open(folder.path());
        store.put("k", &[1_u8; 600][..]).unwrap();
        for n in 0..10_u64 {
            store.put(n.to_le_bytes(), &[2_u8; 30_000][..]).unwrap();
        }
        store.close().unwrap();
        assert!(folder.path().join("chunks/00000001.chunk").exists(), "the first chunk is full");
        let chunk = folder.path().join("chunks/00000000.chunk");
        let mut bytes = fs::read(&chunk).unwrap();
        let place = craft::walk(&bytes, craft::PAGE + 600).pop().unwrap();
        assert_eq!(bytes[place.key], *b"k");
        let mut header = craft::Sector(&mut bytes[place.at..place.at + 32]);
        let length_and_type = header.u64(8);
        header.set_u64(8, length_and_type & !LOCATION | 0x1_86a0);
        // Without a seal nothing says how long it was.
        bytes[512..1024].fill(0);
        bytes.truncate(8192);
        fs::write(chunk, bytes).unwrap();
        let store = open_with(wary(), folder.path()).unwrap();
        assert!(store.get::<[u8]>("k").is_err_and(|error| error.is_corrupt()));
        match store.get_mut::<[u8]>("k") {
            Ok(bytes) => bytes.unwrap().fill(3),
            Err(error) => assert!(error.is_corrupt(), "{error}"),
        }
    });
}

#[test]
fn a_batch_record_behind_the_end_of_the_log_leads_to_nothing_else_there() {
    let folder = folder();
    let path = folder.path().join("s");
    base(&path);
    let mut log = Log::of(&path);
    let at = log.head as u64 / 16;
    let mut forged = Record::new(OBJECT, b"k", 1, &666_u64.to_le_bytes());
    // Of a batch; what it replaces is itself.
    forged.flags = 1;
    let forged = forged.with_entry(2, at).bytes(&log.uuid, at, 99);
    log.bytes[log.head..log.head + forged.len()].copy_from_slice(&forged);
    fs::write(path.join("chunks/00000000.chunk"), &log.bytes).unwrap();
    lead(&path, b"k", at);
    let store = open_with(wary(), &path).unwrap();
    let guard = store.get::<u64>("k").unwrap();
    store.put("x", &[7_u8; 300]).unwrap();
    assert!(guard.is_none(), "{guard:?}");
}
