//! What a deep check finds: one damage each, made by hand, and exactly the finding that names it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use structchunk::{Finding, Object, Store};
use tempfile::TempDir;

use crate::common::*;
use crate::craft::{self, ARRAY, EXTERN, Log, OBJECT, Record, TOMBSTONE, TYPE, edit_sector};

/// The numbers that the types have in [`base`].
const U64: u32 = 1;
const ALIGNED: u32 = 2;
const BODY: &str = "chunks/0000000000000000.body";

#[derive(Object, Clone, Copy)]
#[repr(C, align(64))]
struct Aligned {
    words: [u64; 8],
}

/// A closed store of a number, an aligned object and a body, without an index; the log goes on behind them.
fn base() -> TempDir {
    let folder = folder();
    let store = open_with(options().index(false), folder.path()).unwrap();
    store.put("k", &7_u64).unwrap();
    store.put("aligned", &Aligned { words: [1; 8] }).unwrap();
    store.put("body", &[7_u64; 5000]).unwrap();
    store.close().unwrap();
    folder
}

fn found(store: &Store, deep: bool) -> Vec<Finding> {
    (if deep { store.check_deep() } else { store.check() }).expect("a check").collect()
}

/// The one finding of a deep check, which a plain one does not have: file and text.
fn finding(path: &Path) -> (PathBuf, u64, String) {
    let store = open_with(options().index(false).create(false).read_only(true), path).unwrap();
    assert_eq!(found(&store, false), []);
    let [finding] = &found(&store, true)[..] else { panic!("{:#?}", found(&store, true)) };
    (finding.path.strip_prefix(path).unwrap().to_owned(), finding.offset, finding.what.clone())
}

/// The one finding with records behind those of [`base`]; it is where the one of this number is.
fn finding_with(records: &[Record], at: usize) -> String {
    let folder = base();
    let mut log = Log::of(folder.path());
    let places: Vec<_> = records.iter().map(|record| log.append(record)).collect();
    log.write();
    let (path, offset, what) = finding(folder.path());
    assert_eq!((path, offset), ("chunks/00000000.chunk".into(), places[at] as u64), "{what}");
    what
}

fn array(key: &[u8], elements: u64, shape: &[u64]) -> Record {
    let mut record = Record::new(OBJECT, key, U64, &vec![1; elements as usize * 8]);
    record.flags = ARRAY;
    for (index, &length) in shape.iter().enumerate() {
        record.extension.extend([1, 0, index as u8, 0, 0, 0, 0, 0]);
        record.extension.extend(length.to_le_bytes());
    }
    record
}

#[test]
fn a_store_that_is_well_has_no_findings() {
    let folder = base();
    let mut log = Log::of(folder.path());
    log.append(&array(b"a", 6, &[2, 3]));
    log.write();
    let store = open(folder.path());
    let records = store.check_deep().unwrap().records();
    assert_eq!((found(&store, true), records, store.len()), (vec![], 6, 4));
    assert_eq!(found(&Store::in_memory().unwrap(), true), []);
}

#[test]
fn a_shape_that_is_not_that_of_the_array_is_found() {
    for shape in [&[2, 2][..], &[7], &[], &[6, 0], &[1 << 63, 2, 6]] {
        let what = finding_with(&[array(b"a", 6, shape)], 0);
        assert_eq!(what, format!("the array has 6 elements, its shape is {shape:?}"));
    }
}

#[test]
fn a_value_with_the_length_of_several_is_found() {
    let record = Record::new(OBJECT, b"v", U64, &[1; 16]);
    let what = finding_with(&[record], 0);
    assert_eq!(what, "the object is no array, and has the length of 2 of its type");
}

#[test]
fn an_object_that_is_not_aligned_as_its_type_is_found() {
    // One of two, 16 bytes apart, is not.
    let record = |key: &[u8]| Record::new(OBJECT, key, ALIGNED, &[1; 64]);
    let folder = base();
    let mut log = Log::of(folder.path());
    while !(log.head + 48).is_multiple_of(64) {
        log.append(&Record::new(TOMBSTONE, b"t", 0, &[]));
    }
    log.append(&record(b"first"));
    let wrong = log.append(&record(&[b'l'; 40]));
    log.write();
    let (_, offset, what) = finding(folder.path());
    assert_eq!((offset, &*what), (wrong as u64, "the object is not aligned as its type: to 64 bytes"));
}

