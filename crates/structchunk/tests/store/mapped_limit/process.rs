//! What the limit is for: processes that may not have more.

use std::fs;

use structchunk::testing::{Call, Fault, Faults};
use structchunk::{Error, Space, Store};

use super::{LIMIT, fill, limited, mapped};
use crate::common::*;
use crate::process::{again, run, store_of_child};

/// Each of the large objects, in bytes; they take no disk space.
const LARGE: u64 = 1 << 30;
/// Directory and live map have 64 GiB of it.
const ADDRESS_SPACE: u64 = 68 << 30;

fn work_with_large_objects(store: &Store) -> structchunk::Result<()> {
    for n in 0..12_u64 {
        let mut words = store.loan_array::<u64>(format!("{n}"), &[LARGE / 8], Space::Sparse)?;
        words[1 << 20] = n;
        words.publish()?;
    }
    for n in 0..12_u64 {
        assert_eq!(store.get::<[u64]>(format!("{n}"))?.expect("an object")[1 << 20], n);
    }
    Ok(())
}

#[test]
fn a_process_with_little_address_space_works_with_a_store_that_is_larger() {
    if let Some(path) = store_of_child() {
        let limit = rustix::process::Rlimit { current: Some(ADDRESS_SPACE), maximum: Some(ADDRESS_SPACE) };
        rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
        let store = open_with(options().mapped_limit(2 * LARGE), path.join("limited")).unwrap();
        work_with_large_objects(&store).unwrap();
        store.close().unwrap();
        // The same without a limit of our own: an error, and the store goes on.
        let store = open(path.join("unlimited"));
        assert!(matches!(work_with_large_objects(&store), Err(Error::Io { .. })));
        store.put("key", &1_u64).unwrap();
        store.close().unwrap();
        return;
    }
    let folder = folder();
    let name = "mapped_limit::process::a_process_with_little_address_space_works_with_a_store_that_is_larger";
    run(again(name, &[], folder.path()));
}

/// How many files of the store this process has open.
fn open_files(store: &Store) -> usize {
    let path = store.path().canonicalize().expect("its folder").join("chunks");
    let targets = fs::read_dir("/proc/self/fd").expect("the kernel's list");
    let targets = targets.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(&path)).count()
}

#[test]
fn large_objects_that_nobody_uses_are_closed() {
    let folder = folder();
    let store = open(folder.path());
    for n in 0..700_u64 {
        let mut words = store.loan_array::<u64>(format!("{n}"), &[600], Space::Sparse).unwrap();
        words[0] = n;
        words.publish().unwrap();
        if n % 100 == 99 {
            store.sync().unwrap();
        }
    }
    let held: Vec<_> = (0..300).map(|n| store.get::<[u64]>(format!("{n}")).unwrap().unwrap()).collect();
    for n in 0..700 {
        assert_eq!(store.get::<[u64]>(format!("{n}")).unwrap().unwrap()[0], n);
    }
    assert!(open_files(&store) < 600, "{} files are open", open_files(&store));
    assert!(held.iter().zip(0..).all(|(words, n)| words[0] == n));
    drop(held);
    assert_eq!(store.stats().unwrap().bodies, 700);
    assert!(open_files(&store) < 300, "{} files are open", open_files(&store));
    // What was changed is not closed before it is durable.
    for n in 0..400_u64 {
        store.get_mut::<[u64]>(format!("{n}")).unwrap().unwrap()[1] = n;
    }
    assert!(open_files(&store) >= 400);
    store.sync().unwrap();
    assert_eq!(store.check().unwrap().count(), 0);
    assert!(open_files(&store) < 300, "{} files are open", open_files(&store));
}

#[test]
fn a_chunk_that_cannot_be_mapped_again_is_an_error_and_loses_nothing() {
    let folder = folder();
    let keys = {
        let store = open(folder.path());
        let keys = fill(&store, 20);
        store.close().unwrap();
        keys
    };
    let faults = Faults::recorded();
    let store = open_with(limited().faults(faults.clone()), folder.path()).unwrap();
    let load = |key: &String| store.load::<[u64; 2048]>(key);
    assert!(keys.iter().all(|key| load(key).unwrap().is_some()));
    faults.plan(Fault::nth(1, libc::ENOMEM).of(Call::Map).from_then_on());
    let failed = keys.iter().filter(|key| matches!(load(key), Err(Error::Io { .. }))).count();
    assert!((10..=19).contains(&failed), "{failed} chunks were away");
    // Where the log ends is always there.
    assert!(store.update("299", |words: &mut [u64; 2048]| words[0] = 1).unwrap());
    store.sync().unwrap();
    faults.heal();
    assert!(keys.iter().all(|key| load(key).unwrap().is_some()));
    assert!(mapped(&store) <= LIMIT);
    assert_eq!(store.load::<[u64; 2048]>("299").unwrap().unwrap()[..2], [1, 299]);
    assert_eq!(store.check().unwrap().count(), 0);
}
