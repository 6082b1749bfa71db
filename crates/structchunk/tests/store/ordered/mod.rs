//! Scans in key order: bounds, both sources, a store that changes meanwhile, and an index that is damaged, foreign or not to be had.

mod bounds;
mod changing;
mod damage;
mod index;
mod model;
mod refused;

use std::collections::BTreeSet;
use std::path::Path;

use structchunk::{Options, Store};

use crate::common::*;

/// Where a scan gets its keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// The index on disk; sorted in memory where the program has none.
    Index,
    /// Sorted in memory, though there is an index.
    Preferred,
    /// Sorted in memory, without an index.
    Sorted,
}

pub const SOURCES: [Source; 3] = [Source::Index, Source::Preferred, Source::Sorted];

impl Source {
    pub fn options(self) -> Options {
        match self {
            Self::Index => options(),
            Self::Preferred => options().sorted_keys(1 << 20),
            Self::Sorted => options().index(false),
        }
    }

    pub fn open(self, path: &Path) -> Store {
        open_with(self.options(), path).expect("open")
    }
}

/// All keys, by a scan from the front. It must agree with one from the back and with the objects' own order.
pub fn keys(store: &Store) -> Vec<Vec<u8>> {
    let forward: Vec<_> = store.keys().unwrap().map(|key| key.unwrap().into_key()).collect();
    let mut backward: Vec<_> = store.keys().unwrap().rev().map(|key| key.unwrap().into_key()).collect();
    backward.reverse();
    assert_eq!(forward, backward, "both ways lead over the same keys");
    let entries: Vec<_> = store.ordered().unwrap().map(|entry| entry.unwrap().key().to_vec()).collect();
    assert_eq!(forward, entries, "keys and objects");
    forward
}

/// What [`keys`] must find: what a scan of the log does.
pub fn sorted(store: &Store) -> Vec<Vec<u8>> {
    let all: BTreeSet<_> = store.iter().unwrap().map(|entry| entry.unwrap().key().to_vec()).collect();
    all.into_iter().collect()
}

/// Some objects: replaced, removed, renamed and put by batches, in several chunks.
pub fn fill(store: &Store, count: u32) {
    for n in 0..count {
        store.put(format!("key {:05}", n * 7919 % count), &vec![n; 200][..]).unwrap();
    }
    for n in (0..count).step_by(5) {
        store.remove(format!("key {n:05}")).unwrap();
    }
    for n in (1..count).step_by(10) {
        store.rename(format!("key {n:05}"), format!("other {n:05}")).unwrap();
    }
    let mut batch = store.batch();
    for n in (2..count).step_by(10) {
        batch.put(format!("key {n:05}"), &n).unwrap();
        batch.remove(format!("key {:05}", n + 1)).unwrap();
    }
    batch.commit().unwrap();
    store.put("large", &vec![7_u8; LARGEST_INLINE as usize + 1][..]).unwrap();
}
