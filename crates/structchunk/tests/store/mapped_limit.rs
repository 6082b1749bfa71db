//! Stores that are larger than what they may have mapped.

mod many;
mod process;

use structchunk::{AtomicRef, Options, Ref, Space, Store};

use crate::common::*;

/// What the stores of these tests may have mapped: eight chunks.
const LIMIT: u64 = 8 * CHUNK_BYTES;

fn limited() -> Options {
    options().mapped_limit(LIMIT)
}

/// Bytes of the store's chunks and bodies that this process has mapped, as the kernel says.
fn mapped(store: &Store) -> u64 {
    let path = store.path().join("chunks");
    let path = path.canonicalize().unwrap_or(path).to_str().expect("a path").to_owned();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the kernel's list");
    let bytes = maps.lines().filter(|line| line.contains(&path)).map(|line| {
        let (from, to) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        to - from
    });
    bytes.sum()
}

/// One key for each chunk: objects so large that a chunk holds fifteen of them.
fn fill(store: &Store, chunks: u64) -> Vec<String> {
    let mut keys = Vec::new();
    for n in 0..chunks * 15 {
        store.put(format!("{n}"), &[n; 2048]).expect("a put");
        if n % 15 == 7 {
            keys.push(format!("{n}"));
        }
    }
    keys
}

#[test]
fn what_is_not_in_use_is_unmapped_and_comes_back() {
    let folder = folder();
    let store = open_with(limited(), folder.path()).unwrap();
    let keys = fill(&store, 40);
    for _ in 0..2 {
        for key in &keys {
            assert_eq!(store.load::<[u64; 2048]>(key).unwrap().unwrap()[9], key.parse::<u64>().unwrap());
            assert!(mapped(&store) <= LIMIT, "{} bytes are mapped", mapped(&store));
        }
    }
    assert_eq!(store.stats().unwrap().bytes_mapped, Some(mapped(&store)));
    drop(store);
    let store = open(folder.path());
    for key in &keys {
        assert!(store.contains(key).unwrap());
    }
    assert!(mapped(&store) > 35 * CHUNK_BYTES, "without a limit everything stays");
    assert_eq!(store.stats().unwrap().bytes_mapped, None);
}

#[test]
fn what_was_used_least_recently_goes_first() {
    let folder = folder();
    let store = open_with(limited(), folder.path()).unwrap();
    let keys = fill(&store, 20);
    let address = |key: &str| std::ptr::from_ref(&*store.get::<[u64; 2048]>(key).unwrap().unwrap());
    let often = address(&keys[0]);
    for key in &keys[1..] {
        address(key);
        assert_eq!(address(&keys[0]), often, "it was never away");
    }
}

#[test]
fn what_guards_refer_to_stays_mapped_whatever_the_limit_is() {
    let folder = folder();
    let store = open_with(limited(), folder.path()).unwrap();
    let keys = fill(&store, 30);
    let value = |key: &String| key.parse::<u64>().unwrap();
    let refs: Vec<Ref<'_, [u64; 2048]>> =
        keys[..10].iter().map(|key| store.get(key).unwrap().unwrap()).collect();
    let owned: Vec<_> =
        keys[10..20].iter().map(|key| store.get_owned::<[u64; 2048]>(key).unwrap().unwrap()).collect();
    let mut muts: Vec<_> =
        keys[20..25].iter().map(|key| store.get_mut::<[u64; 2048]>(key).unwrap().unwrap()).collect();
    let entries: Vec<_> = keys[25..].iter().map(|key| store.entry(key).unwrap().unwrap()).collect();
    assert!(mapped(&store) >= 30 * CHUNK_BYTES);
    for n in 0..500_u64 {
        store.put(format!("more {n}"), &[n; 2048]).unwrap();
    }
    assert!(refs.iter().zip(&keys).all(|(object, key)| object.iter().all(|&word| word == value(key))));
    assert!(owned.iter().zip(&keys[10..]).all(|(object, key)| object.iter().all(|&word| word == value(key))));
    for object in &mut muts {
        object[2047] = 1;
    }
    assert!(entries.iter().zip(&keys[25..]).all(|(entry, key)| entry.key() == key.as_bytes()));
    let part = Ref::map(store.get::<[u64; 2048]>(&keys[0]).unwrap().unwrap(), |words| &words[5]);
    drop((refs, owned, muts, entries));
    for n in 0..500 {
        store.load::<[u64; 2048]>(format!("more {n}")).unwrap();
    }
    assert!(mapped(&store) <= LIMIT, "when they are gone the limit holds");
    assert_eq!(*part, value(&keys[0]));
    for key in &keys[20..25] {
        let words = store.load::<[u64; 2048]>(key).unwrap().unwrap();
        assert_eq!((words[0], words[2047]), (value(key), 1));
    }
}

#[test]
fn a_forgotten_guard_keeps_its_chunk_mapped() {
    let folder = folder();
    let store = open_with(limited(), folder.path()).unwrap();
    let keys = fill(&store, 20);
    let guard = store.get::<[u64; 2048]>(&keys[3]).unwrap().unwrap();
    let words: &[u64; 2048] = Box::leak(Box::new(guard));
    for key in &keys {
        store.load::<[u64; 2048]>(key).unwrap();
    }
    let value: u64 = keys[3].parse().unwrap();
    assert!(words.iter().all(|&word| word == value));
}

#[test]
fn counters_are_shared_wherever_they_are() {
    let folder = folder();
    let store = open_with(limited(), folder.path()).unwrap();
    for n in 0..30 {
        store.put(format!("counter {n}"), &Counter::default()).unwrap();
        fill(&store, 1);
    }
    let count = || {
        for n in 0..300 {
            let counter: AtomicRef<'_, Counter> =
                store.get_atomic(format!("counter {}", n % 30)).unwrap().unwrap();
            counter.hits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(count))));
    for n in 0..30 {
        let counter = store.load::<Counter>(format!("counter {n}")).unwrap().unwrap();
        assert_eq!(counter.hits.into_inner(), 30);
    }
}

#[test]
fn large_objects_are_unmapped_like_chunks() {
    let folder = folder();
    let store = open_with(limited(), folder.path()).unwrap();
    for n in 0..40 {
        let mut grid = store.loan_array::<u64>(format!("{n}"), &[1 << 17], Space::Sparse).unwrap();
        grid[77] = n;
        grid.publish().unwrap();
        assert!(mapped(&store) <= LIMIT, "{} bytes are mapped", mapped(&store));
    }
    let first = store.get::<[u64]>("0").unwrap().unwrap();
    for n in 0..40 {
        store.get_mut::<[u64]>(format!("{}", n % 39 + 1)).unwrap().unwrap()[78] = n;
        assert!(mapped(&store) <= LIMIT + (1 << 20) + 4096);
    }
    assert_eq!((first[77], first.len()), (0, 1 << 17));
    drop(first);
    store.sync().unwrap();
    for n in 1..40 {
        let words = store.get::<[u64]>(format!("{n}")).unwrap().unwrap();
        assert_eq!((words[77], words[78]), (n, if n == 1 { 39 } else { n - 1 }));
    }
    assert_eq!(store.check().unwrap().count(), 0);
}
