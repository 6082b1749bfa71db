//! Findings about the index, against logs that were made to say something else.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::*;

/// A closed store with an index; its last three records are an object, another one, and the end of a third.
fn indexed() -> TempDir {
    let folder = folder();
    let store = open(folder.path());
    for n in 0..50_u64 {
        store.put(format!("key {n:02}"), &n).unwrap();
    }
    store.put("one", &1_u64).unwrap();
    store.put("two", &2_u64).unwrap();
    store.remove("key 07").unwrap();
    store.sync_index().unwrap();
    store.close().unwrap();
    folder
}

/// Writes other records in place of the last ones.
fn rewrite(store: &Path, records: &[Record]) {
    let mut log = Log::of(store);
    let places = craft::walk(&log.bytes, log.head);
    log.head = places[places.len() - records.len()].at;
    log.sequence -= records.len() as u64;
    for record in records {
        log.append(record);
    }
    log.write();
}

fn findings(path: &Path) -> Vec<String> {
    let before = state(path);
    let store = open_with(options().create(false).read_only(true), path).unwrap();
    assert_eq!(found(&store, false), []);
    let findings = found(&store, true);
    let is_index = |finding: &Finding| finding.path == path.join("index");
    assert!(findings.iter().all(is_index), "{findings:?}");
    drop(store);
    assert_eq!(state(path), before, "nothing is written");
    findings.into_iter().map(|finding| finding.what).collect()
}

/// All files, with what is in them and when they were changed.
fn state(path: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = |folder: &str| fs::read_dir(path.join(folder)).unwrap().map(|file| file.unwrap().path());
    let files = ["", "index", "chunks"].into_iter().flat_map(files).filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap())))
        .collect()
}

fn number(key: &[u8], value: u64) -> Record {
    Record::new(OBJECT, key, U64, &value.to_le_bytes())
}

#[test]
fn an_index_that_is_right_or_behind_is_none() {
    let folder = indexed();
    assert_eq!(findings(folder.path()), [""; 0]);
    let mut log = Log::of(folder.path());
    log.append(&number(b"one", 5));
    log.append(&Record::new(TOMBSTONE, b"key 09", 0, &[]));
    log.append(&number(b"three", 5));
    log.write();
    assert_eq!(findings(folder.path()), [""; 0]);
    let store = open(folder.path());
    assert_eq!(found(&store, true), [], "by a writer");
    store.sync_index().unwrap();
    store.put("four", &1_u64).unwrap();
    assert_eq!(found(&store, true), [], "where it is open");
}

#[test]
fn an_index_behind_whose_end_records_are_missing_is_none() {
    let folder = indexed();
    let store = open_with(options().index(false), folder.path()).unwrap();
    store.remove("key 08").unwrap();
    while store.stats().unwrap().chunks.len() < 3 {
        store.put("filler", &[0_u8; 4096]).unwrap();
    }
    // Then nothing says any more that it was removed.
    assert!(store.compact().unwrap().dropped_tombstones > 0);
    store.close().unwrap();
    assert_eq!(findings(folder.path()), [""; 0]);
}

#[test]
fn a_key_that_leads_elsewhere_is_found() {
    let folder = indexed();
    rewrite(
        folder.path(),
        &[number(b"two", 2), number(b"one", 1), Record::new(TOMBSTONE, b"key 07", 0, &[])],
    );
    assert_eq!(findings(folder.path()), ["it leads elsewhere for \"one\"", "it leads elsewhere for \"two\""]);
}

#[test]
fn a_key_that_is_no_object_is_found() {
    let folder = indexed();
    rewrite(folder.path(), &[Record::new(TOMBSTONE, b"key 08", 0, &[])]);
    // The object that is not removed now is missing, too.
    assert_eq!(
        findings(folder.path()),
        ["it has \"key 08\", which is no object", "it does not have \"key 07\""]
    );
}

#[test]
fn a_key_that_is_missing_is_found() {
    let folder = indexed();
    rewrite(folder.path(), &[number(b"key 07", 1)]);
    assert_eq!(findings(folder.path()), ["it does not have \"key 07\""]);
}

#[test]
fn the_index_of_another_store_is_found() {
    let (folder, other) = (indexed(), indexed());
    fs::remove_dir_all(folder.path().join("index")).unwrap();
    copy_folder(&other.path().join("index"), &folder.path().join("index"));
    assert_eq!(findings(folder.path()), ["it belongs to another store"]);
}

#[test]
fn a_damaged_table_of_the_index_is_found() {
    let folder = indexed();
    let files = fs::read_dir(folder.path().join("index")).unwrap().map(|file| file.unwrap().path());
    let table = files.filter(|path| path.extension().is_some_and(|end| end == "ldb")).min().unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[20] ^= 1;
    fs::write(&table, bytes).unwrap();
    let findings = findings(folder.path());
    assert!(findings.len() == 1 && findings[0].contains("Corruption: "), "{findings:?}");
}

#[test]
fn an_index_that_was_not_finished_is_none() {
    let folder = indexed();
    fs::remove_file(folder.path().join("index/CURRENT")).unwrap();
    assert_eq!(findings(folder.path()), [""; 0]);
}

#[test]
fn nothing_stays_of_the_copy_that_is_looked_at() {
    let folder = indexed();
    let place = crate::common::folder();
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "check_deep::index::a_key_that_is_missing_is_found"])
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    drop(folder);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
