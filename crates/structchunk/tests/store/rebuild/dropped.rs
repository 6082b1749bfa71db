//! Rebuilds of stores that were compacted, whether the chunks that were dropped are gone or still there.

use std::sync::{Arc, Mutex};

use structchunk::Compaction;

use super::*;

fn is_chunk(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "chunk")
}

fn everything() -> Compaction<'static> {
    Compaction::new().fill_ratio(1.0)
}

fn put(store: &Store, model: &mut Model, name: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let (key, wide) = (format!("{name} {number}").into_bytes(), Wide { words: [number; 128] });
        store.put(&key, &wide).expect("put");
        model.insert(key, Value::Wide(Box::new(wide)));
    }
}

fn remove_most(store: &Store, model: &mut Model, name: &str, but: u64) {
    for number in (0..).take_while(|number| model.contains_key(format!("{name} {number}").as_bytes())) {
        if number % but != 0 {
            assert!(store.remove(format!("{name} {number}")).expect("remove"));
        }
    }
    model.retain(|key, _| store.contains(key).expect("a look-up"));
}

/// Some of everything: an old chunk that is nearly all current, tombstones against it in later ones, bodies.
fn thinned(path: &Path, faults: &Faults) -> (Store, Model) {
    let store = open_with(options().faults(faults.clone()), path).expect("open");
    let mut model = Model::new();
    for number in 0..4_u64 {
        let (key, value) = (format!("body {number}").into_bytes(), Value::Numbers(vec![number; 9000]));
        value.put(&store, &key).expect("put");
        model.insert(key, value);
    }
    put(&store, &mut model, "old", 0..225);
    put(&store, &mut model, "young", 0..500);
    remove_most(&store, &mut model, "young", 1000);
    for key in ["old 7", "old 77", "body 2"] {
        assert!(store.remove(key).expect("remove") && model.remove(key.as_bytes()).is_some());
    }
    put(&store, &mut model, "new", 0..300);
    remove_most(&store, &mut model, "new", 20);
    store.sync().expect("sync");
    (store, model)
}

/// Loses the views, and `STORE` or not, and rebuilds.
fn assert_comes_back(path: &Path, store_lost: bool, model: &Model, moment: &str) {
    for name in ["shared", "directory", "live", "STORE"] {
        if name != "STORE" || store_lost {
            fs::remove_file(path.join(name)).expect("removed");
        }
    }
    let report = rebuild(path).unwrap_or_else(|error| panic!("{moment}: {error}"));
    assert!(report.findings.is_empty() && report.made_store == store_lost, "{moment}: {report:#?}");
    let store = open(path);
    let keys = |keys: Vec<&Vec<u8>>| {
        keys.into_iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(contents(&store).keys().collect()), keys(model.keys().collect()), "{moment}");
    assert_same(&store, model);
}

#[test]
fn after_a_compaction_whatever_is_lost_beside_the_chunks_comes_back_and_nothing_that_was_removed() {
    for (ratio, store_lost) in [(0.5, true), (0.5, false), (1.0, true), (1.0, false)] {
        let folder = folder();
        let path = folder.path().join("store");
        let (store, model) = thinned(&path, &Faults::none());
        let report = store.compact_with(Compaction::new().fill_ratio(ratio)).expect("compact");
        assert!(report.dropped_chunks.len() > 2 && report.waiting_chunks.is_empty(), "{report:?}");
        store.close().expect("close");
        assert_comes_back(&path, store_lost, &model, "closed");
    }
}

