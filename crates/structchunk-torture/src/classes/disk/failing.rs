//! A disk that answers EIO to what a real file system on it flushes; see `failing_disk/scenarios.rs` of the engine's suite.

use std::path::Path;

use crate::failing_disk::{
    WITH_JOURNAL, WITHOUT_JOURNAL, healed_and_mounted_again, healed_while_mounted,
    healed_while_others_have_it_mapped,
};
use crate::mount::Failing;

pub const NAME: &str = "a disk that fails";

/// Whether such a disk can be had here.
pub fn can_run() -> bool {
    Failing::new(WITH_JOURNAL, NAME).is_some()
}

pub fn run(_: &str, _: &Path, seed: u64) {
    // At one of the first syncs behind the last good one.
    let run = seed / 2 % 12;
    let on = |options| Failing::new(options, NAME);
    let ran = if seed.is_multiple_of(2) {
        on(WITHOUT_JOURNAL).map(|mut disk| healed_while_mounted(&mut disk, run))
    } else {
        on(WITH_JOURNAL).map(|mut disk| healed_and_mounted_again(&mut disk, run))
    };
    // Every time, in both ways: of what the page cache pretends, only pages that others have mapped survive until the store is opened.
    let others = [2 * run, 2 * run + 1]
        .map(|run| on(WITHOUT_JOURNAL).map(|mut disk| healed_while_others_have_it_mapped(&mut disk, run)));
    assert!(ran.is_some() && others.iter().all(Option::is_some), "the disk could be had before");
}
