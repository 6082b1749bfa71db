//! Objects that overlap: only forged files have them, and no two guards are ever of both.
//!
//! A store that was closed cleanly is believed without a walk, so a forged directory may lead to what looks like a record inside the
//! payload of another one. Every guard therefore asks the live map: the record must be marked, and nothing else inside of it. Of two
//! records that overlap, the one that begins first has the mark of the other inside of it, so at most one of them can be borrowed, as
//! marks are only ever set where the log is written on (and [`LiveMap::forget`](crate::chunk::LiveMap::forget) clears what a file says of
//! that). But a mark goes when its object is superseded, and guards stay: those are remembered here.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Inner;
use super::borrow::{Borrows, Subject};
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::format::{Kind, Location};

/// So many are kept before it is looked whether they are still borrowed.
const FEW: usize = 64;

/// Superseded objects of the log that were borrowed when their marks went. (Only ones that came from a file: what this process has
/// written does not overlap.)
pub(crate) struct Lingering {
    places: Mutex<Places>,
}

struct Places {
    begins: BTreeSet<Location>,
    /// When there are so many, it is time to look.
    many: usize,
}

impl Lingering {
    pub(crate) fn new() -> Self {
        Self { places: Mutex::new(Places { begins: BTreeSet::new(), many: FEW }) }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, location: Location) {
        self.lock().begins.insert(location);
    }

    /// Forgets those whose guards are gone, when they have become many.
    fn tidy(&self, borrows: &Borrows) {
        let all = {
            let places = self.lock();
            if places.begins.len() < places.many {
                return;
            }
            places.begins.clone()
        };
        self.forget_unborrowed(all, borrows);
        let mut places = self.lock();
        places.many = FEW.max(2 * places.begins.len());
    }

    /// Whether any of these is still borrowed; forgets those that are not. A superseded object is never borrowed anew. (Without the
    /// lock while asking: who supersedes takes it inside of that of the borrows.)
    fn forget_unborrowed(&self, some: BTreeSet<Location>, borrows: &Borrows) -> bool {
        let mut any = false;
        for location in some {
            if borrows.is_borrowed(location.into()) {
                any = true;
            } else {
                self.lock().begins.remove(&location);
            }
        }
        any
    }

    /// Whether one that is still borrowed begins inside a record.
    fn any_inside(&self, record: &Record<'_>, borrows: &Borrows) -> bool {
        let behind = |bytes| record.chunk.geometry.location(record.chunk.id, record.offset() + bytes);
        let inside = {
            let places = self.lock();
            if places.begins.is_empty() {
                return false;
            }
            places.begins.range(behind(16)..behind(record.bytes())).copied().collect()
        };
        self.forget_unborrowed(inside, borrows)
    }
}

impl Inner {
    /// Whether a record is an object of its own, so that a guard of it meets no other. A record that was put a moment ago may
    /// not be marked yet, for who does not have the writer's lock.
    #[inline]
    fn stands_alone(&self, record: &Record<'_>) -> bool {
        // Where nobody writes, nothing changes, whatever overlaps.
        self.read_only
            || self.is_marked_alone(record)
                // (After the mark: it went after the object was added, and that while it was borrowed.)
                // (A child refers to nothing, and the lock may be one of its parent's threads.)
                && (!self.borrows.any_atomic() || self.is_forked() || !self.lingering.any_inside(record, &self.borrows))
    }

    #[inline]
    fn is_marked_alone(&self, record: &Record<'_>) -> bool {
        let location = record.location();
        if location >= self.found_end {
            // Marked by this process, which knows what it writes.
            return self.views.live.is_live(location);
        }
        self.views.live.stands_alone(location, record.bytes())
    }

    /// Refuses what is no object of its own: for who has its shared borrow already, or none, but not the writer's lock.
    ///
    /// # Errors
    /// One that [`Error::is_absent`] knows when it was superseded meanwhile: look the key up again. [`Error::Corrupt`].
    #[inline]
    pub(crate) fn check_alone(&self, record: &Record<'_>) -> Result<()> {
        if self.stands_alone(record) { Ok(()) } else { self.check_alone_with_care(record) }
    }

    #[cold]
    fn check_alone_with_care(&self, record: &Record<'_>) -> Result<()> {
        // A forked child refers to no object but by keys of entries, and may never get the lock.
        if self.is_forked() {
            return Ok(());
        }
        // Whoever has stored its slot has marked it when they let go of the lock.
        drop(self.lock_writer());
        if self.stands_alone(record) {
            return Ok(());
        }
        if self.is_current(record)? {
            return Err(overlapping(record));
        }
        Err(super::punch::given_back(record))
    }

    /// Refuses what is no object of its own, or may not be changed because a superseded one inside of it is still borrowed. Under the
    /// writer's lock.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    #[inline]
    pub(crate) fn check_alone_to_write(&self, record: &Record<'_>) -> Result<()> {
        if self.is_marked_alone(record) && !self.lingering.any_inside(record, &self.borrows) {
            return Ok(());
        }
        Err(overlapping(record))
    }

    /// Whether anybody may refer to something inside a superseded record, or to the record.
    pub(crate) fn is_in_use(&self, record: &Record<'_>) -> bool {
        self.borrows.is_borrowed(Subject::of(record))
            || self.views.live.any_inside(record.location(), record.bytes())
            || self.lingering.any_inside(record, &self.borrows)
    }

    /// Takes the mark of a record that is no longer the current one. Under the writer's lock.
    #[inline]
    pub(crate) fn unmark(&self, old: &Record<'_>) {
        let (location, bytes) = (old.location(), old.bytes());
        // What a guard of an extern record refers to is not in the log.
        if location >= self.found_end || old.header().kind != Kind::Object {
            return self.views.live.clear(location, bytes);
        }
        self.lingering.tidy(&self.borrows);
        // Whoever borrows it later finds the mark gone.
        self.borrows.look(location.into(), |is_borrowed| {
            if is_borrowed {
                self.lingering.add(location);
            }
            self.views.live.clear(location, bytes);
        });
    }
}

#[cold]
pub(super) fn overlapping(record: &Record<'_>) -> Error {
    let reason = "the live map does not have it as an object of its own; run check, or delete `live`";
    Error::corrupt(record.chunk.path(), record.offset(), reason)
}
