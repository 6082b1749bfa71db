//! Searching, from any thread of any process, without locks.

use std::iter;
use std::sync::atomic::Ordering;

use super::segment::{LINE_SLOTS, LINES, LineSurvey, first_slot, home_line, line_after, look_at};
use super::slot::{self, Query};
use super::{Directory, Link, Target, prefix};
use crate::format::Location;
use crate::map::words::{AtomicU64, fence};

impl Directory {
    /// Searches for a key by its hash. `verify` gets every location that may be the key's, looks into the record, and
    /// answers `Some` if it is. (It may be called again for the same location.)
    #[inline]
    pub(crate) fn find<R>(&self, hash: u64, mut verify: impl FnMut(Location) -> Option<R>) -> Option<R> {
        loop {
            let target = self.target(hash)?;
            let found = self.probe(&target, hash, &mut verify);
            // What was read of slots and records was read before the table is asked again.
            fence(Ordering::Acquire);
            if target.is_current() {
                return found;
            }
        }
    }

    /// A search as simple as most are: over at the first entry of its home line that looks right. Straight ahead, without a loop, so
    /// that a processor overlaps one search with the next: that takes few steps, and fewer loads still.
    #[inline]
    pub(crate) fn find_at_home<R>(&self, hash: u64, verify: impl FnOnce(Location) -> Option<R>) -> AtHome<R> {
        self.look_at_home(hash, verify).unwrap_or(AtHome::Unclear)
    }

    #[inline]
    fn look_at_home<R>(&self, hash: u64, verify: impl FnOnce(Location) -> Option<R>) -> Option<AtHome<R>> {
        let words = self.words.touchable();
        let target = Target::among(words, hash)?;
        let line = home_line(hash);
        let slots = words.get(target.segment.first_word() as usize + line * LINE_SLOTS..)?.first_chunk()?;
        let seen = look_at(slots, line, Query::new(hash, target.segment.depth()).tags(0));
        if seen.candidates != 0 {
            // Its segment was the right one when the table was asked, after the search began, and what moves away later stays readable
            // here as it was then: so there is no need to ask the table again.
            let slot = slots[seen.candidates.trailing_zeros() as usize % LINE_SLOTS].load(Ordering::Acquire);
            return slot::location(slot).and_then(verify).map(AtHome::Found);
        }
        if seen.empty == 0 {
            return None;
        }
        // But it may be gone from here because it has moved.
        fence(Ordering::Acquire);
        target.is_current().then_some(AtHome::Absent)
    }

