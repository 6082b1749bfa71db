//! What every public operation promises, on disk and in memory.

mod handles;
mod keys;
mod loans;
mod operations;
mod options;
mod places;
mod read_only;
mod scans;
mod types;

use structchunk::Store;

use crate::common::{folder, open};

/// Runs a test on a store on disk and on one in memory.
fn on_both(test: impl Fn(&Store)) {
    let folder = folder();
    let store = open(folder.path());
    test(&store);
    store.close().expect("a clean close");
    test(&Store::in_memory().expect("memory"));
}
