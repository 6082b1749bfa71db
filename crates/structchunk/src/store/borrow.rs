//! What is borrowed now: one entry for every object that a guard refers to.
//!
//! The table lives on the heap, not in the mapping, and has an entry only while there is a guard. It is sharded so that guards
//! of different objects seldom meet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chunk::Record;
use crate::disk::PerProcess;
use crate::format::{ExternPayload, Kind, Location};
use crate::quick_hash::{Quick, mix};

const SHARDS: usize = 64;

/// What a guard wants of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// To read, beside other readers.
    Shared,
    /// To change, alone.
    Exclusive,
    /// To change through atomics, beside others who do the same. (An object of atomics can be seen as plain integers too; a
    /// plain reference to it must not change under its holder.)
    Atomic,
}

/// What is borrowed: the memory of an object, whichever record leads to it. After a rename, and in a hostile file, several records
/// lead to one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject(u64);

/// Tells bodies from locations, which have 48 bits.
const IS_BODY: u64 = 1 << 63;

impl Subject {
    /// The object of a record.
    #[inline]
    pub(crate) fn of(record: &Record<'_>) -> Self {
        if record.header().kind == Kind::Extern
            && let Some(pointer) = ExternPayload::decode(record.frozen_payload())
        {
            return Self(pointer.body.0 | IS_BODY);
        }
        record.location().into()
    }
}

impl From<Location> for Subject {
    /// The object in the log whose record lies there.
    #[inline]
    fn from(location: Location) -> Self {
        Self(location.get())
    }
}

/// Who borrows what.
pub(crate) struct Borrows {
    /// A child has none of its parent's.
    shards: PerProcess<[Shard; SHARDS]>,
    /// How many exclusive borrows there are; spares `put` a look into the table.
    exclusive: AtomicUsize,
    /// How many atomic borrows there are.
    atomic: AtomicUsize,
}

#[repr(align(64))]
#[derive(Default)]
struct Shard {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Default)]
struct State {
    borrowed: HashMap<u64, Holders, Quick>,
    /// How many threads wait for a release; without any, nobody is woken.
    waiting: u32,
}

/// How an object is borrowed, and how often.
#[derive(Clone, Copy)]
struct Holders {
    how: Want,
    count: u32,
}

impl State {
    fn try_acquire(&mut self, subject: Subject, want: Want) -> bool {
        let holders = self.borrowed.entry(subject.0).or_insert(Holders { how: want, count: 0 });
        let compatible = holders.count == 0 || holders.how == want && want != Want::Exclusive;
        // A flood of guards is refused rather than forgotten.
        if !compatible || holders.count == u32::MAX {
            return false;
        }
        holders.count += 1;
        true
    }

    fn is_exclusive(&self, subject: Subject) -> bool {
        self.borrowed.get(&subject.0).is_some_and(|holders| holders.how == Want::Exclusive)
    }
}

fn no_shards() -> [Shard; SHARDS] {
    std::array::from_fn(|_| Shard::default())
}

impl Borrows {
    pub(crate) fn new() -> Self {
        Self {
            shards: PerProcess::new(no_shards()),
            exclusive: AtomicUsize::new(0),
            atomic: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn shards(&self) -> &[Shard; SHARDS] {
        self.shards.here(|_| no_shards())
    }

    #[inline]
    fn shard(&self, subject: Subject) -> &Shard {
        &self.shards()[(mix(subject.0) >> 58) as usize % SHARDS]
    }

    /// Borrows an object, waiting for others until `deadline`; whether that worked.
    pub(crate) fn acquire(&self, subject: Subject, want: Want, deadline: &mut Deadline) -> bool {
        let shard = self.shard(subject);
        let mut state = shard.lock();
        while !state.try_acquire(subject, want) {
            match shard.wait(state, deadline) {
                Some(next) => state = next,
                None => return false,
            }
        }
        match want {
            Want::Shared => {}
            Want::Exclusive => {
                self.exclusive.fetch_add(1, Ordering::SeqCst);
            }
            Want::Atomic => {
                self.atomic.fetch_add(1, Ordering::SeqCst);
            }
        }
        true
    }

    /// Gives a borrow back. (In a child, where one of the parent's is dropped, there is none.)
    pub(crate) fn release(&self, subject: Subject, want: Want) {
        let shard = self.shard(subject);
        let mut state = shard.lock();
        if let Entry::Occupied(mut entry) = state.borrowed.entry(subject.0) {
            entry.get_mut().count -= 1;
            if entry.get().count == 0 {
                entry.remove();
            }
        }
        let wake = state.waiting > 0;
        drop(state);
        match want {
            Want::Shared => {}
            Want::Exclusive => {
                self.exclusive.fetch_sub(1, Ordering::SeqCst);
            }
            Want::Atomic => {
                self.atomic.fetch_sub(1, Ordering::SeqCst);
            }
        }
        if wake {
            shard.released.notify_all();
        }
    }

    /// Whether somebody changes the object alone now.
    pub(crate) fn is_exclusive(&self, subject: Subject) -> bool {
        self.exclusive.load(Ordering::SeqCst) != 0 && self.shard(subject).lock().is_exclusive(subject)
    }

    /// Whether any guard refers to the object.
    pub(crate) fn is_borrowed(&self, subject: Subject) -> bool {
        self.shard(subject).lock().borrowed.contains_key(&subject.0)
    }

    /// Does something while nobody can come to borrow the object; it is told whether somebody has.
    pub(crate) fn look(&self, subject: Subject, action: impl FnOnce(bool)) {
        let state = self.shard(subject).lock();
        action(state.borrowed.contains_key(&subject.0));
    }

    /// Waits until nobody changes the object alone, at most until `deadline`; whether that came true.
    pub(crate) fn wait_for_writer(&self, subject: Subject, deadline: &mut Deadline) -> bool {
        let shard = self.shard(subject);
        let mut state = shard.lock();
        while state.is_exclusive(subject) {
            match shard.wait(state, deadline) {
                Some(next) => state = next,
                None => return false,
            }
        }
        true
    }

    /// Whether any guard is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.shards().iter().all(|shard| shard.lock().borrowed.is_empty())
    }

    /// Whether any object is borrowed as atomics.
    #[inline]
    pub(crate) fn any_atomic(&self) -> bool {
        self.atomic.load(Ordering::SeqCst) != 0
    }

    /// Whether anybody may still write through a guard.
    pub(crate) fn any_writer(&self) -> bool {
        self.exclusive.load(Ordering::SeqCst) != 0 || self.atomic.load(Ordering::SeqCst) != 0
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in this file panics while it holds the lock, so a poisoned one is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a release; `None` when the time is up.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: &mut Deadline,
    ) -> Option<MutexGuard<'a, State>> {
        let left = deadline.left()?;
        state.waiting += 1;
        let (mut state, _) = self.released.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        Some(state)
    }
}

