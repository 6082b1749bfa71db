//! Files, their permissions, locks and feature masks.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use structchunk::{Error, Found};

use crate::common::{folder, open, open_with, options};
use crate::craft::edit_checkpoints;
use crate::process::{self, Waiting};

/// All paths below, the folder itself included.
fn below(path: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![path.to_owned()];
    if path.is_dir() {
        all.extend(std::fs::read_dir(path).unwrap().flat_map(|entry| below(&entry.unwrap().path())));
    }
    all
}

#[test]
fn folders_are_0700_and_files_0600_whatever_the_umask() {
    if let Some(path) = process::store_of_child() {
        let store = open(path);
        store.put("k", &1_u8).unwrap();
        store.put("large", &vec![1_u8; 100_000][..]).unwrap();
        for n in 0..40_u64 {
            store.put(n.to_le_bytes(), &vec![n; 3000][..]).unwrap();
        }
        return store.close().unwrap();
    }
    let folder = folder();
    for umask in ["0000", "0022", "0777"] {
        let path = folder.path().join(umask);
        let name = "api::places::folders_are_0700_and_files_0600_whatever_the_umask";
        process::run(process::again(
            name,
            &["sh", "-c", &format!("umask {umask}; exec \"$0\" \"$@\"")],
            &path,
        ));
        let all = below(&path);
        assert!(all.iter().filter(|path| path.extension().is_some_and(|end| end == "chunk")).count() > 1);
        assert!(all.iter().any(|path| path.extension().is_some_and(|end| end == "body")));
        for path in all {
            // LevelDB makes its own files; nobody else gets into their folder.
            if path.parent().is_some_and(|parent| parent.ends_with("index")) {
                continue;
            }
            let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(
                mode,
                if path.is_dir() { 0o700 } else { 0o600 },
                "{} with umask {umask}",
                path.display()
            );
        }
    }
}

#[test]
fn a_second_writer_gets_locked_with_the_pid_of_the_first() {
    if let Some(path) = process::store_of_child() {
        let store = open(path);
        store.put("k", &1_u8).unwrap();
        return process::ready_and_wait();
    }
    let folder = folder();
    let name = "api::places::a_second_writer_gets_locked_with_the_pid_of_the_first";
    let holder = Waiting::start(process::again(name, &[], folder.path()));
    let pid = holder.child.id();
    for options in [options(), options().create(false).read_only(true)] {
        let error = open_with(options, folder.path()).unwrap_err();
        assert!(matches!(error, Error::Locked { pid: Some(said), .. } if said == pid), "{error}");
        assert_eq!(error.to_string(), format!("{} is in use by process {pid}", folder.path().display()));
    }
    holder.kill();
    let store = open(folder.path());
    assert_eq!((store.recovery().found, store.load::<u8>("k").unwrap()), (Found::ProcessDied, Some(1)));
    // In one process as well.
    let error = open_with(options(), folder.path()).unwrap_err();
    assert!(matches!(error, Error::Locked { pid: Some(said), .. } if said == std::process::id()), "{error}");
    drop(store);
    open(folder.path()).close().unwrap();
}

#[test]
fn readers_share_a_store_and_keep_writers_out() {
    let folder = folder();
    open(folder.path()).close().unwrap();
    let read_only = || open_with(options().create(false).read_only(true), folder.path());
    let (first, second) = (read_only().unwrap(), read_only().unwrap());
    assert!(matches!(open_with(options(), folder.path()), Err(Error::Locked { .. })));
    first.close().unwrap();
    assert!(matches!(open_with(options(), folder.path()), Err(Error::Locked { .. })));
    second.close().unwrap();
    open(folder.path()).close().unwrap();
}

/// A closed store with one object, whose feature masks are then set.
fn with_features(compat: u64, ro_compat: u64, incompat: u64) -> tempfile::TempDir {
    let folder = folder();
    let store = open(folder.path());
    store.put("k", &1_u8).unwrap();
    store.close().unwrap();
    edit_checkpoints(folder.path(), |checkpoint| {
        checkpoint.set_u64(32, compat);
        checkpoint.set_u64(40, ro_compat);
        checkpoint.set_u64(48, incompat);
    });
    folder
}

#[test]
fn unknown_incompatible_features_refuse_the_store() {
    let folder = with_features(0, 0, 0x8000_0000_0000_0010);
    for options in [options(), options().create(false).read_only(true)] {
        let error = open_with(options, folder.path()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }));
        let text = error.to_string();
        assert!(text.ends_with("feature bits 0x8000000000000010 (incompatible)"), "{text}");
    }
}

#[test]
fn unknown_read_only_compatible_features_open_the_store_for_reading() {
    let folder = with_features(0, 2, 0);
    let store = open(folder.path());
    assert!(store.is_read_only());
    assert_eq!(store.load::<u8>("k").unwrap(), Some(1));
    assert!(matches!(store.put("k", &2_u8), Err(Error::ReadOnly { .. })));
    store.close().unwrap();
}

#[test]
fn unknown_compatible_features_are_kept_and_ignored() {
    let folder = with_features(0xff, 0, 0);
    let store = open(folder.path());
    store.put("k", &2_u8).unwrap();
    store.close().unwrap();
    let mut seen = BTreeSet::new();
    edit_checkpoints(folder.path(), |checkpoint| {
        seen.insert(checkpoint.u64(32));
    });
    assert_eq!(seen, BTreeSet::from([0xff]), "both checkpoints keep what they do not know");
    assert_eq!(open(folder.path()).load::<u8>("k").unwrap(), Some(2));
}

#[test]
fn a_dead_writer_is_not_the_one_that_keeps_others_out() {
    if let Some(path) = process::store_of_child() {
        let store = open_with(options().shared_mutation(true), path).unwrap();
        store.put("k", &1_u8).unwrap();
        return process::ready_and_wait();
    }
    let folder = folder();
    let name = "api::places::a_dead_writer_is_not_the_one_that_keeps_others_out";
    Waiting::start(process::again(name, &[], folder.path())).kill();
    // Those who read have no number.
    let reader = open_with(options().create(false).read_only(true), folder.path()).unwrap();
    let error = open_with(options(), folder.path()).unwrap_err();
    assert!(matches!(error, Error::Locked { pid: None, .. }), "{error}");
    drop(reader);
    // The next writer is the one from the beginning of its recovery, which waits here.
    let mutator = crate::mutate::attach(folder.path()).unwrap();
    std::thread::scope(|scope| {
        let waiting = options().trust_page_cache(false).busy_timeout(std::time::Duration::from_secs(30));
        let path = folder.path();
        let writer = scope.spawn(move || open_with(waiting, path).unwrap());
        let recovery = || std::fs::read(path.join("shared")).unwrap()[88];
        while recovery() % 2 == 0 {
            assert!(!writer.is_finished());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let error = open_with(options().create(false).read_only(true), path).unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, Error::Locked { pid: Some(said), .. } if said == own), "{error}");
        drop(mutator);
        writer.join().unwrap().close().unwrap();
    });
}
