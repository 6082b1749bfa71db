//! What is moved, and what stays where it is.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use structchunk::{Compaction, Error, LeftReason, Space, Store};

use super::*;

#[test]
fn chunks_that_hold_little_are_dropped_and_every_object_stays() {
    let folder = folder();
    let path = folder.path().join("store");
    let (store, mut model) = (open(&path), Model::new());
    fill(&store, &mut model, "wide", 1500);
    for seed in 0..40 {
        let (key, value) = (format!("any {seed}").into_bytes(), Value::from_seed(seed));
        value.put(&store, &key).expect("put");
        model.insert(key, value);
    }
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    let before = chunk_files(&path);
    let report = store.compact().expect("compact");
    assert_same(&store, &model);
    let after = chunk_files(&path);
    assert!(before.len() > 6 && after.len() <= 3, "{before:?} {after:?}");
    assert_eq!(report.dropped_chunks.len(), before.difference(&after).count(), "{report:?}");
    assert!(report.moved_objects >= 150 && report.dropped_tombstones > 1000, "{report:?}");
    assert_eq!((report.waiting_chunks.len(), report.left_chunks.len()), (0, 0), "{report:?}");
    let live_map = || std::fs::metadata(path.join("live")).expect("the live map").blocks();
    let blocks = live_map();
    store.close().expect("close");
    assert!(live_map() + 8 * 5 < blocks, "pages of chunks that are gone: {blocks}, then {}", live_map());
    let store = open(&path);
    assert_eq!(store.recovery().found, structchunk::Found::Clean);
    assert_same(&store, &model);
    // There is nothing more to do.
    let report = store.compact().expect("compact");
    assert_eq!((report.moved_objects, report.dropped_chunks.len()), (0, 0), "{report:?}");
    store.close().expect("close");
    for view in ["directory", "live", "shared", "STORE"] {
        std::fs::remove_file(path.join(view)).expect("a file");
    }
    // The chunks alone still say everything.
    rebuild(&path);
    assert_same(&open(&path), &model);
}

#[test]
fn a_store_in_memory_is_compacted_too() {
    let (mut store, mut model) = (Store::in_memory().expect("memory"), Model::new());
    fill(&store, &mut model, "wide", 300);
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    let report = store.compact().expect("compact");
    assert_eq!((&*report.dropped_chunks, report.moved_objects), (&[0][..], 30), "{report:?}");
    assert_same(&store, &model);
    let (other, owned) = (store.clone(), store.get_owned::<Wide>("wide 0").expect("get"));
    assert!(!store.release_dropped(), "another handle may be looking");
    drop(other);
    assert!(!store.release_dropped(), "a guard may be");
    drop(owned);
    assert!(store.release_dropped());
    assert_same(&store, &model);
}

#[test]
fn what_is_moved_keeps_type_shape_alignment_and_every_change_in_place() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let mut grid = store.loan_array::<u16>("grid", &[20, 30], Space::Auto).expect("a loan");
    grid[7] = 7;
    grid.publish().expect("publish");
    let mut sparse = store.loan_array::<u64>("sparse", &[1 << 20, 3], Space::Sparse).expect("a loan");
    sparse[5] = 5;
    sparse.publish().expect("publish");
    store.put("counter", &Counter::default()).expect("put");
    store.put("point", &Point { x: 1.0, y: 2.0 }).expect("put");
    let mut batch = store.batch();
    batch.put("in a batch", &[9_u64, 8]).expect("put");
    batch.put("in a batch too", &1_u8).expect("put");
    batch.commit().expect("commit");
    store.update("point", |point: &mut Point| point.x = 3.0).expect("update");
    store.get_mut::<[u16]>("grid").expect("get").expect("there")[8] = 8;
    store.get_atomic::<Counter>("counter").expect("get").expect("there").hits.store(4, Ordering::SeqCst);
    let mut model = Model::new();
    fill(&store, &mut model, "wide", 100);
    thin_out(&store, &mut model, "wide", |_| true);
    let sequence = store.sequence("point").expect("a look-up");
    let body = std::fs::metadata(path.join("chunks/0000000000000000.body")).expect("a body").ino();
    let report = store.compact().expect("compact");
    assert_eq!(&*report.dropped_chunks, [0], "{report:?}");
    assert_ne!(store.sequence("point").expect("a look-up"), sequence, "it was appended again");
    for _ in 0..2 {
        store.sync().expect("sync");
    }
    store.update("point", |point: &mut Point| point.y = 9.0).expect("update");
    store.close().expect("close");

    let store = open(&path);
    assert_eq!(store.entry("grid").expect("entry").expect("there").shape(), Some(vec![20, 30]));
    let grid = store.get::<[u16]>("grid").expect("get").expect("there");
    assert_eq!((grid.len(), grid[6], grid[7], grid[8]), (600, 0, 7, 8));
    assert_eq!(store.entry("sparse").expect("entry").expect("there").shape(), Some(vec![1 << 20, 3]));
    assert_eq!(store.get::<[u64]>("sparse").expect("get").expect("there")[5], 5);
    let now = std::fs::metadata(path.join("chunks/0000000000000000.body")).expect("a body").ino();
    assert_eq!(now, body, "a body stays where it is");
    assert_eq!(store.load::<Point>("point").expect("load"), Some(Point { x: 3.0, y: 9.0 }));
    assert_eq!(store.load::<Counter>("counter").expect("load").expect("there").hits.into_inner(), 4);
    assert_eq!(store.load::<[u64; 2]>("in a batch").expect("load"), Some([9, 8]));
    assert_eq!(store.load::<u8>("in a batch too").expect("load"), Some(1));
    assert_eq!(store.check().expect("check").count(), 0);
}

