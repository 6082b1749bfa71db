//! Searching, from any thread of any process, without locks.

use std::sync::atomic::Ordering;
use std::{array, iter};

use super::segment::{LINE_SLOTS, LINES, Line, first_slot, home_line, line_after};
use super::slot::{self, DELETED, EMPTY, Query, TAG_AT};
use super::{Directory, Link, Target, prefix};
use crate::format::Location;
use crate::map::lanes::equal_lanes;
use crate::map::words::fence;

impl Directory {
    /// Searches for a key by its hash. `verify` gets every location that may be the key's, looks into the record, and
    /// answers `Some` if it is. (It may be called again for the same location.)
    #[inline]
    pub(crate) fn find<R>(&self, hash: u64, mut verify: impl FnMut(Location) -> Option<R>) -> Option<R> {
        loop {
            let target = self.target(hash)?;
            let found = self.probe(target.segment, hash, &mut verify);
            // What was read of slots and records was read before the table is asked again.
            fence(Ordering::Acquire);
            if self.is_current(&target) {
                return found;
            }
        }
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

    /// Third stage: the first location that may be the key's, so that its record can be fetched.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<Location> {
        let Target { segment, .. } = self.target(hash)?;
        let line = home_line(hash);
        let slots = self.line(segment, line)?;
        let (candidates, _) = survey(&slots, line, Query::new(hash, segment.depth()).tags(0));
        slot::location(*slots.get(candidates.trailing_zeros() as usize)?)
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
        lines.flat_map(|(line, slots)| slots.into_iter().skip(first_slot(line)).filter_map(slot::location))
    }

    /// Searches one segment.
    #[inline]
    fn probe<R>(
        &self,
        segment: Link,
        hash: u64,
        verify: &mut impl FnMut(Location) -> Option<R>,
    ) -> Option<R> {
        let home = home_line(hash);
        let query = Query::new(hash, segment.depth());
        for steps in 0..LINES {
            let line = line_after(home, steps);
            let slots = self.line(segment, line)?;
            let (mut candidates, has_empty) = survey(&slots, line, query.tags(steps as u64));
            while candidates != 0 {
                let candidate = slots[candidates.trailing_zeros() as usize];
                candidates &= candidates - 1;
                let found = slot::location(candidate).and_then(&mut *verify);
                if found.is_some() {
                    return found;
                }
            }
            if has_empty {
                return None;
            }
        }
        None
    }
}

/// Which slots of a line (a bit each) may hold an entry with one of the tags; and whether one is empty.
#[inline]
fn survey(slots: &Line, line: usize, wanted: [u16; 2]) -> (u32, bool) {
    // Lanes behind a shorter line look deleted.
    let tags = array::from_fn(|i| (slots.get(i).unwrap_or(&DELETED) >> TAG_AT) as u16);
    let [newer, older] = wanted.map(|wanted| equal_lanes(tags, wanted));
    let empty = equal_lanes(tags, (EMPTY >> TAG_AT) as u16);
    let slots_only = u32::MAX << first_slot(line);
    ((newer | older) & slots_only, empty & slots_only != 0)
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