    /// First stage of a batch of searches: have the table's word fetched.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: u64) {
        if let Some(root) = self.root() {
            self.words.prefetch(root.first_word() + prefix(hash, root.depth()));
        }
    }

    /// Second stage, a little later: have the line of slots fetched.
    #[inline]
    pub(crate) fn prefetch_line(&self, hash: u64) {
        if let Some(Target { segment, .. }) = self.target(hash) {
            self.words.prefetch(segment.first_word() + (home_line(hash) * LINE_SLOTS) as u64);
        }
    }

    /// For the writer, before it looks for a slot: the line of slots and the segment's header, both of which it will need.
    #[inline]
    pub(crate) fn prefetch_slot(&self, hash: u64) {
        if let Some(Target { segment, .. }) = self.target(hash) {
            self.words.prefetch(segment.first_word());
            self.words.prefetch(segment.first_word() + (home_line(hash) * LINE_SLOTS) as u64);
        }
    }

    /// Third stage: the first location that may be the key's, so that its record can be fetched.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<Candidate<'_>> {
        let target = self.target(hash)?;
        let line = home_line(hash);
        let slots = self.line(target.segment, line)?;
        let seen = look_at(slots, line, Query::new(hash, target.segment.depth()).tags(0));
        let cell = slots.get(seen.candidates.trailing_zeros() as usize)?;
        let slot = cell.load(Ordering::Acquire);
        Some(Candidate { target, cell, slot, location: slot::location(slot)? })
    }

    /// Every location there is, in no particular order; under a writer at work, some may be missing or come twice.
    pub(crate) fn locations(&self) -> Locations<'_> {
        Locations { inner: Box::new(self.segments().flat_map(|segment| self.locations_in(segment))) }
    }

    /// Every segment once, with the depth the table gives it.
    pub(super) fn segments(&self) -> impl Iterator<Item = Link> {
        let root = self.root();
        let mut next = 0;
        iter::from_fn(move || {
            let root = root.filter(|root| next < 1 << root.depth())?;
            let word = self.words.load(root.first_word() + next, Ordering::Acquire)?;
            let segment = Link(word).checked().filter(|segment| segment.depth() <= root.depth());
            // All words of a segment stand side by side.
            next += segment.map_or(1, |segment| 1 << (root.depth() - segment.depth()));
            Some(segment)
        })
        .flatten()
    }

    fn locations_in(&self, segment: Link) -> impl Iterator<Item = Location> {
        let lines = (0..LINES).filter_map(move |line| Some((line, self.line(segment, line)?)));
        let slots = lines.flat_map(|(line, slots)| slots.iter().skip(first_slot(line)));
        slots.filter_map(|slot| slot::location(slot.load(Ordering::Acquire)))
    }

    /// Searches one segment.
    #[inline]
    fn probe<R>(
        &self,
        target: &Target<'_>,
        hash: u64,
        verify: &mut impl FnMut(Location) -> Option<R>,
    ) -> Option<R> {
        let segment = target.segment;
        let query = Query::new(hash, segment.depth());
        for steps in 0..LINES {
            let line = line_after(home_line(hash), steps);
            match self.probe_line(segment, line, query.tags(steps as u64), &mut *verify)? {
                Step::Over(found) => return found,
                Step::Further => {}
            }
        }
        None
    }

    /// Searches one line; `None` where there is none in the file.
    #[inline]
    fn probe_line<R>(
        &self,
        segment: Link,
        line: usize,
        tags: [u16; 2],
        mut verify: impl FnMut(Location) -> Option<R>,
    ) -> Option<Step<R>> {
        let slots = self.line(segment, line)?;
        let LineSurvey { mut candidates, empty, .. } = look_at(slots, line, tags);
        while candidates != 0 {
            let candidate = &slots[candidates.trailing_zeros() as usize % LINE_SLOTS];
            candidates &= candidates - 1;
            // Whatever the slot says by now: it is the record that tells whose it is.
            let found = slot::location(candidate.load(Ordering::Acquire)).and_then(&mut verify);
            if found.is_some() {
                return Some(Step::Over(found));
            }
        }
        Some(if empty != 0 { Step::Over(None) } else { Step::Further })
    }
}

/// Where a key's record may be.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'d> {
    target: Target<'d>,
    cell: &'d AtomicU64,
    /// What the cell said.
    slot: u64,
    pub(crate) location: Location,
}

impl Candidate<'_> {
    /// Whether what was read of the record until now is what a search would find now: later answers are never older.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        fence(Ordering::Acquire);
        self.cell.load(Ordering::Acquire) == self.slot && self.target.is_current()
    }
}

/// What a simple search came to.
pub(crate) enum AtHome<R> {
    /// What `verify` made of the key's record.
    Found(R),
    /// There is no such key.
    Absent,
    /// Only a whole search will tell.
    Unclear,
}

/// What one line of a search came to.
enum Step<R> {
    /// The key was found, or is nowhere.
    Over(Option<R>),
    /// The search goes on in the next line.
    Further,
}

/// Iterator over all locations of a [`Directory`].
pub(crate) struct Locations<'a> {
    inner: Box<dyn Iterator<Item = Location> + 'a>,
}

impl Iterator for Locations<'_> {
    type Item = Location;

    fn next(&mut self) -> Option<Location> {
        self.inner.next()
    }
}
