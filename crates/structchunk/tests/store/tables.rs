//! Typed tables: what a `BTreeMap` does, under a prefix of a store.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use structchunk::{Error, Key, KeyError, Store, Table};

use crate::common::*;

fn memory() -> Store {
    Store::in_memory().expect("a store")
}

#[test]
fn every_operation_does_under_the_prefix_what_the_store_does() {
    let store = memory();
    let table = store.table::<u64, u32>("n/").expect("a table");
    table.put(7, &70).expect("put");
    table.put(8, &80).expect("put");
    assert_eq!(table.load(7).expect("load"), Some(70));
    assert_eq!(table.get(8).expect("get").as_deref(), Some(&80));
    assert!(table.update(8, |n| *n += 1).expect("update") && !table.update(9, |_| ()).expect("update"));
    *table.get_mut(8).expect("get").expect("it is there") += 1;
    assert_eq!(table.replace(8, &83).expect("replace"), Some(82));
    assert!(matches!(table.insert_new(8, &0), Err(Error::KeyExists { .. })));
    assert!(table.contains(8).expect("a look-up") && !table.contains(9).expect("a look-up"));
    let sequence = table.sequence(8).expect("a look-up").expect("it is there");
    assert!(!table.put_if(8, sequence - 1, &0).expect("put") && table.put_if(8, sequence, &84).expect("put"));
    assert_eq!(table.take(8).expect("take"), Some(84));
    let mut batch = store.batch();
    table.put_in(&mut batch, 1, &10).expect("put");
    table.remove_in(&mut batch, 7).expect("remove");
    batch.commit().expect("commit");
    assert!(table.remove(1).expect("remove") && !table.remove(7).expect("remove"));
    table.put(u64::MAX, &1).expect("put");
    assert_eq!(store.load::<u32>(b"n/\xff\xff\xff\xff\xff\xff\xff\xff").expect("load"), Some(1));
    assert_eq!(store.load::<u32>(table.key(u64::MAX)).expect("load"), Some(1));
    assert_eq!(store.len(), 1);
}

#[test]
fn values_may_be_arrays_slices_and_atomics_and_are_checked_as_everywhere() {
    let store = memory();
    let slices = store.table::<String, [f32]>("slices/").expect("a table");
    slices.put("a", &[1.0, 2.0, 3.0]).expect("put");
    assert_eq!(*slices.get("a").expect("get").expect("it is there"), [1.0, 2.0, 3.0]);
    slices.get_mut("a").expect("get").expect("it is there")[2] = 4.0;
    let pairs = store.table::<String, [f32; 2]>("slices/").expect("a table");
    assert!(matches!(pairs.load("a"), Err(Error::LayoutMismatch { .. })));
    assert_eq!(*slices.get("a").expect("get").expect("it is there"), [1.0, 2.0, 4.0]);
    let hits = store.table::<(u16, bool), AtomicU64>("hits/").expect("a table");
    hits.put((1, true), &AtomicU64::new(4)).expect("put");
    hits.get_atomic((1, true)).expect("get").expect("it is there").fetch_add(1, Ordering::Relaxed);
    assert_eq!(hits.load((1, true)).expect("load").map(AtomicU64::into_inner), Some(5));
    let samples = store.table::<i32, Sample>("grown/").expect("a table");
    let sample = Sample { at: 1, value: 2, kind: 3, flags: 4, pair: [5; 2] };
    samples.put(-1, &sample).expect("put");
    let grown = store.table::<i32, Grown>("grown/").expect("a table");
    assert!(matches!(grown.load(-1), Err(Error::LayoutMismatch { .. })));
    assert_eq!(grown.load_as(-1).expect("load"), Some(sample.grown()));
    assert!(grown.upgrade(-1).expect("upgrade"));
    assert_eq!(grown.load(-1).expect("load"), Some(sample.grown()));
}

