//! Full disks, real ones: an error value and never a signal, and the store goes on.
//!
//! Mounting needs root; without it these tests say that they were skipped.
#![expect(unsafe_code, reason = "a limit is set in a child process only, by one system call")]

pub mod scenarios;

use std::path::{Path, PathBuf};
use std::process::Command;

use structchunk::{Error, Found};

use crate::common::*;
use crate::mount::Mount;
use crate::process::ran_apart;
use scenarios::no_space;

const TASK: &str = "STRUCTCHUNK_TEST_LIMIT";

/// On 24 MiB of tmpfs and 64 MiB of ext4, as far as they can be had here.
fn on_full_disks(scenario: fn(&str, &Path)) {
    for (kind, bytes) in [("tmpfs", 24 << 20), ("ext4", 64 << 20)] {
        if let Some(mount) = Mount::of(kind, bytes, "a full disk") {
            scenario(kind, mount.path());
        }
    }
}

#[test]
fn a_full_disk_is_an_error_value_for_every_call_and_the_store_goes_on_when_there_is_room() {
    if ran_apart(a_full_disk_is_an_error_value_for_every_call_and_the_store_goes_on_when_there_is_room) {
        return;
    }
    on_full_disks(scenarios::every_call);
}

#[test]
fn large_objects_that_are_removed_give_their_room_back_on_a_full_disk() {
    if ran_apart(large_objects_that_are_removed_give_their_room_back_on_a_full_disk) {
        return;
    }
    on_full_disks(scenarios::large_objects);
}

#[test]
fn a_store_cannot_be_created_on_a_full_disk_and_can_when_there_is_room() {
    if ran_apart(a_store_cannot_be_created_on_a_full_disk_and_can_when_there_is_room) {
        return;
    }
    on_full_disks(scenarios::creation);
}

#[test]
fn a_poisoned_store_on_a_full_disk_recovers_without_touching_a_hole() {
    if ran_apart(a_poisoned_store_on_a_full_disk_recovers_without_touching_a_hole) {
        return;
    }
    on_full_disks(scenarios::recovery);
}

#[test]
fn a_disk_that_is_too_full_for_the_index_costs_no_object_and_no_scan() {
    if ran_apart(a_disk_that_is_too_full_for_the_index_costs_no_object_and_no_scan) {
        return;
    }
    on_full_disks(scenarios::index);
}

#[test]
fn a_full_store_is_emptied_compacted_and_filled_again() {
    if ran_apart(a_full_store_is_emptied_compacted_and_filled_again) {
        return;
    }
    on_full_disks(scenarios::emptied);
}

#[test]
fn a_full_store_that_is_thinned_out_at_random_goes_on_when_there_is_a_little_room() {
    if ran_apart(a_full_store_that_is_thinned_out_at_random_goes_on_when_there_is_a_little_room) {
        return;
    }
    on_full_disks(scenarios::thinned_out);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_value_and_no_signal() {
    let folder = folder();
    let path = folder.path().join("store");
    open(&path).close().expect("close");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "full_disk::what_a_child_does_below_a_limit"])
        .env(TASK, &path)
        .output()
        .expect("a child");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stdout));
    let store = open(&path);
    assert_eq!(store.recovery().found, Found::ProcessDied);
    assert!(store.load::<u64>("key").expect("load") == Some(1) && store.len() > 50);
    assert_eq!(store.check().expect("a check").count(), 0);
}

/// No test of its own: the one above starts this program again.
#[test]
fn what_a_child_does_below_a_limit() {
    let Some(path) = std::env::var_os(TASK) else { return };
    let limit = libc::rlimit { rlim_cur: 300 << 10, rlim_max: 300 << 10 };
    let store = open(PathBuf::from(path));
    store.put("key", &1_u64).expect("put");
    // SAFETY: reads one `rlimit`, which `limit` is.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    assert!(no_space(store.put("body", &vec![1_u64; 100_000][..])), "a body above the limit");
    assert!(no_space(store.loan_slice::<u64>("body", 100_000)), "a loan above the limit");
    // Chunks are below the limit; sooner or later the live map or the directory meets it.
    for number in 0..200_u64 {
        match store.put(number.to_le_bytes(), &vec![number; 4000][..]) {
            Ok(()) => {}
            Err(Error::NoSpace { .. }) => break,
            Err(error) => panic!("put {number}: {error}"),
        }
    }
    store.remove(7_u64.to_le_bytes()).expect("remove");
    store.sync().expect("sync");
    assert_eq!(store.load::<u64>("key").expect("load"), Some(1));
}
