//! Whether a mapping is there, and who uses it: it goes only when nobody does, and nobody begins to while it is not there.

use std::sync::atomic::Ordering;

use super::words::AtomicU64;

/// In the count of users: the mapping is not there.
const AWAY: u64 = 1 << 63;

/// Who uses a mapping that may go, and when it was used.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// How many use it now. (There are not 2^63 of anything, even if all of them are forgotten.)
    users: AtomicU64,
    /// What the clock of [`Residents`] showed when it was used last.
    last_use: AtomicU64,
}

impl Presence {
    /// Counts as a user from here on; false when the mapping is not there.
    pub(super) fn enter(&self, now: u64) -> bool {
        if self.users.fetch_add(1, Ordering::Acquire) & AWAY != 0 {
            self.users.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if self.last_use.load(Ordering::Relaxed) != now {
            self.last_use.store(now, Ordering::Relaxed);
        }
        true
    }

    /// For one who is a user already.
    pub(super) fn enter_again(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        // What the user did comes before the mapping goes.
        self.users.fetch_sub(1, Ordering::Release);
    }

    /// Lets nobody in any more; false when somebody is in.
    pub(super) fn shut(&self) -> bool {
        self.users.compare_exchange(0, AWAY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Lets users in again.
    pub(super) fn open(&self) {
        self.users.fetch_and(!AWAY, Ordering::Release);
    }

    /// What the clock showed when it was used last.
    pub(super) fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    #![expect(unsafe_code, reason = "what is in a loom cell is reached by pointers")]

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::Presence;

    /// Whoever is in sees the memory as it was made last; who makes it anew is alone with it. (loom refuses everything else.)
    #[test]
    fn loom_nobody_uses_a_mapping_while_it_goes_or_comes_back() {
        loom::model(|| {
            let mapping = Arc::new((Presence::default(), UnsafeCell::new(1)));
            let use_it = |mapping: &(Presence, UnsafeCell<i32>)| {
                if mapping.0.enter(0) {
                    // SAFETY: nobody writes while somebody is in: what is tested.
                    assert!(mapping.1.with(|memory| unsafe { *memory }) > 0);
                    mapping.0.leave();
                }
            };
            let users = [0, 1].map(|_| {
                let mapping = mapping.clone();
                thread::spawn(move || use_it(&mapping))
            });
            if mapping.0.shut() {
                // SAFETY: nobody is in: what is tested.
                mapping.1.with_mut(|memory| unsafe { *memory = 0 });
                // SAFETY: the same.
                mapping.1.with_mut(|memory| unsafe { *memory = 2 });
                mapping.0.open();
            }
            use_it(&mapping);
            users.into_iter().for_each(|user| user.join().unwrap());
            assert!(mapping.0.shut(), "everybody has left");
        });
    }
}
