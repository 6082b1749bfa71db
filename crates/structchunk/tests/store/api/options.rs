//! Options, and what is said of wrong ones.

use std::time::Duration;

use structchunk::{Error, Found, Options, Store};

use crate::common::{CHUNK_BYTES, folder, open, open_with, options};

fn refused(options: Options, name: &str) -> String {
    let folder = folder();
    let path = folder.path().join("new");
    let error = open_with(options, &path).unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option, .. } if option == name), "{error}");
    assert!(!path.exists(), "a refused call leaves nothing");
    error.to_string()
}

#[test]
fn chunk_capacities_that_cannot_be_are_refused_before_anything_is_made() {
    for bytes in [0, 1, 4096, CHUNK_BYTES / 2, CHUNK_BYTES + 1, 3 << 20, 1 << 37, u64::MAX] {
        let text = refused(options().chunk_capacity(bytes), "chunk_capacity");
        assert_eq!(
            text,
            format!("option chunk_capacity: {bytes} bytes; a power of two from 2^18 to 2^36 is needed")
        );
    }
}

#[test]
fn reserve_steps_that_are_too_small_are_refused() {
    for bytes in [0, 1, 65_535] {
        let text = refused(options().reserve_step(bytes), "reserve_step");
        assert_eq!(text, format!("option reserve_step: {bytes} bytes; at least 65536 are needed"));
    }
    // A step that is larger than a chunk allows is cut to a quarter of it.
    let folder = folder();
    let store = open_with(options().reserve_step(u64::MAX), folder.path()).unwrap();
    store.put("k", &1_u8).unwrap();
    assert!(store.stats().unwrap().chunks[0].bytes_allocated <= CHUNK_BYTES / 2);
}

#[test]
fn a_store_that_is_opened_read_only_cannot_be_created() {
    let text = refused(options().read_only(true), "read_only");
    assert_eq!(text, "option read_only: a store that is opened read-only cannot be created");
    refused(options().create(false).create_new(true).read_only(true), "read_only");
}

#[test]
fn a_store_keeps_the_capacity_it_was_created_with() {
    let folder = folder();
    open_with(options().chunk_capacity(CHUNK_BYTES * 2), folder.path()).unwrap().close().unwrap();
    let store = open_with(options().chunk_capacity(CHUNK_BYTES * 8), folder.path()).unwrap();
    assert_eq!(store.stats().unwrap().chunk_capacity, CHUNK_BYTES * 2);
}

#[test]
fn create_makes_a_store_where_nothing_or_an_empty_folder_is_and_opens_what_is_one() {
    let folder = folder();
    assert_eq!(open(folder.path()).recovery().found, Found::New);
    let path = folder.path().join("chunks/../below");
    let store = open(&path);
    assert_eq!((store.path(), store.is_read_only()), (path.as_path(), false));
    store.put("k", &1_u8).unwrap();
    store.close().unwrap();
    let store = open(&path);
    assert_eq!((store.recovery().found, store.load::<u8>("k").unwrap()), (Found::Clean, Some(1)));
}

#[test]
fn create_new_refuses_what_exists() {
    let folder = folder();
    let fresh = || options().create(false).create_new(true);
    let path = folder.path().join("s");
    open_with(fresh(), &path).unwrap().close().unwrap();
    let error = open_with(fresh(), &path).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }));
    assert_eq!(error.to_string(), format!("{} exists already", path.display()));
}

#[test]
fn what_is_no_store_is_told_from_one() {
    let folder = folder();
    let plain = || Store::options();
    let reason = |options: Options, name: &str| match open_with(options, folder.path().join(name)) {
        Err(Error::NotAStore { reason, .. }) => reason,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(reason(plain(), "absent"), "it does not exist");
    std::fs::write(folder.path().join("file"), "text").unwrap();
    assert_eq!(reason(plain(), "file"), "it is not a directory");
    assert_eq!(reason(options(), "file"), "it is not a directory");
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    assert_eq!(reason(plain(), "empty"), "it has no file STORE");
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    std::fs::write(folder.path().join("photos/cat.jpeg"), "meow").unwrap();
    assert_eq!(reason(options(), "photos"), "it has no file STORE");
    std::fs::create_dir_all(folder.path().join("lost/chunks")).unwrap();
    assert_eq!(reason(plain(), "lost"), "it has no file STORE; rebuild makes one from the chunks");
    std::fs::write(folder.path().join("lost/STORE.tmp"), "").unwrap();
    assert!(reason(plain(), "lost").contains("STORE.tmp is there, STORE is not"));
    assert_eq!(std::fs::read_dir(folder.path().join("photos")).unwrap().count(), 1, "nothing was added");
    assert_eq!(std::fs::read_dir(folder.path().join("empty")).unwrap().count(), 0, "nothing was added");
}

#[test]
fn waiting_for_ever_is_a_timeout_like_any_other() {
    let folder = folder();
    let store = open_with(options().busy_timeout(Duration::MAX), folder.path()).unwrap();
    store.put("k", &1_u8).unwrap();
    let guard = store.get::<u8>("k").unwrap().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.update("k", |n: &mut u8| *n += 1).unwrap());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop(guard);
        assert!(waiting.join().unwrap());
    });
    assert_eq!(store.load::<u8>("k").unwrap(), Some(2));
}

#[test]
fn a_timeout_of_nothing_is_busy_at_once() {
    let folder = folder();
    let store = open_with(options().busy_timeout(Duration::ZERO), folder.path()).unwrap();
    store.put("k", &1_u8).unwrap();
    let guard = store.get_mut::<u8>("k").unwrap().unwrap();
    let error = store.get::<u8>("k").unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.is_transient() && !error.is_corrupt());
    assert_eq!(error.to_string(), "object \"k\" is in use");
    drop(guard);
}
