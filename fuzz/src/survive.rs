//! Everything that can be done with a store, whatever it is made of.
#![allow(unsafe_code, reason = "opening a store: its files are this process's own, and closed")]

use std::path::Path;
use std::time::Duration;

use structchunk::{Object, Options, Store};

use super::files::{Files, Place};

#[derive(Object, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
    name: [u8; 8],
}

const KEYS: [&str; 6] = ["number", "point", "array", "body", "batch", "removed"];

fn options() -> Options {
    // No long waits, and no files of others.
    Store::options()
        .chunk_capacity(256 << 10)
        .reserve_step(64 << 10)
        .busy_timeout(Duration::from_millis(1))
        .index(false)
}

fn open(path: &Path, options: Options) -> Option<Store> {
    // SAFETY: nobody else knows the folder, and no other handle is open.
    match unsafe { options.open(path) } {
        Ok(store) => Some(store),
        Err(error) => {
            let _ = (error.to_string(), format!("{error:?}"));
            None
        }
    }
}

/// A closed store with some of everything.
pub fn make(path: &Path) {
    let store = open(path, options().create(true)).expect("a store");
    let make = || -> structchunk::Result<()> {
        store.put("removed", &1_u64)?;
        store.put("number", &6_u64)?;
        store.put("point", &Point { x: 1.0, y: 2.0, name: *b"anything" })?;
        store.put("array", &[[1_u16, 2, 3], [4, 5, 6]])?;
        store.put("body", &vec![5_u64; 5000][..])?;
        store.put("number", &7_u64)?;
        store.remove("removed")?;
        let mut batch = store.batch();
        batch.put("batch", &[1_u8, 2, 3][..])?;
        batch.put("number", &8_u64)?;
        batch.commit()?;
        store.close()
    };
    make().expect("a store");
}

/// Opens what lies in a folder: to look, to change, to rebuild, to look again.
pub fn all(files: &Files) {
    let place = Place::new();
    let path = place.path();
    files.write(path);
    if let Some(store) = open(path, options().read_only(true)) {
        look(&store);
    }
    if let Some(store) = open(path, options()) {
        look(&store);
        change(&store);
        look(&store);
        let _ = store.close();
    }
    // SAFETY: as for `open`.
    let _ = unsafe { options().rebuild(path) }.map(|report| format!("{report:?}"));
    if let Some(store) = open(path, options()) {
        look(&store);
        let _ = store.close();
    }
}

fn look(store: &Store) {
    let mut keys: Vec<Vec<u8>> = KEYS.iter().map(|key| key.as_bytes().to_vec()).collect();
    if let Ok(scan) = store.iter() {
        for entry in scan.take(1000).flatten() {
            let _ = (entry.type_name().map(str::len), entry.shape(), entry.len(), entry.sequence());
            let _ = entry.value(100).map(|value| value.to_string());
            if keys.len() < 50 {
                keys.push(entry.key().to_vec());
            }
        }
    }
    for key in &keys {
        let _ = (store.contains(key), store.load::<u64>(key), store.load::<Point>(key));
        let _ = store.load::<[[u16; 3]; 2]>(key);
        let _ = store.get::<[u8]>(key).map(|it| it.map(|it| it.iter().fold(0, |a, b| a ^ b)));
        let _ = store.get::<[u64]>(key).map(|it| it.map(|it| it.iter().fold(0, |a, b| a ^ b)));
    }
    let _ = store.keys().map(|keys| keys.take(1000).count());
    let _ = (store.stats(), store.types(), store.count_by_type(), store.len());
    let _ = (store.check().map(Iterator::count), store.check_deep().map(Iterator::count));
    let _ = format!("{:?}", store.recovery());
}

fn change(store: &Store) {
    for key in KEYS {
        let _ = store.update(key, |n: &mut u64| *n = n.wrapping_add(1));
        let _ = store.get_mut::<[u64]>(key).map(|it| it.map(|mut it| it.iter_mut().for_each(|n| *n ^= 1)));
        let _ = store.rename(key, "renamed");
        let _ = store.put(key, &Point { x: 3.0, y: 4.0, name: [0; 8] });
        let _ = store.remove(key);
    }
    let mut batch = store.batch();
    let _ = batch.put("batch", &vec![1_u8; 100_000][..]).and_then(|()| batch.put("more", &1_u64));
    let _ = batch.commit();
    let _ = (store.sync(), store.compact(), store.sync(), store.sync());
}
