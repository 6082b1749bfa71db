//! Typed tables: maps from keys of one type to objects of one type, in a store, under a prefix.

mod entry;
mod range;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

pub use entry::TableEntry;
pub use range::{Row, Rows};

use crate::error::{Error, Result};
use crate::key::{AsKey, EscapedKey, Key, KeyReader, KeyWriter};
use crate::layout::{Evolves, Object, Plain, SharedAtomic};
use crate::store::{AtomicRef, Batch, Ref, RefMut, Store};

/// Longest prefix of a table, in bytes.
const MAX_PREFIX_BYTES: usize = 255;

/// A map from keys `K` to objects `V` in a store: see [`Store::table`].
///
/// A cheap handle, which holds the store. All it does is to put the prefix and the encoded key together, and to call the method of
/// [`Store`] with the same name; guards, durability and errors are as said there. `V` may be a slice or an array.
///
/// # Examples
/// ```
/// # fn main() -> structchunk::Result<()> {
/// let store = structchunk::Store::in_memory()?;
/// let rates = store.table::<(String, u32), f64>("rates/")?;
/// rates.put(("EUR", 2024), &1.08)?;
/// rates.update(("EUR", 2024), |rate| *rate += 0.01)?;
/// assert_eq!(rates.load(("EUR", 2024))?, Some(1.09));
/// assert_eq!(*rates.entry(("USD", 2024))?.or_insert(1.0)?, 1.0);
/// # Ok(())
/// # }
/// ```
pub struct Table<K, V: ?Sized> {
    store: Store,
    prefix: Arc<[u8]>,
    holds: PhantomData<fn(&K, &V)>,
}

impl Store {
    /// A view of the objects whose keys begin with `prefix`, 1 to 255 bytes, as a map from keys `K` to objects `V`.
    ///
    /// Nothing is stored for a table as such: it exists as far as it has objects. No prefix should be the beginning of another one
    /// that is used: end them all with the same byte, such as `/`. What lies under the prefix and is no `K` is an error when a scan
    /// meets it, and what is no `V` when it is read.
    ///
    /// # Errors
    /// [`Error::TablePrefix`].
    pub fn table<K: Key, V: Object + ?Sized>(&self, prefix: impl AsRef<[u8]>) -> Result<Table<K, V>> {
        let prefix = prefix.as_ref();
        if !(1..=MAX_PREFIX_BYTES).contains(&prefix.len()) {
            return Err(Error::TablePrefix { length: prefix.len() });
        }
        Ok(Table { store: self.clone(), prefix: prefix.into(), holds: PhantomData })
    }
}

impl<K, V: ?Sized> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), prefix: self.prefix.clone(), holds: PhantomData }
    }
}

impl<K, V: ?Sized> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("prefix", &format_args!("{}", EscapedKey(&self.prefix)))
            .finish_non_exhaustive()
    }
}

impl<K: Key, V: Object + ?Sized> Table<K, V> {
    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The prefix of its keys.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    fn write(&self, key: &impl AsKey<K>) -> KeyWriter {
        let mut writer = KeyWriter::new(&self.prefix);
        key.write_key(&mut writer);
        writer
    }

    /// The key in the store of a key of the table, for what only [`Store`] can do.
    pub fn key(&self, key: impl AsKey<K>) -> Vec<u8> {
        self.write(&key).bytes().to_vec()
    }

    /// The key of the table that a key in the store stands for; `None` where it does not begin with the prefix.
    ///
    /// # Errors
    /// [`Error::TableKey`] when what follows the prefix is no encoding of a `K`.
    pub fn decode(&self, key: &[u8]) -> Result<Option<K>> {
        if !key.starts_with(&self.prefix) {
            return Ok(None);
        }
        let mut reader = KeyReader::new(key, self.prefix.len());
        let decoded = K::read_key(&mut reader).and_then(|decoded| reader.finish().map(|()| decoded));
        let refuse = |error| Error::TableKey { table: self.prefix.to_vec(), key: key.to_vec(), error };
        decoded.map(Some).map_err(refuse)
    }
}

/// Each the method of [`Store`] with the same name.
impl<K: Key, V: Object + ?Sized> Table<K, V> {
    /// Stores a value under `key`, in place of whatever is there: see [`Store::put`].
    ///
    /// # Errors
    /// As for [`Store::put`].
    pub fn put(&self, key: impl AsKey<K>, value: &V) -> Result<()> {
        self.store.put(self.write(&key).bytes(), value)
    }

    /// Stores a value under a key that has none: see [`Store::insert_new`].
    ///
    /// # Errors
    /// As for [`Store::insert_new`].
    pub fn insert_new(&self, key: impl AsKey<K>, value: &V) -> Result<()> {
        self.store.insert_new(self.write(&key).bytes(), value)
    }

