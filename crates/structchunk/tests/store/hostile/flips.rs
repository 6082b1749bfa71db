//! Every byte of a small store flipped, one at a time, and every file cut and made longer.
//!
//! What must come of it: a refusal, or right data, or an error or finding that says that something is wrong. Payloads alone have no
//! checksum; a byte flipped there is the object's business.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use structchunk::Store;
use tempfile::TempDir;

use super::{Watchdog, rebuild, survive, try_open, wary};
use crate::common::{Counter, Point, Sample, Wide, cases, copy_folder, folder, open};
use crate::craft::{self, EXTERN, Log, OBJECT};

const BODY: &str = "chunks/0000000000000000.body";
const KEYS: [&[u8]; 7] = [b"point", b"sample", b"wide", b"body", b"array", b"counter", b"removed"];
const POINT: Point = Point { x: 1.5, y: -3.25 };
const SAMPLE: Sample = Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5, 6] };

/// A closed store with an object of every kind.
fn small_store() -> TempDir {
    let folder = folder();
    let store = open(folder.path());
    store.put("removed", &POINT).unwrap();
    store.put("point", &SAMPLE).unwrap();
    store.put("wide", &Wide { words: [9; 128] }).unwrap();
    store.put("body", &[5_u64; 5000]).unwrap();
    store.put("counter", &Counter::default()).unwrap();
    let mut batch = store.batch();
    batch.put("point", &POINT).unwrap();
    batch.put("sample", &SAMPLE).unwrap();
    batch.put("array", &[[1_u16, 2, 3], [4, 5, 6]]).unwrap();
    batch.remove("removed").unwrap();
    batch.commit().unwrap();
    store.close().unwrap();
    folder
}

/// Keys whose objects are silently not what they were: another value, or absent. An error is not silent.
fn silently_wrong(store: &Store) -> Vec<&'static str> {
    fn is<T: structchunk::Object>(store: &Store, key: &str, right: impl FnOnce(&T) -> bool) -> bool {
        store.load::<T>(key).map_or(true, |found| found.is_some_and(|value| right(&value)))
    }
    let right = [
        ("point", is(store, "point", |point: &Point| *point == POINT)),
        ("sample", is(store, "sample", |sample: &Sample| *sample == SAMPLE)),
        ("wide", is(store, "wide", |wide: &Wide| wide.words == [9; 128])),
        ("body", is(store, "body", |body: &[u64; 5000]| *body == [5; 5000])),
        ("array", is(store, "array", |array: &[[u16; 3]; 2]| *array == [[1, 2, 3], [4, 5, 6]])),
        (
            "counter",
            is(store, "counter", |counter: &Counter| {
                counter.hits.load(std::sync::atomic::Ordering::Relaxed) == 0
            }),
        ),
        ("removed", store.contains("removed").map_or(true, |there| !there)),
        ("len", store.len() == 6),
        (
            "scan",
            store
                .iter()
                .unwrap()
                .filter(|entry| entry.as_ref().map_or(true, |e| KEYS[..6].contains(&e.key())))
                .count()
                == 6,
        ),
    ];
    right.into_iter().filter(|(_, right)| !right).map(|(key, _)| key).collect()
}

/// Whether the store says by itself that something is wrong.
fn says_so(store: &Store) -> bool {
    let report = store.recovery();
    !report.dropped.is_empty() || store.check().map_or(true, |mut findings| findings.next().is_some())
}

fn assert_told(store: &Store) {
    let wrong = silently_wrong(store);
    assert!(wrong.is_empty() || says_so(store), "{wrong:?} are wrong and nobody says so");
}

/// The bytes of a file that are worth flipping, and of those the ones that belong to objects: wrong ones cannot be told from right
/// ones there.
struct Places {
    all: Vec<usize>,
    payload: HashSet<usize>,
}

impl Places {
    /// All that mean something, and some of the rest.
    fn of(store: &Path, file: &str) -> Self {
        let bytes = fs::read(store.join(file)).unwrap();
        let log = Log::of(store);
        let matters = |at: usize| match file {
            "STORE" => at % craft::PAGE < 512,
            "chunks/00000000.chunk" => at < 1024 || (craft::PAGE..log.head + 64).contains(&at),
            "directory" | "live" => at < 512 || bytes[at - at % 16..][..16].iter().any(|&byte| byte != 0),
            _ => at < 512,
        };
        let all = (0..bytes.len()).filter(|&at| matters(at) || at % 997 == 0).collect();
        let objects = craft::walk(&log.bytes, log.head).into_iter().filter(|record| record.kind == OBJECT);
        let payload = match file {
            "chunks/00000000.chunk" => objects.flat_map(|record| record.payload).collect(),
            _ if file == BODY => (craft::PAGE..bytes.len()).collect(),
            _ => HashSet::new(),
        };
        Self { all, payload }
    }
}

fn with_context(context: &str, action: impl FnOnce()) {
    let _watchdog = Watchdog::new(context);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(action)) {
        eprintln!("with {context}:");
        std::panic::resume_unwind(panic);
    }
}

