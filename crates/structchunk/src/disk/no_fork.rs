//! Work that no fork comes into.
//!
//! What another thread has begun when a process forks is never ended in the child: a lock stays shut there, a value half made, a descriptor open
//! that the child was to lose. What is used all the time avoids that by itself ([`super::PerProcess`]); for what is short and seldom, forks wait.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::fork::{forks, prepare};

/// How many threads are at such work, and how many times [`FORK`] others that fork.
static AT_WORK: AtomicU32 = AtomicU32::new(0);
const FORK: u32 = 1 << 16;
/// How many wait for forks. These go before forks that come later: where many fork all the time, work begins nevertheless.
static WAITING: AtomicU32 = AtomicU32::new(0);

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
        let more = |now: u32| (now < FORK).then_some(now + 1);
        AT_WORK.try_update(Ordering::Acquire, Ordering::Relaxed, more).is_ok()
    };
    let has_begun = begin() || {
        WAITING.fetch_add(1, Ordering::Relaxed);
        let has_begun = wait_until(Instant::now() + LONGEST, begin);
        WAITING.fetch_sub(1, Ordering::Relaxed);
        has_begun
    };
    NoFork { process: has_begun.then(forks) }
}

/// Whether it became so before `end`.
fn wait_until(end: Instant, mut is_so: impl FnMut() -> bool) -> bool {
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        // A child counts anew.
        if self.process == Some(forks()) {
            AT_WORK.fetch_sub(1, Ordering::Release);
        }
    }
}

thread_local! {
    /// This thread forks. Handlers that were installed twice run twice.
    static FORKING: Cell<bool> = const { Cell::new(false) };
}

/// Waits until nobody is at work. Runs before a fork.
pub(super) fn before_fork() {
    if !FORKING.replace(true) {
        let end = Instant::now() + LONGEST;
        wait_until(end, || WAITING.load(Ordering::Relaxed) == 0);
        AT_WORK.fetch_add(FORK, Ordering::AcqRel);
        wait_until(end, || AT_WORK.load(Ordering::Acquire).is_multiple_of(FORK));
    }
}

/// Lets others go on, in the parent.
pub(super) fn after_fork() {
    if FORKING.replace(false) {
        AT_WORK.fetch_sub(FORK, Ordering::Release);
    }
}

/// Nobody is at work in a child.
pub(super) fn in_child() {
    FORKING.set(false);
    AT_WORK.store(0, Ordering::Relaxed);
    WAITING.store(0, Ordering::Relaxed);
}

#[cfg(test)]
#[expect(unsafe_code, reason = "forks")]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::{WAITING, after_fork, before_fork, no_fork};

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
    #[test]
    fn a_fork_that_is_told_twice_counts_once() {
        before_fork();
        let work = thread::spawn(|| no_fork().process.is_some());
        while WAITING.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        before_fork();
        after_fork();
        after_fork();
        assert!(work.join().expect("the work"), "it did not wait to the end");
    }

    #[test]
    fn work_begins_although_others_fork_all_the_time() {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        before_fork();
                        thread::sleep(Duration::from_millis(1));
                        after_fork();
                    }
                });
            }
            let begins = (0..50).all(|_| no_fork().process.is_some());
            over.store(true, Ordering::Relaxed);
            assert!(begins, "it did not wait to the end");
        });
    }
}
