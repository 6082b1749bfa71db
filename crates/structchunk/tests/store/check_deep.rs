//! What a deep check finds: one damage each, made by hand, and exactly the finding that names it.

#[cfg(feature = "leveldb")]
mod index;

use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn a_chunk_that_cannot_be_opened_is_named_with_the_byte_that_is_wrong_in_it() {
    let folder = folder();
    let store = open_with(options(), folder.path()).unwrap();
    for number in 0..=CHUNK_BYTES / 4096 {
        store.put(number.to_be_bytes(), &[number; 512]).unwrap();
    }
    store.close().unwrap();
    let chunk = folder.path().join("chunks/00000000.chunk");
    fs::File::options().write(true).open(&chunk).unwrap().set_len(10_000).unwrap();
    let store = open_with(options().create(false).read_only(true), folder.path()).unwrap();
    let first = found(&store, false).remove(0);
    assert_eq!((first.path, first.offset), (chunk, 10_000));
    assert_eq!(first.what, format!("the file has 10000 bytes instead of {CHUNK_BYTES}"));
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
    what_waits_is_no_finding(false);
}

#[test]
fn what_waits_while_compaction_drops_the_record_that_named_it_is_no_finding() {
    what_waits_is_no_finding(true);
}

/// `on_the_side`: compaction goes before each sync, which leaves it to later ones to give back.
fn what_waits_is_no_finding(on_the_side: bool) {
    let folder = folder();
    let store = open_with(options().auto_compact(on_the_side), folder.path()).unwrap();
    for n in 0..40_u64 {
        store.put((n % 3).to_string(), &[n; 2500]).unwrap();
        store.put("body", &[n; 5000]).unwrap();
        if n % 5 == 0 {
            store.sync().unwrap();
            if !on_the_side {
                store.compact().unwrap();
            }
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