/// Flips one bit of each byte (`both`: the seven others, too), reads everything through a handle that writes nothing, and flips it back.
fn flip_each_and_read(file: &str, both: bool) {
    let folder = small_store();
    let path = folder.path().join(file);
    let pristine = fs::read(&path).unwrap();
    let places = Places::of(folder.path(), file);
    let bytes = fs::File::options().write(true).open(&path).unwrap();
    with_context(&format!("a byte of {file} flipped"), || {
        let one_bit = places.all.iter().map(|&at| (at, 1 << (at % 8)));
        let others = places.all.iter().map(|&at| (at, !(1 << (at % 8)))).filter(|_| both);
        for (at, flip) in one_bit.chain(others) {
            bytes.write_all_at(&[pristine[at] ^ flip], at as u64).unwrap();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                if let Some(store) = try_open(wary().read_only(true), folder.path())
                    && !places.payload.contains(&at)
                {
                    assert_told(&store);
                }
            }));
            bytes.write_all_at(&[pristine[at]], at as u64).unwrap();
            assert!(outcome.is_ok(), "byte {at} of {file} ^ {flip:#x}");
        }
        assert!(silently_wrong(&open(folder.path())).is_empty(), "the store is as it was");
    });
}

#[test]
fn a_flipped_byte_of_store_is_an_error_or_does_no_harm() {
    flip_each_and_read("STORE", false);
}

#[test]
fn a_flipped_byte_of_a_chunk_is_an_error_or_does_no_harm() {
    flip_each_and_read("chunks/00000000.chunk", false);
}

#[test]
fn a_flipped_byte_of_a_body_is_an_error_or_does_no_harm() {
    flip_each_and_read("chunks/0000000000000000.body", false);
}

#[test]
fn a_flipped_byte_of_the_directory_is_found_by_check() {
    flip_each_and_read("directory", false);
}

#[test]
fn a_flipped_byte_of_the_live_map_is_found_by_check() {
    flip_each_and_read("live", true);
}

#[test]
fn a_flipped_byte_of_shared_does_no_harm() {
    flip_each_and_read("shared", false);
}

const FILES: [&str; 7] = ["STORE", "LOCK", "shared", "directory", "live", "chunks/00000000.chunk", BODY];

/// A fresh copy of a store, one of whose files is changed.
fn spoiled(pristine: &Path, scratch: &Path, file: &str, change: impl FnOnce(&Path)) -> PathBuf {
    if scratch.exists() {
        fs::remove_dir_all(scratch).unwrap();
    }
    copy_folder(pristine, scratch);
    change(&scratch.join(file));
    scratch.to_owned()
}

#[test]
fn a_writer_survives_any_flipped_byte_and_a_rebuild_cures_the_views() {
    let folder = small_store();
    let scratch = crate::common::folder();
    let scratch = scratch.path().join("s");
    for file in FILES {
        let places = Places::of(folder.path(), file);
        let step = (places.all.len() / cases(16) as usize).max(1);
        for &at in places.all.iter().step_by(step) {
            let flip = |path: &Path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[at] ^= 0xff;
                fs::write(path, bytes).unwrap();
            };
            with_context(&format!("byte {at} of {file} inverted"), || {
                if !places.payload.contains(&at) {
                    let path = spoiled(folder.path(), &scratch, file, flip);
                    if let Some(store) = try_open(wary(), &path) {
                        assert_told(&store);
                    }
                }
                let path = spoiled(folder.path(), &scratch, file, flip);
                survive(&path, &KEYS);
                let path = spoiled(folder.path(), &scratch, file, flip);
                if ["directory", "live", "shared"].contains(&file) {
                    rebuild(&path).unwrap();
                    let store = open(&path);
                    assert!(silently_wrong(&store).is_empty() && !says_so(&store));
                }
            });
        }
    }
}

#[test]
fn files_cut_or_made_longer_at_any_length_are_an_error_or_do_no_harm() {
    let folder = small_store();
    let scratch = crate::common::folder();
    let scratch = scratch.path().join("s");
    for file in FILES {
        let bytes = fs::metadata(folder.path().join(file)).unwrap().len();
        let head = Log::of(folder.path()).head as u64;
        let step = (bytes / cases(10)).max(1);
        let mut lengths: Vec<_> = (0..bytes).step_by(step as usize).collect();
        lengths.extend([1, 7, 8, 511, 512, 513, 4095, 4096, 4097, head - 1, head, head + 1]);
        lengths.extend([bytes.saturating_sub(1), bytes + 1, bytes + 4096, bytes * 2, bytes + (1 << 30)]);
        for length in lengths {
            let cut =
                |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
            with_context(&format!("{file} of {length} instead of {bytes} bytes"), || {
                let path = spoiled(folder.path(), &scratch, file, cut);
                if let Some(store) = try_open(wary().read_only(true), &path) {
                    assert_told(&store);
                }
                if let Some(store) = try_open(wary(), &path) {
                    assert_told(&store);
                }
                let path = spoiled(folder.path(), &scratch, file, cut);
                survive(&path, &KEYS);
            });
        }
    }
}

#[test]
fn a_missing_file_is_an_error_or_made_again() {
    let folder = small_store();
    let scratch = crate::common::folder();
    let scratch = scratch.path().join("s");
    for file in FILES {
        let path = spoiled(folder.path(), &scratch, file, |path| fs::remove_file(path).unwrap());
        let opened = try_open(wary(), &path);
        assert_eq!(
            opened.is_some(),
            !file.starts_with("chunks/0") && file != "STORE" || file.ends_with("body"),
            "{file}"
        );
        if let Some(store) = opened {
            assert_told(&store);
        }
        survive(&path, &KEYS);
    }
    // Only the walker knows the kinds of records that there are.
    let log = Log::of(folder.path());
    let kinds: Vec<_> = craft::walk(&log.bytes, log.head).iter().map(|record| record.kind).collect();
    assert!(kinds.contains(&EXTERN) && kinds.contains(&craft::TYPE) && kinds.contains(&craft::TOMBSTONE));
}
