//! What `stats` says of sizes, held against the files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use structchunk::{Space, Sparse, Store};

use crate::common::*;

/// Length and disk space of the files in a folder and below it, but for those that hold no data of their own.
fn sizes(path: &Path) -> (u64, u64) {
    let mut sums = (0, 0);
    for entry in fs::read_dir(path).expect("a folder") {
        let entry = entry.expect("a name");
        let status = entry.metadata().expect("a file");
        let found = match entry.file_name().to_str().expect("a name of ours") {
            "STORE" | "LOCK" | "shared" => (0, 0),
            _ if status.is_dir() => sizes(&entry.path()),
            _ => (status.len(), status.blocks() * 512),
        };
        sums = (sums.0 + found.0, sums.1 + found.1);
    }
    sums
}

#[test]
fn the_sizes_of_a_store_are_those_of_its_files() {
    for sparse in [Sparse::Auto, Sparse::Never] {
        let folder = folder();
        let path = folder.path().join("store");
        let options = || Store::options().create(true).sparse(sparse).chunk_capacity(4 << 20);
        let store = open_with(options(), &path).expect("open");
        for number in 0..20_000_u64 {
            store.put(number.to_be_bytes(), &[number; 40]).expect("put");
        }
        let space = if sparse == Sparse::Auto { Space::Sparse } else { Space::Auto };
        store.loan_array::<u64>("large", &[1 << 18], space).expect("loan").publish().expect("publish");
        store.close().expect("close");
        let store = open_with(options().create(false).read_only(true), &path).expect("open");
        let stats = store.stats().expect("stats");
        assert_eq!((stats.bytes_apparent, stats.bytes_allocated), sizes(&path), "{sparse:?}");
        assert_eq!(stats.index_bytes > 0, cfg!(feature = "leveldb"), "{sparse:?}");
    }
}
