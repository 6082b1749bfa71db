//! Scans of tables in the order of their keys.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use super::Table;
use crate::error::Result;
use crate::key::{AsKey, Key};
use crate::layout::{Evolves, Object, Plain};
use crate::store::{Entry, Range, Ref};

/// A key of a table and its object, met by a scan.
pub struct Row<'t, K, V: ?Sized> {
    key: K,
    entry: Entry<'t>,
    holds: PhantomData<fn(&V)>,
}

impl<'t, K: Key, V: Object + ?Sized> Row<'t, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The key, taken out.
    pub fn into_key(self) -> K {
        self.key
    }

    /// The object as any scan yields it.
    pub fn entry(&self) -> &Entry<'t> {
        &self.entry
    }
}

impl<K: Key, V: Object> Row<'_, K, V> {
    /// A consistent copy of the object: see [`Entry::load`].
    ///
    /// # Errors
    /// As for [`Entry::load`].
    pub fn load(&self) -> Result<V> {
        self.entry.load()
    }

    /// Key and object.
    ///
    /// # Errors
    /// As for [`Entry::load`].
    pub fn into_pair(self) -> Result<(K, V)> {
        let value = self.entry.load()?;
        Ok((self.key, value))
    }
}

impl<K: Key, V: Evolves> Row<'_, K, V> {
    /// A consistent copy of the object, also when it has a layout that `V` extends: see [`Entry::load_as`].
    ///
    /// # Errors
    /// As for [`Entry::load_as`].
    pub fn load_as(&self) -> Result<V> {
        self.entry.load_as()
    }
}

impl<'t, K: Key, V: Plain + ?Sized> Row<'t, K, V> {
    /// A reference to the object that is current under this key now; `None` when it was removed meanwhile: see [`Entry::get`].
    ///
    /// # Errors
    /// As for [`Entry::get`].
    pub fn get(&self) -> Result<Option<Ref<'t, V>>> {
        self.entry.get()
    }
}

impl<K: fmt::Debug, V: ?Sized> fmt::Debug for Row<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The rows of a table in the order of their keys, from both ends: see [`Table::range`].
///
/// As stable as the [`Range`] that it goes through: every key that is there throughout is met exactly once, whatever is put and removed
/// meanwhile. What is no key of the table is an error, and the scan goes on behind it.
pub struct Rows<'t, K, V: ?Sized> {
    table: &'t Table<K, V>,
    range: Range<'t>,
}

impl<'t, K: Key, V: Object + ?Sized> Rows<'t, K, V> {
    fn row(&self, entry: Result<Entry<'t>>) -> Option<Result<Row<'t, K, V>>> {
        // Nothing of a range that begins with the prefix is without it.
        entry
            .and_then(|entry| {
                let key = self.table.decode(entry.key())?;
                Ok(key.map(|key| Row { key, entry, holds: PhantomData }))
            })
            .transpose()
    }

    /// Lets the front go to `key`: what `next` yields is the first row of the range from there on.
    pub fn seek(&mut self, key: impl AsKey<K>) {
        self.range.seek(self.table.write(&key).bytes());
    }

    /// Lets the back go to `key`: what `next_back` yields is the last row of the range up to there, `key` included.
    pub fn seek_back(&mut self, key: impl AsKey<K>) {
        self.range.seek_back(self.table.write(&key).bytes());
    }
}

impl<'t, K: Key, V: Object + ?Sized> Iterator for Rows<'t, K, V> {
    type Item = Result<Row<'t, K, V>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.range.next()?;
            if let Some(row) = self.row(entry) {
                return Some(row);
            }
        }
    }
}

impl<K: Key, V: Object + ?Sized> DoubleEndedIterator for Rows<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.range.next_back()?;
            if let Some(row) = self.row(entry) {
                return Some(row);
            }
        }
    }
}

impl<K: Key, V: Object + ?Sized> FusedIterator for Rows<'_, K, V> {}

impl<K, V: ?Sized> fmt::Debug for Rows<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("table", &self.table).finish_non_exhaustive()
    }
}

impl<K: Key, V: Object + ?Sized> Table<K, V> {
    /// The rows whose keys lie in a range, in the order of the keys. Bounds of every kind are possible; in an inverted range there is
    /// nothing.
    ///
    /// # Errors
    /// As for [`Store::range`](crate::Store::range).
    /// A row is [`Error::TableKey`](crate::Error::TableKey) where something else lies under the table's prefix.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> structchunk::Result<()> {
    /// let store = structchunk::Store::in_memory()?;
    /// let rates = store.table::<(String, u32), f64>("rates/")?;
    /// for (currency, year, rate) in [("EUR", 2023, 1.10), ("EUR", 2024, 1.04), ("GBP", 2024, 1.25)] {
    ///     rates.put((currency, year), &rate)?;
    /// }
    /// let mut found = Vec::new();
    /// for row in rates.range(("EUR", 0)..=("EUR", u32::MAX))?.rev() {
    ///     let ((_, year), rate) = row?.into_pair()?;
    ///     found.push((year, rate));
    /// }
    /// assert_eq!(found, [(2024, 1.04), (2023, 1.10)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn range<Q: AsKey<K>>(&self, range: impl RangeBounds<Q>) -> Result<Rows<'_, K, V>> {
        let bytes = |key: &Q| self.write(key).bytes().to_vec();
        // No encoded key begins another one, so bounds of keys are bounds of bytes.
        let lower = match range.start_bound() {
            Bound::Included(key) => Bound::Included(bytes(key)),
            Bound::Excluded(key) => Bound::Excluded(bytes(key)),
            Bound::Unbounded => Bound::Included(self.prefix.to_vec()),
        };
        let upper = match range.end_bound() {
            Bound::Included(key) => Bound::Included(bytes(key)),
            Bound::Excluded(key) => Bound::Excluded(bytes(key)),
            Bound::Unbounded => after(&self.prefix),
        };
        let range = self.store.range::<Vec<u8>>((lower, upper))?;
        Ok(Rows { table: self, range })
    }

    /// All rows in the order of the keys.
    ///
    /// # Errors
    /// As for [`Table::range`].
    #[expect(clippy::iter_not_returning_iterator, reason = "beginning a scan can fail")]
    pub fn iter(&self) -> Result<Rows<'_, K, V>> {
        Ok(Rows { table: self, range: self.store.prefix(&self.prefix)? })
    }

    /// The row with the first key.
    ///
    /// # Errors
    /// As for [`Table::range`].
    pub fn first(&self) -> Result<Option<Row<'_, K, V>>> {
        self.iter()?.next().transpose()
    }

    /// The row with the last key.
    ///
    /// # Errors
    /// As for [`Table::range`].
    pub fn last(&self) -> Result<Option<Row<'_, K, V>>> {
        self.iter()?.next_back().transpose()
    }
}

/// Where the keys that begin with a prefix end.
fn after(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::after;

    #[test]
    fn what_comes_after_a_prefix_is_the_next_one_that_is_no_longer() {
        assert_eq!(after(b"p/"), Bound::Excluded(b"p0".to_vec()));
        assert_eq!(after(b"p\xff\xff"), Bound::Excluded(b"q".to_vec()));
        assert_eq!(after(b"\xff"), Bound::Unbounded);
    }
}
