//! Copies of a store that another program is writing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::stores::run;

/// A demo that fills a store, in a process of its own.
struct Demo(Child);

impl Demo {
    fn begin(store: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_structchunk"))
            .args(["demo", "/usr/lib", "--limit", "40000", "--store", store.to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn goes_on(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The copy checks clean, and has of each file the symbols that were put until then: all before the last one. How many it has.
fn look_at(copy: &Path) -> u64 {
    let copy = copy.to_str().unwrap();
    assert!(run(["check", "--deep", copy]).succeeds().out.contains("no findings"));
    let listed = run(["ls", copy, "--json"]).succeeds().out;
    let mut numbers: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in listed.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        // (Names need not be UTF-8.) File NUL symbol NUL number.
        let key = entry["key_hex"].as_str().unwrap();
        let bytes: Vec<_> = (0..key.len()).step_by(2).map(|at| &key[at..at + 2]).collect();
        let parts: Vec<_> = bytes.split(|byte| *byte == "00").collect();
        let [file, _, number] = parts[..] else { panic!("{line}") };
        // Digits are 30 to 39.
        let number: String = number.iter().map(|digit| &digit[1..]).collect();
        let file = file.concat();
        let (count, last) = numbers.entry(file).or_default();
        *count += 1;
        *last = (*last).max(number.parse().unwrap());
    }
    for (file, (count, last)) in &numbers {
        assert_eq!(*count, last + 1, "of {file} a symbol is missing before one that was put later");
    }
    numbers.values().map(|(count, _)| count).sum()
}

#[test]
fn copy_makes_whole_copies_of_a_store_that_a_demo_fills_empties_closes_and_opens() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut demo = Demo::begin(&store);
    let (mut copies, mut counts) = (0, Vec::new());
    while demo.goes_on() {
        if !store.join("STORE").exists() {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        let copy = folder.path().join("copy");
        let report =
            run(["copy", store.to_str().unwrap(), copy.to_str().unwrap(), "--json"]).succeeds().json();
        copies += u32::from(demo.goes_on());
        assert_eq!(
            (report["findings"].as_array().unwrap().len(), report["torn"].as_array().unwrap().len()),
            (0, 0)
        );
        let objects = report["objects"].as_u64().unwrap();
        assert_eq!(look_at(&copy), objects);
        counts.push(objects);
        fs::remove_dir_all(copy).unwrap();
    }
    assert!(
        copies > 0 && counts.first() != counts.last(),
        "{copies} copies while it was at work: {counts:?}"
    );
}

#[test]
fn copy_of_a_store_whose_writer_was_killed_has_all_that_it_had_put() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut demo = Demo::begin(&store);
    // It has put something.
    while demo.goes_on() && !store.join("shared").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(100));
    drop(demo);
    let copy = folder.path().join("copy");
    let report = run(["copy", store.to_str().unwrap(), copy.to_str().unwrap(), "--json"]).succeeds().json();
    let objects = look_at(&copy);
    assert_eq!(report["objects"].as_u64(), Some(objects));
    assert!(objects > 0, "it was killed before it put anything");
    let recovered = run(["ls", store.to_str().unwrap()]).succeeds().out;
    assert_eq!(recovered.lines().count() as u64, objects);
}
