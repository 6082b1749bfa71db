//! Work that no fork comes into.
//!
//! What another thread has begun when a process forks is never ended in the child: a lock stays shut there, a value half made, a descriptor open
//! that the child was to lose. What is used all the time avoids that by itself ([`super::PerProcess`]); for what is short and seldom, forks wait.
#![expect(unsafe_code, reason = "asks for the number of the thread that forks")]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fork::{forks, prepare};

/// How many threads are at such work.
static AT_WORK: AtomicU32 = AtomicU32::new(0);
/// In this count: somebody forks, so nobody begins.
const FORKING: u32 = 1 << 31;
/// Who forks; 0: nobody.
static FORKER: AtomicUsize = AtomicUsize::new(0);

/// No fork waits for longer: it could be one that the work waits for.
const LONGEST: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_micros(20);

/// While it lives, forks of other threads wait. Whoever has it forks nothing, runs nothing of the caller's, and takes no second one.
#[derive(Debug)]
pub(crate) struct NoFork {
    /// How often this process had forked; `None`: it does not count.
    process: Option<u32>,
}

/// Waits for a fork that is under way, and lets none begin. (The fork may wait for something that this thread has; then its child takes its chance.)
pub(crate) fn no_fork() -> NoFork {
    // Where the handlers cannot be installed, there is no memory for them: the same.
    let _ = prepare();
    let begin = || {
        let begun = |now: u32| (now & FORKING == 0).then_some(now + 1);
        AT_WORK.try_update(Ordering::Acquire, Ordering::Relaxed, begun).is_ok()
    };
    let mut end = None;
    while !begin() {
        if Instant::now() > *end.get_or_insert_with(|| Instant::now() + LONGEST) {
            return NoFork { process: None };
        }
        std::thread::sleep(PAUSE);
    }
    NoFork { process: Some(forks()) }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        // A child counts anew.
        if self.process == Some(forks()) {
            AT_WORK.fetch_sub(1, Ordering::Release);
        }
    }
}

fn this_thread() -> usize {
    // SAFETY: has no preconditions.
    unsafe { libc::pthread_self() as usize }
}

/// Waits until nobody is at work. Runs before a fork; a second time, where the handlers were installed twice, for nothing.
pub(super) fn before_fork() {
    if FORKER.load(Ordering::Relaxed) == this_thread() {
        return;
    }
    let end = Instant::now() + LONGEST;
    while AT_WORK.fetch_or(FORKING, Ordering::AcqRel) & FORKING != 0 {
        // Another thread forks.
        if Instant::now() > end {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    FORKER.store(this_thread(), Ordering::Relaxed);
    while AT_WORK.load(Ordering::Acquire) != FORKING && Instant::now() <= end {
        std::thread::sleep(PAUSE);
    }
}

/// Lets others go on, in the parent.
pub(super) fn after_fork() {
    if FORKER.load(Ordering::Relaxed) == this_thread() {
        FORKER.store(0, Ordering::Relaxed);
        AT_WORK.fetch_and(!FORKING, Ordering::Release);
    }
}

/// Nobody is at work in a child.
pub(super) fn in_child() {
    FORKER.store(0, Ordering::Relaxed);
    AT_WORK.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::no_fork;

    #[test]
    fn a_fork_waits_for_what_it_must_not_come_into() {
        let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let no_fork = no_fork();
                begun.store(true, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(100));
                ended.store(true, Ordering::SeqCst);
                drop(no_fork);
            });
            while !begun.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            // SAFETY: the child looks at an atomic.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let well = ended.load(Ordering::SeqCst);
                // It can work itself, and fork.
                drop(no_fork());
                // SAFETY: ends the process without running anything else.
                unsafe { libc::_exit(i32::from(!well)) };
            }
            let mut status = 0;
            // SAFETY: waits for the child above, and writes its status.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(status, 0);
            // And nobody waits any more.
            drop(no_fork());
        });
    }
}
