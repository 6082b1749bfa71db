//! Rebuilding: whatever of a store is lost but its chunks and bodies, every key, type and value comes back; what is damaged is named
//! and hides nothing; and nothing is deleted.
#![expect(unsafe_code, reason = "a rebuild is unsafe as opening is")]

mod dropped;
mod misplaced;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, RebuildReport, Result, Store};

use crate::common::*;
use crate::craft::{PAGE, edit_checkpoints, edit_sector};
use crate::script::{Op, Tracked};

fn rebuild(path: &Path) -> Result<RebuildReport> {
    // SAFETY: the store is closed, and its files are this test's own.
    unsafe { Store::rebuild(path) }
}

/// A rebuild that finds nothing wrong.
fn rebuild_well(path: &Path) -> RebuildReport {
    let report = rebuild(path).expect("rebuild");
    assert!(report.findings.is_empty(), "{report:#?}");
    report
}

fn chunk(path: &Path, number: u32) -> PathBuf {
    path.join(format!("chunks/{number:08x}.chunk"))
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    file.write_all_at(bytes, offset).expect("written");
}

/// Every file of a folder and below, with its content.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(path).expect("a folder") {
        let path = entry.expect("a name").path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), fs::read(path).expect("bytes"));
        }
    }
    all
}

/// The chunk and the bytes of a key's record.
type Places = BTreeMap<Vec<u8>, (u32, std::ops::Range<u64>)>;

/// A store of several chunks, its objects, and where their records lie.
fn several_chunks(path: &Path) -> (Model, Places) {
    let store = open(path);
    let mut model = Model::new();
    for number in 0..60_u64 {
        let key = format!("key {number:02}").into_bytes();
        let value = Value::Numbers(vec![number; 2000]);
        value.put(&store, &key).expect("put");
        model.insert(key, value);
    }
    let body = Value::Numbers(vec![7; 9000]);
    body.put(&store, b"body").expect("put");
    model.insert(b"body".to_vec(), body);
    let places = model.keys().map(|key| {
        let entry = store.entry(key).expect("a look-up").expect("it was put");
        (key.clone(), entry.place())
    });
    let places = places.collect();
    assert!(store.stats().expect("stats").chunks.len() > 3);
    store.close().expect("close");
    (model, places)
}

#[test]
fn the_last_object_comes_back_without_store_although_it_ends_in_zeroes() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("first", &1_u64).expect("put");
    store.put("zeroes", &[0_u64; 100][..]).expect("put");
    drop(store);
    fs::remove_file(path.join("STORE")).expect("removed");
    assert_eq!(rebuild_well(&path).objects, 2);
    let store = open(&path);
    assert_eq!(contents(&store)[&b"zeroes"[..]].2, [0; 800]);
}

/// A scan yields errors where there is damage, and every object of the model.
fn assert_readable(store: &Store, model: &Model) {
    let found: BTreeMap<_, _> = store
        .iter()
        .expect("a scan")
        .flatten()
        .map(|entry| (entry.key().to_vec(), entry.bytes(u64::MAX).expect("bytes")))
        .collect();
    let expected: BTreeMap<_, _> = model.iter().map(|(key, value)| (key.clone(), value.bytes())).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(found == expected, "some bytes are others");
    assert_eq!(store.len(), model.len() as u64);
}

#[test]
fn whatever_is_lost_beside_the_chunks_a_rebuild_brings_everything_back() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    for case in 0..cases(64) {
        let folder = folder();
        let path = folder.path().join("store");
        let store = open(&path);
        let mut now = Tracked::default();
        let count = random.below(90);
        for op in Op::script(&mut Random::new(random.next()), count) {
            now.run(&store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        }
        // Closed, or killed: then all that had returned is in the chunks.
        let closed = random.one_in(2);
        if closed {
            store.close().expect("close");
        } else {
            drop(store);
        }
        // Every combination in turn; what `shared` alone knows is lost with it, but never what STORE does not count on.
        let lost: Vec<_> = ["STORE", "shared", "directory", "live", "LOCK"]
            .into_iter()
            .enumerate()
            .filter(|(bit, name)| (case >> bit) & 1 == 1 && (closed || *name != "shared" || case & 1 == 1))
            .map(|(_, name)| name)
            .collect();
        for name in &lost {
            fs::remove_file(path.join(name)).expect("a file");
        }
        let report = rebuild_well(&path);
        let context = format!("seed {seed}, case {case}: without {lost:?}, closed: {closed}, {report:#?}");
        assert_eq!(report.made_store, lost.contains(&"STORE"), "{context}");
        assert_eq!(report.objects, now.model.len() as u64, "{context}");
        let store = open(&path);
        assert_same(&store, &now.model);
        for op in Op::script(&mut Random::new(random.next()), 10) {
            now.run(&store, &op).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        }
        drop(store);
        assert_same(&open(&path), &now.model);
    }
}

