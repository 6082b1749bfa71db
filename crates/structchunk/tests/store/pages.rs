//! Large pages: made where much is written, let go of where little is.

use std::path::Path;

use structchunk::testing::{Call, Event, Fault, Faults};
use structchunk::{Error, Options, Store};

use crate::common::*;

const LARGE_PAGE: u64 = 2 << 20;
/// So many that chunk and directory have several large pages.
const MANY: u64 = 180_000;

fn large(faults: Faults) -> Options {
    Store::options().create(true).index(false).faults(faults)
}

fn load(store: &Store, keys: std::ops::Range<u64>) {
    for key in keys {
        store.put(key.to_be_bytes(), &[key; 8]).expect("put");
    }
}

fn count(faults: &Faults, call: Call, file: &str) -> usize {
    faults.trace().iter().filter(|event: &&Event| event.call == call && event.file == file).count()
}

fn put_durably(store: &Store, key: u64) {
    store.put(key.to_be_bytes(), &[1_u64; 8]).expect("put");
    store.sync().expect("sync");
}

fn directory_bytes(path: &Path) -> u64 {
    path.join("directory").metadata().expect("a directory").len()
}

#[test]
fn a_bulk_load_makes_large_pages_and_few_changes_let_go_of_those_they_touch_once() {
    let (folder, faults) = (folder(), Faults::recorded());
    let path = folder.path().join("store");
    let store = open_with(large(faults.clone()), &path);
    let store = store.expect("open");
    load(&store, 0..MANY);
    store.sync().expect("sync");
    let pages = directory_bytes(&path) / LARGE_PAGE;
    assert!(pages >= 2 && directory_bytes(&path).is_multiple_of(LARGE_PAGE), "{}", directory_bytes(&path));
    // The directory was small at first, and grew by a large page at a time then; the chunk by one at a time after two steps.
    assert_eq!(count(&faults, Call::Cache, "directory") as u64, pages - 1);
    let chunk = count(&faults, Call::Cache, "00000000.chunk") as u64;
    assert!((MANY * 112 / LARGE_PAGE..=MANY * 112 / LARGE_PAGE + 2).contains(&chunk), "{chunk}");
    assert_eq!(count(&faults, Call::Forget, "directory"), 0);
    assert_eq!(count(&faults, Call::Sync, "directory"), 0);

    // The first change of few is not known to be one before it is synced.
    put_durably(&store, 0);
    assert_eq!(
        count(&faults, Call::Sync, "directory"),
        1,
        "what the load has left dirty could not be let go of"
    );
    assert_eq!(count(&faults, Call::Forget, "directory"), 1, "the header");
    for key in 0..100 {
        put_durably(&store, key);
    }
    assert_eq!(count(&faults, Call::Forget, "directory") as u64, pages, "each large page once");
    assert_eq!(count(&faults, Call::Sync, "directory"), 1);
    assert_eq!(count(&faults, Call::Cache, "directory") as u64, pages - 1);

    // Another load makes them again, in what it adds.
    load(&store, MANY..2 * MANY);
    assert!(count(&faults, Call::Cache, "directory") as u64 >= pages);
    drop(store);
    let store = open(&path);
    for key in (100..2 * MANY).step_by(37) {
        assert_eq!(store.load::<[u64; 8]>(key.to_be_bytes()).expect("load"), Some([key; 8]));
    }
}

#[test]
fn removals_and_batches_let_go_of_large_pages_too() {
    let (folder, faults) = (folder(), Faults::recorded());
    let store = open_with(large(faults.clone()), folder.path().join("store")).expect("open");
    load(&store, 0..MANY);
    store.sync().expect("sync");
    put_durably(&store, 0);
    let after = |change: &dyn Fn(u64)| {
        let before = count(&faults, Call::Forget, "directory");
        (1..60).for_each(change);
        count(&faults, Call::Forget, "directory") - before
    };
    assert!(after(&|key| assert!(store.remove(key.to_be_bytes()).expect("remove"))) > 0);
    load(&store, MANY..2 * MANY);
    store.sync().expect("sync");
    put_durably(&store, 0);
    let batch = |key: u64| {
        let mut batch = store.batch();
        batch.put((1_000 + key).to_be_bytes(), &1_u64).expect("put");
        batch.put((2_000 + key).to_be_bytes(), &1_u64).expect("put");
        batch.commit().expect("commit");
    };
    assert!(after(&batch) > 0);
}

#[test]
fn a_small_store_has_no_large_pages_to_let_go_of() {
    let (folder, faults) = (folder(), Faults::recorded());
    let store = open_with(large(faults.clone()), folder.path().join("store")).expect("open");
    (0..50).for_each(|key| put_durably(&store, key));
    for (call, file) in [(Call::Cache, "directory"), (Call::Forget, "directory"), (Call::Sync, "directory")] {
        assert_eq!(count(&faults, call, file), 0, "{call:?}");
    }
    assert_eq!(count(&faults, Call::Cache, "00000000.chunk"), 0);
}

#[test]
fn where_there_is_no_space_for_a_large_page_a_step_does() {
    let (folder, faults) = (folder(), Faults::recorded());
    let path = folder.path().join("store");
    let store = open_with(large(faults.clone()), &path).expect("open");
    load(&store, 0..MANY);
    let before = count(&faults, Call::Cache, "00000000.chunk");
    for file in ["00000000.chunk", "directory"] {
        faults.plan(Fault::nth(1, libc::ENOSPC).of(Call::Allocate).on(file));
    }
    load(&store, MANY..2 * MANY);
    assert!(count(&faults, Call::Cache, "00000000.chunk") > before, "and large pages again later");
    assert_eq!(store.len(), 2 * MANY);
}

#[test]
fn that_the_kernel_makes_no_large_pages_is_no_error_but_a_directory_that_cannot_be_written_is() {
    let (folder, faults) = (folder(), Faults::recorded());
    let path = folder.path().join("store");
    let store = open_with(large(faults.clone()), &path).expect("open");
    for number in 1..30 {
        faults.plan(Fault::nth(number, libc::ENOMEM).of(Call::Cache));
    }
    load(&store, 0..MANY);
    store.sync().expect("sync");
    faults.heal();
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync).on("directory"));
    store.put("one", &1_u64).expect("put");
    assert!(matches!(store.sync(), Err(Error::Io { .. })));
    assert!(matches!(store.put("two", &1_u64), Err(Error::Poisoned { .. })));
    drop(store);
    let store = open(&path);
    assert!(
        store.contains(0_u64.to_be_bytes()).expect("a look-up") && store.contains("one").expect("a look-up")
    );
}
