//! The demo: its story, its JSON, what it leaves behind.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::stores::run;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the demo with a temporary folder of its own, and looks that nothing stays there.
fn demo(arguments: &[&str]) -> crate::stores::Ran {
    let folder = tempfile::tempdir().unwrap();
    let output =
        crate::stores::command().arg("demo").args(arguments).env("TMPDIR", folder.path()).output().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the temporary store is gone");
    crate::stores::Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_story_has_every_step_and_a_map() {
    let ran = demo(&["/bin/sh", "/bin/ls"]).succeeds();
    for part in [
        "store", "read", "put", "sync", "reopen", "scan", "find", "order", "change", "delete", "check",
        "map", "end",
    ] {
        assert!(ran.out.lines().any(|line| line.trim_start().starts_with(part)), "{part}: {}", ran.out);
    }
    for part in ["/s", "FUNC", "in place", "in one batch", "no findings", "apparent", "on disk", "░", "·"]
    {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(!ran.out.contains('\x1b'), "no colours where there is no terminal");
}

#[test]
fn the_document_has_the_same_facts() {
    let facts = demo(&["/bin/sh", "/bin/ls", "--json"]).succeeds().json();
    let symbols = facts["stored"]["symbols"].as_u64().unwrap();
    assert!(symbols > 100);
    assert_eq!((&facts["stored"]["files"], &facts["kept"]), (&json!(2), &json!(false)));
    assert_eq!(facts["scan"]["count"], symbols);
    let of_types: u64 =
        facts["types"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(of_types, symbols);
    let deleted = facts["deleted"]["batch"]["count"].as_u64().unwrap();
    let files = facts["files"].as_array().unwrap();
    assert_eq!(deleted, files.iter().map(|file| file["symbols"].as_u64().unwrap()).max().unwrap());
    assert_eq!(facts["objects"], symbols - deleted);
    assert_eq!(facts["check"]["findings"], json!([]));
    assert!(facts["bytes_apparent"].as_u64() > facts["bytes_allocated"].as_u64());
    assert!(facts["scan"]["per_second"].as_f64().unwrap() > 0.0);
    let map = facts["chunks"][0]["map"].as_str().unwrap();
    assert_eq!(map.chars().count(), 64);
    assert!(map.starts_with(['▒', '▓']) && map.ends_with('·'), "one file is left of two: {map}");
    assert!(facts["changed"]["key_hex"].is_string());
}

/// The C library that this very test runs with.
fn c_library() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    path.into_iter()
        .find(|path| path.contains("/libc.so") || path.contains("/libc-"))
        .expect("a C library")
        .to_owned()
}

#[test]
fn malloc_is_found_by_prefix_in_the_c_library() {
    let facts = demo(&["/bin/sh", &c_library(), "--json"]).succeeds().json();
    assert_eq!(facts["ordered"]["keys"]["count"], facts["scan"]["count"]);
    let prefix = &facts["ordered"]["prefix"];
    let names: Vec<_> =
        prefix["symbols"].as_array().unwrap().iter().map(|symbol| symbol["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"malloc") && names.iter().all(|name| name.starts_with("malloc")), "{names:?}");
    assert!(names.is_sorted());
    assert!(prefix["file"].as_str().unwrap().contains("/libc.so"));
    let story = demo(&[&c_library()]).succeeds().out;
    assert!(story.contains("malloc at 0x"), "{story}");
    assert!(demo(&["/bin/sh", "--json"]).succeeds().json()["ordered"]["prefix"].is_null());
}

#[test]
fn a_kept_store_can_be_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("symbols.store");
    let facts = demo(&["/bin/sh", "/bin/ls", "--store", text(&path), "--json"]).succeeds().json();
    let info = run(["info", text(&path), "--json"]).succeeds().json();
    assert_eq!((&info["objects"], &facts["kept"]), (&facts["objects"], &json!(true)));
    assert_eq!((&info["types"][0]["name"], &info["types"][0]["size"]), (&json!("Elf64_Sym"), &json!(24)));
    run(["check", text(&path)]).succeeds();
    let types = run(["types", text(&path), "--json"]).succeeds().json();
    let fields = types["types"][0]["fields"].as_array().unwrap().clone();
    let fields: Vec<_> =
        fields.iter().map(|field| (field["name"].clone(), field["offset"].clone())).collect();
    assert_eq!(fields[4], (json!("st_value"), json!(8)));
    let ls = run(["ls", text(&path), "--json"]).succeeds().out;
    let first: serde_json::Value = serde_json::from_str(ls.lines().next().unwrap()).unwrap();
    let parts: Vec<_> = first["key"].as_str().unwrap().split('\0').map(str::to_owned).collect();
    assert_eq!(parts.len(), 3, "file NUL name NUL number: {parts:?}");
    assert!(parts[0].starts_with('/') && parts[2].parse::<u64>().is_ok());
    let hex = first["key_hex"].as_str().unwrap();
    let object = run(["get", text(&path), "--hex", hex, "--json"]).succeeds().json();
    assert!(object["value"]["st_size"].is_u64());
}

#[test]
fn no_store_and_no_other_folder_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("symbols.store");
    fs::create_dir(&path).unwrap();
    demo(&["/bin/sh", "--store", text(&path)]).succeeds();
    let before = run(["ls", text(&path)]).succeeds().out;
    demo(&["/bin/sh", "--store", text(&path)]).fails(2, "symbols.store exists already");
    assert_eq!(run(["ls", text(&path)]).succeeds().out, before);
    fs::write(folder.path().join("note"), "x").unwrap();
    demo(&["/bin/sh", "--store", text(folder.path())]).fails(2, "exists already");
    demo(&["/bin/sh", "--store", text(&folder.path().join("note"))]).fails(2, "note");
}

#[test]
fn the_limit_is_kept_to_the_symbol() {
    let facts = demo(&["/bin/sh", "/bin/ls", "--limit", "30", "--json"]).succeeds().json();
    assert_eq!((&facts["stored"]["symbols"], &facts["stored"]["limited"]), (&json!(30), &json!(true)));
    assert_eq!(facts["scan"]["count"], 30);
}

#[test]
fn a_file_that_is_met_twice_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy("/bin/ls", folder.path().join("a")).unwrap();
    fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
    symlink("a", folder.path().join("c")).unwrap();
    symlink(folder.path(), folder.path().join("d")).unwrap();
    let facts = demo(&[text(folder.path()), text(&folder.path().join("a")), "--json"]).succeeds().json();
    assert_eq!(facts["stored"]["files"], 1);
}

#[test]
fn files_that_are_damaged_are_skipped_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read("/bin/ls").unwrap();
    fs::write(folder.path().join("good"), &good).unwrap();
    fs::write(folder.path().join("cut"), &good[..good.len() / 2]).unwrap();
    fs::write(folder.path().join("header"), &good[..40]).unwrap();
    fs::write(folder.path().join("text"), "no ELF file").unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    let facts = demo(&[text(folder.path()), "--json"]).succeeds().json();
    assert_eq!(facts["stored"]["files"], 1);
    let skipped: Vec<_> = facts["stored"]["skipped"].as_array().unwrap().clone();
    let skipped: Vec<_> = skipped.iter().map(|note| note.as_str().unwrap()).collect();
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert!(skipped[0].contains("/cut: ") && skipped[1].contains("/header: "), "{skipped:?}");
}

