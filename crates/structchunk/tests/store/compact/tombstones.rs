//! What is gone stays gone, also for a rebuild that has nothing but the chunks that are there.

use std::sync::{Arc, Mutex};

use structchunk::testing::{Call, Faults};

use super::*;

/// Opens a copy of the chunks alone, and compares.
fn assert_chunks_alone_say(path: &Path, copy: &Path, model: &Model, moment: &str) {
    let _ = std::fs::remove_dir_all(copy);
    std::fs::create_dir(copy).expect("a folder");
    copy_folder(&path.join("chunks"), &copy.join("chunks"));
    rebuild(copy);
    let store = open(copy);
    let keys = |keys: Vec<&Vec<u8>>| keys.into_iter().cloned().collect::<BTreeSet<_>>();
    let found = contents(&store);
    assert_eq!(keys(found.keys().collect()), keys(model.keys().collect()), "{moment}");
    assert_same(&store, model);
}

/// Chunk 0 is nearly all current; its few removed objects have their tombstones in chunks that hold next to nothing.
fn with_old_dead(path: &Path, faults: &Faults) -> (Store, Model) {
    let store = open_with(options().faults(faults.clone()), path).expect("open");
    let mut model = Model::new();
    fill(&store, &mut model, "old", 230);
    fill(&store, &mut model, "young", 600);
    thin_out(&store, &mut model, "old", |number| number % 50 == 0);
    thin_out(&store, &mut model, "young", |_| true);
    fill(&store, &mut model, "new", 300);
    thin_out(&store, &mut model, "new", |number| number % 20 != 0);
    store.sync().expect("sync");
    (store, model)
}

#[test]
fn a_tombstone_goes_along_while_an_older_chunk_stays() {
    let folder = folder();
    let path = folder.path().join("store");
    let (store, model) = with_old_dead(&path, &Faults::none());
    let report = store.compact().expect("compact");
    assert!(!report.dropped_chunks.contains(&0) && report.dropped_chunks.len() >= 3, "{report:?}");
    assert!(report.moved_tombstones > 5, "{report:?}");
    assert_same(&store, &model);
    assert_chunks_alone_say(&path, &folder.path().join("copy"), &model, "after the compaction");
    // Without anything older they are left behind.
    let report = store.compact_with(everything()).expect("compact");
    assert!(report.dropped_chunks.contains(&0) && report.moved_tombstones == 0, "{report:?}");
    assert_chunks_alone_say(&path, &folder.path().join("copy"), &model, "after another one");
    store.close().expect("close");
    assert_same(&open(&path), &model);
}

#[test]
fn at_any_moment_of_a_compaction_the_chunks_that_are_there_say_what_exists() {
    for ratio in [0.5, 1.0] {
        let folder = folder();
        let path = folder.path().join("store");
        let faults = Faults::recorded();
        let (store, model) = with_old_dead(&path, &faults);
        let images = Arc::new(Mutex::new(Vec::new()));
        let (kept, source, place) = (images.clone(), path.clone(), folder.path().to_owned());
        faults.watch(move |event| {
            // Names go before the next call; chunks change between all of them.
            if matches!(event.call, Call::Remove | Call::SyncFolder | Call::Sync | Call::Rename) {
                let mut kept = kept.lock().expect("a lock");
                let copy = place.join(format!("image {}", kept.len()));
                copy_folder(&source, &copy);
                kept.push((copy, event.to_string()));
            }
        });
        store.compact_with(Compaction::new().fill_ratio(ratio)).expect("compact");
        let images = std::mem::take(&mut *images.lock().expect("a lock"));
        assert!(images.len() > 10, "{images:?}");
        for (image, moment) in images {
            assert_chunks_alone_say(&image, &folder.path().join("copy"), &model, &moment);
            std::fs::remove_dir_all(image).expect("removed");
        }
    }
}

#[test]
fn the_oldest_chunk_is_taken_however_full_it_is_when_many_tombstones_wait_for_that() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let mut model = Model::new();
    fill(&store, &mut model, "stays", 225);
    // Tombstones of long keys, worth as much as what stays.
    let long = "l".repeat(1000);
    fill(&store, &mut model, &long, 500);
    thin_out(&store, &mut model, &long, |_| true);
    let first = store.stats().expect("stats").chunks.remove(0);
    assert!(first.live_bytes * 10 > first.head * 9, "nearly all of the oldest is current: {first:?}");
    let report = store.compact().expect("compact");
    assert!(report.dropped_chunks.contains(&0), "{report:?}");
    assert_eq!(report.moved_tombstones, 0, "{report:?}");
    assert_same(&store, &model);
    assert!(chunk_files(&path).len() <= 2, "{report:?}");
}
