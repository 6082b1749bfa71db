//! What cannot be attached to.

use std::fs;
use std::path::Path;

use structchunk::Error;

use super::{attach, attach_with, writer};
use crate::common::*;
use crate::craft::edit_sector;

#[track_caller]
fn refused(path: &Path) -> Error {
    let before = all_files(path);
    let error = attach_with(options(), path).expect_err("a refusal");
    assert!(before == all_files(path), "a refusal has changed something: {error}");
    error
}

#[test]
fn what_is_no_store_is_refused_and_stays_as_it_is() {
    let folder = folder();
    assert!(matches!(refused(&folder.path().join("nothing")), Error::NotAStore { .. }));
    assert!(!folder.path().join("nothing").exists());
    assert!(matches!(refused(folder.path()), Error::NotAStore { .. }));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let file = folder.path().join("file");
    fs::write(&file, b"no store").unwrap();
    assert!(matches!(refused(&file), Error::NotAStore { .. }));
    assert_eq!(fs::read(&file).unwrap(), b"no store");
}

#[test]
fn newer_formats_and_other_byte_orders_are_refused_by_name() {
    let folder = folder();
    open(folder.path()).close().unwrap();
    let file = folder.path().join("STORE");
    let good = fs::read(&file).unwrap();
    for (at, value, words) in [(8, 2, "version"), (12, 0x0403_0201, "byte order")] {
        fs::write(&file, &good).unwrap();
        edit_sector(&file, 0, "identity", |identity| identity.set_u32(at, value));
        let error = refused(folder.path());
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    fs::write(&file, &good).unwrap();
    crate::craft::edit_checkpoints(folder.path(), |checkpoint| checkpoint.set_u64(48, 1 << 40));
    assert!(matches!(refused(folder.path()), Error::Unsupported { .. }));
}

#[test]
fn a_store_that_is_being_made_is_none_until_it_is_one() {
    for round in 0..50 {
        let folder = folder();
        let path = folder.path().join("store");
        let at = path.clone();
        let maker = std::thread::spawn(move || open(at));
        let reader = loop {
            match attach_with(options(), &path) {
                Ok(reader) => break reader,
                Err(Error::NotAStore { .. }) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
        };
        let store = maker.join().unwrap();
        store.put("key", &1_u64).unwrap();
        assert_eq!(reader.load::<u64>("key").unwrap(), Some(1), "round {round}");
    }
}

#[test]
fn a_store_that_is_being_deleted_is_whole_or_refused() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for index in 0..20_000_u64 {
        store.put(format!("k{index}"), &index).unwrap();
    }
    store.close().unwrap();
    for (round, name) in
        ["chunks/00000000.chunk", "chunks/00000003.chunk", "chunks", "STORE"].iter().enumerate()
    {
        let part = path.join(name);
        if part.is_dir() { fs::remove_dir_all(part) } else { fs::remove_file(part) }.unwrap();
        let error = refused(&path);
        assert!(matches!(error, Error::NotAStore { .. } | Error::Corrupt { .. }), "round {round}: {error}");
    }
}

#[test]
fn a_store_whose_files_are_gone_is_served_to_who_has_it() {
    let folder = folder();
    let path = folder.path().join("store");
    let mut writer = writer(&path);
    writer.tell("put key 1");
    let reader = attach(&path);
    assert_eq!(reader.load::<u64>("key").unwrap(), Some(1));
    writer.kill();
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(reader.load::<u64>("key").unwrap(), Some(1));
    assert!(matches!(refused(&path), Error::NotAStore { .. }));
}
