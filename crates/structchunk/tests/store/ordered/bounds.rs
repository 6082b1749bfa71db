//! Ranges of a store that stands still.

use std::collections::BTreeMap;
use std::ops::Bound;

use structchunk::{Error, Store};

use super::*;

fn range<'m>(
    model: &'m BTreeMap<Vec<u8>, u32>,
    (lower, upper): &(Bound<Vec<u8>>, Bound<Vec<u8>>),
) -> Vec<(&'m [u8], u32)> {
    let above = |key: &Vec<u8>| match lower {
        Bound::Unbounded => true,
        Bound::Included(lower) => key >= lower,
        Bound::Excluded(lower) => key > lower,
    };
    let below = |key: &Vec<u8>| match upper {
        Bound::Unbounded => true,
        Bound::Included(upper) => key <= upper,
        Bound::Excluded(upper) => key < upper,
    };
    model.iter().filter(|(key, _)| above(key) && below(key)).map(|(key, n)| (&key[..], *n)).collect()
}

/// Runs it on every source, and on a store that was filled, closed, and opened read-only.
fn on_each(fill: impl Fn(&Store), test: impl Fn(&Store)) {
    for source in SOURCES {
        let folder = folder();
        let store = source.open(folder.path());
        fill(&store);
        test(&store);
        store.close().unwrap();
        test(&source.open(folder.path()));
        let store = source.open(folder.path());
        store.close().unwrap();
        let store = open_with(source.options().create(false).read_only(true), folder.path()).unwrap();
        test(&store);
    }
    let store = Store::in_memory().unwrap();
    fill(&store);
    test(&store);
}

#[test]
fn ranges_with_bounds_of_every_kind_yield_what_a_map_yields() {
    let seed = seed();
    println!("STRUCTCHUNK_SEED={seed}");
    let mut random = Random::new(seed);
    let mut model = BTreeMap::new();
    for n in 0..150_u32 {
        let length = 1 + random.below(4);
        let key: Vec<_> = (0..length).map(|_| [0, 1, b'a', 255][random.below(4) as usize]).collect();
        model.insert(key, n);
    }
    model.insert(vec![255; 65_535], 1000);
    let mut key = || {
        let length = random.below(5);
        (0..length).map(|_| [0, 1, b'a', 255][random.below(4) as usize]).collect::<Vec<u8>>()
    };
    let bounds: Vec<_> = (0..60)
        .map(|n| {
            let bound = |kind: u32, key: Vec<u8>| match kind % 3 {
                0 => Bound::Included(key),
                1 => Bound::Excluded(key),
                _ => Bound::Unbounded,
            };
            (bound(n, key()), bound(n / 3, key()))
        })
        .collect();
    on_each(
        |store| model.iter().for_each(|(key, n)| store.put(key, n).unwrap()),
        |store| {
            for bounds in &bounds {
                let mut expected = range(&model, bounds);
                let entry = |entry: structchunk::Result<structchunk::Entry<'_>>| {
                    let entry = entry.unwrap();
                    (entry.key().to_vec(), entry.load::<u32>().unwrap())
                };
                let own = |seen: &[(&[u8], u32)]| -> Vec<_> {
                    seen.iter().map(|(key, n)| (key.to_vec(), *n)).collect()
                };
                let found: Vec<_> = store.range(bounds.clone()).unwrap().map(entry).collect();
                assert_eq!(found, own(&expected), "{bounds:?}");
                expected.reverse();
                let found: Vec<_> = store.range(bounds.clone()).unwrap().rev().map(entry).collect();
                assert_eq!(found, own(&expected), "{bounds:?}, from the back");
            }
        },
    );
}