#[test]
fn a_damaged_record_hides_nothing_behind_it_and_is_named_with_its_place_and_size() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let folder = folder();
    let original = folder.path().join("original");
    let (model, places) = several_chunks(&original);
    let keys: Vec<_> = model.keys().cloned().collect();
    for case in 0..cases(24) {
        let path = folder.path().join("store");
        copy_folder(&original, &path);
        let mut left = model.clone();
        let mut damaged: Vec<_> =
            (0..=random.below(3)).map(|_| keys[random.below(keys.len() as u64) as usize].clone()).collect();
        damaged.sort();
        damaged.dedup();
        for key in &damaged {
            let (number, range) = &places[key];
            // In the header or the key; what is behind the key is the object's own.
            overwrite(&chunk(&path, *number), range.start + random.below(22), &[0x5a; 2]);
            left.remove(key);
        }
        for name in ["STORE", "shared", "directory", "live"] {
            if name == "STORE" || random.one_in(2) {
                fs::remove_file(path.join(name)).expect("a file");
            }
        }
        let report = rebuild(&path).expect("rebuild");
        for key in &damaged {
            let (number, range) = &places[key];
            let named = report.findings.iter().any(|finding| {
                finding.path == chunk(&path, *number)
                    && finding.offset <= range.start
                    && finding.offset + finding.bytes >= range.end
            });
            let key = String::from_utf8_lossy(key);
            assert!(named, "seed {seed}, case {case}: {key} at {number}, {range:?}: {report:#?}");
        }
        assert_readable(&open(&path), &left);
        fs::remove_dir_all(path).expect("removed");
    }
}

#[test]
fn the_last_record_of_a_log_is_named_and_kept_when_it_is_damaged() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    store.put("first", &1_u64).expect("put");
    store.put("last", &[2_u64; 100][..]).expect("put");
    let (_, range) = store.entry("last").expect("a look-up").expect("it was put").place();
    store.close().expect("close");
    overwrite(&chunk(&path, 0), range.start, &[0xff; 4]);
    fs::remove_file(path.join("STORE")).expect("removed");
    let before = fs::read(chunk(&path, 0)).expect("bytes");
    let report = rebuild(&path).expect("rebuild");
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    assert_eq!((report.findings[0].offset, report.findings[0].bytes), (range.start, range.end - range.start));
    let store = open(&path);
    assert_eq!(store.len(), 1);
    for number in 0..300_u64 {
        store.put(format!("more {}", number % 7), &vec![number; 500][..]).expect("put");
    }
    let objects = store.len();
    drop(store);
    assert_eq!(fs::read(chunk(&path, 0)).expect("bytes")[PAGE..], before[PAGE..], "nothing was wiped");
    assert_eq!(open(&path).len(), objects);
    // What is known is not told again, and nothing is put on top of it.
    for _ in 0..2 {
        fs::remove_file(path.join("STORE")).expect("removed");
        rebuild_well(&path);
        assert_eq!(open(&path).len(), objects);
    }
    assert_eq!(fs::read(chunk(&path, 0)).expect("bytes")[PAGE..], before[PAGE..], "nothing was wiped");
}

