//! Put, load and their variants; rename; batches.

use structchunk::{Error, Store};

use super::on_both;
use crate::common::{CHUNK_BYTES, Point, Sample, Wide, folder, open};

const P: Point = Point { x: 1.5, y: -2.0 };
const Q: Point = Point { x: 9.0, y: 8.0 };
const WIDE: Wide = Wide { words: [7; 128] };

fn load(store: &Store, key: &str) -> Option<Point> {
    store.load(key).unwrap()
}

#[test]
fn a_value_that_was_put_is_loaded_equal_and_an_absent_key_is_none() {
    on_both(|store| {
        store.put("p", &P).unwrap();
        store.put("w", &WIDE).unwrap();
        store.put("s", &[1_u16, 2, 3][..]).unwrap();
        store.try_put("t", &Q).unwrap();
        assert_eq!((load(store, "p"), load(store, "t"), load(store, "x")), (Some(P), Some(Q), None));
        assert_eq!(store.load::<Wide>("w").unwrap(), Some(WIDE));
        assert_eq!(store.get::<[u16]>("s").unwrap().unwrap()[..], [1, 2, 3]);
        assert!(store.get::<Point>("x").unwrap().is_none() && store.get_mut::<Point>("x").unwrap().is_none());
        assert!(!store.update("x", |_: &mut Point| unreachable!()).unwrap());
        assert!(store.get_owned::<Point>("x").unwrap().is_none() && !store.remove("x").unwrap());
        assert!(store.try_get::<Point>("x").unwrap().is_none() && !store.try_remove("x").unwrap());
    });
}

#[test]
fn a_put_replaces_value_type_and_sequence() {
    on_both(|store| {
        store.put("k", &P).unwrap();
        let first = store.sequence("k").unwrap().unwrap();
        store.put("k", &WIDE).unwrap();
        assert!(store.sequence("k").unwrap().unwrap() > first);
        assert_eq!(store.load::<Wide>("k").unwrap(), Some(WIDE));
        assert!(matches!(store.load::<Point>("k"), Err(Error::LayoutMismatch { .. })));
        assert_eq!(store.len(), 1);
    });
}

#[test]
fn insert_new_refuses_a_key_that_is_taken_and_changes_nothing() {
    on_both(|store| {
        store.insert_new("k", &P).unwrap();
        let sequence = store.sequence("k").unwrap();
        let error = store.insert_new("k", &WIDE).unwrap_err();
        assert!(matches!(&error, Error::KeyExists { key } if key == b"k"), "{error}");
        assert_eq!(error.to_string(), "object \"k\" exists already");
        assert_eq!((load(store, "k"), store.sequence("k").unwrap()), (Some(P), sequence));
        store.remove("k").unwrap();
        store.insert_new("k", &Q).unwrap();
        assert_eq!(load(store, "k"), Some(Q));
    });
}

#[test]
fn replace_and_take_give_the_old_value() {
    on_both(|store| {
        assert_eq!(store.replace("k", &P).unwrap(), None);
        assert_eq!(store.replace("k", &Q).unwrap(), Some(P));
        assert_eq!(store.take::<Point>("k").unwrap(), Some(Q));
        assert_eq!(store.take::<Point>("k").unwrap(), None);
        assert!(store.is_empty() && !store.contains("k").unwrap());
        store.put("w", &WIDE).unwrap();
        assert_eq!(store.replace("w", &Wide { words: [8; 128] }).unwrap(), Some(WIDE));
        assert_eq!(store.take::<Wide>("w").unwrap().unwrap().words, [8; 128]);
    });
}

#[test]
fn replace_and_take_of_another_type_change_nothing() {
    on_both(|store| {
        store.put("k", &P).unwrap();
        let sequence = store.sequence("k").unwrap();
        assert!(matches!(store.replace("k", &WIDE), Err(Error::LayoutMismatch { .. })));
        assert!(matches!(store.take::<u64>("k"), Err(Error::LayoutMismatch { .. })));
        assert_eq!((load(store, "k"), store.sequence("k").unwrap()), (Some(P), sequence));
    });
}

