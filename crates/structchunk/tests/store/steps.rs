//! Stores without sparse files: by choice, and on a file system that has none.

mod compaction;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use structchunk::{Error, Found, Options, Space, Sparse, Store};

use crate::common::*;
use crate::craft::edit_sector;
use crate::mount::Mount;
use crate::script::{Op, Tracked};

const MIB: u64 = 1 << 20;
const STEP: u64 = 256 << 10;

fn stepwise() -> Options {
    Store::options().create(true).sparse(Sparse::Never).chunk_capacity(4 * MIB).reserve_step(STEP)
}

/// Whether the store says that its files grow in steps: bit 0 of `incompat`, in both checkpoints and every chunk.
fn says_steps(path: &Path) -> bool {
    let bit = |file: &Path, at: usize| fs::read(file).expect("a file")[at] & 1 == 1;
    let store = path.join("STORE");
    let mut said = vec![bit(&store, 4096 + 48), bit(&store, 8192 + 48)];
    for entry in fs::read_dir(path.join("chunks")).expect("a folder") {
        let file = entry.expect("a name").path();
        if file.extension().is_some_and(|it| it == "chunk") {
            said.push(bit(&file, 56 + 16));
        }
    }
    assert!(said.iter().all(|it| *it == said[0]), "{said:?}");
    said[0]
}

#[test]
fn the_files_of_chunks_are_never_more_than_a_step_longer_than_what_is_in_them() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut random = Random::new(4);
    for _ in 0..3 {
        let store = open_with(stepwise(), &path).expect("open");
        for number in 0..400_u64 {
            store
                .put(number.to_le_bytes(), &random.bytes(1 + random.clone().below(20_000))[..])
                .expect("put");
            for chunk in store.stats().expect("stats").chunks {
                let file = path.join(format!("chunks/{:08x}.chunk", chunk.number));
                let bytes = fs::metadata(file).expect("a chunk").len();
                let most = (chunk.head + STEP).min(4 * MIB);
                assert!((chunk.head..=most).contains(&bytes), "{bytes} bytes for {}", chunk.head);
            }
        }
        store.close().expect("close");
    }
    assert!(says_steps(&path));
    // Made with one option, it stays so with the other.
    let store = open_with(stepwise().sparse(Sparse::Auto), &path).expect("open");
    assert!(matches!(store.loan_with::<u64>("sparse", Space::Sparse), Err(Error::Unsupported { .. })));
    assert!(says_steps(&path));
    drop(store);
    let other = folder.path().join("other");
    drop(open_with(stepwise().sparse(Sparse::Auto), &other).expect("open"));
    assert!(!says_steps(&other));
}

#[test]
fn a_bulk_load_into_a_large_chunk_keeps_to_the_step_as_well() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(stepwise().chunk_capacity(64 * MIB), &path).expect("open");
    for number in 0..40_000_u64 {
        store.put(number.to_le_bytes(), &[number; 16]).expect("put");
        if number % 100 == 0 {
            let head = store.stats().expect("stats").chunks[0].head;
            let bytes = fs::metadata(path.join("chunks/00000000.chunk")).expect("a chunk").len();
            assert!((head..=head + STEP).contains(&bytes), "{bytes} bytes for {head}");
        }
    }
}

#[test]
fn what_lies_behind_the_end_of_the_log_is_zeroed_as_far_as_the_file_goes() {
    for sparse in [Sparse::Never, Sparse::Auto] {
        let folder = folder();
        let path = folder.path().join("store");
        let store = open_with(stepwise().sparse(sparse), &path).expect("open");
        store.put("synced", &[1_u64; 100]).expect("put");
        store.sync().expect("sync");
        store.put("not synced", &[!0_u64; 10_000][..]).expect("put");
        drop(store);
        let store = open_with(stepwise().trust_page_cache(false), &path).expect("open");
        assert_eq!(store.len(), 1);
        let head = store.stats().expect("stats").chunks[0].head as usize;
        drop(store);
        let bytes = fs::read(path.join("chunks/00000000.chunk")).expect("bytes");
        assert!(bytes.len() > head + 80_000 && bytes[head..].iter().all(|byte| *byte == 0), "{sparse:?}");
    }
}