#[test]
fn a_chunk_that_came_back_after_it_was_unlinked_revives_nothing() {
    for store_lost in [true, false] {
        let folder = folder();
        let path = folder.path().join("store");
        let faults = Faults::recorded();
        let (store, model) = thinned(&path, &faults);
        let images = Arc::new(Mutex::new(Vec::new()));
        let (kept, source, place) = (images.clone(), path.clone(), folder.path().to_owned());
        faults.watch(move |event| {
            // Before each: the chunk that goes is there, and would be again after a power cut until the folder is synced.
            let goes = event.call == Call::Remove && is_chunk(event.file.as_ref());
            if goes || event.call == Call::SyncFolder {
                let mut kept = kept.lock().expect("a lock");
                let image = place.join(format!("image {}", kept.len()));
                copy_folder(&source, &image);
                kept.push((image, event.to_string()));
            }
        });
        let report = store.compact_with(everything()).expect("compact");
        assert!(report.dropped_tombstones > 0, "{report:?}");
        store.put("more", &Wide { words: [1; 128] }).expect("put");
        store.sync().expect("sync");
        let images = std::mem::take(&mut *images.lock().expect("a lock"));
        assert!(images.len() >= 2 * report.dropped_chunks.len(), "{images:?}");
        for (image, moment) in images {
            assert_comes_back(&image, store_lost, &model, &moment);
            fs::remove_dir_all(image).expect("removed");
        }
    }
}

#[test]
fn chunks_that_could_not_be_unlinked_for_long_revive_nothing_and_go_with_the_rebuild() {
    for store_lost in [true, false] {
        let folder = folder();
        let path = folder.path().join("store");
        let faults = Faults::recorded();
        let (store, mut model) = thinned(&path, &faults);
        faults.plan(Fault::nth(1, libc::EIO).of(Call::Remove).on("00000000.chunk").from_then_on());
        let first = store.compact_with(everything()).expect("compact");
        assert!(first.waiting_chunks.contains(&0), "{first:?}");
        // Their tombstones are in chunks that are dropped as well, with nothing older in the log.
        for number in 1..20 {
            let key = format!("old {}", number * 11);
            assert!(model.remove(key.as_bytes()).is_none() || store.remove(&key).expect("remove"));
        }
        remove_most(&store, &mut model, "new", 60);
        store.remove("body 1").expect("remove");
        model.remove(&b"body 1"[..]);
        let (mut waiting, mut left_behind) = (first.waiting_chunks.len(), 0);
        for round in 0..3 {
            put(&store, &mut model, &format!("garbage {round}"), 0..300);
            remove_most(&store, &mut model, &format!("garbage {round}"), 100);
            let report = store.compact_with(everything()).expect("compact");
            left_behind += report.dropped_tombstones;
            waiting += report.dropped_chunks.len();
        }
        assert!(left_behind > 20 && chunk(&path, 0).exists(), "{left_behind}");
        drop(store);
        let there = files(&path.join("chunks")).into_keys().filter(|it| is_chunk(it));
        assert!(there.count() > waiting, "all that was dropped waits for chunk 0");
        assert_comes_back(&path, store_lost, &model, "never unlinked");
        assert_eq!(chunk(&path, 0).exists(), store_lost, "STORE knows that it left the log");
    }
}

#[test]
fn when_a_chunk_is_lost_what_had_been_moved_into_it_comes_back_from_where_it_was() {
    let folder = folder();
    let path = folder.path().join("store");
    let faults = Faults::recorded();
    let (store, mut model) = thinned(&path, &faults);
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Remove).on("00000000.chunk").from_then_on());
    let report = store.compact_with(everything()).expect("compact");
    assert!(report.waiting_chunks.contains(&0), "{report:?}");
    let lost = store.entry("old 100").expect("a look-up").expect("there").place().0;
    assert!(!report.dropped_chunks.contains(&lost), "it was moved");
    put(&store, &mut model, "later", 0..300);
    store.sync().expect("sync");
    drop(store);
    fs::remove_file(chunk(&path, lost)).expect("removed");
    let report = rebuild(&path).expect("rebuild");
    assert!(!report.made_store);
    assert!(report.findings.iter().any(|it| it.to_string().contains("STORE")), "{report:#?}");
    let store = open(&path);
    let found = contents(&store);
    let old = model.keys().filter(|key| key.starts_with(b"old "));
    assert!(old.clone().count() > 200 && old.clone().all(|key| found.contains_key(key)));
    assert_eq!(store.check().expect("a check").count(), 0);
}
