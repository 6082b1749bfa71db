//! Space: reserving it, giving it back, and not having it.

use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::child::in_a_process_of_its_own;
use super::{on_both, on_both_with};
use crate::disk::space::Punched;
use crate::disk::{Access, Call, Fault, Faults, File, Folder};
use crate::error::{Error, Result};
use crate::map::Mapping;

const MIB: u64 = 1 << 20;

#[expect(clippy::needless_pass_by_value, reason = "called with fresh results only")]
fn assert_no_space<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::NoSpace { .. })), "{outcome:?}");
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn reserving_extends_the_file_and_backs_it() {
    on_both(|folder| {
        let file = folder.create_file("file").unwrap();
        file.write_at(0, b"kept").unwrap();
        file.reserve(0, MIB).unwrap();
        assert_eq!(file.len().unwrap(), MIB);
        assert!(file.allocated_bytes().unwrap() >= MIB);
        assert_eq!(&content(&file)[..5], b"kept\0");
        file.reserve(0, 0).unwrap();
    });
}

#[test]
fn punching_zeroes_the_range_alone_and_gives_it_back() {
    on_both(|folder| {
        let file = folder.create_file("file").unwrap();
        file.write_at(0, &vec![7; MIB as usize]).unwrap();
        file.sync_data().unwrap();
        let before = file.allocated_bytes().unwrap();
        assert_eq!(file.punch(8192 + 1, MIB).unwrap(), Punched::Freed);
        assert_eq!(file.len().unwrap(), MIB);
        assert!(file.allocated_bytes().unwrap() <= before - MIB / 2);
        let bytes = content(&file);
        assert!(bytes[..8193].iter().all(|byte| *byte == 7));
        assert!(bytes[8193..].iter().all(|byte| *byte == 0));
        assert_eq!(file.punch(0, 0).unwrap(), Punched::Freed);
    });
}

#[test]
fn a_file_system_that_cannot_reserve_gets_zeroes_written_into_its_holes() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        let file = folder.create_file("file").unwrap();
        file.set_len(MIB).unwrap();
        file.write_at(256 << 10, &[7; 4096]).unwrap();
        faults.plan(Fault::nth(1, libc::EOPNOTSUPP).of(Call::Allocate).from_then_on());

        file.reserve(0, MIB).unwrap();
        assert_eq!(file.len().unwrap(), MIB);
        file.sync_data().unwrap();
        assert!(file.allocated_bytes().unwrap() >= MIB);
        file.reserve(MIB / 2, MIB).unwrap();
        assert_eq!(file.len().unwrap(), MIB * 3 / 2);
        file.sync_data().unwrap();
        assert!(file.allocated_bytes().unwrap() >= MIB * 3 / 2);
        let bytes = content(&file);
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 4096, "data stays as it is");
        assert!(bytes[256 << 10..][..4096].iter().all(|byte| *byte == 7));
        faults.heal();
    });
}

#[test]
fn a_reservation_that_fails_half_way_leaves_the_length_as_it_was() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        let file = folder.create_file("file").unwrap();
        file.write_at(0, b"kept").unwrap();
        faults.plan(Fault::nth(1, libc::EOPNOTSUPP).of(Call::Allocate));
        faults.plan(Fault::nth(3, libc::ENOSPC).of(Call::Write));
        assert_no_space(file.reserve(0, MIB));
        assert_eq!(content(&file), b"kept");
    });
}

#[test]
fn a_file_system_that_cannot_punch_gets_zeroes_written() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        let file = folder.create_file("file").unwrap();
        file.write_at(0, &[7; 10_000]).unwrap();
        faults.plan(Fault::nth(1, libc::EOPNOTSUPP).of(Call::Punch));
        assert_eq!(file.punch(5_000, MIB).unwrap(), Punched::Zeroed);
        assert_eq!(file.len().unwrap(), 10_000, "nothing is extended");
        assert_eq!(content(&file), [[7; 5_000], [0; 5_000]].concat());
    });
}

#[test]
fn full_disks_quotas_and_size_limits_are_no_space_but_never_when_syncing() {
    let faults = Faults::recorded();
    on_both_with(&faults, |folder| {
        let file = folder.create_file("file").unwrap();
        for errno in [libc::ENOSPC, libc::EDQUOT, libc::EFBIG] {
            let fail = |call| faults.plan(Fault::nth(1, errno).of(call));
            fail(Call::Allocate);
            assert_no_space(file.reserve(0, 1));
            fail(Call::Truncate);
            assert_no_space(file.set_len(1));
            fail(Call::Write);
            assert_no_space(file.write_at(0, b"x"));
            fail(Call::Create);
            assert_no_space(folder.create_file("other"));
            fail(Call::Sync);
            assert!(matches!(file.sync_data(), Err(Error::Io { .. })), "a failed sync is not harmless");
        }
        assert_eq!(file.len().unwrap(), 0);
    });
}

/// A small file system of its own, unmounted when dropped.
struct Mount(tempfile::TempDir);

impl Mount {
    fn tmpfs(bytes: u64) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at.path()).output();
        done.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_is_an_error_value_and_what_was_reserved_can_be_touched() {
    let Some(mount) = Mount::tmpfs(MIB) else {
        eprintln!("SKIPPED: mounting a small tmpfs needs root");
        return;
    };
    let folder = Folder::create(mount.path().join("s"), Faults::none()).unwrap();
    let file = folder.create_file("file").unwrap();
    file.reserve(0, MIB / 2).unwrap();
    assert_no_space(file.reserve(MIB / 2, MIB));
    assert_eq!(file.len().unwrap(), MIB / 2, "a refused call changes nothing");

    let mapping = Mapping::new(&file, 2 * MIB, Access::Write).unwrap();
    assert_eq!(mapping.limit(), MIB / 2);
    let rest = folder.create_file("rest").unwrap();
    assert_no_space(rest.write_at(0, &vec![1; MIB as usize]));
    // The disk is full now; without the reserved space this would be a signal.
    mapping.copy_in(0, &vec![9; MIB as usize / 2]).unwrap();
    assert_eq!(mapping.copy_in(MIB / 2, &[9]), None, "beyond the file");

    drop(rest);
    folder.remove("rest").unwrap();
    file.reserve(MIB / 2, MIB / 4).expect("usable again after space was freed");
}

#[test]
fn the_limit_on_file_sizes_is_an_error_value_and_no_signal() {
    in_a_process_of_its_own(
        "disk::tests::space::the_limit_on_file_sizes_is_an_error_value_and_no_signal",
        || {
            let maximum = getrlimit(Resource::Fsize).maximum;
            on_both(|folder| {
                let long = folder.create_file("long").unwrap();
                long.set_len(4 * MIB).unwrap();
                setrlimit(Resource::Fsize, Rlimit { current: Some(MIB), maximum }).unwrap();

                let file = folder.create_file("file").unwrap();
                file.reserve(0, MIB).unwrap();
                assert_no_space(file.reserve(0, MIB + 1));
                assert_no_space(file.set_len(MIB + 1));
                assert_no_space(file.write_at(MIB - 1, b"xx"));
                file.write_at(MIB - 1, b"x").unwrap();
                assert_eq!(file.len().unwrap(), MIB);
                long.reserve(2 * MIB, MIB).expect("inside a file there is no limit");
                long.set_len(3 * MIB).expect("cutting is always possible");

                setrlimit(Resource::Fsize, Rlimit { current: maximum, maximum }).unwrap();
            });
        },
    );
}
