//! A disk that really fails, below a file system of the kernel: EIO from `fdatasync`, and pages that count as clean although the disk never
//! got them.
//!
//! It takes root; without it these tests say that they were skipped.

pub mod scenarios;

use crate::mount::Failing;

/// On a disk of its own for each run.
fn on_failing_disks(runs: std::ops::Range<u64>, options: &[&str], scenario: fn(&mut Failing, u64) -> bool) {
    let mut failed = 0;
    for run in runs.clone() {
        let Some(mut disk) = Failing::new(options, "a failing disk") else { return };
        failed += u64::from(scenario(&mut disk, run));
    }
    assert!(failed * 2 > runs.end - runs.start, "{failed} runs met the failing disk");
}

#[test]
fn a_disk_that_fails_once_poisons_the_store_and_what_it_never_got_is_not_believed_from_the_page_cache() {
    on_failing_disks(0..8, scenarios::WITHOUT_JOURNAL, scenarios::healed_while_mounted);
}

#[test]
fn a_disk_that_fails_takes_the_store_back_to_its_last_good_sync_when_it_is_mounted_again() {
    on_failing_disks(0..4, scenarios::WITH_JOURNAL, scenarios::healed_and_mounted_again);
}

#[test]
fn what_a_reader_keeps_cached_of_a_failed_sync_is_made_durable_or_not_seen() {
    on_failing_disks(0..3, scenarios::WITHOUT_JOURNAL, scenarios::healed_while_others_have_it_mapped);
}
