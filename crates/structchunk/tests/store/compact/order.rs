//! The order in which a compaction reaches the disk.

use structchunk::testing::{Call, Event, Fault, Faults};
use structchunk::{Error, LeftReason, Store};

use super::*;

/// A store of which chunks 0 to 2 and a part of chunk 3 hold a tenth of what they did.
fn thinned(path: &Path, faults: &Faults) -> (Store, Model) {
    let store = open_with(options().faults(faults.clone()), path).expect("open");
    let mut model = Model::new();
    fill(&store, &mut model, "wide", 900);
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    store.sync().expect("sync");
    (store, model)
}

fn places(trace: &[Event], call: Call, file: &str) -> Vec<usize> {
    let is_it = |event: &Event| event.call == call && event.file == file;
    (0..trace.len()).filter(|&place| is_it(&trace[place])).collect()
}

#[test]
fn a_chunk_is_unlinked_only_when_two_checkpoints_can_do_without_it_and_for_good_before_the_next() {
    let folder = folder();
    let faults = Faults::recorded();
    let (store, model) = thinned(&folder.path().join("store"), &faults);
    faults.forget();
    let report = store.compact().expect("compact");
    let trace = faults.trace();
    let checkpoints = places(&trace, Call::Sync, "STORE");
    assert_eq!(checkpoints.len(), 2, "{trace:?}");
    let last = chunk_files(&folder.path().join("store")).pop_last().expect("a chunk");
    let moved_to = places(&trace, Call::Sync, &last);
    assert!(moved_to[0] < checkpoints[0], "what was moved is durable before the checkpoint: {trace:?}");
    let mut gone = Vec::new();
    for &chunk in &report.dropped_chunks {
        let unlinked = places(&trace, Call::Remove, &format!("{chunk:08x}.chunk"));
        assert_eq!(unlinked.len(), 1);
        assert!(unlinked[0] > checkpoints[1], "chunk {chunk}: {trace:?}");
        assert!(gone.last().is_none_or(|last| *last < unlinked[0]), "oldest first: {trace:?}");
        assert!(trace[unlinked[0] + 1].call == Call::SyncFolder, "for good, before the next: {trace:?}");
        gone.extend(unlinked);
    }
    assert!(gone.len() > 2);
    assert_same(&store, &model);
}

#[test]
fn a_chunk_that_cannot_be_unlinked_keeps_the_later_ones_too_until_it_can() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let (store, model) = thinned(&path, &faults);
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Remove).on("00000001.chunk").from_then_on());
    let report = store.compact().expect("compact");
    assert_eq!(report.waiting_chunks, report.dropped_chunks[1..], "{report:?}");
    assert!(chunk_files(&path).contains("00000002.chunk"), "its tombstones may be needed against chunk 1");
    // Found and named as dropped by whoever opens it now.
    for trust in [true, false] {
        let copy = folder.path().join("copy");
        copy_folder(&path, &copy);
        let seen = open_with(options().trust_page_cache(trust), &copy).expect("open");
        assert_same(&seen, &model);
        seen.sync().expect("sync");
        assert!(!chunk_files(&copy).contains("00000001.chunk"), "given back by the first sync");
        seen.close().expect("close");
        assert_same(&open(&copy), &model);
        std::fs::remove_dir_all(copy).expect("removed");
    }
    store.put("more", &1_u64).expect("put");
    store.sync().expect("sync");
    faults.heal();
    store.sync().expect("sync");
    assert!(!chunk_files(&path).contains("00000001.chunk") && !chunk_files(&path).contains("00000002.chunk"));
    store.close().expect("close");
    assert_eq!(open(&path).recovery().found, structchunk::Found::Clean);
}

#[test]
fn unlinking_that_may_not_be_for_good_stops_the_writer() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let (store, model) = thinned(&path, &faults);
    let watched = faults.clone();
    faults.watch(move |event| {
        if event.call == Call::Remove && event.file == "00000000.chunk" {
            watched.plan(Fault::nth(2, libc::EIO));
        }
    });
    let error = store.compact().expect_err("a failing sync");
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(matches!(store.put("more", &1_u64), Err(Error::Poisoned { .. })));
    drop(store);
    assert_same(&open(&path), &model);
}

#[test]
fn compaction_without_room_is_a_named_error_that_loses_nothing() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let (store, mut model) = thinned(&path, &faults);
    fill(&store, &mut model, "more", 300);
    thin_out(&store, &mut model, "more", |number| number % 5 == 0);
    faults.plan(Fault::nth(1, libc::ENOSPC).of(Call::Allocate).from_then_on());
    let report = store.compact_with(everything()).expect("room for some of it");
    assert!(report.left_chunks.iter().any(|(_, reason)| *reason == LeftReason::NoRoom), "{report:?}");
    let error = loop {
        assert_same(&store, &model);
        match store.compact_with(everything()) {
            Ok(report) => assert!(!report.dropped_chunks.is_empty(), "{report:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert_same(&store, &model);
    let files = chunk_files(&path);
    assert!(!files.contains("00000000.chunk"), "what could be dropped is: {files:?}");
    assert!(files.len() > 2, "{files:?}");
    faults.heal();
    store.compact_with(everything()).expect("compact");
    assert_same(&store, &model);
    assert!(chunk_files(&path).intersection(&files).count() <= 1, "all but the last one was emptied");
}

#[test]
fn that_there_is_no_room_to_go_on_in_another_chunk_is_in_the_report() {
    let (folder, faults) = (folder(), Faults::recorded());
    let store = open_with(options().faults(faults.clone()), folder.path().join("store")).expect("open");
    let mut model = Model::new();
    fill(&store, &mut model, "wide", 150);
    thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
    faults.plan(Fault::nth(1, libc::ENOSPC).of(Call::Create));
    let report = store.compact_with(everything()).expect("nothing to be done");
    assert_eq!((report.left_chunks, report.dropped_chunks), (vec![(0, LeftReason::NoRoom)], vec![]));
    assert_eq!(store.compact_with(everything()).expect("compact").dropped_chunks, [0]);
    assert_same(&store, &model);
}

#[test]
fn a_little_of_it_goes_before_each_sync_where_that_is_asked_for() {
    let folder = folder();
    for auto in [false, true] {
        let path = folder.path().join(format!("store {auto}"));
        let store = open_with(options().auto_compact(auto), &path).expect("open");
        let mut model = Model::new();
        fill(&store, &mut model, "wide", 900);
        store.sync().expect("sync");
        let before = chunk_files(&path).len();
        thin_out(&store, &mut model, "wide", |number| number % 10 != 0);
        for _ in 0..5 {
            store.put("more", &1_u64).expect("put");
            store.sync().expect("sync");
        }
        store.remove("more").expect("remove");
        assert_same(&store, &model);
        let after = chunk_files(&path).len();
        assert!(if auto { after <= 2 } else { after >= before }, "{auto}: {before} chunks, then {after}");
        store.close().expect("close");
        assert_same(&open(&path), &model);
    }
}
