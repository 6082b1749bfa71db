//! The end of the log: the word that makes records exist.

use std::ops::Deref;
use std::sync::atomic::Ordering;

use crate::map::words::{AtomicU64, load_own};

/// Where the log ends, and where it ended before that.
pub(crate) struct EndOfLog<W> {
    pub end: W,
    /// Of the records between the two, slots and marks may still be on their way.
    pub before: W,
}

impl<W: Deref<Target = AtomicU64>> EndOfLog<W> {
    /// Records at or beyond it do not exist. Of those before, all words are seen.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The end, and up to where everything that is derived from the log has all of it for sure: whoever makes a record exist has brought
    /// that in line with all records before.
    pub(crate) fn get_and_settled(&self) -> (u64, u64) {
        loop {
            let end = self.get();
            let settled = self.before.load(Ordering::Acquire);
            if self.get() == end {
                return (end, settled.min(end));
            }
        }
    }

    /// Makes everything before `end` exist; for the only one who appends.
    #[inline]
    pub(crate) fn publish(&self, end: u64) {
        self.before.store(load_own(&self.end), Ordering::Release);
        self.end.store(end, Ordering::Release);
    }

    /// Where a session begins everything is settled.
    pub(crate) fn begin(&self, end: u64) {
        self.before.store(end, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }
}
