//! One key of a table, whether it has an object or not.

use super::Table;
use crate::error::{Error, Result};
use crate::key::{AsKey, Key, KeyWriter};
use crate::layout::Plain;
use crate::store::Ref;

/// A change of an object.
type Change<'t, V> = Box<dyn FnMut(&mut V) + 't>;

/// One key of a table, to be looked at and filled in place: see [`Table::entry`].
///
/// # Atomicity
/// Each step is atomic by itself, and no lock is held between two of them, so other threads may put or remove in between.
///
/// - [`or_insert`](Self::or_insert) and its like: of several threads that do it at once, one stores its value, and all get that one.
/// - [`and_modify`](Self::and_modify) changes the object alone with it, as [`Table::update`] does.
/// - `and_modify(f)` and then `or_insert(v)` is right too: either `v` was stored under a key that had nothing, or `f` was
///   applied to what was there, once. An object that another thread stores between the two is modified as well. So a thousand
///   threads that count with `and_modify(|n| *n += 1)?.or_insert(1)?` count to a thousand.
#[must_use = "nothing is inserted yet"]
pub struct TableEntry<'t, K, V> {
    table: &'t Table<K, V>,
    key: KeyWriter,
    /// Changes that have not met an object yet.
    pending: Vec<Change<'t, V>>,
}

impl<K: Key, V: Plain> Table<K, V> {
    /// A key, whether there is an object under it or not.
    ///
    /// # Errors
    /// [`Error::KeyLength`] when it is too long to be stored.
    pub fn entry(&self, key: impl AsKey<K>) -> Result<TableEntry<'_, K, V>> {
        let key = self.write(&key);
        crate::store::Inner::check_key(key.bytes())?;
        Ok(TableEntry { table: self, key, pending: Vec::new() })
    }
}

impl<'t, K: Key, V: Plain> TableEntry<'t, K, V> {
    /// The key in the store.
    pub fn key(&self) -> &[u8] {
        self.key.bytes()
    }

    /// Changes the object in place, if there is one; else the change waits for [`or_insert`](Self::or_insert), and is applied if that finds
    /// that somebody else has stored an object meanwhile.
    ///
    /// # Errors
    /// As for [`Store::update`](crate::Store::update).
    pub fn and_modify(mut self, change: impl FnMut(&mut V) + 't) -> Result<Self> {
        self.pending.push(Box::new(change));
        self.modify()?;
        Ok(self)
    }

    fn modify(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (key, pending) = (self.key.bytes(), &mut self.pending);
        if self.table.store.update(key, |object| pending.iter_mut().for_each(|change| change(object)))? {
            pending.clear();
        }
        Ok(())
    }

    /// The object, after storing this value when there was none.
    ///
    /// # Durability
    /// As for [`Store::put`](crate::Store::put).
    ///
    /// # Errors
    /// As for [`Store::get`](crate::Store::get) and [`Store::put`](crate::Store::put).
    pub fn or_insert(self, value: V) -> Result<Ref<'t, V>> {
        self.or_insert_with(|| value)
    }

    /// [`or_insert`](Self::or_insert) of the default.
    ///
    /// # Errors
    /// As for [`or_insert`](Self::or_insert).
    pub fn or_default(self) -> Result<Ref<'t, V>>
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// [`or_insert`](Self::or_insert) of a value that is made only when there is none.
    ///
    /// # Errors
    /// As for [`or_insert`](Self::or_insert).
    pub fn or_insert_with(mut self, make: impl FnOnce() -> V) -> Result<Ref<'t, V>> {
        let store = &self.table.store;
        let mut value = None;
        let mut make = Some(make);
        loop {
            self.modify()?;
            if self.pending.is_empty()
                && let Some(there) = store.get(self.key.bytes())?
            {
                return Ok(there);
            }
            if let Some(make) = make.take() {
                value = Some(make());
            }
            let Some(value) = &value else { continue };
            match store.insert_new(self.key.bytes(), value) {
                // This is the object now; what was to be changed was not there.
                Ok(()) => self.pending.clear(),
                Err(Error::KeyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<K, V> std::fmt::Debug for TableEntry<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableEntry")
            .field("key", &format_args!("{}", crate::EscapedKey(self.key.bytes())))
            .finish_non_exhaustive()
    }
}