#[test]
fn large_objects_are_written_in_full_and_sparse_ones_refused() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(stepwise(), &path).expect("open");
    let loan = store.loan_array::<u64>("large", &[(70 * MIB) / 8], Space::Auto).expect("a loan");
    loan.publish().expect("publish");
    let body = fs::metadata(path.join("chunks/0000000000000000.body")).expect("a body");
    assert!(body.blocks() * 512 >= 70 * MIB, "{}", body.blocks());
    let error = store.loan_array::<u64>("sparse", &[1 << 20], Space::Sparse).expect_err("refused");
    assert!(error.to_string().contains("have no holes"), "{error}");
    assert_eq!(store.len(), 1);
}

#[test]
fn a_chunk_that_was_cut_is_refused_by_name_and_rebuilt_as_far_as_it_goes() {
    for full in [true, false] {
        let folder = folder();
        let path = folder.path().join("store");
        let store = open_with(stepwise(), &path).expect("open");
        let mut number = 0_u64;
        while store.stats().expect("stats").chunks.len() < 3 {
            store.put(number.to_be_bytes(), &vec![number; 5000][..]).expect("put");
            number += 1;
        }
        store.put("last", &vec![number; 5000][..]).expect("put");
        let last = store.entry("last").expect("a look-up").expect("there").place();
        store.close().expect("close");
        let (chunk, cut) = if full { (1, 3 * MIB + 5) } else { (last.0, last.1.start + 100) };
        let file = fs::OpenOptions::new().write(true).open(path.join(format!("chunks/{chunk:08x}.chunk")));
        file.and_then(|file| file.set_len(cut)).expect("cut");
        let told = open_with(stepwise(), &path).and_then(|store| {
            let keys = (0..number).map(|key| store.contains(key.to_be_bytes()));
            let found = keys.collect::<structchunk::Result<Vec<_>>>()?;
            assert!(found.iter().all(|found| *found), "silently absent");
            Ok(())
        });
        assert!(told.as_ref().is_err_and(Error::is_corrupt), "{told:?}");
        #[expect(unsafe_code, reason = "as opening")]
        // SAFETY: the store is closed, and this test's own.
        let report = unsafe { Store::rebuild(&path) }.expect("rebuild");
        assert!(report.findings.iter().any(|it| it.offset == cut), "{report:#?}");
        let store = open_with(stepwise(), &path).expect("open");
        assert!((number / 2..=number + u64::from(!full)).contains(&store.len()), "{}", store.len());
        store.put("on", &1_u64).expect("put");
    }
}

#[test]
fn whoever_does_not_know_files_that_grow_refuses_the_store() {
    let folder = folder();
    let path = folder.path().join("store");
    open_with(stepwise(), &path).expect("open").close().expect("close");
    // The next bit stands for whatever comes later.
    edit_sector(&path.join("STORE"), 4096, "checkpoint", |checkpoint| checkpoint.set_u64(48, 5));
    edit_sector(&path.join("STORE"), 8192, "checkpoint", |checkpoint| checkpoint.set_u64(48, 5));
    let error = open_with(stepwise(), &path).expect_err("an unknown feature");
    assert!(error.to_string().contains("feature bits 0x4 "), "{error}");
}

