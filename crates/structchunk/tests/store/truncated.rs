//! A file that is cut under a mapping, by somebody who does not know what it is: who touches what is gone dies of SIGBUS, and
//! `explain_bus_errors` has the process say which byte of which file it was. In processes of their own.
#![expect(unsafe_code, reason = "a handler of its own is installed, and memory is mapped, by system calls")]

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use structchunk::{Error, Store};

use crate::common::*;
use crate::process::{again, store_of_child};

/// What the child is to do.
const TASK: &str = "STRUCTCHUNK_TEST_TRUNCATED";
/// What the handler of [`handler_of_a_program`] ends the process with.
const SEEN: i32 = 77;
/// Where objects begin in a chunk, at least, so that they are not on its first page.
const FILLER: [u64; 1024] = [0; 1024];
const WORDS: usize = 3000;

/// A store with an object behind the second page of its chunk, and one with a body.
fn make(path: &Path) {
    let store = open(path);
    store.put("filler", &FILLER[..]).expect("put");
    store.put("words", &vec![0x7e57_ab1e_u64; WORDS][..]).expect("put");
    store.put("body", &vec![0x00b0_d1e5_u64; 10_000][..]).expect("put");
    store.close().expect("close");
}

/// Runs the child on a task.
fn child(task: &str, path: &Path) -> Output {
    let mut command = again("truncated::what_a_child_does_with_files_that_are_cut", &[], path);
    command.env(TASK, task).output().expect("a child")
}

fn cut(file: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(file).expect("the file is there");
    file.set_len(bytes).expect("it can be cut");
}

fn chunk(path: &Path) -> PathBuf {
    path.join("chunks/00000000.chunk")
}

fn body(path: &Path) -> PathBuf {
    path.join("chunks/0000000000000000.body")
}

/// What it said about SIGBUS, if anything.
fn said(output: &Output) -> Option<String> {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    errors.lines().find(|line| line.starts_with("structchunk: ")).map(str::to_owned)
}

/// The file and the byte that a line names.
fn place(line: &str) -> (PathBuf, u64) {
    let (file, rest) =
        line.strip_prefix("structchunk: ").and_then(|it| it.split_once(", byte ")).expect("a place");
    (file.into(), rest.split_once(',').and_then(|(byte, _)| byte.parse().ok()).expect("a byte"))
}

/// No test of its own: those below start this program again.
#[test]
fn what_a_child_does_with_files_that_are_cut() {
    let (Some(path), Ok(task)) = (store_of_child(), std::env::var(TASK)) else { return };
    let task: Vec<_> = task.split(' ').collect();
    if task.contains(&"handler") {
        handler_of_a_program();
    }
    let store = open(&path);
    if task.contains(&"explain") {
        structchunk::explain_bus_errors().expect("a handler");
        structchunk::explain_bus_errors().expect("the same");
    }
    if task.contains(&"reader") {
        store.close().expect("close");
        let store = open_with(Store::options().read_only(true), &path).expect("an open for reading");
        cut(&chunk(&path), 4096);
        let _ = store.load::<[u64; 3]>("words");
        let _ = store.get::<[u64]>("words").map(|words| words.map(|words| words[0]));
    } else if task.contains(&"chunk") {
        let words = store.get::<[u64]>("words").expect("get").expect("it is there");
        cut(&chunk(&path), 4096);
        // Behind what the processor has looked at already.
        assert_eq!(words[WORDS - 1], 0x7e57_ab1e);
    } else if task.contains(&"body") {
        let words = store.get::<[u64]>("body").expect("get").expect("it is there");
        cut(&body(&path), 8192);
        assert_eq!(words[9000], 0x00b0_d1e5);
    } else if task.contains(&"new") {
        let mut loan = store.loan_slice::<u64>("new", 100_000).expect("a loan");
        loan[0] = 1;
        let (_, made) = std::fs::read_dir(path.join("chunks"))
            .expect("a folder")
            .map(|it| it.expect("an entry").path())
            .filter(|it| it.extension().is_some_and(|it| it == "tmp"))
            .map(|it| (it.metadata().expect("a file").len(), it))
            .max()
            .expect("a body under a temporary name");
        cut(&made, 0);
        loan[50_000] = 1;
    } else if task.contains(&"view") {
        cut(&path.join("directory"), 0);
        let _ = store.load::<u64>("no such key");
    } else if task.contains(&"foreign") {
        touch_a_page_of_our_own(&path);
    } else if task.contains(&"sent") {
        // SAFETY: has no preconditions.
        unsafe { libc::raise(libc::SIGBUS) };
    }
    println!("went on");
}