#[test]
fn put_if_stores_over_the_sequence_it_names_only() {
    on_both(|store| {
        store.put("k", &P).unwrap();
        let sequence = store.sequence("k").unwrap().unwrap();
        assert!(!store.put_if("k", sequence + 1, &Q).unwrap());
        assert!(!store.put_if("absent", 1, &Q).unwrap() && !store.contains("absent").unwrap());
        assert_eq!(load(store, "k"), Some(P));
        assert!(store.put_if("k", sequence, &Q).unwrap());
        assert!(!store.put_if("k", sequence, &P).unwrap());
        assert_eq!(load(store, "k"), Some(Q));
        // What is changed in place keeps its sequence.
        let sequence = store.sequence("k").unwrap().unwrap();
        store.update("k", |p: &mut Point| p.x = 0.0).unwrap();
        assert_eq!(store.sequence("k").unwrap(), Some(sequence));
    });
}

#[test]
fn remove_tells_whether_there_was_an_object_and_a_key_can_come_back() {
    on_both(|store| {
        store.put("k", &P).unwrap();
        assert!(store.remove("k").unwrap() && !store.remove("k").unwrap());
        assert_eq!((load(store, "k"), store.len(), store.sequence("k").unwrap()), (None, 0, None));
        store.put("k", &WIDE).unwrap();
        assert!(store.contains("k").unwrap() && store.try_remove("k").unwrap() && store.is_empty());
    });
}

#[test]
fn rename_moves_an_object_with_type_shape_and_bytes() {
    on_both(|store| {
        let bytes: Vec<u8> = (0..200).collect();
        let numbers: Vec<[u32; 2]> = (0..50).map(|n| [n, n + 1]).collect();
        let large = vec![3_u64; 30_000];
        store.put("bytes", &bytes[..]).unwrap();
        store.put("numbers", &numbers[..]).unwrap();
        store.put("large", &large[..]).unwrap();
        for key in ["bytes", "numbers", "large"] {
            assert!(store.rename(key, format!("new/{key}")).unwrap());
            assert!(!store.contains(key).unwrap());
        }
        assert_eq!(store.get::<[u8]>("new/bytes").unwrap().unwrap()[..], bytes);
        assert_eq!(store.get::<[[u32; 2]]>("new/numbers").unwrap().unwrap()[..], numbers);
        assert_eq!(store.get::<[u64]>("new/large").unwrap().unwrap()[..], large);
        let shapes: Vec<_> = store.iter().unwrap().map(|entry| entry.unwrap().shape()).collect();
        assert_eq!(shapes, [Some(vec![200]), Some(vec![50, 2]), Some(vec![30_000])]);
        assert_eq!(store.len(), 3);
        assert_eq!(store.check().unwrap().count(), 0);
    });
}

#[test]
fn rename_refuses_a_key_that_is_taken_and_changes_nothing() {
    on_both(|store| {
        store.put("a", &P).unwrap();
        store.put("b", &Q).unwrap();
        let error = store.rename("a", "b").unwrap_err();
        assert!(matches!(&error, Error::KeyExists { key } if key == b"b"), "{error}");
        assert_eq!((load(store, "a"), load(store, "b"), store.len()), (Some(P), Some(Q), 2));
        let sequence = store.sequence("a").unwrap();
        assert!(store.rename("a", "a").unwrap() && store.sequence("a").unwrap() == sequence);
        assert!(!store.rename("absent", "c").unwrap() && !store.rename("absent", "absent").unwrap());
        assert!(matches!(store.rename("", "c"), Err(Error::KeyLength { length: 0 })));
        assert!(matches!(store.rename("a", ""), Err(Error::KeyLength { length: 0 })));
        // A key that was removed is free again.
        store.remove("b").unwrap();
        assert!(store.rename("a", "b").unwrap());
        assert_eq!((load(store, "a"), load(store, "b")), (None, Some(P)));
    });
}

#[test]
fn get_or_insert_with_makes_a_value_where_there_is_none() {
    on_both(|store| {
        assert_eq!(*store.get_or_insert_with("k", || P).unwrap(), P);
        assert_eq!(*store.get_or_insert_with("k", || -> Point { unreachable!() }).unwrap(), P);
        assert!(matches!(store.get_or_insert_with("k", || 1_u64), Err(Error::LayoutMismatch { .. })));
        assert_eq!(store.len(), 1);
    });
}

#[test]
fn load_many_answers_in_the_order_of_the_keys() {
    on_both(|store| {
        for n in 0..100_u32 {
            store.put(format!("n/{n}"), &n).unwrap();
        }
        let keys: Vec<_> = (0..150).rev().map(|n| format!("n/{n}")).collect();
        let expected: Vec<_> = (0..150).rev().map(|n| (n < 100).then_some(n)).collect();
        assert_eq!(store.load_many::<u32, _>(&keys).unwrap(), expected);
        assert!(store.load_many::<u32, &str>(&[]).unwrap().is_empty());
        store.put("n/50", &P).unwrap();
        assert!(matches!(store.load_many::<u32, _>(&keys), Err(Error::LayoutMismatch { .. })));
    });
}

