//! What a stretch of the log changed, in the order of the log, and sorted by key.

use super::sort::sort;
use crate::format::{IndexValue, Location};

/// A change of one key.
#[derive(Clone, Copy)]
struct Change {
    /// Where the key begins.
    at: u32,
    length: u16,
    /// Where the new record lies; 0: the key went.
    location: u64,
    sequence: u64,
}

/// Changes in the order of the log.
#[derive(Default)]
pub(crate) struct Changes {
    keys: Vec<u8>,
    changes: Vec<Change>,
}

impl Changes {
    /// So many changes, or bytes of keys, make it full: some 100 MB.
    const MOST: usize = 1 << 20;
    const MOST_BYTES: usize = 64 << 20;

    pub(crate) fn is_full(&self) -> bool {
        self.changes.len() >= Self::MOST || self.keys.len() >= Self::MOST_BYTES
    }

    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.changes.clear();
    }

    /// Notes that a key's record lies somewhere else now, or that the key went.
    pub(crate) fn push(&mut self, key: &[u8], location: Option<Location>, sequence: u64) {
        let location = location.map_or(0, Location::get);
        let at = self.keys.len() as u32;
        self.keys.extend_from_slice(key);
        self.changes.push(Change { at, length: key.len() as u16, location, sequence });
    }

    fn key(&self, index: u32) -> &[u8] {
        let change = &self.changes[index as usize];
        &self.keys[change.at as usize..][..usize::from(change.length)]
    }

    /// The last change of every key, by key.
    pub(crate) fn sorted(&self) -> Sorted<'_> {
        let mut order = sort(self.changes.len() as u32, |index| self.key(index));
        // Of equal keys the last one is the newest.
        order.reverse();
        order.dedup_by(|older, newer| self.key(*older) == self.key(*newer));
        order.reverse();
        Sorted { changes: self, order }
    }
}

/// One change for each key, sorted by key.
pub(crate) struct Sorted<'c> {
    changes: &'c Changes,
    order: Vec<u32>,
}

impl Sorted<'_> {
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// How many bytes the keys have.
    pub(crate) fn key_bytes(&self) -> usize {
        self.iter().map(|(key, _)| key.len()).sum()
    }

    /// Key and new value; `None`: the key went.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<IndexValue>)> {
        self.order.iter().map(|&index| {
            let Change { location, sequence, .. } = self.changes.changes[index as usize];
            let value = Location::new(location).map(|location| IndexValue { location, sequence });
            (self.changes.key(index), value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_key_counts() {
        let mut changes = Changes::default();
        let at = Location::new;
        for (key, location, sequence) in [
            ("b", at(1), 1),
            ("a", at(2), 2),
            ("b", None, 3),
            ("c", None, 4),
            ("c", at(5), 5),
            ("", at(6), 6),
        ] {
            changes.push(key.as_bytes(), location, sequence);
        }
        let sorted = changes.sorted();
        let seen: Vec<_> =
            sorted.iter().map(|(key, value)| (key, value.map(|value| value.sequence))).collect();
        assert_eq!(seen, [(&b""[..], Some(6)), (b"a", Some(2)), (b"b", None), (b"c", Some(5))]);
        assert_eq!((sorted.len(), sorted.key_bytes()), (4, 3));
    }
}