#[test]
fn a_prefix_is_neither_empty_nor_long_and_a_key_is_no_longer_than_any() {
    let store = memory();
    for length in [0, 256, 70_000] {
        let error = store.table::<u8, u8>(vec![b'x'; length]).expect_err("a prefix");
        assert!(matches!(error, Error::TablePrefix { length: told } if told == length));
        assert_eq!(error.to_string(), format!("a table's prefix of {length} bytes; prefixes have 1 to 255"));
    }
    let table = store.table::<String, u8>([0xff; 255]).expect("a table");
    let longest = "x".repeat(65_535 - 255 - 2);
    table.put(&longest, &1).expect("put");
    assert_eq!(table.load(&longest).expect("load"), Some(1));
    let longer = longest + "x";
    assert!(matches!(table.put(&longer, &1), Err(Error::KeyLength { length: 65_536 })));
    assert!(matches!(table.entry(&longer), Err(Error::KeyLength { length: 65_536 })));
    assert_eq!(table.load(&longer).expect("load"), None);
    assert_eq!(store.len(), 1);
}

#[test]
fn a_key_that_does_not_decode_is_named_with_its_table() {
    let store = memory();
    let table = store.table::<(String, u16), u8>("t/").expect("a table");
    assert_eq!(table.decode(&table.key(("a", 7))).expect("a key"), Some(("a".to_owned(), 7)));
    assert_eq!(table.decode(b"other").expect("another table's"), None);
    let longer = table.decode(b"t/ab\0\x01\x07\x08\x09").expect_err("no key").to_string();
    assert!(longer.ends_with("byte 8: bytes after the end of the key"), "{longer}");
    let error = table.decode(b"t/ab\0\x01\x07").expect_err("no key");
    assert_eq!(
        error.to_string(),
        r#"object "t/ab\x00\x01\x07" is no entry of table "t/": its key, byte 6: the key is too short"#
    );
    let Error::TableKey { table: prefix, key, error } = error else { panic!("{error:?}") };
    assert_eq!((&prefix[..], &key[..]), (&b"t/"[..], &b"t/ab\0\x01\x07"[..]));
    assert_eq!(error, KeyError { offset: 6, reason: "the key is too short" });
}

#[test]
fn an_entry_is_filled_when_it_is_empty_and_modified_when_it_is_not() {
    let store = memory();
    let table = store.table::<String, u64>("n/").expect("a table");
    let entry = || table.entry("a").expect("an entry");
    assert_eq!(*entry().or_insert(1).expect("an object"), 1);
    assert_eq!(*entry().or_insert_with(|| panic!("it is there")).expect("an object"), 1);
    assert_eq!(*entry().and_modify(|n| *n += 1).expect("modified").or_insert(9).expect("an object"), 2);
    let twice =
        entry().and_modify(|n| *n += 1).expect("modified").and_modify(|n| *n *= 10).expect("modified");
    assert_eq!(*twice.or_default().expect("an object"), 30);
    drop(entry().and_modify(|n| *n = 5).expect("modified"));
    assert_eq!(table.load("a").expect("load"), Some(5), "what is there is modified at once");
    let other =
        table.entry("b").expect("an entry").and_modify(|_| panic!("there is nothing")).expect("an entry");
    assert_eq!(other.key(), table.key("b"));
    assert_eq!(*other.or_default().expect("an object"), 0);
}

#[test]
fn a_change_that_met_nothing_is_applied_to_what_somebody_else_stores_meanwhile() {
    let store = memory();
    let table = store.table::<u8, u64>("n/").expect("a table");
    let entry = table.entry(1).expect("an entry").and_modify(|n| *n += 1).expect("modified");
    table.put(1, &10).expect("put");
    assert_eq!(*entry.or_insert(1).expect("an object"), 11);
    // One that was removed meanwhile is inserted; the change was applied already.
    let entry = table.entry(1).expect("an entry").and_modify(|n| *n += 1).expect("modified");
    table.remove(1).expect("remove");
    assert_eq!(*entry.or_insert(1).expect("an object"), 1);
}

#[test]
fn threads_that_count_through_entries_lose_no_count() {
    let store = memory();
    let table = store.table::<u32, u64>("count/").expect("a table");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..2000_u32 {
                    let entry = table.entry(n / 8).expect("an entry");
                    drop(entry.and_modify(|n| *n += 1).expect("modified").or_insert(1).expect("an object"));
                }
            });
        }
    });
    for n in 0..250 {
        assert_eq!(table.load(n).expect("load"), Some(32), "{n}");
    }
}

