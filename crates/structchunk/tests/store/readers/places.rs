//! Where a reader reads without being able to write, and that it writes nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{attach, keys, writer};
use crate::common::*;

/// Every file and folder below, with what tells whether it was touched.
fn everything(path: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let status = path.metadata().unwrap();
        found.push((path.clone(), status.len(), status.mtime_nsec(), status.ctime_nsec()));
        if status.is_dir() {
            found.extend(everything(&path));
        }
    }
    found.sort();
    found
}

/// Uses all that a reader has.
fn read_all(path: &Path) {
    let reader = attach(path);
    assert_eq!(reader.load::<u64>("k000007").unwrap(), Some(7));
    assert_eq!(reader.load::<Wide>("wide").unwrap(), Some(Wide { words: [3; 128] }));
    assert_eq!(reader.load::<[u64; 4200]>("large").unwrap(), Some([4; 4200]));
    assert_eq!(reader.types().unwrap().len(), 2);
    assert_eq!(keys(&reader.session().unwrap()).len(), 102);
}

fn fill(path: &Path) -> crate::process::Told {
    let mut writer = writer(path);
    writer.tell("fill k 100 7");
    writer.tell("put_wide wide 3");
    writer.tell("put_large large 4");
    writer
}

#[test]
fn a_reader_writes_nothing_whatever_it_finds() {
    for state in ["alive", "killed", "closed", "machine died", "without derived files"] {
        let folder = folder();
        let mut writer = fill(folder.path());
        match state {
            "alive" => {}
            "killed" => writer.signal(rustix::process::Signal::KILL),
            _ => assert_eq!(writer.tell("close"), "ok"),
        }
        if state == "machine died" {
            fs::remove_file(folder.path().join("shared")).unwrap();
            crate::craft::edit_checkpoints(folder.path(), |checkpoint| checkpoint.set_u32(56, 0));
        }
        if state == "without derived files" {
            for name in ["shared", "directory", "live"] {
                fs::remove_file(folder.path().join(name)).unwrap();
            }
        }
        let before = everything(folder.path());
        read_all(folder.path());
        assert_eq!(everything(folder.path()), before, "{state}");
    }
}

#[test]
fn files_that_nobody_may_write_are_read() {
    let folder = folder();
    assert_eq!(fill(folder.path()).tell("close"), "ok");
    let set = |files: u32, folders: u32| {
        for (path, ..) in everything(folder.path()) {
            let mode = if path.is_dir() { folders } else { files };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(folders)).unwrap();
    };
    set(0o400, 0o500);
    read_all(folder.path());
    set(0o600, 0o700);
}

#[test]
fn a_mount_that_cannot_be_written_is_read() {
    let Some(mount) = crate::mount::Mount::of("tmpfs", 64 << 20, "a_mount_that_cannot_be_written_is_read")
    else {
        return;
    };
    let path = mount.path().join("store");
    assert_eq!(fill(&path).tell("close"), "ok");
    mount.make_read_only();
    assert!(fs::write(mount.path().join("file"), []).is_err(), "it cannot be written");
    read_all(&path);
}
