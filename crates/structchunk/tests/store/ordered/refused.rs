//! An index that cannot be had: scans go on, and `sync_index` says why.

use std::fs;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Store};

use super::*;
use crate::process;

#[test]
fn what_is_not_a_directory_is_not_touched_and_scans_sort_in_memory() {
    for kind in ["file", "link"] {
        let folder = folder();
        let (path, outside) = (folder.path().join("store"), folder.path().join("outside"));
        let store = Source::Index.open(&path);
        fill(&store, 50);
        let expected = sorted(&store);
        store.close().unwrap();
        let index = path.join("index");
        let _ = fs::remove_dir_all(&index);
        fs::create_dir(&outside).unwrap();
        match kind {
            "file" => fs::write(&index, "mine").unwrap(),
            _ => std::os::unix::fs::symlink(&outside, &index).unwrap(),
        }
        let store = Source::Index.open(&path);
        assert_eq!(keys(&store), expected, "{kind}");
        if cfg!(feature = "leveldb") {
            let error = store.sync_index().unwrap_err();
            assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("index")), "{error}");
        }
        store.put("more", &1_u8).unwrap();
        assert_eq!(keys(&store).len(), expected.len() + 1, "{kind}");
        store.close().unwrap();
        rebuild(&path);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "a link is not followed");
        if kind == "file" {
            assert_eq!(fs::read(&index).unwrap(), b"mine");
        }
    }
}

fn rebuild(path: &Path) {
    #![expect(unsafe_code, reason = "rebuilding opens a store")]
    // SAFETY: nobody else has the store open.
    unsafe { Store::rebuild(path) }.unwrap();
}

#[test]
fn without_an_index_syncing_it_sorts_and_where_nothing_may_be_written_it_is_refused() {
    let store = Store::in_memory().unwrap();
    fill(&store, 50);
    store.sync_index().unwrap();
    assert_eq!((keys(&store), store.index_sequence()), (sorted(&store), None));
    let folder = folder();
    let store = Source::Index.open(folder.path());
    fill(&store, 50);
    store.close().unwrap();
    let store = open_with(options().create(false).read_only(true), folder.path()).unwrap();
    assert!(matches!(store.sync_index(), Err(Error::ReadOnly { .. })));
    assert_eq!(keys(&store), sorted(&store));
}

#[test]
fn a_read_only_store_leaves_the_index_as_it_is() {
    let folder = folder();
    let store = Source::Index.open(folder.path());
    fill(&store, 50);
    store.close().unwrap();
    let stamps = || {
        let files = fs::read_dir(folder.path().join("index")).into_iter().flatten().map(Result::unwrap);
        let mut files: Vec<_> =
            files.map(|file| (file.path(), file.metadata().unwrap().modified().unwrap())).collect();
        files.sort();
        files
    };
    let before = stamps();
    let store = open_with(Source::Index.options().create(false).read_only(true), folder.path()).unwrap();
    assert_eq!(keys(&store), sorted(&store));
    store.close().unwrap();
    assert_eq!(stamps(), before);
}

#[test]
fn calls_around_the_index_may_fail_and_scans_go_on() {
    for (call, file) in [
        (Call::CreateFolder, "index"),
        (Call::Open, "index"),
        (Call::List, "index"),
        (Call::Open, "CURRENT"),
        (Call::Read, "CURRENT"),
        (Call::Inspect, "CURRENT"),
    ] {
        for errno in [libc::EIO, libc::ENOSPC, libc::EMFILE] {
            let folder = folder();
            let store = Source::Index.open(folder.path());
            fill(&store, 50);
            store.close().unwrap();
            let faults = Faults::recorded();
            let store = open_with(Source::Index.options().faults(faults.clone()), folder.path()).unwrap();
            let expected = sorted(&store);
            faults.plan(Fault::nth(1, errno).of(call).on(file).from_then_on());
            assert_eq!(keys(&store), expected, "{call:?} {file}");
            if cfg!(feature = "leveldb") {
                store.sync_index().expect_err("a fault");
            }
            store.put("more", &1_u8).unwrap();
            store.close().unwrap();
            let store = Source::Index.open(folder.path());
            assert_eq!(keys(&store).len(), expected.len() + 1, "{call:?} {file}");
            store.sync_index().unwrap();
        }
    }
}

#[test]
fn a_poisoned_store_scans_and_writes_no_index() {
    let folder = folder();
    let faults = Faults::recorded();
    let store = open_with(Source::Index.options().faults(faults.clone()), folder.path()).unwrap();
    fill(&store, 50);
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync));
    store.sync().unwrap_err();
    assert_eq!(keys(&store), sorted(&store));
    assert!(matches!(store.sync_index(), Err(Error::Poisoned { .. })));
    assert!(!folder.path().join("index").exists());
}

#[test]
fn a_process_killed_while_it_writes_the_index_costs_nothing() {
    if let Some(path) = process::store_of_child() {
        let store = Source::Index.open(&path);
        println!("\nready");
        for n in 0_u64.. {
            store.put(format!("round {:06}", n % 5000), &n).unwrap();
            if n % 50 == 0 {
                store.sync_index().unwrap();
            }
        }
    }
    let folder = folder();
    let name = "ordered::refused::a_process_killed_while_it_writes_the_index_costs_nothing";
    for round in 0..cases(6) {
        let child = process::Waiting::start(process::again(name, &[], folder.path()));
        std::thread::sleep(std::time::Duration::from_millis(20 + 37 * round % 150));
        child.kill();
        let store = Source::Index.open(folder.path());
        assert_eq!(keys(&store), sorted(&store));
        store.sync_index().unwrap();
        assert!(store.sequence(&keys(&store)[0]).unwrap().is_some());
        drop(store);
    }
}
