//! Typed tables: what a `BTreeMap` does, under a prefix of a store.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use structchunk::{Error, Key, KeyError, Row, Rows, Store, Table};

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
fn a_scan_names_what_is_no_key_of_its_table_and_goes_on() {
    let store = memory();
    let table = store.table::<u16, u8>("t/").expect("a table");
    table.put(1, &1).expect("put");
    store.put("t/x", &0_u8).expect("put");
    table.put(0x7879, &2).expect("put");
    for key in ["t", "t.", "t0"] {
        store.put(key, &0_u8).expect("put");
    }
    let mut rows = table.iter().expect("a scan");
    assert_eq!(rows.next().expect("a row").expect("a row").into_pair().expect("a value"), (1, 1));
    let error = rows.next().expect("an error").expect_err("no key");
    assert_eq!(
        error.to_string(),
        r#"object "t/x" is no entry of table "t/": its key, byte 2: the key is too short"#
    );
    assert_eq!(rows.next().expect("a row").expect("a row").into_key(), 0x7879);
    assert!(rows.next().is_none() && rows.next_back().is_none());
    // A value of another type shows when it is read.
    store.put(table.key(3), &0_u64).expect("put");
    let row = table.range(3..=3).expect("a scan").next().expect("a row").expect("a row");
    assert!(matches!(row.load(), Err(Error::LayoutMismatch { .. })));
}

#[test]
fn ranges_take_what_stands_for_a_key_and_an_inverted_one_is_empty() {
    let store = memory();
    let table = store.table::<(String, u32), [u8]>("t/").expect("a table");
    for (name, number) in [("a", 1), ("a", 2), ("b", 1), ("b\0", 7)] {
        table.put((name, number), &[number as u8; 3]).expect("put");
    }
    let keys = |rows: Rows<'_, (String, u32), [u8]>| -> Vec<String> {
        rows.map(|row| row.expect("a row").into_key())
            .map(|(name, number)| format!("{name}{number}"))
            .collect()
    };
    assert_eq!(keys(table.range(("a", 2)..).expect("a scan")), ["a2", "b1", "b\x007"]);
    assert_eq!(keys(table.range(..("b", 0)).expect("a scan")), ["a1", "a2"]);
    assert_eq!(keys(table.range(("b", 1)..=("b", 1)).expect("a scan")), ["b1"]);
    assert_eq!(keys(table.range(("b", 1)..("a", 1)).expect("a scan")), [""; 0]);
    let row = table.first().expect("a scan").expect("a row");
    assert_eq!(*row.get().expect("get").expect("it is there"), [1, 1, 1]);
    assert_eq!((row.key().1, row.entry().len().expect("a length")), (1, 3));
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
    // In the last moment, too: between the look and the insert.
    let entry = table.entry(2).expect("an entry").and_modify(|n| *n += 1).expect("modified");
    let put = || {
        table.put(2, &20).expect("put");
        1
    };
    assert_eq!(*entry.or_insert_with(put).expect("an object"), 21);
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

/// Ranges of every kind, from both ends, against the map's.
fn compare_scans<K: Sampled>(table: &Table<K, u64>, expected: &BTreeMap<K, u64>, random: &mut Random) {
    let pairs = |rows: &mut dyn Iterator<Item = Result<Row<'_, K, u64>, Error>>| {
        rows.map(|row| row.expect("a row").into_pair().expect("a value")).collect::<Vec<_>>()
    };
    let all: Vec<_> = expected.iter().map(|(key, value)| (key.clone(), *value)).collect();
    assert_eq!(pairs(&mut table.iter().expect("a scan")), all);
    let first = table.first().expect("a scan").map(Row::into_key);
    assert_eq!(first.as_ref(), expected.first_key_value().map(|(key, _)| key));
    let last = table.last().expect("a scan").map(Row::into_key);
    assert_eq!(last.as_ref(), expected.last_key_value().map(|(key, _)| key));
    for _ in 0..30 {
        let bound = |random: &mut Random| match random.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(K::sample(random)),
            _ => Bound::Excluded(K::sample(random)),
        };
        let (lower, upper) = (bound(random), bound(random));
        let within = |key: &K| {
            (match &lower {
                Bound::Unbounded => true,
                Bound::Included(lower) => key >= lower,
                Bound::Excluded(lower) => key > lower,
            }) && match &upper {
                Bound::Unbounded => true,
                Bound::Included(upper) => key <= upper,
                Bound::Excluded(upper) => key < upper,
            }
        };
        let wanted: Vec<_> = all.iter().filter(|(key, _)| within(key)).cloned().collect();
        let scan = || table.range::<K>((lower.clone(), upper.clone())).expect("a scan");
        assert_eq!(pairs(&mut scan()), wanted, "{lower:?} {upper:?}");
        let mut back = pairs(&mut scan().rev());
        back.reverse();
        assert_eq!(back, wanted, "backward, {lower:?} {upper:?}");
        // From both ends, with a seek.
        let mut rows = scan();
        let taken = random.below(3) as usize;
        let mut found = pairs(&mut rows.by_ref().rev().take(taken));
        let target = K::sample(random);
        rows.seek(&target);
        let rest = &wanted[..wanted.len().saturating_sub(taken)];
        found.extend(pairs(&mut rows));
        let mut hoped: Vec<_> = wanted.iter().rev().take(taken).cloned().collect();
        hoped.extend(rest.iter().filter(|(key, _)| *key >= target).cloned());
        assert_eq!(found, hoped, "{taken} from the back, then from {target:?} in {lower:?} {upper:?}");
    }
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
        compare_scans(&table, &expected, random);
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
