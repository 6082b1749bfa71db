//! A sorted run: keys in order, and where their records lie.

use std::cmp::Ordering;
use std::ops::{Bound, Range};

use super::{Block, Bounds, Direction, Sorted};
use crate::format::Location;

/// Keys in order, each with the location of its record. A key costs its own bytes and 16 more.
#[derive(Default)]
pub(crate) struct Run {
    keys: Vec<u8>,
    /// Where each key ends in `keys`, and where its record lies; 0: the key went.
    entries: Vec<(u64, u64)>,
}

impl Run {
    fn with_capacity(entries: usize, key_bytes: usize) -> Self {
        Self { keys: Vec::with_capacity(key_bytes), entries: Vec::with_capacity(entries) }
    }

    /// Of sorted changes; `whole`: below it there is nothing that keys could be taken from.
    pub(crate) fn new(changes: &Sorted<'_>, whole: bool) -> Self {
        let mut run = Self::with_capacity(changes.len(), changes.key_bytes());
        for (key, value) in changes.iter() {
            let location = value.map_or(0, |value| value.location.get());
            if location != 0 || !whole {
                run.push(key, location);
            }
        }
        run
    }

    /// Both runs as one; where both have a key, the newer one counts. `whole` as for [`Run::new`].
    pub(crate) fn merge(older: &Self, newer: &Self, whole: bool) -> Self {
        let (mut a, mut b) = (0, 0);
        let mut run = Self::with_capacity(older.len() + newer.len(), older.keys.len() + newer.keys.len());
        loop {
            let which = match (older.get(a), newer.get(b)) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let taken = if which == Ordering::Less { older.get(a) } else { newer.get(b) };
            a += usize::from(which != Ordering::Greater);
            b += usize::from(which != Ordering::Less);
            if let Some((key, location)) = taken
                && (location != 0 || !whole)
            {
                run.push(key, location);
            }
        }
        run
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn push(&mut self, key: &[u8], location: u64) {
        self.keys.extend_from_slice(key);
        self.entries.push((self.keys.len() as u64, location));
    }

    /// Key and location, 0 where the key went.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<(&[u8], u64)> {
        let (end, location) = *self.entries.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.entries[before].0);
        Some((&self.keys[start as usize..end as usize], location))
    }

    /// The end of the entries from `first` on that lie in a range which begins before them, at most so many.
    pub(crate) fn end_of(&self, bounds: &Bounds, first: usize, most: usize) -> usize {
        let (mut low, mut high) = (first, first.saturating_add(most).min(self.len()));
        while low < high {
            let middle = low.midpoint(high);
            let inside = self.get(middle).is_some_and(|(key, _)| bounds.is_below_upper(key));
            if inside { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Puts entries of a run that lies above no other one, so that none of its keys went, into an empty block.
    pub(crate) fn copy_into(&self, block: &mut Block, entries: Range<usize>) {
        let start = entries.start.checked_sub(1).map_or(0, |before| self.entries[before].0);
        let entries = &self.entries[entries];
        let end = entries.last().map_or(start, |&(end, _)| end);
        let places = entries
            .iter()
            .filter_map(|&(end, location)| Some(((end - start) as usize, Location::new(location)?)));
        block.fill(&self.keys[start as usize..end as usize], places);
    }

    /// How many keys lie below a bound that a scan in this direction begins at: forward, the number of the first key to meet; backward,
    /// one more than it.
    pub(crate) fn start(&self, from: Bound<&[u8]>, direction: Direction) -> usize {
        let (bound, with_equal) = match (from, direction) {
            (Bound::Unbounded, Direction::Forward) => return 0,
            (Bound::Unbounded, Direction::Backward) => return self.len(),
            (Bound::Included(key), direction) => (key, direction == Direction::Backward),
            (Bound::Excluded(key), direction) => (key, direction == Direction::Forward),
        };
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let below = self.get(middle).is_some_and(|(key, _)| match key.cmp(bound) {
                Ordering::Less => true,
                Ordering::Equal => with_equal,
                Ordering::Greater => false,
            });
            if below { low = middle + 1 } else { high = middle }
        }
        low
    }
}
