//! Things in the store's folder that are no files of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use structchunk::Store;

use super::{Watchdog, read_everything, survive, try_open, wary};
use crate::common::{folder, open, open_with, options};
use crate::craft::edit_checkpoints;

fn closed_store(path: &Path) {
    let store = open(path);
    store.put("k", &7_u64).unwrap();
    store.put("body", &[7_u64; 5000]).unwrap();
    store.close().unwrap();
}

/// What is said when something stands in the place of a file, to a writer and to a reader.
fn said(file: &str, stand_in: impl Fn(&Path)) -> Vec<String> {
    let _watchdog = Watchdog::new(format!("a stand-in for {file}"));
    let folder = folder();
    let place = folder.path().join("s");
    closed_store(&place);
    let path = place.join(file);
    fs::rename(&path, folder.path().join("real")).unwrap();
    stand_in(&path);
    let mut all = Vec::new();
    for options in [wary(), wary().read_only(true)] {
        let read = open_with(options, &place).and_then(|store| {
            store.load::<u64>("k")?;
            store.get::<[u64]>("body").map(|found| assert!(found.is_some()))
        });
        all.push(read.map_or_else(|error| error.to_string(), |()| "fine".to_owned()));
    }
    survive(&place, &[b"k", b"body"]);
    assert!(folder.path().join("real").exists(), "what a link leads to stays");
    all
}

const TRUTH: [&str; 3] = ["STORE", "chunks/00000000.chunk", "chunks/0000000000000000.body"];

#[test]
fn a_symlink_in_place_of_a_file_is_refused() {
    for file in TRUTH {
        for text in said(file, |path| {
            symlink(path.ancestors().nth(file.matches('/').count() + 2).unwrap().join("real"), path).unwrap();
        }) {
            assert!(text.contains(file) && text.contains("it is a symbolic link"), "{file}: {text}");
        }
    }
}

#[test]
fn a_fifo_in_place_of_a_file_is_refused_and_nobody_waits_for_its_other_end() {
    for file in TRUTH {
        let fifo = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        for text in said(file, fifo) {
            assert!(text.contains(file) && text.contains("not a regular file but a FIFO"), "{file}: {text}");
        }
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_refused() {
    for file in TRUTH {
        for text in said(file, |path| fs::create_dir(path).unwrap()) {
            assert!(text.contains(file) && text.contains("directory"), "{file}: {text}");
        }
    }
}

#[test]
fn a_file_with_a_second_name_is_refused() {
    for file in TRUTH {
        let link = |path: &Path| {
            let real = path.ancestors().nth(file.matches('/').count() + 2).unwrap().join("real");
            fs::hard_link(real, path).unwrap();
        };
        for text in said(file, link) {
            assert!(text.contains(file) && text.contains("2 names instead of one"), "{file}: {text}");
        }
    }
}

#[test]
fn views_lock_and_shared_that_are_no_files_are_an_error_or_replaced() {
    for file in ["directory", "live", "shared", "LOCK"] {
        said(file, |path| symlink("/etc/passwd", path).unwrap());
        said(file, |path| fs::create_dir(path).unwrap());
        said(file, |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()));
    }
    assert!(fs::metadata("/etc/passwd").unwrap().len() > 0);
}

#[test]
fn chunks_that_is_a_link_is_refused() {
    let folder = folder();
    closed_store(&folder.path().join("s"));
    closed_store(&folder.path().join("other"));
    fs::remove_dir_all(folder.path().join("s/chunks")).unwrap();
    symlink(folder.path().join("other/chunks"), folder.path().join("s/chunks")).unwrap();
    let error = open_with(options(), folder.path().join("s")).unwrap_err();
    assert!(error.to_string().contains("Not a directory"), "{error}");
}

#[test]
fn a_hundred_thousand_empty_chunk_files_are_stepped_over_or_refused() {
    let _watchdog = Watchdog::new("100,000 chunk files");
    let folder = folder();
    closed_store(folder.path());
    for number in 1..=100_000 {
        fs::write(folder.path().join(format!("chunks/{number:08x}.chunk")), "").unwrap();
    }
    let readable = |store: Option<Store>| store.unwrap().load::<u64>("k").unwrap() == Some(7);
    // Behind the active chunk they are nothing.
    assert!(
        readable(try_open(wary(), folder.path()))
            && readable(try_open(wary().read_only(true), folder.path()))
    );
    // A checkpoint that counts them makes them part of the log: the first one says that it is none.
    edit_checkpoints(folder.path(), |checkpoint| {
        checkpoint.set_u32(60, 100_000);
        checkpoint.set_u32(80, 100_001);
        checkpoint.set_u64(88, 100_001);
    });
    assert!(try_open(wary(), folder.path()).is_none());
}

#[test]
fn names_that_nobody_gave_are_left_alone() {
    let folder = folder();
    closed_store(folder.path());
    let strange = [
        "chunks/0.chunk",
        "chunks/00000001.CHUNK",
        "chunks/zzzzzzzz.chunk",
        "chunks/.hidden",
        "notes.txt",
        "chunks/000000001.chunk",
        "chunks/\u{202e}",
        "chunks/0000000000000001.bodyx",
        "chunks/-0000001.chunk",
        "chunks/+0000001.chunk",
    ];
    for name in strange {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    for clean in [true, false] {
        let store = open(folder.path());
        read_everything(&store, &[b"k"]);
        assert_eq!(store.load::<u64>("k").unwrap(), Some(7));
        store.put("other", &1_u8).unwrap();
        if clean {
            store.close().unwrap();
        }
    }
    drop(open(folder.path()));
    for name in strange {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "mine", "{name}");
    }
}

#[test]
fn a_chunk_of_the_highest_number_does_not_overflow() {
    let folder = folder();
    closed_store(folder.path());
    for number in ["ffffffff", "fffffffe", "7fffffff"] {
        fs::copy(
            folder.path().join("chunks/00000000.chunk"),
            folder.path().join(format!("chunks/{number}.chunk")),
        )
        .unwrap();
    }
    fs::write(folder.path().join("chunks/ffffffffffffffff.body"), vec![0; 8192]).unwrap();
    survive(folder.path(), &[b"k", b"body"]);
}
