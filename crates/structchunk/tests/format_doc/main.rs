//! `FORMAT.md` against the code: the store in its hexdumps opens, and a reader written from it alone reads what the library
//! writes.
//!
//! `STRUCTCHUNK_WRITE_FORMAT_EXAMPLE=1 cargo test -p structchunk --test format_doc` makes the hexdumps anew.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

mod document;
mod reader;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use reader::{Record, number};
use structchunk::{Compaction, Found, Object, Space, Store};

#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}

const HOME: Point = Point { x: 1.5, y: -2.0 };
const PRIMES: [u16; 4] = [2, 3, 5, 7];
const SMALLEST_CHUNK: u64 = 256 << 10;

/// The store that the document shows.
fn make_example(folder: &Path) {
    let options = Store::options().create_new(true).chunk_capacity(SMALLEST_CHUNK);
    // SAFETY: nobody else knows the folder.
    let store = unsafe { options.open(folder).unwrap() };
    store.put("home", &HOME).unwrap();
    store.put("primes", &PRIMES[..]).unwrap();
    store.close().unwrap();
}

/// All files of a store, by their names in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().chain(fs::read_dir(folder.join("chunks")).unwrap()) {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

/// The files of the document's store; made anew first when that is asked for.
fn example() -> BTreeMap<String, Vec<u8>> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        if std::env::var_os("STRUCTCHUNK_WRITE_FORMAT_EXAMPLE").is_some() {
            let folder = tempfile::tempdir().unwrap();
            make_example(&folder.path().join("store"));
            let text = document::with_files(&document::text(), &files(&folder.path().join("store")));
            fs::write(document::path(), text).unwrap();
        }
        document::text()
    });
    document::files(&TEXT)
}

#[test]
fn the_store_in_the_document_opens_and_has_its_two_objects() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("chunks")).unwrap();
    for (name, bytes) in example() {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    // SAFETY: nobody else knows the folder.
    let store = unsafe { Store::options().open(folder.path()).unwrap() };
    assert_eq!(store.recovery().found, Found::ViewsLost, "the derived files are not in the document");
    assert_eq!(store.len(), 2);
    assert_eq!(store.load("home").unwrap(), Some(HOME));
    assert_eq!(*store.get::<[u16]>("primes").unwrap().unwrap(), PRIMES);
    assert_eq!(store.check().unwrap().next(), None);
    store.close().unwrap();
}

#[test]
fn every_record_of_the_store_in_the_document_is_explained_there() {
    let store = reader::Store::new(example());
    assert!(store.is_clean);
    let records = store.records();
    assert_eq!(records.iter().map(|record| record.kind).collect::<Vec<_>>(), [4, 1, 4, 1]);
    let text = document::text();
    for record in records {
        let row = format!("| `{:#06x}` |", record.offset);
        assert!(text.contains(&row), "{row}");
    }
    let fingerprint = Point::FINGERPRINT.to_string();
    assert!(text.contains(&fingerprint), "{fingerprint}");
}

/// Fills a store with everything that has bytes of its own, and tells what it holds.
fn fill(store: &Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut expected = BTreeMap::new();
    let bytes = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    for index in 0..6000_u64 {
        let key = format!("key {}", index % 5000);
        store.put(&key, &[index, !index]).unwrap();
        expected.insert(key.into_bytes(), bytes(&[index, !index]));
    }
    for index in (0..5000).step_by(7) {
        let key = format!("key {index}");
        assert!(store.remove(&key).unwrap());
        expected.remove(key.as_bytes());
    }
    let mut batch = store.batch();
    batch.put("key 1", &7_u64).unwrap();
    batch.put("of the batch", &8_u64).unwrap();
    batch.remove("key 2").unwrap();
    batch.commit().unwrap();
    expected.insert(b"key 1".to_vec(), bytes(&[7]));
    expected.insert(b"of the batch".to_vec(), bytes(&[8]));
    expected.remove(&b"key 2"[..]);
    assert!(store.update("key 1", |value: &mut u64| *value = 9).unwrap());
    expected.insert(b"key 1".to_vec(), bytes(&[9]));
    let large: Vec<u64> = (0..5000).collect();
    store.put("large", &large[..]).unwrap();
    expected.insert(b"large".to_vec(), bytes(&large));
    let mut sparse = store.loan_array::<u64>("sparse", &[2, 3], Space::Sparse).unwrap();
    sparse[5] = 1;
    sparse.publish().unwrap();
    expected.insert(b"sparse".to_vec(), bytes(&[0, 0, 0, 0, 0, 1]));
    assert!(store.seal("key 3").unwrap() && store.seal("large").unwrap());
    expected
}

