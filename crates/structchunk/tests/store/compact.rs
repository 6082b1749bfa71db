//! Compaction: what is moved, what is dropped, in which order, and who is left in peace.
#![expect(unsafe_code, reason = "a lock on a byte is one system call; a rebuild opens a store")]

mod acceptance;
mod hammer;
mod moving;
mod order;
mod tombstones;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use structchunk::{Compaction, Store};

use crate::common::*;

/// The names of the chunks of a store.
fn chunk_files(store: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(store.join("chunks")).expect("a folder");
    names
        .map(|entry| entry.expect("a name").file_name().into_string().expect("a name of ours"))
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "chunk"))
        .collect()
}

/// Objects of 1 KiB, `count` of them, into a store and its model.
fn fill(store: &Store, model: &mut Model, name: &str, count: u64) {
    for number in 0..count {
        let (key, wide) = (format!("{name} {number}").into_bytes(), Wide { words: [number; 128] });
        store.put(&key, &wide).expect("put");
        model.insert(key, Value::Wide(Box::new(wide)));
    }
}

/// Removes those for whose number `which` says so.
fn thin_out(store: &Store, model: &mut Model, name: &str, which: impl Fn(u64) -> bool) {
    for number in (0..).take_while(|number| model.contains_key(format!("{name} {number}").as_bytes())) {
        if which(number) {
            assert!(store.remove(format!("{name} {number}")).expect("remove"));
        }
    }
    model.retain(|key, _| store.contains(key).expect("a look-up"));
}

fn everything() -> Compaction<'static> {
    Compaction::new().fill_ratio(1.0)
}

/// Locks a byte as somebody does who refers to what is in a chunk. The lock goes with the file.
pub fn hold_byte(path: &Path, byte: i64) -> File {
    let file = File::open(path).expect("the file LOCK");
    let request = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and the command reads one `flock`, which `request` is.
    let outcome = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const request) };
    assert_eq!(outcome, 0, "a shared lock");
    file
}

fn rebuild(path: &Path) {
    // SAFETY: the store is closed, and nobody else knows its folder.
    unsafe { Store::rebuild(path) }.expect("rebuild");
}
