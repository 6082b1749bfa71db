//! A disk that answers EIO to what a real file system on it flushes; see `failing_disk/scenarios.rs` of the engine's suite.

use std::path::Path;

use crate::failing_disk::{WITH_JOURNAL, WITHOUT_JOURNAL, healed_and_mounted_again, healed_while_mounted};
use crate::mount::Failing;

pub const NAME: &str = "a disk that fails";

/// Whether such a disk can be had here.
pub fn can_run() -> bool {
    Failing::new(WITH_JOURNAL, NAME).is_some()
}

pub fn run(_: &str, _: &Path, seed: u64) {
    // At one of the first syncs behind the last good one.
    let run = seed / 2 % 12;
    let ran = if seed.is_multiple_of(2) {
        Failing::new(WITHOUT_JOURNAL, NAME).map(|mut disk| healed_while_mounted(&mut disk, run))
    } else {
        Failing::new(WITH_JOURNAL, NAME).map(|mut disk| healed_and_mounted_again(&mut disk, run))
    };
    assert!(ran.is_some(), "the disk could be had before");
}