/// Installs a handler as a program might have one, which ends the process in its own way.
fn handler_of_a_program() {
    extern "C" fn handle(_: c_int) {
        // SAFETY: has no preconditions.
        unsafe { libc::_exit(SEEN) };
    }
    // SAFETY: the function is one of the number of the signal, and does what is allowed in a handler.
    unsafe { libc::signal(libc::SIGBUS, handle as extern "C" fn(c_int) as libc::sighandler_t) };
}

/// Maps an empty file, which is none of a store, and looks into it.
fn touch_a_page_of_our_own(path: &Path) {
    let file = File::create_new(path.with_extension("own")).expect("a file");
    let (protection, kind) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: maps a page somewhere new.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, kind, file.as_raw_fd(), 0) };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: it is mapped; that the file is too short is a signal, which is meant.
    let value = unsafe { page.cast::<u8>().read_volatile() };
    println!("{value}");
}

#[test]
fn a_chunk_that_is_cut_under_a_writer_is_named_with_the_byte_before_the_process_dies() {
    let folder = folder();
    let path = folder.path().join("store");
    make(&path);
    let bytes = std::fs::read(chunk(&path)).expect("the chunk");
    let word = 0x7e57_ab1e_u64.to_le_bytes();
    let first = bytes.windows(8).position(|it| it == word).expect("the object is there");
    let output = child("explain chunk", &path);
    assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{output:?}");
    let line = said(&output).expect("a line");
    assert_eq!(place(&line), (chunk(&path), (first + 8 * (WORDS - 1)) as u64));
    assert!(line.contains("the file was truncated by somebody else"), "{line}");
    // What it was is an error that names the file; nothing is made up, and nothing panics.
    let error = open_with(options(), &path).expect_err("a chunk is too short");
    assert!(matches!(&error, Error::Corrupt { path: file, .. } if *file == chunk(&path)), "{error}");
    let error = open_with(Store::options().read_only(true), &path).expect_err("for reading too");
    assert!(error.is_corrupt(), "{error}");
}

#[test]
fn bodies_views_and_what_is_not_published_yet_are_named_under_their_last_names() {
    for (task, name, byte) in [
        ("body", "chunks/0000000000000000.body", Some(4096 + 8 * 9000)),
        ("new", "chunks/0000000000000001.body", Some(4096 + 8 * 50_000)),
        ("view", "directory", None),
    ] {
        let folder = folder();
        let path = folder.path().join("store");
        make(&path);
        let output = child(&format!("explain {task}"), &path);
        assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{task}: {output:?}");
        let (file, at) = place(&said(&output).expect("a line"));
        assert_eq!(file, path.join(name), "{task}");
        assert!(byte.is_none_or(|byte| byte == at), "{task}: byte {at}");
        // Whatever it was, the store opens, and what was in other files is there.
        let store = open(&path);
        assert_eq!(store.get::<[u64]>("words").expect("get").expect("it is there")[WORDS - 1], 0x7e57_ab1e);
        let body = store.get::<[u64]>("body").map(|body| body.map(|body| body[9000]));
        match task {
            "body" => assert!(body.is_err_and(|error| error.is_corrupt())),
            _ => assert_eq!(body.expect("get"), Some(0x00b0_d1e5)),
        }
    }
}

#[test]
fn a_reader_of_a_file_that_is_cut_says_so_too() {
    let folder = folder();
    let path = folder.path().join("store");
    make(&path);
    let output = child("explain reader", &path);
    assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{output:?}");
    assert_eq!(place(&said(&output).expect("a line")).0, chunk(&path));
}

#[test]
fn a_handler_that_was_there_before_is_called_after_the_line_and_alone_for_what_is_not_ours() {
    let folder = folder();
    let path = folder.path().join("store");
    make(&path);
    for (task, explained) in [("foreign", false), ("sent", false), ("chunk", true)] {
        let output = child(&format!("explain handler {task}"), &path);
        assert_eq!(output.status.code(), Some(SEEN), "{task}: {output:?}");
        assert_eq!(said(&output).is_some(), explained, "{task}: {output:?}");
    }
}

#[test]
fn without_a_handler_before_it_every_sigbus_ends_the_process_and_only_ours_are_explained() {
    let folder = folder();
    let path = folder.path().join("store");
    make(&path);
    for task in ["explain foreign", "chunk"] {
        let output = child(task, &path);
        assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{task}: {output:?}");
        assert!(said(&output).is_none(), "{task}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("went on"), "{task}");
    }
}