    /// Stores a value if the current record has this sequence; whether it did: see [`Store::put_if`].
    ///
    /// # Errors
    /// As for [`Store::put_if`].
    pub fn put_if(&self, key: impl AsKey<K>, sequence: u64, value: &V) -> Result<bool> {
        self.store.put_if(self.write(&key).bytes(), sequence, value)
    }

    /// The sequence of the record under `key`: see [`Store::sequence`].
    ///
    /// # Errors
    /// As for [`Store::sequence`].
    pub fn sequence(&self, key: impl AsKey<K>) -> Result<Option<u64>> {
        self.store.sequence(self.write(&key).bytes())
    }

    /// Removes the object under `key`; whether there was one: see [`Store::remove`].
    ///
    /// # Errors
    /// As for [`Store::remove`].
    pub fn remove(&self, key: impl AsKey<K>) -> Result<bool> {
        self.store.remove(self.write(&key).bytes())
    }

    /// Whether there is an object under `key`: see [`Store::contains`].
    ///
    /// # Errors
    /// As for [`Store::contains`].
    pub fn contains(&self, key: impl AsKey<K>) -> Result<bool> {
        self.store.contains(self.write(&key).bytes())
    }

    /// Will store a value when the batch is committed: see [`Batch::put`].
    ///
    /// # Errors
    /// As for [`Batch::put`].
    pub fn put_in(&self, batch: &mut Batch<'_>, key: impl AsKey<K>, value: &V) -> Result<()> {
        batch.put(self.write(&key).bytes(), value)
    }

    /// Will remove what is under `key` when the batch is committed: see [`Batch::remove`].
    ///
    /// # Errors
    /// As for [`Batch::remove`].
    pub fn remove_in(&self, batch: &mut Batch<'_>, key: impl AsKey<K>) -> Result<()> {
        batch.remove(self.write(&key).bytes())
    }
}

impl<K: Key, V: Object> Table<K, V> {
    /// A consistent copy of the object under `key`: see [`Store::load`].
    ///
    /// # Errors
    /// As for [`Store::load`].
    pub fn load(&self, key: impl AsKey<K>) -> Result<Option<V>> {
        self.store.load(self.write(&key).bytes())
    }

    /// Stores a value and gives the one that was there: see [`Store::replace`].
    ///
    /// # Errors
    /// As for [`Store::replace`].
    pub fn replace(&self, key: impl AsKey<K>, value: &V) -> Result<Option<V>> {
        self.store.replace(self.write(&key).bytes(), value)
    }

    /// Removes the object under `key` and gives a copy of it: see [`Store::take`].
    ///
    /// # Errors
    /// As for [`Store::take`].
    pub fn take(&self, key: impl AsKey<K>) -> Result<Option<V>> {
        self.store.take(self.write(&key).bytes())
    }
}

impl<K: Key, V: Plain + ?Sized> Table<K, V> {
    /// A reference to the object under `key`: see [`Store::get`].
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub fn get(&self, key: impl AsKey<K>) -> Result<Option<Ref<'_, V>>> {
        self.store.get(self.write(&key).bytes())
    }

    /// A mutable reference to the object under `key`: see [`Store::get_mut`].
    ///
    /// # Errors
    /// As for [`Store::get_mut`].
    pub fn get_mut(&self, key: impl AsKey<K>) -> Result<Option<RefMut<'_, V>>> {
        self.store.get_mut(self.write(&key).bytes())
    }
}

impl<K: Key, V: Plain> Table<K, V> {
    /// Changes the object under `key` in place; whether there was one: see [`Store::update`].
    ///
    /// # Errors
    /// As for [`Store::update`].
    pub fn update(&self, key: impl AsKey<K>, change: impl FnOnce(&mut V)) -> Result<bool> {
        self.store.update(self.write(&key).bytes(), change)
    }
}

impl<K: Key, V: SharedAtomic> Table<K, V> {
    /// A reference through which any number of threads change the object at once: see [`Store::get_atomic`].
    ///
    /// # Errors
    /// As for [`Store::get_atomic`].
    pub fn get_atomic(&self, key: impl AsKey<K>) -> Result<Option<AtomicRef<'_, V>>> {
        self.store.get_atomic(self.write(&key).bytes())
    }
}

impl<K: Key, V: Evolves> Table<K, V> {
    /// A consistent copy of the object under `key`, also when it has a layout that `V` extends: see [`Store::load_as`].
    ///
    /// # Errors
    /// As for [`Store::load_as`].
    pub fn load_as(&self, key: impl AsKey<K>) -> Result<Option<V>> {
        self.store.load_as(self.write(&key).bytes())
    }

    /// Writes the object under `key` anew as a `V`, when it has a layout that `V` extends: see [`Store::upgrade`].
    ///
    /// # Errors
    /// As for [`Store::upgrade`].
    pub fn upgrade(&self, key: impl AsKey<K>) -> Result<bool> {
        self.store.upgrade::<V>(self.write(&key).bytes())
    }
}
