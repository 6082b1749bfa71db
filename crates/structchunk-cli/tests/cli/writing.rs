//! `rm` and `rebuild`.

use std::fs;

use crate::stores::Sample;

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
    assert_eq!(report["rebuilt_views"], true);
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
