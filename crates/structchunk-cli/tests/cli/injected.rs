//! Each system call of a command that concerns its store fails once, by `strace` on the real program: an error that says so or a correct retry,
//! no panic, no signal, and all that was there before is there afterwards. Where there is no `strace`, the test says loudly that it is skipped.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use structchunk::Store;

use crate::stores::{Particle, open, particle};

const CALLS: &str = "openat,ftruncate,fallocate,mmap,msync,fdatasync,fsync,write,pwrite64,rename,renameat,renameat2,unlink,unlinkat,mkdir,\
     mkdirat,statfs,fstatfs,fcntl";
const ERRORS: [&str; 4] = ["ENOSPC", "EIO", "ENOMEM", "EINTR"];
const OBJECTS: u32 = 800;

/// A store of which much was superseded.
fn prepare(store: &Path) {
    let store = open(Store::options().create(true).chunk_capacity(256 << 10), store);
    for id in (0..OBJECTS).chain(0..OBJECTS - 10).chain(0..OBJECTS) {
        store.put(format!("p/{id:04}"), &particle(id)).unwrap();
    }
    store.close().unwrap();
}

fn strace(options: &[&str], arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_structchunk");
    Command::new("strace")
        .args(options)
        .args(["--", program])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The calls of a command that name the store or a file in it: the call, and its number among those of its name.
fn calls(place: &Path, arguments: &[&str]) -> Vec<(String, usize)> {
    let log = place.join("log");
    let trace = format!("trace={CALLS}");
    let output = strace(&["-y", "-o", log.to_str().unwrap(), "-e", &trace], arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut counts, mut found) = (HashMap::new(), Vec::new());
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        let count: &mut usize = counts.entry(name.to_owned()).or_default();
        *count += 1;
        if rest.contains(place.to_str().unwrap()) {
            found.push((name.to_owned(), *count));
        }
    }
    found
}

/// What must be so after a command, whether it said that it had succeeded or not.
type Check = fn(&Path, bool);

fn holds(path: &Path, from: u32) {
    let store = open(Store::options(), path);
    for id in from..OBJECTS {
        let found: Particle = store.load(format!("p/{id:04}")).unwrap().expect("an object");
        assert_eq!(found.id, id);
    }
    assert_eq!(store.check_deep().unwrap().count(), 0);
}

fn removed(place: &Path, succeeded: bool) {
    let path = place.join("store");
    holds(&path, 2);
    let store = open(Store::options(), &path);
    assert!(!succeeded || !store.contains("p/0000").unwrap() && !store.contains("p/0001").unwrap());
}

fn whole(place: &Path, _: bool) {
    holds(&place.join("store"), 0);
}

fn copied(place: &Path, succeeded: bool) {
    holds(&place.join("store"), 0);
    let copy = place.join("copy");
    if succeeded {
        holds(&copy, 0);
    } else {
        assert!(!copy.join("STORE").exists(), "what was refused is no store");
    }
}

fn every_call_may_fail(command: &str, more: &[&str], check: Check) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: failing calls of `{command}`: there is no strace here");
        return;
    }
    let run = |options: Option<(&str, usize, &str)>| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        prepare(&path);
        let more: Vec<_> =
            more.iter().map(|it| it.replace("PLACE", folder.path().to_str().unwrap())).collect();
        let more = more.iter().map(String::as_str);
        let arguments: Vec<_> = [command, path.to_str().unwrap()].into_iter().chain(more).collect();
        let Some((call, number, error)) = options else { return calls(folder.path(), &arguments) };
        let what = format!("{command}: {call} {number}: {error}");
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:error={error}:when={number}");
        let log = folder.path().join("log");
        let traced = ["-y", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject];
        let output = strace(&traced, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code().unwrap_or_else(|| panic!("{what}: {}: {said}", output.status));
        assert!([0, 1, 2].contains(&code) && !said.contains("panicked"), "{what}: {code}: {said}");
        let log = std::fs::read_to_string(log).unwrap();
        let injected = log.lines().find(|line| line.contains("(INJECTED)"));
        let injected = injected.unwrap_or_else(|| panic!("{what}: nothing was injected"));
        assert!(error != "EINTR" || code == 0, "{what} means once more: {said}");
        // The index is derived; everything else that cannot be made durable has to be said.
        let is_sync = ["fdatasync", "fsync"].contains(&call) && !injected.contains("/index");
        assert!(error == "EINTR" || !is_sync || code != 0, "{what}: passed over in silence: {injected}");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(code == 0 || said.starts_with("structchunk: "), "{what}: {said} {printed}");
        check(folder.path(), code == 0);
        Vec::new()
    };
    let calls = run(None);
    assert!(calls.len() > 30 && calls.iter().any(|(name, _)| name == "fdatasync"), "{calls:?}");
    for (index, (call, number)) in calls.iter().enumerate() {
        for turn in 0..if all() { ERRORS.len() } else { 1 } {
            run(Some((call, *number, ERRORS[(index + turn) % ERRORS.len()])));
        }
    }
}

/// Usually each call fails in one of the ways, in turn; with a larger scale in all of them.
fn all() -> bool {
    std::env::var("STRUCTCHUNK_TEST_SCALE").is_ok_and(|scale| scale != "1")
}

#[test]
fn every_call_of_rm_may_fail() {
    every_call_may_fail("rm", &["p/0000", "p/0001"], removed);
}

#[test]
fn every_call_of_compact_may_fail() {
    every_call_may_fail("compact", &["--fill", "1"], whole);
}

#[test]
fn every_call_of_rebuild_may_fail() {
    every_call_may_fail("rebuild", &[], whole);
}

#[test]
fn every_call_of_copy_may_fail() {
    every_call_may_fail("copy", &["PLACE/copy"], copied);
}