#[test]
fn an_object_that_a_guard_refers_to_keeps_its_chunk_and_the_report_says_so() {
    let folder = folder();
    let path = folder.path().join("store");
    let (store, mut model) = (open(&path), Model::new());
    fill(&store, &mut model, "wide", 700);
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    let held = store.get::<Wide>("wide 0").expect("get").expect("there");
    let writing = store.get_mut::<Wide>("wide 690").expect("get").expect("there");
    let report = store.compact().expect("compact");
    assert_eq!(
        report.left_chunks.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(),
        [LeftReason::InUse; 2],
        "{report:?}"
    );
    assert_eq!(report.left_chunks[0].0, 0);
    assert_eq!(held.words, [0; 128]);
    assert!(matches!(store.try_get_mut::<Wide>("wide 0"), Err(Error::Busy { .. })), "it is still borrowed");
    drop((held, writing));
    assert_same(&store, &model);
    let report = store.compact().expect("compact");
    assert!(report.left_chunks.is_empty() && report.dropped_chunks.contains(&0), "{report:?}");
    assert_same(&store, &model);
    store.close().expect("close");
    assert_same(&open(&path), &model);
}

#[test]
fn a_chunk_whose_byte_somebody_else_holds_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("store");
    let (store, mut model) = (open(&path), Model::new());
    fill(&store, &mut model, "wide", 700);
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    let holder = hold_byte(&path.join("LOCK"), (1 << 32) + 1);
    let report = store.compact().expect("compact");
    assert_eq!(report.left_chunks, [(1, LeftReason::Held)], "{report:?}");
    assert!(chunk_files(&path).contains("00000001.chunk"));
    assert_same(&store, &model);
    drop(holder);
    let report = store.compact().expect("compact");
    assert!(report.left_chunks.is_empty() && report.dropped_chunks.contains(&1), "{report:?}");
    assert_same(&store, &model);
}

#[test]
fn a_damaged_chunk_is_left_alone_and_so_is_what_may_be_in_it() {
    let folder = folder();
    let path = folder.path().join("store");
    let (store, mut model) = (open(&path), Model::new());
    fill(&store, &mut model, "wide", 700);
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    store.close().expect("close");
    // A superseded record of the first chunk.
    let chunk = path.join("chunks/00000000.chunk");
    let mut bytes = std::fs::read(&chunk).expect("bytes");
    bytes[4096 + 5000] ^= 1;
    let key = bytes.windows(6).position(|window| window == b"wide 7").expect("a key");
    bytes[key] ^= 1;
    std::fs::write(&chunk, bytes).expect("written");
    let store = open(&path);
    let report = store.compact().expect("compact");
    assert_eq!(report.left_chunks, [(0, LeftReason::Damaged)], "{report:?}");
    assert!(chunk.exists() && report.dropped_tombstones == 0, "{report:?}");
}

#[test]
fn compaction_of_what_cannot_be_changed_is_a_named_error_and_changes_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    let (store, mut model) = (open(&path), Model::new());
    fill(&store, &mut model, "wide", 300);
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    for wrong in [-0.1, 1.1, f64::NAN] {
        let error = store.compact_with(Compaction::new().fill_ratio(wrong)).expect_err("no ratio");
        assert!(matches!(error, Error::InvalidOption { option: "fill_ratio", .. }), "{error}");
    }
    store.close().expect("close");
    let bytes = |name: &str| std::fs::read(path.join(name)).expect("bytes");
    let names = ["STORE", "directory", "live", "chunks/00000000.chunk", "chunks/00000001.chunk"];
    let before = names.map(bytes);
    let store = open_with(Store::options().read_only(true), &path).expect("open");
    assert!(matches!(store.compact(), Err(Error::ReadOnly { .. })));
    assert_same(&store, &model);
    assert!(before == names.map(bytes));
    drop(store);
    let store = open(&path);
    store.clone().close().expect("close");
    assert!(matches!(store.compact(), Err(Error::Closed)));
}

#[test]
fn progress_is_told_up_to_the_end() {
    let folder = folder();
    let (store, mut model) = (open(folder.path().join("store")), Model::new());
    fill(&store, &mut model, "wide", 700);
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    let mut told = Vec::new();
    let report = store.compact_with(Compaction::new().progress(|progress| told.push(*progress)));
    let (report, last) = (report.expect("compact"), told.last().expect("it was told"));
    assert_eq!((last.chunks, last.moved_objects), (last.of_chunks, report.moved_objects));
    assert!(told.is_sorted_by_key(|progress| progress.moved_bytes) && told.len() > 3, "{told:?}");
}
