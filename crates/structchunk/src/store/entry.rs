//! Objects whose type the program does not know: found by key, read by their stored layout.

use std::ops::Range;

use super::borrow::Want;
use super::find::Payload;
use super::guard::Borrow;
use super::read::LARGEST_STAGED;
use super::{Entry, Store};
use crate::error::{Error, Result};
use crate::layout::{Source, Value};

impl Source for Payload<'_> {
    fn length(&self) -> u64 {
        self.bytes
    }

    fn copy_out(&self, at: u64, target: &mut [u8]) -> Option<()> {
        at.checked_add(target.len() as u64).filter(|&end| end <= self.bytes)?;
        self.map().copy_out(self.offset + at, target)
    }
}

impl Store {
    /// The object under `key`, whatever its type, or `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Corrupt`].
    pub fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry<'_>>> {
        self.inner.check_open()?;
        let (inner, key) = (&self.inner, key.as_ref());
        let record = inner.with_object(key, inner.views.hashes.of_key(key), |record| {
            inner.check_alone(record)?;
            Ok(record.clone())
        })?;
        record.map(|record| Entry::new(self, record)).transpose()
    }
}

impl Entry<'_> {
    /// The object as its stored layout says it is to be read: at most about `limit` numbers and texts of it, the first ones.
    ///
    /// Of one moment, unless the object is made of atomics. Of objects above 512 bytes only what is read is touched, so that this is
    /// quick also for large sparse arrays; they are borrowed meanwhile, as by [`Store::load`].
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody changes a larger object; [`Error::Corrupt`] when the object or its type cannot be read, or its length does not fit its type.
    pub fn value(&self, limit: usize) -> Result<Value> {
        let store = &*self.store.inner;
        store.still(self.with_object(|inner, record| {
            let layout = &inner.stored_type(record.header().type_number)?.layout;
            let shape = record.header().flags.array.then(|| record.extension().shape);
            let payload = inner.payload(record)?;
            inner.check_not_given_back(record, &payload)?;
            let value = if payload.bytes <= LARGEST_STAGED {
                layout.read(&inner.copy_free_bytes(record, LARGEST_STAGED)?, shape.as_deref(), limit)
            } else if inner.sees_no_borrows() {
                let value =
                    inner.steadily(record, || Ok(layout.read_from(&payload, shape.as_deref(), limit)))?;
                inner.check_not_gone_on(record, &payload)?;
                value
            } else {
                // Its writer stores into it directly.
                let borrow = Borrow::acquire(inner, record, Want::Shared, &mut inner.patience(true));
                let _borrow = borrow.ok_or_else(|| Error::Busy { key: record.key().to_vec() })?;
                layout.read_from(&payload, shape.as_deref(), limit)
            };
            inner.check_not_given_back(record, &payload)?;
            value.ok_or_else(|| {
                let reason = "the object's length does not fit its type and shape";
                Error::corrupt(record.chunk.path(), record.offset(), reason)
            })
        }))
    }

    /// Where its record lies: the chunk's number, and the bytes of the chunk that the record takes.
    pub fn place(&self) -> (u32, Range<u64>) {
        let start = self.record.offset();
        (self.record.chunk.id.0, start..start + self.record.bytes())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Object, Space, Store};

    #[derive(Object, Clone, Copy)]
    #[repr(C)]
    struct Point {
        x: f64,
        y: f64,
    }

    #[test]
    fn an_object_is_read_by_key_without_its_type() {
        let store = Store::in_memory().unwrap();
        store.put("p", &Point { x: 1.0, y: -2.0 }).unwrap();
        let entry = store.entry("p").unwrap().unwrap();
        assert_eq!(entry.key(), b"p");
        assert_eq!(entry.value(10).unwrap().to_string(), "{ x: 1.0, y: -2.0 }");
        assert!(store.entry("q").unwrap().is_none());
    }

    #[test]
    fn the_beginning_of_a_huge_sparse_array_is_read_at_once() {
        let store = Store::in_memory().unwrap();
        let mut grid = store.loan_array::<u32>("grid", &[1 << 20, 1 << 16], Space::Sparse).unwrap();
        grid[1] = 7;
        grid.publish().unwrap();
        let value = store.entry("grid").unwrap().unwrap().value(4).unwrap();
        assert_eq!(value.to_string(), "[[0, 7, ... 65534 more], ... 1048575 more]");
    }

    #[test]
    fn places_of_records_follow_each_other() {
        let store = Store::in_memory().unwrap();
        store.put("p", &Point { x: 1.0, y: 2.0 }).unwrap();
        store.put("q", &Point { x: 3.0, y: 4.0 }).unwrap();
        let place = |key: &str| store.entry(key).unwrap().unwrap().place();
        assert_eq!(place("p").1.end, place("q").1.start);
        assert_eq!(place("q").1.end - place("q").1.start, 64);
        assert_eq!(store.stats().unwrap().chunks[0].head, place("q").1.end);
    }

    #[test]
    fn no_object_takes_the_slot_of_its_type() {
        // Where a key's hash and its type's lead to the same line, one of 32.
        for _ in 0..200 {
            let store = Store::in_memory().unwrap();
            store.put("p", &Point { x: 1.0, y: 2.0 }).unwrap();
            store.put("n", &7_u32).unwrap();
            assert_eq!(store.check().unwrap().next(), None);
        }
    }
}