#[test]
fn a_type_that_is_another_one_than_before_is_found() {
    let folder = base();
    let log = Log::of(folder.path());
    let types: Vec<_> =
        craft::walk(&log.bytes, log.head).into_iter().filter(|place| place.kind == TYPE).collect();
    let other = log.bytes[types[1].payload.clone()].to_vec();
    let record = Record::new(TYPE, &U64.to_le_bytes(), U64, &other);
    // (An object of it behind is right: the first description is the one that counts.)
    assert_eq!(finding_with(&[record], 0), "type 1 is another one here than before");
}

#[test]
fn a_chunk_that_cannot_be_decoded_on_its_own_is_found() {
    let folder = base();
    let log = Log::of(folder.path());
    let place = craft::walk(&log.bytes, log.head).into_iter().find(|place| place.kind == TYPE).unwrap();
    let description = log.bytes[place.payload].to_vec();
    let records = [
        Record::new(OBJECT, b"early", 9, &7_u64.to_le_bytes()),
        Record::new(OBJECT, b"early too", 9, &7_u64.to_le_bytes()),
        Record::new(TYPE, &9_u32.to_le_bytes(), 9, &description),
    ];
    assert_eq!(finding_with(&records, 0), "the chunk has no record of type 9 before its objects");
}

#[test]
fn a_superseded_pointer_with_a_wrong_checksum_is_found() {
    let mut record = Record::new(EXTERN, b"e", U64, &[0_u64.to_le_bytes(), 8_u64.to_le_bytes()].concat());
    record.version_word = 4 | 5 << 32;
    let what = finding_with(&[record, Record::new(TOMBSTONE, b"e", 0, &[])], 0);
    assert!(what.ends_with("the pointer to a body is damaged (it is superseded)"), "{what}");
}

#[test]
fn a_body_that_no_record_names_is_found() {
    let folder = base();
    let orphan = "chunks/0000000000000007.body";
    fs::copy(folder.path().join(BODY), folder.path().join(orphan)).unwrap();
    assert_eq!(finding(folder.path()), (orphan.into(), 0, "no record names this body".into()));
}

#[test]
fn a_chunk_that_the_log_does_not_have_is_found() {
    let folder = base();
    let stray = "chunks/00000007.chunk";
    fs::copy(folder.path().join("chunks/00000000.chunk"), folder.path().join(stray)).unwrap();
    assert_eq!(finding(folder.path()), (stray.into(), 0, "the log does not have this chunk".into()));
}

#[test]
fn a_seal_that_does_not_say_what_lies_in_its_chunk_is_found() {
    let folder = folder();
    let store = open_with(options().index(false), folder.path()).unwrap();
    for n in 0..20_u64 {
        store.put(n.to_string(), &[n; 2500]).unwrap();
    }
    store.close().unwrap();
    let chunk = "chunks/00000000.chunk";
    edit_sector(&folder.path().join(chunk), 512, "seal", |seal| seal.set_u64(24, seal.u64(24) + 1));
    let (path, offset, what) = finding(folder.path());
    assert_eq!((path, offset), (chunk.into(), 512));
    assert!(what.starts_with("the seal has the sequences "), "{what}");
}

#[test]
fn what_waits_to_be_given_back_is_no_finding() {
    let folder = folder();
    let store = open(folder.path());
    for n in 0..40_u64 {
        store.put((n % 3).to_string(), &[n; 2500]).unwrap();
        store.put("body", &[n; 5000]).unwrap();
        if n % 5 == 0 {
            store.sync().unwrap();
            store.compact().unwrap();
        }
        assert_eq!(found(&store, true), [], "{n}");
    }
    // As if the process died: what recovery will remove is none either.
    let copy = folder.path().join("copy");
    let place = crate::common::folder();
    copy_folder(folder.path(), &place.path().join("s"));
    drop(store);
    fs::rename(place.path().join("s"), &copy).unwrap();
    for read_only in [true, false] {
        let store = open_with(options().create(false).read_only(read_only), &copy).unwrap();
        assert_eq!(found(&store, true), [], "{read_only}");
    }
}

/// Findings about the index.
#[cfg(feature = "leveldb")]
mod index {
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
            .map(|path| {
                (path.clone(), (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap()))
            })
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
    fn a_key_that_leads_elsewhere_is_found() {
        let folder = indexed();
        rewrite(
            folder.path(),
            &[number(b"two", 2), number(b"one", 1), Record::new(TOMBSTONE, b"key 07", 0, &[])],
        );
        assert_eq!(
            findings(folder.path()),
            ["it leads elsewhere for \"one\"", "it leads elsewhere for \"two\""]
        );
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
}
