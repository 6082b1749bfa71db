//! What a forked child has anew.
//!
//! A lock that another thread of the parent had at the moment of a fork is never opened in the child. So the child looks into nothing behind
//! such a lock: it forgets it, with what it guards, and begins with one of its own.

use std::sync::OnceLock;

use super::fork::forks;
use super::no_fork;

/// A value of this process: in a forked child another one.
pub(crate) struct PerProcess<T> {
    process: u32,
    value: T,
    /// That of the first child in a line of them.
    later: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { process: forks(), value, later: OnceLock::new() }
    }

    /// The value here. In a child it is made the first time, where it may look at that of its parent without waiting for anything.
    #[inline]
    pub(crate) fn here(&self, make: impl Fn(&T) -> T) -> &T {
        if self.process == forks() { &self.value } else { self.of_child(make) }
    }

    #[cold]
    fn of_child(&self, make: impl Fn(&T) -> T) -> &T {
        let mut at = self;
        while at.process != forks() {
            at = if let Some(later) = at.later.get() {
                later
            } else {
                // A child of this child would wait for ever for what this thread has begun.
                let _no_fork = no_fork();
                at.later.get_or_init(|| Box::new(Self::new(make(&at.value))))
            };
        }
        &at.value
    }
}