/// Until when to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deadline {
    /// Do not wait.
    Now,
    /// Wait so long, from when the waiting begins. (Most calls never wait, and need not ask for the time.)
    Within(Duration),
    /// Wait until then.
    At(Instant),
}

impl Deadline {
    /// How long there is left to wait; `None` when the time is up.
    fn left(&mut self) -> Option<Duration> {
        let now = match self {
            Self::Now => return None,
            Self::Within(_) | Self::At(_) => Instant::now(),
        };
        if let Self::Within(patience) = *self {
            *self = Self::At(now + patience);
        }
        let Self::At(end) = *self else { return None };
        Some(end.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Whether the time is up.
    pub(crate) fn is_over(&mut self) -> bool {
        self.left().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bits: u64) -> Subject {
        Subject(bits)
    }

    #[test]
    fn readers_share_and_writers_exclude() {
        let borrows = Borrows::new();
        assert!(borrows.acquire(at(1), Want::Shared, &mut Deadline::Now));
        assert!(borrows.acquire(at(1), Want::Shared, &mut Deadline::Now));
        assert!(!borrows.acquire(at(1), Want::Exclusive, &mut Deadline::Now));
        borrows.release(at(1), Want::Shared);
        assert!(!borrows.acquire(at(1), Want::Exclusive, &mut Deadline::Now));
        borrows.release(at(1), Want::Shared);
        assert!(borrows.acquire(at(1), Want::Exclusive, &mut Deadline::Now));
        assert!(borrows.is_exclusive(at(1)) && !borrows.is_exclusive(at(2)));
        assert!(!borrows.acquire(at(1), Want::Shared, &mut Deadline::Now));
        assert!(borrows.acquire(at(2), Want::Shared, &mut Deadline::Now));
        borrows.release(at(2), Want::Shared);
        assert!(!borrows.acquire(at(1), Want::Atomic, &mut Deadline::Now));
        borrows.release(at(1), Want::Exclusive);
        assert!(borrows.is_empty() && !borrows.any_writer());
    }

    #[test]
    fn users_of_atomics_share_with_their_like_only() {
        let borrows = Borrows::new();
        assert!(borrows.acquire(at(1), Want::Atomic, &mut Deadline::Now));
        assert!(borrows.acquire(at(1), Want::Atomic, &mut Deadline::Now));
        assert!(!borrows.acquire(at(1), Want::Shared, &mut Deadline::Now));
        assert!(!borrows.is_exclusive(at(1)) && borrows.any_writer());
        borrows.release(at(1), Want::Atomic);
        borrows.release(at(1), Want::Atomic);
        assert!(borrows.acquire(at(1), Want::Shared, &mut Deadline::Now) && !borrows.any_writer());
    }

    #[test]
    fn a_waiter_is_woken_by_the_release() {
        let borrows = Borrows::new();
        assert!(borrows.acquire(at(1), Want::Exclusive, &mut Deadline::Now));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                borrows.acquire(at(1), Want::Shared, &mut Deadline::Within(Duration::from_mins(1)))
            });
            std::thread::sleep(Duration::from_millis(20));
            borrows.release(at(1), Want::Exclusive);
            assert!(waiter.join().unwrap());
        });
        let mut soon = Deadline::Within(Duration::from_millis(5));
        assert!(!borrows.acquire(at(1), Want::Exclusive, &mut soon) && soon.is_over());
        assert!(matches!(soon, Deadline::At(_)), "waiting again does not begin from the start");
    }
}
