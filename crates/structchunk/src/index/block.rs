//! Some of what a scan will meet, copied, so that nothing is held between two steps.

use crate::format::Location;

/// Keys and locations, in the order in which a scan meets them.
#[derive(Default)]
pub(crate) struct Block {
    keys: Vec<u8>,
    /// Where each key ends in `keys`, and where its record lies.
    entries: Vec<(usize, Location)>,
    next: usize,
}

impl Block {
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.entries.clear();
        self.next = 0;
    }

    /// How many entries were put in.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Makes room for so many entries more, with keys as long as this one.
    pub(crate) fn reserve(&mut self, entries: usize, key: &[u8]) {
        self.entries.reserve(entries);
        self.keys.reserve(entries * key.len());
    }

    #[inline]
    pub(crate) fn push(&mut self, key: &[u8], location: Location) {
        self.keys.extend_from_slice(key);
        self.entries.push((self.keys.len(), location));
    }

    /// Fills an empty one: keys in one piece, and for each of them where it ends in that and where its record lies.
    pub(crate) fn fill(&mut self, keys: &[u8], entries: impl Iterator<Item = (usize, Location)>) {
        self.keys.extend_from_slice(keys);
        self.entries.extend(entries);
    }

    #[inline]
    fn get(&self, at: usize) -> Option<(&[u8], Location)> {
        let (end, location) = *self.entries.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.entries[before].0);
        Some((&self.keys[start..end], location))
    }

    /// The entry that was put in last.
    pub(crate) fn last(&self) -> Option<(&[u8], Location)> {
        self.get(self.entries.len().checked_sub(1)?)
    }

    /// The next entry.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(&[u8], Location)> {
        let at = self.next;
        self.next = (at + 1).min(self.entries.len());
        self.get(at)
    }

    /// Takes back that the last entry was taken.
    pub(crate) fn put_back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// The key that was taken last.
    pub(crate) fn taken(&self) -> Option<&[u8]> {
        self.get(self.next.checked_sub(1)?).map(|(key, _)| key)
    }

    /// Where the record lies that comes `ahead` entries after the next one.
    #[inline]
    pub(crate) fn ahead(&self, ahead: usize) -> Option<Location> {
        self.entries.get(self.next + ahead).map(|(_, location)| *location)
    }
}
