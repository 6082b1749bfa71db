//! Changing entries. One thread at a time; every change is a single store that searches see whole or not at all.

use super::segment::{
    Image, LINE_SLOTS, LINES, UNIT_WORDS, damaged, first_slot, home_line, line_after, look_at_own,
};
use super::slot::{self, EMPTY, Query};
use super::{Directory, Link};
use crate::error::{Error, Result};
use crate::format::Location;
use crate::map::words::load_own;

/// Where the entry of a key is, or will be. Good until the next change of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotRef {
    segment: Link,
    /// Index of the slot's word.
    at: u64,
    /// What the slot holds now.
    found: u64,
    /// What it will hold, apart from the location.
    entry: u64,
}

impl SlotRef {
    /// The key's present location; `None` when it has no entry yet.
    #[inline]
    pub(crate) fn location(&self) -> Option<Location> {
        slot::location(self.found)
    }

    /// Where it lies in the file, in bytes.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.at * 8
    }

    #[inline]
    pub(super) fn segment(&self) -> Link {
        self.segment
    }
}

impl Directory {
    /// The slot for a key that has none, where one look at its home line tells: nothing there looks like it, and no path leads on. What
    /// [`find_slot`](Self::find_slot) would say too, in a quarter of the steps.
    #[inline]
    pub(crate) fn free_at_home(&self, hash: u64) -> Option<SlotRef> {
        let target = self.own_target(hash)?;
        let segment = target.segment;
        let line = home_line(hash);
        let slots = self.line(segment, line)?;
        let seen = look_at_own(slots, line, Query::new(hash, segment.depth()).tags(0));
        if seen.candidates != 0 || seen.empty == 0 {
            return None;
        }
        let i = seen.free.trailing_zeros() as usize % LINE_SLOTS;
        let (at, found) = (segment.first_word() + (line * LINE_SLOTS + i) as u64, load_own(&slots[i]));
        Some(SlotRef { segment, at, found, entry: slot::new_entry(hash, segment.depth(), 0) })
    }

    /// Finds the slot of a key, or the one for it when it has none. `is_same_key` gets every location that may be the
    /// key's.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the file makes no sense, or has no room that [`reserve`](Self::reserve) found there.
    pub(crate) fn find_slot(
        &self,
        hash: u64,
        mut is_same_key: impl FnMut(Location) -> bool,
    ) -> Result<SlotRef> {
        let target = self.own_target(hash).ok_or_else(|| self.lost(hash))?;
        let segment = target.segment;
        let query = Query::new(hash, segment.depth());
        let mut free = None;
        for steps in 0..LINES {
            let line = line_after(home_line(hash), steps);
            let slots = self.line(segment, line).ok_or_else(|| damaged(segment))?;
            let seen = look_at_own(slots, line, query.tags(steps as u64));
            let slot_of = |bits: u32| {
                let i = bits.trailing_zeros() as usize % LINE_SLOTS;
                (segment.first_word() + (line * LINE_SLOTS + i) as u64, load_own(&slots[i]))
            };
            let mut candidates = seen.candidates;
            while candidates != 0 {
                let (at, found) = slot_of(candidates);
                if slot::location(found).is_some_and(&mut is_same_key) {
                    return Ok(SlotRef { segment, at, found, entry: found });
                }
                candidates &= candidates - 1;
            }
            if free.is_none() && seen.free != 0 {
                let (at, found) = slot_of(seen.free);
                free = Some((at, found, steps as u64));
            }
            if seen.empty != 0 {
                break;
            }
        }
        let (at, found, steps) = free.ok_or_else(|| {
            let offset = segment.first_word() * 8;
            Error::corrupt("directory", offset, "a segment without a free slot says that it has one")
        })?;
        Ok(SlotRef { segment, at, found, entry: slot::new_entry(hash, segment.depth(), steps) })
    }

    /// Makes `location` the key's location: visible to everybody, at once.
    #[inline]
    pub(crate) fn store(&self, slot: &SlotRef, location: Location) {
        self.set(slot.at, slot::with_location(slot.entry, location));
        if slot.location().is_none() {
            let mut fill = self.fill(slot.segment);
            fill.live = fill.live.saturating_add(1);
            fill.used = fill.used.saturating_add(u16::from(slot.found == EMPTY));
            self.set_fill(slot.segment, fill);
        }
    }

    /// Enters a location for a key, or replaces the one it has, which is returned.
    ///
    /// # Errors
    ///
    /// As [`find_slot`](Self::find_slot).
    pub(crate) fn insert(
        &self,
        hash: u64,
        location: Location,
        is_same_key: impl FnMut(Location) -> bool,
    ) -> Result<Option<Location>> {
        let slot = self.find_slot(hash, is_same_key)?;
        self.store(&slot, location);
        Ok(slot.location())
    }

    /// Takes a key's location out. False when it is not there.
    pub(crate) fn remove(&self, hash: u64, location: Location) -> bool {
        let slot = self.find_exactly(hash, location);
        slot.inspect(|slot| self.erase(slot)).is_some()
    }

    /// Takes the entry of a key out, if it has one: gone for everybody, at once.
    pub(crate) fn erase(&self, slot: &SlotRef) {
        if slot.location().is_none() {
            return;
        }
        let line = (slot.at as usize % UNIT_WORDS) / LINE_SLOTS;
        let Some(slots) = self.line(slot.segment, line) else { return };
        // Entries are displaced from full lines only, and what they were displaced from gets no empty slot: so no path
        // leads through a line that has one.
        let is_passed = !slots[first_slot(line)..].iter().any(|slot| load_own(slot) == EMPTY);
        self.set(slot.at, Image::vacant(is_passed));
        let mut fill = self.fill(slot.segment);
        fill.live = fill.live.saturating_sub(1);
        fill.used = fill.used.saturating_sub(u16::from(!is_passed));
        self.set_fill(slot.segment, fill);
    }

    /// What [`Directory::erase`] must not do: an empty slot ends the search for what was displaced from its line.
    pub(crate) fn clear(&self, slot: &SlotRef) {
        self.erase(slot);
        self.set(slot.at, EMPTY);
    }

    fn find_exactly(&self, hash: u64, location: Location) -> Option<SlotRef> {
        let slot = self.find_slot(hash, |candidate| candidate == location).ok()?;
        slot.location().is_some().then_some(slot)
    }

    /// The error for a hash that the table leads nowhere.
    pub(super) fn lost(&self, hash: u64) -> Error {
        let table = self.root().map_or(0, |root| root.first_word() + super::prefix(hash, root.depth()));
        Error::corrupt("directory", table * 8, "the table is damaged")
    }
}
