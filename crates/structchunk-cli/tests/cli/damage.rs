//! Damaged and missing stores: one clear line, the right exit code, and what can still be read.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use structchunk::Store;

use crate::stores::{Sample, open, run};

const READING: [&[&str]; 6] = [&["info"], &["ls"], &["get", "k"], &["types"], &["stats"], &["check"]];

fn overwrite(sample: &Sample, file: &str, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(sample.path().join(file)).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

/// Where the record of a key is in the only chunk.
fn find(sample: &Sample, key: &[u8]) -> u64 {
    let bytes = fs::read(sample.path().join("chunks/00000000.chunk")).unwrap();
    bytes.windows(key.len()).position(|window| window == key).unwrap() as u64 - 32
}

#[test]
fn what_is_no_store_is_said_so_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let missing = folder.path().join("missing");
    let others: [&[&str]; 3] = [&["rm", "k"], &["compact"], &["rebuild"]];
    for command in READING.iter().chain(&others) {
        let on =
            |path: &std::path::Path| run([&command[..1], &[path.to_str().unwrap()], &command[1..]].concat());
        on(&missing).fails(2, "missing is not a store: it does not exist");
        on(&file).fails(2, "file is not a store: it is not a directory");
        on(folder.path()).fails(2, "is not a store: it has no ");
        assert!(!missing.exists(), "nothing was made");
    }
}

#[test]
fn a_damaged_store_file_is_one_line_with_file_and_byte() {
    let sample = Sample::new();
    overwrite(&sample, "STORE", 0, &[0xff; 512]);
    for command in READING {
        let ran = sample.run(command[0], &command[1..]);
        ran.fails(2, "STORE, byte 0: ");
    }
    fs::write(sample.path().join("STORE"), "").unwrap();
    for command in READING {
        sample.run(command[0], &command[1..]).fails(2, "STORE");
    }
}

#[test]
fn check_names_damage_and_exits_with_one() {
    let sample = Sample::new();
    let at = find(&sample, b"p/20");
    overwrite(&sample, "chunks/00000000.chunk", at, &[0xff; 8]);
    let text = sample.run("check", &[]);
    assert_eq!(text.code, 1, "{}", text.err);
    assert!(text.out.contains(&format!("00000000.chunk, byte {at}: ")), "{}", text.out);
    let json = sample.run("check", &["--json"]);
    assert_eq!(json.code, 1);
    let finding = &json.json()["findings"][0];
    assert_eq!(finding["offset"], at);
    assert!(finding["path"].as_str().unwrap().ends_with("00000000.chunk"));
    assert!(finding["what"].as_str().unwrap().contains("no record"));
}

#[test]
fn a_deep_check_finds_what_a_plain_one_does_not() {
    let sample = Sample::new();
    assert!(sample.run("check", &["--deep"]).succeeds().out.ends_with("no findings\n"));
    assert_eq!(sample.run("info", &["--json"]).json()["opened"]["damaged"], false);
    let orphan = sample.path().join("chunks/00000000000000ff.body");
    fs::write(&orphan, "x").unwrap();
    sample.run("check", &[]).succeeds();
    let deep = sample.run("check", &["--deep", "--json"]);
    assert_eq!(deep.code, 1, "{}", deep.err);
    let findings = &deep.json()["findings"];
    assert_eq!(findings.as_array().unwrap().len(), 1);
    assert_eq!(findings[0]["path"], orphan.to_str().unwrap());
    assert!(sample.run("check", &["--deep"]).out.contains("no record names this body"));
}

#[test]
fn what_lies_before_and_behind_damage_is_still_shown() {
    let sample = Sample::new();
    overwrite(&sample, "chunks/00000000.chunk", find(&sample, b"p/20"), &[0xff; 8]);
    let ls = sample.run("ls", &[]);
    assert_eq!(ls.code, 2);
    assert!(
        ["p/19", "p/21"].iter().all(|key| ls.out.contains(key)) && !ls.out.contains("p/20"),
        "{}",
        ls.out
    );
    assert_eq!(ls.err.lines().count(), 1, "{}", ls.err);
    let info = sample.run("info", &["--json"]);
    assert_eq!((info.code, &info.json()["objects"]), (2, &44.into()));
    assert!(sample.run("get", &["p/21"]).succeeds().out.contains("id: 21"), "point look-ups go on");
}

