//! Files that forked children do not inherit.
//!
//! Locks belong to the open file description, and a child shares its parent's. A worker that outlives its parent
//! would keep the parent's lock and nobody could write any more. So the child closes these descriptions at once, in
//! the handler that runs inside `fork`. It does not free the descriptor's number, which still has an owner: it
//! puts `/dev/null` there. And closing, unlike unlocking, leaves the parent its lock.
#![expect(
    unsafe_code,
    reason = "pthread_atfork is the only way to run code in a child, and before there is one"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};

use super::no_fork;

const NONE: i32 = -1;
const SLOTS: usize = 1024;

/// A plain array of atomics, because a child of a process with threads may neither allocate nor take a lock.
static KEPT: [AtomicI32; SLOTS] = [const { AtomicI32::new(NONE) }; SLOTS];
/// `/dev/null`, opened once and for ever.
static NULL: AtomicI32 = AtomicI32::new(NONE);

/// How often this process is the child of a fork since the library was first used in it.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A number that is another one in a forked child of a process that has asked for [`this_process`] before.
#[inline]
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// [`forks`], which counts from here on if it did not before.
pub(crate) fn this_process() -> u32 {
    // Where nothing more can be installed, there is nobody to tell.
    let _ = prepare();
    forks()
}

/// While it lives, children get `/dev/null` in place of one descriptor. It must go before the descriptor is closed.
pub(super) struct ForkGuard {
    slot: usize,
}

impl ForkGuard {
    /// `None` when all slots are taken.
    pub(super) fn new(descriptor: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        prepare()?;
        let number = descriptor.as_raw_fd();
        let free = |slot: &AtomicI32| {
            slot.compare_exchange(NONE, number, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        Ok(KEPT.iter().position(free).map(|slot| Self { slot }))
    }
}

impl Drop for ForkGuard {
    fn drop(&mut self) {
        if let Some(slot) = KEPT.get(self.slot) {
            slot.store(NONE, Ordering::Release);
        }
    }
}

/// Opens `/dev/null` and installs the handlers, once in a process. (Two threads that come at the same time may both install them, which does no
/// harm. A lock would be one that children wait for.)
pub(super) fn prepare() -> io::Result<()> {
    static PREPARED: AtomicBool = AtomicBool::new(false);
    if PREPARED.load(Ordering::Acquire) {
        return Ok(());
    }
    if NULL.load(Ordering::Acquire) == NONE {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let number = null.as_raw_fd();
        if NULL.compare_exchange(NONE, number, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // It stays open for ever.
            let _ = null.into_raw_fd();
        }
    }
    let (before, after): (extern "C" fn(), extern "C" fn()) = (before_fork, after_fork);
    // SAFETY: these are functions for the life of the program (the library cannot be unloaded without the program that linked it), and that of
    // the child does only what is allowed there.
    match unsafe { libc::pthread_atfork(Some(before), Some(after), Some(in_child)) } {
        0 => {
            PREPARED.store(true, Ordering::Release);
            Ok(())
        }
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Runs in the parent before `fork`.
extern "C" fn before_fork() {
    no_fork::before_fork();
}

/// Runs in the parent after `fork`, also where that has failed.
extern "C" fn after_fork() {
    no_fork::after_fork();
}

/// Runs in the child before `fork` returns there. Loads and `dup3` only: both are allowed at this point.
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    no_fork::in_child();
    let null = NULL.load(Ordering::Acquire);
    for slot in &KEPT {
        let number = slot.load(Ordering::Acquire);
        if number != NONE {
            // SAFETY: a number in a slot is that of a descriptor still open, owned by the `File` whose guard took
            // the slot; it stays open and owned, only its description is replaced.
            unsafe { libc::dup3(null, number, libc::O_CLOEXEC) };
        }
    }
}