#[test]
fn a_prefix_yields_the_keys_that_begin_with_it() {
    on_each(
        |store| {
            for key in
                [&b"a"[..], b"a\xff", b"a\xff\xff", b"a\xff\xff\0", b"b", b"b\0", b"\xff", b"\xff\xff\x01"]
            {
                store.put(key, &1_u8).unwrap();
            }
        },
        |store| {
            let count = |prefix: &[u8]| {
                let seen = store.prefix(prefix).unwrap();
                let seen: Vec<_> = seen.map(|entry| entry.unwrap().key().to_vec()).collect();
                assert!(seen.is_sorted() && seen.iter().all(|key| key.starts_with(prefix)), "{prefix:?}");
                seen.len()
            };
            let counts =
                [&b"a"[..], b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff", b"", b"c"].map(count);
            assert_eq!(counts, [4, 3, 2, 2, 2, 1, 8, 0]);
        },
    );
}

#[test]
fn the_first_and_the_last_object_are_found() {
    on_each(
        |store| ["m", "b", "y"].iter().for_each(|key| store.put(key, &1_u8).unwrap()),
        |store| {
            assert_eq!(store.first().unwrap().unwrap().key(), b"b");
            assert_eq!(store.last().unwrap().unwrap().key(), b"y");
        },
    );
    on_each(|_| (), |store| assert!(store.first().unwrap().is_none() && store.last().unwrap().is_none()));
}

#[test]
fn both_ends_meet_in_the_middle_and_stay_there() {
    on_each(
        |store| (0..1000_u32).for_each(|n| store.put(n.to_be_bytes(), &n).unwrap()),
        |store| {
            let mut range = store.range(&5_u32.to_be_bytes()[..]..).unwrap();
            let (mut front, mut back) = (Vec::new(), Vec::new());
            let load =
                |entry: structchunk::Result<structchunk::Entry<'_>>| entry.unwrap().load::<u32>().unwrap();
            for step in 0.. {
                let next = if step % 3 == 0 { range.next_back() } else { range.next() };
                let Some(entry) = next else { break };
                if step % 3 == 0 { back.push(load(entry)) } else { front.push(load(entry)) }
            }
            assert!(range.next().is_none() && range.next_back().is_none());
            assert!(front.is_sorted() && back.is_sorted_by(|a, b| a > b));
            back.reverse();
            front.extend(back);
            assert_eq!(front, (5..1000).collect::<Vec<_>>());
        },
    );
}

#[test]
fn a_seek_goes_to_a_key_from_either_end() {
    on_each(
        |store| (0..600_u16).for_each(|n| store.put((n * 2).to_be_bytes(), &n).unwrap()),
        |store| {
            let key = |n: u16| n.to_be_bytes();
            let shown = |entry: Option<structchunk::Result<structchunk::Entry<'_>>>| {
                entry.map(|entry| u16::from_be_bytes(entry.unwrap().key().try_into().unwrap()))
            };
            let mut range = store.range(key(100)..key(1000)).unwrap();
            assert_eq!(shown(range.next()), Some(100));
            range.seek(key(501));
            assert_eq!((shown(range.next()), shown(range.next())), (Some(502), Some(504)));
            range.seek(key(3));
            assert_eq!(shown(range.next()), Some(100), "a seek stays in the range");
            range.seek_back(key(601));
            assert_eq!((shown(range.next_back()), shown(range.next())), (Some(600), Some(102)));
            range.seek(key(599));
            assert_eq!((shown(range.next()), shown(range.next_back())), (None, None), "600 was passed");
            range.seek(key(200));
            assert_eq!((shown(range.next_back()), shown(range.next())), (Some(598), Some(200)));
            range.seek_back(key(2000));
            assert_eq!(shown(range.next_back()), Some(998));
            // The end that met the other one goes on from there when that goes back.
            let mut range = store.range(key(0)..=key(20)).unwrap();
            assert_eq!(shown(range.next()), Some(0));
            let backward: Vec<_> = (0..6).map(|_| shown(range.next_back()).unwrap()).collect();
            assert_eq!(backward, [20, 18, 16, 14, 12, 10]);
            while shown(range.next()).is_some() {}
            range.seek_back(key(13));
            assert_eq!((shown(range.next()), shown(range.next_back())), (Some(10), Some(12)));
            assert_eq!((shown(range.next()), shown(range.next_back())), (None, None));
            let mut keys = store.keys().unwrap();
            keys.seek(key(7));
            keys.seek_back(key(7));
            assert!(keys.next().is_none() && keys.next_back().is_none());
        },
    );
}

#[test]
fn a_key_entry_tells_where_the_record_lies() {
    on_each(
        |store| {
            store.put("k", &1_u64).unwrap();
            store.put("k\x1b", &2_u64).unwrap();
        },
        |store| {
            let entries: Vec<_> = store.prefix("k").unwrap().keys().map(Result::unwrap).collect();
            assert_eq!((entries[0].key(), entries[1].key()), (&b"k"[..], &b"k\x1b"[..]));
            // A record is 32 bytes, key, padding and payload: 64; locations count 16 of them. The type has a record in between or not.
            assert_eq!(entries[1].location() - entries[0].location(), 4);
            assert!(format!("{:?}", entries[1]).starts_with("\"k\\x1b\" at 0x"));
        },
    );
}

#[test]
fn a_closed_store_says_so_once() {
    for source in SOURCES {
        let folder = folder();
        let store = source.open(folder.path());
        (0..10_u8).for_each(|n| store.put([n], &n).unwrap());
        let other = store.clone();
        let (mut begun, mut fresh) = (other.ordered().unwrap(), other.keys().unwrap());
        assert!(begun.next().unwrap().is_ok());
        store.close().unwrap();
        assert!(matches!(begun.next(), Some(Err(Error::Closed))));
        assert!(begun.next().is_none() && begun.next_back().is_none());
        assert!(matches!(fresh.next_back(), Some(Err(Error::Closed))));
        assert!(matches!(other.ordered(), Err(Error::Closed)));
        assert!(matches!(other.sync_index(), Err(Error::Closed)));
    }
}