#[test]
fn names_of_files_command_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("a\x1b[2J\nb");
    let ran = run(["info", odd.to_str().unwrap()]);
    ran.fails(2, r"a\x1b[2J\x0ab is not a store");
}

#[test]
fn rebuild_names_what_it_cannot_read_and_exits_with_one() {
    let sample = Sample::new();
    let at = find(&sample, b"p/20");
    overwrite(&sample, "chunks/00000000.chunk", at, &[0xff; 8]);
    fs::remove_file(sample.path().join("STORE")).unwrap();
    let ran = sample.run("rebuild", &["--json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let report = ran.json();
    assert_eq!((&report["objects"], &report["made_store"]), (&43.into(), &true.into()));
    let finding = &report["findings"][0];
    assert_eq!((&finding["offset"], &finding["bytes"]), (&at.into(), &80.into()));
    // Again, as text: the stretch stays where it is.
    let ran = sample.run("rebuild", &[]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let line = format!("00000000.chunk, byte {at}: 80 bytes that are no record");
    assert!(ran.out.contains(&line) && ran.out.contains("43 objects, 1 finding"), "{}", ran.out);
    let ls = sample.run("ls", &[]);
    assert!(!ls.out.contains("p/20"), "{}", ls.out);
    assert!(sample.run("get", &["p/21"]).succeeds().out.contains("id: 21"));
}

#[test]
fn info_and_check_tell_what_was_found_given_up_and_torn() {
    let sample = Sample::new();
    let store = open(Store::options(), &sample.path());
    store.put("wide\n", &[7_u64; 100][..]).unwrap();
    std::mem::forget(store.get_mut::<[u64]>("wide\n").unwrap());
    drop(store);
    overwrite(&sample, "chunks/00000000.chunk", find(&sample, b"p/20"), &[0xff; 8]);
    let (info, check) = (sample.run("info", &[]).out, sample.run("check", &[]).err);
    for text in [&info, &check] {
        for part in [
            "found: the writing process died (boot id, STORE and session are those of the last writer); ",
            "records accepted",
            "directory and live map were made anew",
            "given up: ",
            "00000000.chunk: bytes",
            r#"torn: "wide\x0a" was being changed"#,
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    for command in ["info", "check"] {
        let opened = &sample.run(command, &["--json"]).json()["opened"];
        assert_eq!(opened["found"], "the writing process died");
        assert_eq!(
            (opened["dropped"].as_array().unwrap().len(), opened["torn"].as_array().unwrap().len()),
            (1, 1)
        );
        assert_eq!((&opened["rebuilt_views"], &opened["damaged"]), (&true.into(), &true.into()));
        assert!(opened["accepted_records"].as_u64().unwrap() > 40);
    }
}

#[test]
fn a_file_that_is_cut_under_a_command_is_named_before_it_dies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.store");
    let store = open(Store::options().create(true), &path);
    for number in 0..5000 {
        store.put(format!("{number:0200}"), &number).unwrap();
    }
    store.close().unwrap();
    let chunk = path.join("chunks/00000000.chunk");
    let mut child = Command::new(env!("CARGO_BIN_EXE_structchunk"))
        .args(["ls", "--long", path.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    // It waits for us to read on.
    OpenOptions::new().write(true).open(&chunk).unwrap().set_len(4096).unwrap();
    output.read_to_end(&mut Vec::new()).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGBUS), "{said}");
    let named = format!("structchunk: {}, byte ", chunk.display());
    assert!(said.starts_with(&named) && said.contains("was truncated by somebody else"), "{said}");
}