#[test]
fn put_many_puts_each_by_itself_in_the_order_of_the_keys() {
    on_both(|store| {
        let keys: Vec<_> = (0..100_u32).map(|n| format!("n/{}", n % 90)).collect();
        let values: Vec<_> = (0..100_u32).collect();
        store.put_many(&keys, &values).unwrap();
        let expected: Vec<_> = (0..90).map(|n| Some(if n < 10 { n + 90 } else { n })).collect();
        assert_eq!(store.load_many::<u32, _>(&keys[..90]).unwrap(), expected);
        assert_eq!(store.len(), 90);
        store.put_many::<u32, &str>(&[], &[]).unwrap();
        let lengths = store.put_many(&["a", "b"], &values[..1]);
        assert!(matches!(lengths, Err(Error::Lengths { keys: 2, values: 1 })));
        assert!(matches!(store.put_many(&["a", "", "b"], &values[..3]), Err(Error::KeyLength { length: 0 })));
        assert_eq!((store.contains("a").unwrap(), store.contains("b").unwrap()), (true, false));
    });
}

#[test]
fn the_last_change_of_a_key_in_a_batch_counts_and_the_batch_reads_its_own() {
    on_both(|store| {
        store.put("old", &P).unwrap();
        store.put("kept", &P).unwrap();
        let mut batch = store.batch();
        assert!(batch.is_empty());
        batch.put("new", &P).unwrap();
        batch.put("new", &Q).unwrap();
        batch.remove("old").unwrap();
        batch.put("fleeting", &P).unwrap();
        batch.remove("fleeting").unwrap();
        batch.remove("never there").unwrap();
        batch.put("other type", &WIDE).unwrap();
        let read = |key: &str| batch.load::<Point>(key).unwrap();
        assert_eq!(
            (read("new"), read("old"), read("fleeting"), read("kept")),
            (Some(Q), None, None, Some(P))
        );
        assert!(matches!(batch.load::<Point>("other type"), Err(Error::LayoutMismatch { .. })));
        assert_eq!((batch.len(), load(store, "new"), load(store, "old")), (5, None, Some(P)));
        batch.commit().unwrap();
        assert_eq!((load(store, "new"), load(store, "old"), load(store, "fleeting")), (Some(Q), None, None));
        assert_eq!((store.load::<Wide>("other type").unwrap(), store.len()), (Some(WIDE), 3));
        assert_eq!(store.check().unwrap().count(), 0);
    });
}

#[test]
fn a_batch_that_is_dropped_or_empty_changes_nothing() {
    on_both(|store| {
        store.put("k", &P).unwrap();
        let before = store.stats().unwrap().sequence;
        let mut batch = store.batch();
        batch.remove("k").unwrap();
        batch.put("large", &vec![1_u8; CHUNK_BYTES as usize][..]).unwrap();
        drop(batch);
        store.batch().commit().unwrap();
        assert_eq!((load(store, "k"), store.len(), store.stats().unwrap().sequence), (Some(P), 1, before));
    });
}

#[test]
fn a_batch_may_fill_several_chunks() {
    on_both(|store| {
        let mut batch = store.batch();
        for n in 0..40_u64 {
            batch.put(format!("{n}"), &vec![n; 2500][..]).unwrap();
        }
        batch.commit().unwrap();
        for n in 0..40_u64 {
            assert_eq!(store.get::<[u64]>(format!("{n}")).unwrap().unwrap()[..], vec![n; 2500]);
        }
        assert_eq!((store.len(), store.check().unwrap().count()), (40, 0));
    });
}

#[test]
fn len_and_contains_follow_every_change_and_outlive_a_close() {
    let folder = folder();
    let store = open(folder.path());
    for n in 0..1000_u64 {
        store.put(n.to_le_bytes(), &Sample { at: n, value: 0, kind: 0, flags: 0, pair: [0; 2] }).unwrap();
        assert_eq!(store.len(), n + 1);
    }
    for n in (0..1000_u64).step_by(2) {
        store.remove(n.to_le_bytes()).unwrap();
    }
    store.close().unwrap();
    let store = open(folder.path());
    assert_eq!((store.len(), store.is_empty()), (500, false));
    for n in 0..1000_u64 {
        assert_eq!(store.contains(n.to_le_bytes()).unwrap(), n % 2 == 1);
    }
}