#[test]
fn a_batch_whose_end_is_missing_counts_for_nothing_and_one_that_ended_counts_whole() {
    for ended in [true, false] {
        let folder = folder();
        let path = folder.path().join("store");
        let store = open(&path);
        store.put("before", &Point { x: 1.0, y: 2.0 }).expect("put");
        let mut batch = store.batch();
        // Over several chunks.
        for number in 0..40_u64 {
            batch.put(format!("batch {number:02}"), &vec![number; 3000][..]).expect("put");
        }
        batch.commit().expect("commit");
        let (number, range) = store.entry("batch 39").expect("a look-up").expect("there").place();
        assert!(number > 1);
        store.close().expect("close");
        if !ended {
            let bytes = fs::read(chunk(&path, number)).expect("bytes").len() as u64;
            overwrite(&chunk(&path, number), range.start, &vec![0; (bytes - range.start) as usize]);
        }
        for name in ["STORE", "shared", "directory", "live"] {
            fs::remove_file(path.join(name)).expect("a file");
        }
        let report = rebuild_well(&path);
        let store = open(&path);
        assert_eq!(store.len(), if ended { 41 } else { 1 }, "{report:#?}");
        assert_eq!(report.notes.iter().any(|note| note.contains("records of a batch")), !ended);
        // It goes on, and what did not count stays out of it.
        let mut model = Tracked::of(&store);
        for op in Op::script(&mut Random::new(5), 30) {
            model.run(&store, &op).expect("an operation");
        }
        drop(store);
        assert_same(&open(&path), &model.model);
        fs::remove_file(path.join("STORE")).expect("removed");
        rebuild_well(&path);
        assert_same(&open(&path), &model.model);
    }
}

#[test]
fn a_chunk_whose_header_or_seal_is_damaged_gives_up_none_of_its_records() {
    for (number, sector) in [(0, 0), (1, 0), (0, 512), (1, 512)] {
        for store_lost in [true, false] {
            let folder = folder();
            let path = folder.path().join("store");
            let (model, _) = several_chunks(&path);
            overwrite(&chunk(&path, number), sector + 20, &[0x77; 40]);
            if store_lost {
                fs::remove_file(path.join("STORE")).expect("removed");
            }
            let report = rebuild(&path).expect("rebuild");
            assert_eq!(report.findings.len(), 1, "{report:#?}");
            assert_eq!(
                (&report.findings[0].path, report.findings[0].offset),
                (&chunk(&path, number), sector)
            );
            assert_same(&open(&path), &model);
        }
    }
}

#[test]
fn the_only_chunk_is_known_by_its_store_or_its_bodies_when_its_header_is_lost() {
    for evidence in ["STORE", "body", "none"] {
        let folder = folder();
        let path = folder.path().join("store");
        let store = open(&path);
        store.put("small", &1_u64).expect("put");
        if evidence == "body" {
            store.put("large", &vec![1_u64; 9000][..]).expect("put");
        }
        store.close().expect("close");
        overwrite(&chunk(&path, 0), 0, &[0; 512]);
        if evidence == "STORE" {
            for slot in [PAGE, 2 * PAGE] {
                overwrite(&path.join("STORE"), slot as u64, &[0x11; 512]);
            }
        } else {
            fs::remove_file(path.join("STORE")).expect("removed");
        }
        let before = files(&path);
        match rebuild(&path) {
            Ok(report) => {
                assert!(evidence != "none", "{report:#?}");
                assert_eq!(open(&path).load::<u64>("small").expect("load"), Some(1));
                assert_eq!(path.join("STORE.aside").exists(), evidence == "STORE");
            }
            Err(error) => {
                assert!(
                    evidence == "none" && matches!(error, Error::NotAStore { .. }),
                    "{evidence}: {error}"
                );
                assert_eq!(files(&path), before, "nothing changed");
            }
        }
    }
}