#[test]
fn a_copy_keeps_growing_in_steps_and_a_rebuild_too() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open_with(options().sparse(Sparse::Never), &path).expect("open");
    let mut now = Tracked::default();
    for op in Op::script(&mut Random::new(21), 90) {
        now.run(&store, &op).expect("an operation");
    }
    let copy = folder.path().join("copy");
    store.copy_to(&copy).expect("a copy");
    drop(store);
    fs::remove_file(path.join("STORE")).expect("removed");
    #[expect(unsafe_code, reason = "as opening")]
    // SAFETY: the store is closed, and this test's own.
    let report = unsafe { Store::rebuild(&path) }.expect("rebuild");
    assert!(report.findings.is_empty(), "{report:#?}");
    for path in [copy, path] {
        assert!(says_steps(&path));
        let store = open(&path);
        assert_same(&store, &now.model);
        let mut now = now.clone();
        for op in Op::script(&mut Random::new(22), 60) {
            now.run(&store, &op).expect("an operation");
        }
        drop(store);
        assert_same(&open(&path), &now.model);
    }
}

#[test]
fn vfat_is_recognised_as_without_holes_and_serves_all_the_same() {
    serves("vfat");
}

#[test]
fn exfat_is_recognised_as_without_holes_and_serves_all_the_same() {
    serves("exfat");
}

fn serves(kind: &str) {
    let Some(mount) = Mount::of(kind, 96 << 20, "stores without sparse files") else { return };
    let path = mount.path().join("store");
    let mut now = Tracked::default();
    let mut store = open(&path);
    assert!(says_steps(&path));
    for round in 0..6 {
        for op in Op::script(&mut Random::new(round), 60) {
            now.run(&store, &op).unwrap_or_else(|error| panic!("round {round}, {op:?}: {error}"));
        }
        assert_same(&store, &now.model);
        match round % 3 {
            0 => store.close().expect("close"),
            // Killed.
            1 => drop(store),
            _ => {
                store.sync().expect("sync");
                drop(store);
                let store = open_with(options().trust_page_cache(false), &path).expect("open");
                assert_eq!(store.recovery().found, Found::MachineDied);
                assert_same(&store, &now.model);
            }
        }
        store = open(&path);
        assert_same(&store, &now.model);
    }
    assert!(matches!(store.loan_with::<u64>("sparse", Space::Sparse), Err(Error::Unsupported { .. })));
    // From there, and to there.
    let folder = folder();
    let elsewhere = folder.path().join("copy");
    store.copy_to(&elsewhere).expect("a copy");
    assert_same(&open(&elsewhere), &now.model);
    let sparse = folder.path().join("sparse");
    let sparse_store = open(&sparse);
    for (key, value) in &now.model {
        value.put(&sparse_store, key).expect("put");
    }
    assert!(!says_steps(&sparse));
    let back = mount.path().join("back");
    sparse_store.copy_to(&back).expect("a copy");
    assert!(says_steps(&back));
    assert_same(&open(&back), &now.model);
    // Lost, and full.
    drop(store);
    for name in ["STORE", "shared", "directory", "live"] {
        fs::remove_file(path.join(name)).expect("a file");
    }
    #[expect(unsafe_code, reason = "as opening")]
    // SAFETY: the store is closed, and this test's own.
    let report = unsafe { Store::rebuild(&path) }.expect("rebuild");
    assert!(report.findings.is_empty(), "{report:#?}");
    let store = open(&path);
    assert_same(&store, &now.model);
    let full = (0_u64..).find_map(|key| store.put(format!("fill {key}"), &vec![key; 3500][..]).err());
    assert!(matches!(full, Some(Error::NoSpace { .. })), "{full:?}");
    for (key, value) in &now.model {
        let entry = store.entry(key).expect("a look-up").expect("it is there");
        assert!(entry.bytes(u64::MAX).expect("bytes") == value.bytes());
    }
    assert!(store.remove("fill 0").expect("remove") && store.sync().is_ok());
    store.close().expect("close");
    if kind != "vfat" {
        return;
    }
    // No file there can be as large as this.
    let large = open_with(options().chunk_capacity(8 << 30), mount.path().join("large"));
    let error = large.expect_err("too large");
    assert!(matches!(error, Error::TooLarge { limit, .. } if limit < 4 << 30), "{error}");
}