#[test]
fn a_section_that_claims_to_be_enormous_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read("/bin/ls").unwrap();
    let number = |at: usize, length: usize| {
        bytes[at..at + length].iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
    };
    let (sections, count) = (number(40, 8), number(60, 2));
    let string_tables: Vec<_> =
        (0..count).map(|index| sections + 64 * index).filter(|&at| number(at + 4, 4) == 3).collect();
    for at in string_tables {
        bytes[at + 32..at + 40].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    }
    fs::write(folder.path().join("enormous"), bytes).unwrap();
    demo(&[text(folder.path()), "--json"]).fails(1, "enormous: a section lies outside of the file");
}

#[test]
fn nothing_to_store_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let ran = demo(&[text(folder.path()), "--json"]);
    ran.fails(1, "no symbols found");
    demo(&[text(&folder.path().join("missing"))]).fails(2, "cannot read");
}

#[test]
fn flipped_bytes_of_a_file_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read("/bin/ls").unwrap();
    let sections = u64::from_le_bytes(good[40..48].try_into().unwrap()) as usize;
    for (number, at) in (0..64).chain((sections..good.len()).step_by(7)).enumerate() {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        fs::write(folder.path().join(format!("{number}")), bad).unwrap();
    }
    let facts = demo(&[text(folder.path()), "--json", "--limit", "1000000"]).succeeds().json();
    assert!(facts["stored"]["files"].as_u64().unwrap() > 100);
}

#[test]
fn an_interrupted_demo_takes_its_store_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_structchunk"))
        .args(["demo", "/usr/lib", "--limit", "100000000"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.signal(), said.as_str()), (Some(2), "structchunk: interrupted\n"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the temporary store is gone");
}
