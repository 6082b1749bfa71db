//! `rm`, `compact` and `rebuild`.

use std::fs;

use structchunk::Store;

use crate::stores::{Particle, Sample, open, particle, run};

#[test]
fn rm_removes_objects_for_good() {
    let sample = Sample::new();
    sample.run("rm", &["p/00", "p/01"]).succeeds();
    sample.run("get", &["p/00"]).fails(1, "no object p/00");
    assert_eq!(sample.run("info", &["--json"]).succeeds().json()["objects"], 42);
    sample.run("check", &[]).succeeds();
}

#[test]
fn rm_names_what_is_not_there_and_removes_the_rest() {
    let sample = Sample::new();
    sample.run("rm", &["p/00", "missing", "p/01"]).fails(1, "no object missing");
    assert_eq!(sample.run("info", &["--json"]).succeeds().json()["objects"], 42);
}

#[test]
fn rm_of_a_sparse_array_gives_its_file_back() {
    let sample = Sample::new();
    sample.run("rm", &["grid"]).succeeds();
    // The space comes back at the sync after the next.
    sample.run("rm", &["p/00"]).succeeds();
    sample.run("rm", &["p/01"]).succeeds();
    assert_eq!(sample.run("info", &["--json"]).succeeds().json()["bodies"], 0);
}

#[test]
fn rebuild_makes_lost_views_anew() {
    let sample = Sample::new();
    let keys = sample.run("ls", &[]).succeeds().out;
    for view in ["directory", "live"] {
        fs::remove_file(sample.path().join(view)).unwrap();
    }
    assert!(sample.run("rebuild", &[]).succeeds().out.starts_with("rebuilt from 48 records"));
    assert_eq!(sample.run("ls", &[]).succeeds().out, keys);
    sample.run("check", &[]).succeeds();
    let report = sample.run("rebuild", &["--json"]).succeeds().json();
    assert_eq!((&report["opened"]["rebuilt_views"], &report["made_store"]), (&true.into(), &false.into()));
}

#[test]
fn rebuild_makes_a_lost_store_file_anew() {
    let sample = Sample::new();
    let keys = sample.run("ls", &[]).succeeds().out;
    fs::remove_file(sample.path().join("STORE")).unwrap();
    sample.run("info", &[]).fails(2, "it has no file STORE");
    assert!(sample.run("rebuild", &[]).succeeds().out.contains("STORE was made anew"));
    assert_eq!(sample.run("ls", &[]).succeeds().out, keys);
    assert!(sample.run("get", &["p/39"]).succeeds().out.contains("id: 39"));
}

/// A store of three chunks and a bit, of which a tenth is current.
fn thinned() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thin.store");
    let store = open(Store::options().create(true).chunk_capacity(1 << 18), &path);
    for id in 0..10_000 {
        store.put(format!("p/{id}"), &particle(id)).unwrap();
    }
    for id in (0..10_000).filter(|id| id % 10 != 0) {
        store.remove(format!("p/{id}")).unwrap();
    }
    store.close().unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn compact_gives_space_back_and_stats_show_it() {
    let (_folder, path) = thinned();
    let stats = || run(["stats", &path, "--json"]).succeeds().json();
    let before = stats();
    assert!(before["dead_bytes"].as_u64() > before["live_bytes"].as_u64(), "{before}");
    let report = run(["compact", &path, "--json"]).succeeds().json();
    assert_eq!(report["moved_objects"], 1000, "{report}");
    assert_eq!(
        report["dropped_chunks"].as_array().unwrap().len(),
        before["chunks"].as_array().unwrap().len()
    );
    assert!(report["dropped_tombstones"] == 9000 && report["left_chunks"].as_array().unwrap().is_empty());
    let after = stats();
    assert!(
        after["chunks"].as_array().unwrap().len() == 1 && after["dead_bytes"].as_u64() < Some(1000),
        "{after}"
    );
    assert!(after["bytes_allocated"].as_u64() < before["bytes_allocated"].as_u64());
    run(["check", &path]).succeeds();
    assert_eq!(run(["ls", &path]).succeeds().out.lines().count(), 1000);
    let store = open(Store::options().read_only(true), path.as_ref());
    assert_eq!(store.load::<Particle>("p/9990").unwrap().unwrap().id, 9990);
    assert_eq!(run(["compact", &path]).code, 2, "somebody reads it");
    drop(store);
    assert!(run(["compact", &path]).succeeds().out.starts_with("0 objects (0 bytes) moved, 0 chunks"));
}

#[test]
fn compact_names_the_chunks_that_have_to_stay() {
    let (_folder, path) = thinned();
    let chunk = std::path::Path::new(&path).join("chunks/00000000.chunk");
    let mut bytes = fs::read(&chunk).unwrap();
    let key = bytes.windows(4).position(|window| window == b"p/11").unwrap();
    bytes[key] ^= 1;
    fs::write(&chunk, bytes).unwrap();
    let ran = run(["compact", &path, "--fill", "0.8"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("moved"), "{}", ran.out);
    assert_eq!(ran.err, "structchunk: chunk 00000000 stays: something in it is damaged\n");
    let ran = run(["compact", &path, "--fill", "2"]);
    assert!(ran.code == 2 && ran.err.contains("a number from 0 to 1 is needed"), "{}", ran.err);
}

#[test]
fn copy_makes_a_store_that_holds_the_same_and_checks_clean() {
    let sample = Sample::new();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("copy");
    let report = sample.run("copy", &[place.to_str().unwrap(), "--json"]).succeeds().json();
    assert_eq!(report["objects"], 44);
    let on_copy = |command: &str| run([command, place.to_str().unwrap()]).succeeds().out;
    assert_eq!(on_copy("ls"), sample.run("ls", &[]).succeeds().out);
    assert!(on_copy("check").contains("no findings"));
    let info = run(["info", place.to_str().unwrap(), "--json"]).succeeds().json();
    assert_eq!(info["bodies"], 1);
    // Once more to the same place, into itself, of itself.
    let again = sample.run("copy", &[place.to_str().unwrap()]);
    again.fails(2, "copy exists already");
    let inside = sample.path().join("inside");
    sample
        .run("copy", &[inside.to_str().unwrap()])
        .fails(2, "inside: a copy of a store cannot lie inside of it");
    assert!(!inside.exists());
    let text = run(["copy", place.to_str().unwrap(), folder.path().join("second").to_str().unwrap()]);
    assert!(text.succeeds().out.starts_with("44 objects copied, "));
}

#[test]
fn copy_names_what_the_store_has_lost_and_exits_with_one() {
    let sample = Sample::new();
    fs::remove_file(sample.path().join("chunks/0000000000000000.body")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = sample.run("copy", &[folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("object \"grid\": ") || ran.out.contains("object grid: "), "{}", ran.out);
    assert!(ran.out.contains("44 objects copied"), "{}", ran.out);
}
