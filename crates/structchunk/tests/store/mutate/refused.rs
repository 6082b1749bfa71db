//! Who cannot be a mutator, and has written nothing then.

use std::fs;
use std::path::Path;

use structchunk::Error;
use structchunk::testing::{Call, Fault, Faults};

use super::{attach, shared};
use crate::common::*;
use crate::craft::{edit_checkpoints, edit_sector};

/// Who is refused here; nothing may have changed.
#[track_caller]
fn refused(path: &Path) -> Error {
    let before = all_files(path);
    let error = attach(path).expect_err("a refusal");
    let after = all_files(path);
    let changed: Vec<_> = after.iter().filter(|&(name, bytes)| before.get(name) != Some(bytes)).collect();
    let changed: Vec<_> = changed.iter().map(|(name, _)| name).collect();
    assert!(changed.is_empty() && before.len() == after.len(), "{changed:?} changed: {error}");
    error
}

fn closed(path: &Path) {
    let store = shared(path);
    store.put("key", &1_u64).unwrap();
    store.close().unwrap();
}

#[test]
fn where_there_is_no_session_nobody_is_told_so_by_a_change() {
    let folder = folder();
    closed(folder.path());
    assert!(matches!(refused(folder.path()), Error::NoWriter { .. }));
    // Nor where there was one that counts no more: the last sync failed, or the page is of another session.
    let faults = Faults::recorded();
    let store = open_with(options().faults(faults.clone()), folder.path()).unwrap();
    store.put("key", &2_u64).unwrap();
    faults.plan(Fault::nth(1, libc::EIO).of(Call::Sync));
    assert!(store.sync().is_err());
    drop(store);
    assert!(matches!(refused(folder.path()), Error::NoWriter { .. }));
    let store = shared(folder.path());
    store.put("key", &3_u64).unwrap();
    drop(store);
    let page = folder.path().join("shared");
    let mut bytes = fs::read(&page).unwrap();
    bytes[48] ^= 1;
    fs::write(&page, &bytes).unwrap();
    assert!(matches!(refused(folder.path()), Error::NoWriter { .. }));
    fs::remove_file(&page).unwrap();
    assert!(matches!(refused(folder.path()), Error::NoWriter { .. }));
    let store = shared(folder.path());
    assert!(attach(folder.path()).unwrap().update("key", |value: &mut u64| *value += 1).unwrap());
    assert_eq!(store.load::<u64>("key").unwrap(), Some(2), "the sync before the failed one had 1");
}

#[test]
fn what_is_no_store_is_refused_and_stays_as_it_is() {
    let folder = folder();
    let nothing = folder.path().join("nothing");
    assert!(matches!(attach(&nothing), Err(Error::NotAStore { .. })));
    assert!(!nothing.exists());
    assert!(matches!(refused(folder.path()), Error::NotAStore { .. }));
    let file = folder.path().join("file");
    fs::write(&file, b"no store").unwrap();
    assert!(matches!(refused(&file), Error::NotAStore { .. }));
    // Its writer never came to the end of making it.
    let path = folder.path().join("store");
    closed(&path);
    fs::rename(path.join("STORE"), path.join("STORE.tmp")).unwrap();
    assert!(matches!(refused(&path), Error::NotAStore { .. }));
}

#[test]
fn newer_formats_other_byte_orders_and_stores_of_one_process_are_refused_by_name() {
    let folder = folder();
    let path = folder.path().join("shared");
    for open_at_work in [false, true] {
        closed(&path);
        // A writer that died has left a session.
        drop(open_at_work.then(|| shared(&path)));
        let file = path.join("STORE");
        let good = fs::read(&file).unwrap();
        for (at, value, words) in [(8, 2, "version"), (12, 0x0403_0201, "byte order")] {
            fs::write(&file, &good).unwrap();
            edit_sector(&file, 0, "identity", |identity| identity.set_u32(at, value));
            let error = refused(&path);
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        fs::write(&file, &good).unwrap();
        edit_checkpoints(&path, |checkpoint| checkpoint.set_u64(48, 1 << 40));
        assert!(matches!(refused(&path), Error::Unsupported { .. }));
        fs::write(&file, &good).unwrap();
    }
    let own = folder.path().join("own");
    drop(open(&own));
    assert!(matches!(refused(&own), Error::Unsupported { .. }));
}

#[test]
fn where_a_part_of_the_store_is_gone_nothing_is_written_either() {
    for part in ["STORE", "directory", "live", "chunks/00000000.chunk", "chunks"] {
        for writes in [true, false] {
            let folder = folder();
            let store = shared(folder.path());
            store.put("key", &1_u64).unwrap();
            // A writer that is still there, and one that died.
            let store = if writes {
                Some(store)
            } else {
                drop(store);
                None
            };
            let path = folder.path().join(part);
            fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).unwrap();
            refused(folder.path());
            drop(store);
        }
    }
}