#[test]
fn what_is_no_store_or_not_understood_is_refused_without_a_change() {
    let folder = folder();
    let path = folder.path().join("store");
    let refused = |what: &str| {
        let before = files(folder.path());
        let error = rebuild(&path).expect_err(what);
        assert_eq!(files(folder.path()), before, "{what}: {error}");
        error
    };
    assert!(matches!(refused("nothing"), Error::NotAStore { .. }));
    fs::create_dir(&path).expect("a folder");
    assert!(matches!(refused("an empty folder"), Error::NotAStore { .. }));
    fs::create_dir(path.join("chunks")).expect("a folder");
    fs::write(path.join("chunks/0000000000000000.body"), [1; 5000]).expect("written");
    assert!(matches!(refused("bodies alone"), Error::NotAStore { .. }));
    fs::remove_dir_all(&path).expect("removed");
    let store = open(&path);
    store.put("key", &1_u64).expect("put");
    assert!(matches!(refused("a store in use"), Error::Locked { .. }));
    store.close().expect("close");
    edit_checkpoints(&path, |checkpoint| checkpoint.set_u64(48, 1 << 63));
    assert!(matches!(refused("features of STORE"), Error::Unsupported { .. }));
    edit_checkpoints(&path, |checkpoint| checkpoint.set_u64(48, 0));
    edit_sector(&chunk(&path, 0), 0, "file", |header| header.set_u64(56 + 8, 1 << 63));
    assert!(matches!(refused("features of a chunk"), Error::Unsupported { .. }));
    edit_sector(&chunk(&path, 0), 0, "file", |header| header.set_u64(56 + 8, 0));
    let file = OpenOptions::new().write(true).open(chunk(&path, 0)).expect("a chunk");
    file.write_all_at(b"more", CHUNK_BYTES).expect("written");
    fs::remove_file(path.join("STORE")).expect("removed");
    assert!(refused("a file that is too long").is_corrupt());
}

#[test]
fn every_call_of_a_rebuild_may_fail_and_it_can_be_done_once_more() {
    let folder = folder();
    let original = folder.path().join("original");
    let (mut model, places) = several_chunks(&original);
    let (number, range) = &places[b"key 59".as_slice()];
    overwrite(&chunk(&original, *number), range.start, &[0xff; 4]);
    overwrite(&chunk(&original, 1), 30, &[0xff; 4]);
    fs::rename(chunk(&original, 2), chunk(&original, 0x50)).expect("renamed");
    overwrite(&original.join("STORE"), 0, &[0xff; 4]);
    model.remove(b"key 59".as_slice());
    let path = folder.path().join("store");
    for n in 1.. {
        copy_folder(&original, &path);
        let faults = Faults::recorded();
        let errno = [libc::ENOSPC, libc::EIO, libc::EINTR][n as usize % 3];
        faults.plan(Fault::nth(n, errno));
        // SAFETY: the store is this test's own.
        let outcome = unsafe { options().faults(faults.clone()).rebuild(&path) };
        let struck = faults.trace().len() as u64 >= n;
        let event = faults.trace().get(n as usize - 1).map(ToString::to_string).unwrap_or_default();
        assert!(outcome.is_ok() || errno != libc::EINTR, "call {n}, {event}: {outcome:?}");
        // A half rebuilt store is no half made one: nobody takes its chunks for leftovers.
        let opened = open_with(options(), &path);
        if let Ok(store) = &opened {
            assert_eq!(store.len(), model.len() as u64, "call {n}, {event}");
        }
        drop(opened);
        rebuild(&path).unwrap_or_else(|error| panic!("call {n}, {event}: {error}"));
        let store = open(&path);
        let found: Vec<_> = contents(&store).into_keys().collect();
        assert_eq!(found, model.keys().cloned().collect::<Vec<_>>(), "call {n}, {event}");
        drop(store);
        fs::remove_dir_all(&path).expect("removed");
        if !struck {
            assert!(n > 50 && faults.count(Call::Rename) >= 2, "{n}");
            break;
        }
    }
}

#[test]
fn a_call_that_fails_is_no_damage() {
    let folder = folder();
    let original = folder.path().join("original");
    let (model, _) = several_chunks(&original);
    let path = folder.path().join("store");
    for n in 1.. {
        copy_folder(&original, &path);
        let faults = Faults::recorded();
        faults.plan(Fault::nth(n, libc::EIO));
        // SAFETY: the store is this test's own.
        let outcome = unsafe { options().faults(faults.clone()).rebuild(&path) };
        let event = faults.trace().get(n as usize - 1).map(ToString::to_string).unwrap_or_default();
        if let Ok(report) = outcome {
            // Its check names what it could not look at.
            let told = report.findings.iter().all(|it| it.what.contains("Input/output error"));
            assert!(told && !report.made_store, "call {n}, {event}: {report:?}");
            assert_eq!(report.objects, model.len() as u64, "call {n}, {event}");
        }
        fs::remove_dir_all(&path).expect("removed");
        if (faults.trace().len() as u64) < n {
            assert!(n > 50, "{n}");
            break;
        }
    }
}