/// A key and a value for each step, of few different keys.
trait Sampled: Key + Ord + Clone + Debug {
    fn sample(random: &mut Random) -> Self;
}

impl Sampled for i64 {
    fn sample(random: &mut Random) -> Self {
        [i64::MIN, -300, -2, -1, 0, 1, 255, 256, 70_000, i64::MAX][random.below(10) as usize]
    }
}

impl Sampled for String {
    fn sample(random: &mut Random) -> Self {
        (0..random.below(4))
            .map(|_| ['\0', '\u{1}', 'a', 'b', 'ÿ', '\u{10ffff}'][random.below(6) as usize])
            .collect()
    }
}

impl Sampled for Vec<u8> {
    fn sample(random: &mut Random) -> Self {
        (0..random.below(4)).map(|_| [0, 1, 0xfe, 0xff][random.below(4) as usize]).collect()
    }
}

impl<A: Sampled, B: Sampled> Sampled for (A, B) {
    fn sample(random: &mut Random) -> Self {
        (A::sample(random), B::sample(random))
    }
}

/// What a table holds, as a scan of the whole store shows it; sorted by the keys' bytes.
fn contents_of<K: Sampled>(store: &Store, table: &Table<K, u64>) -> Vec<(K, u64)> {
    let mut found: Vec<(Vec<u8>, K, u64)> = Vec::new();
    for entry in store.iter().expect("a scan") {
        let entry = entry.expect("a record");
        if let Some(key) = table.decode(entry.key()).expect("a key") {
            found.push((entry.key().to_vec(), key, entry.load().expect("load")));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.into_iter().map(|(_, key, value)| (key, value)).collect()
}

fn model<K: Sampled>(prefix: &str, random: &mut Random) {
    let folder = folder();
    let path = folder.path().join("store");
    let mut store = open(&path);
    // A neighbour on either side of the prefix.
    for key in [&b"a"[..], &[0xff; 40]] {
        store.put(key, &0_u64).expect("put");
    }
    let mut expected: BTreeMap<K, u64> = BTreeMap::new();
    for round in 0..4 {
        let table = store.table::<K, u64>(prefix).expect("a table");
        for _ in 0..150 {
            let (key, value) = (K::sample(random), random.next());
            match random.below(8) {
                0..3 => {
                    table.put(&key, &value).expect("put");
                    expected.insert(key, value);
                }
                3 => assert_eq!(table.remove(&key).expect("remove"), expected.remove(&key).is_some()),
                4 => assert_eq!(table.take(&key).expect("take"), expected.remove(&key)),
                5 => {
                    let there = expected.get_mut(&key).map(|old| *old = value).is_some();
                    assert_eq!(table.update(&key, |old| *old = value).expect("update"), there);
                }
                6 => {
                    let entry =
                        table.entry(&key).expect("an entry").and_modify(|old| *old ^= 1).expect("modified");
                    let now = *entry.or_insert(value).expect("an object");
                    assert_eq!(now, *expected.entry(key).and_modify(|old| *old ^= 1).or_insert(value));
                }
                _ => assert_eq!(table.load(&key).expect("load"), expected.get(&key).copied()),
            }
        }
        let pairs: Vec<_> = expected.iter().map(|(key, value)| (key.clone(), *value)).collect();
        assert_eq!(contents_of(&store, &table), pairs, "round {round}: the order of bytes is that of keys");
        drop(table);
        if round % 2 == 0 {
            store.close().expect("close");
        } else {
            drop(store);
        }
        store = open(&path);
    }
}

#[test]
fn a_table_holds_what_a_map_holds_whatever_its_keys_are() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    for _ in 0..cases(1) {
        model::<i64>("n/", &mut random);
        model::<String>("\u{7f}", &mut random);
        model::<Vec<u8>>("b", &mut random);
        model::<(String, i64)>("pairs/", &mut random);
        model::<((Vec<u8>, String), (i64, Vec<u8>))>("deep/", &mut random);
    }
}
