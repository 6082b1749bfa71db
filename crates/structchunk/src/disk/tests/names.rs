//! Folders: what exists under which name, and who may see it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, Instant};

use rustix::fs::Mode;

use super::child::in_a_process_of_its_own;
use super::{on_both, real};
use crate::disk::{Access, Faults, Folder};
use crate::error::Error;

#[test]
fn names_are_created_found_renamed_and_removed() {
    on_both(|folder| {
        assert!(folder.list().unwrap().is_empty());
        let chunks = folder.subfolder("chunks", true).unwrap();
        let mut file = chunks.create_file("new.tmp").unwrap();
        assert!(chunks.exists("new.tmp").unwrap());
        assert!(file.path().ends_with("chunks/new.tmp"));

        chunks.rename_file(&mut file, "00000000.chunk").unwrap();
        assert!(file.path().ends_with("chunks/00000000.chunk"));
        assert!(!chunks.exists("new.tmp").unwrap());
        chunks.create_file("00000001.chunk").unwrap();
        let mut names = folder.subfolder("chunks", false).unwrap().list().unwrap();
        names.sort();
        assert_eq!(names, ["00000000.chunk", "00000001.chunk"]);

        file.write_at(0, b"first").unwrap();
        chunks.rename("00000000.chunk", "00000001.chunk").unwrap();
        assert_eq!(chunks.open_file("00000001.chunk", Access::Read).unwrap().len().unwrap(), 5);
        chunks.remove("00000001.chunk").unwrap();
        assert!(chunks.list().unwrap().is_empty());
        assert_eq!(file.len().unwrap(), 5, "an open file outlives its name");
        chunks.sync().unwrap();
        folder.sync().unwrap();
    });
}

#[test]
fn a_name_that_is_taken_is_not_created_again_and_a_missing_one_is_absent() {
    on_both(|folder| {
        folder.create_file("STORE").unwrap();
        assert!(
            matches!(folder.create_file("STORE"), Err(Error::AlreadyExists { path }) if path.ends_with("STORE"))
        );
        assert!(folder.open_file("missing", Access::Read).unwrap_err().is_absent());
        assert!(folder.subfolder("missing", false).unwrap_err().is_absent());
        assert!(folder.remove("missing").unwrap_err().is_absent());
        assert!(folder.rename("missing", "STORE").unwrap_err().is_absent());
        assert!(folder.exists("STORE").unwrap());
        folder.subfolder("chunks", true).unwrap();
        folder.subfolder("chunks", true).expect("making a folder that exists opens it");
    });
}

#[test]
fn a_folder_in_place_of_a_file_and_the_reverse_are_refused() {
    on_both(|folder| {
        folder.subfolder("chunks", true).unwrap();
        folder.create_file("STORE").unwrap();
        for access in [Access::Read, Access::Write] {
            let error = folder.open_file("chunks", access).unwrap_err();
            assert!(error.to_string().contains("directory"), "{error}");
        }
        assert!(folder.subfolder("STORE", false).is_err());
        assert!(folder.subfolder("STORE", true).is_err());
        assert!(folder.remove("chunks").is_err(), "only files are removed");
    });
}

#[test]
fn a_name_never_leads_out_of_its_folder() {
    on_both(|folder| {
        let inner = folder.subfolder("inner", true).unwrap();
        folder.create_file("secret").unwrap();
        inner.create_file("own").unwrap();
        for name in ["", ".", "..", "../secret", "/etc/passwd", "a/b", "a\0b"] {
            assert!(inner.create_file(name).is_err(), "{name:?}");
            assert!(inner.open_file(name, Access::Read).is_err(), "{name:?}");
            assert!(inner.subfolder(name, true).is_err(), "{name:?}");
            assert!(inner.exists(name).is_err(), "{name:?}");
            assert!(inner.remove(name).is_err(), "{name:?}");
            assert!(inner.rename("own", name).is_err(), "{name:?}");
            assert!(inner.rename(name, "own").is_err(), "{name:?}");
        }
        assert!(folder.exists("secret").unwrap());
        assert_eq!(inner.list().unwrap(), ["own"]);
    });
}

