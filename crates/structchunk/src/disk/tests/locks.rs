//! Byte locks, and who keeps them.
//!
//! Any process that another test starts has a copy of every file for a moment, and keeps its locks that long. So tests
//! that expect a lock to go with its file run in a process of their own.
#![expect(unsafe_code, reason = "forks")]

use std::time::{Duration, Instant};

use super::child::in_a_process_of_its_own;
use super::on_both;
use crate::disk::{Access, File, Folder, Lock};

const FAR: u64 = (1 << 48) + 12_345;

fn two_files(folder: &Folder) -> (File, File) {
    (folder.create_file("LOCK").unwrap(), folder.open_file("LOCK", Access::Write).unwrap())
}

#[test]
fn an_exclusive_lock_keeps_others_from_that_byte_alone() {
    on_both(|folder| {
        let (one, two) = two_files(folder);
        for byte in [0, 1, FAR] {
            assert!(!two.probe(byte, Lock::Shared).unwrap());
            assert!(one.try_lock(byte, Lock::Exclusive).unwrap());
            assert!(one.try_lock(byte, Lock::Exclusive).unwrap(), "no conflict with itself");
            assert!(!one.probe(byte, Lock::Shared).unwrap(), "no conflict with itself");
            assert!(!two.try_lock(byte, Lock::Exclusive).unwrap());
            assert!(!two.try_lock(byte, Lock::Shared).unwrap());
            assert!(two.probe(byte, Lock::Shared).unwrap());
            for other in [byte + 1, byte ^ (1 << 16), byte ^ (1 << 32), byte ^ (1 << 48)] {
                assert!(two.try_lock(other, Lock::Exclusive).unwrap(), "{byte} and {other}");
                two.unlock(other).unwrap();
            }
            two.unlock(byte).unwrap();
            assert!(two.probe(byte, Lock::Shared).unwrap(), "only the holder unlocks");
            one.unlock(byte).unwrap();
            assert!(!two.probe(byte, Lock::Shared).unwrap());
            assert!(two.try_lock(byte, Lock::Exclusive).unwrap());
            two.unlock(byte).unwrap();
        }
    });
}

#[test]
fn shared_locks_admit_each_other_and_nothing_else() {
    in_a_process_of_its_own("disk::tests::locks::shared_locks_admit_each_other_and_nothing_else", || {
        on_both(|folder| {
            let (one, two) = two_files(folder);
            let reader = folder.open_file("LOCK", Access::Read).unwrap();
            assert!(one.try_lock(FAR, Lock::Shared).unwrap());
            assert!(reader.try_lock(FAR, Lock::Shared).unwrap());
            assert!(!two.try_lock(FAR, Lock::Exclusive).unwrap());
            assert!(!one.try_lock(FAR, Lock::Exclusive).unwrap(), "the reader is in the way");
            assert!(reader.probe(FAR, Lock::Shared).unwrap());
            drop(reader);
            assert!(one.try_lock(FAR, Lock::Exclusive).unwrap(), "a lock goes with its file");
            assert!(!two.try_lock(FAR, Lock::Shared).unwrap());
            drop(one);
            assert!(two.try_lock(FAR, Lock::Shared).unwrap());
            assert!(two.try_lock(u64::MAX, Lock::Shared).is_err());
        });
    });
}

/// Forks a child that does nothing; it ends when the answer is dropped.
struct Sleeper {
    pid: libc::pid_t,
}

impl Sleeper {
    fn fork() -> Self {
        // SAFETY: the child calls only `pause` and `_exit`, both allowed in the child of a process with threads.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: waits for a signal; has no preconditions.
            unsafe { libc::alarm(60) };
            // SAFETY: as above.
            unsafe { libc::pause() };
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(0) };
        }
        Self { pid }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // SAFETY: signals our own child, which has not been waited for.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // SAFETY: waits for our own child; no status is asked for.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

#[test]
fn a_living_child_keeps_the_locks_of_files_it_inherited_and_not_of_those_kept_from_it() {
    in_a_process_of_its_own(
        "disk::tests::locks::a_living_child_keeps_the_locks_of_files_it_inherited_and_not_of_those_kept_from_it",
        || {
            on_both(|folder| {
                let (one, two) = two_files(folder);
                assert!(one.try_lock(0, Lock::Exclusive).unwrap());
                let sleeper = Sleeper::fork();
                drop(one);
                assert!(two.probe(0, Lock::Shared).unwrap(), "the child has the description too");
                drop(sleeper);
                assert!(!two.probe(0, Lock::Shared).unwrap());

                let one = folder.open_file("LOCK", Access::Write).unwrap().keep_from_children().unwrap();
                assert!(one.try_lock(0, Lock::Exclusive).unwrap());
                let sleeper = Sleeper::fork();
                assert!(two.probe(0, Lock::Shared).unwrap(), "closing in the child does not unlock");
                drop(one);
                // The child closes it when it runs for the first time, which may be a moment later.
                let begin = Instant::now();
                while two.probe(0, Lock::Shared).unwrap() {
                    assert!(begin.elapsed() < Duration::from_secs(10), "the child keeps it");
                    std::thread::yield_now();
                }
                drop(sleeper);
            });
        },
    );
}

#[test]
fn files_kept_from_children_give_their_place_back() {
    on_both(|folder| {
        folder.create_file("LOCK").unwrap();
        for _ in 0..3000 {
            let file = folder.open_file("LOCK", Access::Write).unwrap();
            file.keep_from_children().unwrap();
        }
    });
}
