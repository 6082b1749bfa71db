//! A read-only handle reads everything and writes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use structchunk::raw::Described;
use structchunk::{Error, Found, Object, Options, Store};

use crate::common::{Counter, Model, Value, assert_same, folder, open, open_with, options};
use crate::process;

fn read_only() -> Options {
    options().create(false).read_only(true)
}

fn fill(store: &Store) -> Model {
    (0..60_u64)
        .map(|seed| {
            let (key, value) = (seed.to_le_bytes().to_vec(), Value::from_seed(seed));
            value.put(store, &key).unwrap();
            (key, value)
        })
        .collect()
}

/// Every file and folder with its time of change and content.
fn everything(path: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let changed = std::fs::metadata(path).unwrap().modified().unwrap();
    if path.is_dir() {
        all.extend(std::fs::read_dir(path).unwrap().flat_map(|entry| everything(&entry.unwrap().path())));
        all.insert(path.to_owned(), (changed, Vec::new()));
    } else {
        all.insert(path.to_owned(), (changed, std::fs::read(path).unwrap()));
    }
    all
}

/// All that can be done with a handle that may not write.
fn use_it(store: &Store, model: &Model) {
    assert!(store.is_read_only());
    assert_same(store, model);
    let key = model.keys().next().unwrap();
    let refused = |error: Option<Error>| assert!(matches!(error, Some(Error::ReadOnly { .. })), "{error:?}");
    refused(store.put("x", &1_u8).err());
    refused(store.put("x", &vec![1_u8; 100_000][..]).err());
    refused(store.put_many::<u8, &str>(&[], &[]).err());
    refused(store.put_many::<u8, _>(&["x"], &[]).err());
    let what = Described::one(<u8 as Object>::ELEMENT.into());
    refused(store.raw().try_put_many::<&str>(&[], &what, &[]).err());
    refused(store.remove(key).err());
    refused(store.take::<u8>(key).err());
    refused(store.rename(key, "x").err());
    refused(store.get_mut::<u8>(key).err());
    refused(store.get_atomic::<Counter>(key).err());
    refused(store.update(key, |_: &mut u8| unreachable!()).err());
    refused(store.loan::<u8>("x").err());
    refused(store.reserve(key, 0..1).err());
    let mut batch = store.batch();
    batch.put("x", &1_u8).unwrap();
    refused(batch.commit().err());
    store.sync().unwrap();
    store.stats().unwrap();
}

fn compare(prepare: impl FnOnce(&Path) -> Model, found: Found) {
    let folder = folder();
    let model = prepare(folder.path());
    let before = everything(folder.path());
    let store = open_with(read_only(), folder.path()).unwrap();
    assert_eq!(store.recovery().found, found);
    use_it(&store, &model);
    store.close().unwrap();
    let after = everything(folder.path());
    assert!(before.keys().eq(after.keys()), "files came or went");
    for (path, was) in before {
        assert!(after[&path] == was, "{} was changed", path.display());
    }
    assert_same(&open(folder.path()), &model);
}

#[test]
fn reading_a_closed_store_changes_no_byte_and_no_time() {
    compare(
        |path| {
            let store = open(path);
            let model = fill(&store);
            store.close().unwrap();
            model
        },
        Found::Clean,
    );
}

#[test]
fn reading_after_an_unclean_stop_changes_no_byte_and_no_time() {
    compare(|path| fill(&open(path)), Found::ProcessDied);
}

#[test]
fn reading_without_views_changes_no_byte_and_no_time() {
    compare(
        |path| {
            let store = open(path);
            let model = fill(&store);
            store.close().unwrap();
            std::fs::remove_file(path.join("directory")).unwrap();
            std::fs::write(path.join("live"), "noise").unwrap();
            model
        },
        Found::ViewsLost,
    );
}

#[test]
fn a_copy_of_a_store_in_use_reads_as_of_its_last_sync() {
    let folder = folder();
    let store = open(folder.path().join("s"));
    let model = fill(&store);
    store.sync().unwrap();
    store.put("later", &1_u8).unwrap();
    crate::common::copy_folder(&folder.path().join("s"), &folder.path().join("copy"));
    let copy = open_with(read_only(), folder.path().join("copy")).unwrap();
    assert_eq!(copy.recovery().found, Found::MachineDied);
    assert_same(&copy, &model);
}

#[test]
fn a_store_on_a_read_only_mount_is_read() {
    if let Some(path) = process::store_of_child() {
        let denied = std::fs::write(path.join("x"), "y").unwrap_err();
        assert_eq!(denied.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        for name in ["clean", "unclean"] {
            let store = open_with(read_only(), path.join(name)).unwrap();
            let model = fill(&Store::in_memory().unwrap());
            use_it(&store, &model);
            store.close().unwrap();
            assert!(open_with(options(), path.join(name)).is_err(), "nobody can write there");
        }
        return;
    }
    let folder = folder();
    let store = open(folder.path().join("clean"));
    fill(&store);
    store.close().unwrap();
    fill(&open(folder.path().join("unclean")));
    // In a mount namespace of its own, so that nothing is left behind.
    let script = "mount --bind \"$STRUCTCHUNK_TEST_CHILD\" \"$STRUCTCHUNK_TEST_CHILD\" && \
                  mount -o remount,ro,bind \"$STRUCTCHUNK_TEST_CHILD\"";
    let mut possible = Command::new("unshare");
    possible.args(["-m", "sh", "-c", script]).env("STRUCTCHUNK_TEST_CHILD", folder.path());
    if !possible.output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this machine lets nobody make a read-only mount; run as root");
        return;
    }
    let script = format!("{script} && exec \"$0\" \"$@\"");
    let name = "api::read_only::a_store_on_a_read_only_mount_is_read";
    process::run(process::again(name, &["unshare", "-m", "sh", "-c", &script], folder.path()));
}