#[test]
fn what_is_not_a_plain_file_is_refused_and_never_waited_for() {
    let (_kept, folder) = real(&Faults::none());
    let path = folder.path();
    fs::write(path.join("target"), "x").unwrap();
    symlink("target", path.join("link")).unwrap();
    symlink("nowhere", path.join("dangling")).unwrap();
    fs::create_dir(path.join("folder")).unwrap();
    symlink("folder", path.join("folder link")).unwrap();
    fs::write(path.join("hard link"), "x").unwrap();
    fs::hard_link(path.join("hard link"), path.join("other name")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path.join("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();

    let begin = Instant::now();
    for (name, reason) in [
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("folder", "directory"),
        ("hard link", "2 names"),
        ("fifo", "FIFO"),
        ("socket", ""),
    ] {
        for access in [Access::Read, Access::Write] {
            let error = folder.open_file(name, access).unwrap_err();
            assert!(error.to_string().contains(path.join(name).to_str().unwrap()), "{error}");
            if access == Access::Read || name != "folder" {
                assert!(error.to_string().contains(reason), "{name}: {error}");
            }
        }
    }
    assert!(folder.subfolder("folder link", true).is_err());
    assert!(folder.create_file("dangling").is_err());
    assert!(!path.join("nowhere").exists());
    assert!(begin.elapsed() < Duration::from_secs(5));
    folder.open_file("target", Access::Write).expect("a plain file is not refused");
}

#[test]
fn folders_are_0700_and_files_0600_whatever_the_umask() {
    in_a_process_of_its_own("disk::tests::names::folders_are_0700_and_files_0600_whatever_the_umask", || {
        for umask in [0o000, 0o077, 0o277] {
            let parent = tempfile::tempdir().unwrap();
            rustix::process::umask(Mode::from_raw_mode(umask));
            let folder = Folder::create(parent.path().join("s"), Faults::none()).unwrap();
            let chunks = folder.subfolder("chunks", true).unwrap();
            chunks.create_file("file").unwrap();
            for (path, mode) in [("s", 0o700), ("s/chunks", 0o700), ("s/chunks/file", 0o600)] {
                let found = fs::metadata(parent.path().join(path)).unwrap().permissions().mode();
                assert_eq!(found & 0o7777, mode, "{path} under umask {umask:o}");
            }
            rustix::process::umask(Mode::empty());
        }
    });
}

#[test]
fn a_store_is_created_once_and_only_a_folder_is_opened() {
    let (kept, folder) = real(&Faults::none());
    assert!(matches!(Folder::create(folder.path(), Faults::none()), Err(Error::AlreadyExists { .. })));
    assert!(Folder::open(folder.path(), Faults::none()).unwrap().list().unwrap().is_empty());

    let missing = Folder::open(kept.path().join("missing"), Faults::none()).unwrap_err();
    assert!(
        matches!(&missing, Error::NotAStore { .. }) && missing.to_string().contains("does not exist"),
        "{missing}"
    );
    fs::write(kept.path().join("file"), "").unwrap();
    let file = Folder::open(kept.path().join("file"), Faults::none()).unwrap_err();
    assert!(
        matches!(&file, Error::NotAStore { .. }) && file.to_string().contains("not a directory"),
        "{file}"
    );
    assert!(Folder::create(kept.path().join("no/parent"), Faults::none()).is_err());
}

#[test]
fn a_folder_stays_the_same_when_its_path_is_replaced() {
    let (kept, folder) = real(&Faults::none());
    fs::rename(folder.path(), kept.path().join("moved")).unwrap();
    fs::create_dir(folder.path()).unwrap();
    folder.create_file("file").unwrap();
    assert!(kept.path().join("moved/file").exists());
    assert!(!folder.path().join("file").exists());
}

#[test]
fn names_that_are_no_text_are_listed_and_match_no_other() {
    let (_kept, folder) = real(&Faults::none());
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"0000\xff000.chunk")), "").unwrap();
    let names = folder.list().unwrap();
    assert_eq!(names, ["0000\u{fffd}000.chunk"]);
    assert!(folder.open_file(&names[0], Access::Read).unwrap_err().is_absent());
}

#[test]
fn a_crowded_folder_is_listed_to_the_end() {
    let (_kept, folder) = real(&Faults::none());
    for number in 0..5_000 {
        fs::File::create(folder.path().join(format!("{number:08x}.chunk"))).unwrap();
    }
    assert_eq!(folder.list().unwrap().len(), 5_000);
}

#[test]
fn the_file_system_is_a_local_one() {
    on_both(|folder| {
        assert_eq!(folder.network_file_system().unwrap(), None);
        // Whether this machine copies on write is its own affair; the question must be answered.
        folder.copy_on_write().unwrap();
        folder.disable_copy_on_write();
        folder.create_file("file").unwrap();
    });
}

#[test]
fn two_handles_of_one_file_have_one_identity() {
    on_both(|folder| {
        let first = folder.create_file("one").unwrap();
        let again = folder.open_file("one", Access::Read).unwrap();
        let other = folder.create_file("two").unwrap();
        assert_eq!(first.identity().unwrap(), again.identity().unwrap());
        assert_ne!(first.identity().unwrap(), other.identity().unwrap());
        if !folder.path().starts_with("memory:") {
            let status = fs::metadata(first.path()).unwrap();
            assert_eq!(first.identity().unwrap(), (status.dev(), status.ino()));
        }
    });
}