#[test]
fn a_reader_written_from_the_document_reads_what_the_library_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // SAFETY: nobody else knows the folder.
    let store =
        unsafe { Store::options().create_new(true).chunk_capacity(SMALLEST_CHUNK).open(&path).unwrap() };
    let expected = fill(&store);
    store.close().unwrap();

    let store = reader::Store::new(files(&path));
    assert!(store.is_clean);
    let current = store.current();
    let objects: BTreeMap<_, _> =
        current.iter().map(|(key, record)| (key.clone(), store.object(record))).collect();
    assert!(objects == expected, "{} objects, {} expected", objects.len(), expected.len());
    assert_eq!(current[&b"sparse"[..]].shape(), [2, 3]);
    assert_eq!(current[&b"key 3"[..]].shape(), [2]);
    assert_eq!(current[&b"key 1"[..]].shape(), [0; 0]);
    assert_eq!(current[&b"key 1"[..]].version, 4, "changed once in place");
    assert!([&b"key 3"[..], b"large"].iter().all(|key| current[*key].version == 0x8000_0002), "sealed");

    let records = store.records();
    let batch: Vec<&Record> = records.iter().filter(|record| record.flags & 1 == 1).collect();
    let (last, before) = batch.split_last().unwrap();
    assert!(
        before.iter().all(|record| record.flags & 2 == 2) && last.flags & 2 == 0,
        "the batch has one end"
    );
    let previous = |record: &Record| record.extension.iter().find(|(tag, ..)| *tag == 2).map(|(.., at)| *at);
    let records: BTreeMap<u64, Record> =
        records.iter().map(|record| (record.location, record.clone())).collect();
    for record in batch.iter().filter(|record| record.kind != 4) {
        let previous = previous(record).unwrap();
        match &record.key[..] {
            b"of the batch" => assert_eq!(previous, 0),
            key => assert_eq!(records[&previous].key, key),
        }
    }

    assert_eq!(store.objects(), expected.len() as u64);
    for (key, record) in &current {
        assert_eq!(store.look_up(key, &records), Some(record.location), "{}", String::from_utf8_lossy(key));
    }
    for absent in ["key 0", "key 2", "never"] {
        assert_eq!(store.look_up(absent.as_bytes(), &records), None, "{absent}");
    }
    let number_of_type = current[&b"sparse"[..]].type_number as u32;
    let found = store.look_up_type(number_of_type, &records).unwrap();
    let newest =
        records.values().rfind(|record| record.kind == 4 && record.type_number == u64::from(number_of_type));
    assert_eq!(Some(found), newest.map(|record| record.location));
    assert_eq!(store.live(&records), current.values().map(|record| record.location).collect());
}

#[test]
fn what_a_compaction_leaves_is_read_by_that_reader_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // SAFETY: nobody else knows the folder.
    let store =
        unsafe { Store::options().create_new(true).chunk_capacity(SMALLEST_CHUNK).open(&path).unwrap() };
    let expected = fill(&store);
    let report = store.compact_with(Compaction::new().fill_ratio(1.0)).unwrap();
    assert!(report.dropped_chunks.len() > 1, "{report:?}");
    store.close().unwrap();

    let store = reader::Store::new(files(&path));
    let (current, records) = (store.current(), store.records());
    let objects: BTreeMap<_, _> =
        current.iter().map(|(key, record)| (key.clone(), store.object(record))).collect();
    assert!(objects == expected, "{} objects, {} expected", objects.len(), expected.len());
    assert!(records.iter().all(|record| record.flags % 4 == 0), "no batch is moved as one");
    assert_eq!(current[&b"sparse"[..]].shape(), [2, 3]);
    let records: BTreeMap<u64, Record> =
        records.iter().map(|record| (record.location, record.clone())).collect();
    for (key, record) in &current {
        assert_eq!(store.look_up(key, &records), Some(record.location), "{}", String::from_utf8_lossy(key));
    }
    assert_eq!(store.live(&records), current.values().map(|record| record.location).collect());
}

#[test]
fn the_page_that_is_shared_says_who_writes_and_where_the_log_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // SAFETY: nobody else knows the folder.
    let store = unsafe { Store::options().create_new(true).open(&path).unwrap() };
    store.put("home", &HOME).unwrap();
    let page = fs::read(path.join("shared")).unwrap();
    let on_disk = reader::Store::new(files(&path));
    assert!(!on_disk.is_clean, "somebody writes");
    assert_eq!(page[..8], *b"SCSHARE\x01");
    assert_eq!(page[8..24], on_disk.uuid);
    assert_eq!(page[24..40], on_disk.checkpoint[104..120], "boot");
    assert_eq!(number(&page, 40, 8), number(&on_disk.checkpoint, 24, 8), "epoch");
    assert_eq!(number(&page, 48, 8), number(&on_disk.checkpoint, 136, 8), "session");
    assert_eq!(number(&page, 56, 8), u64::from(std::process::id()));
    assert_eq!((number(&page, 64, 8), number(&page, 80, 8)), (0, 0), "not poisoned; no body");
    assert_eq!(number(&page, 72, 8), number(&on_disk.checkpoint, 80, 4), "next chunk");
    let head = store.stats().unwrap().chunks[0].head;
    assert_eq!(number(&page, 128, 8), head / 16);
    assert!(head / 16 > number(&on_disk.checkpoint, 64, 8) / 16);
    store.close().unwrap();
}
