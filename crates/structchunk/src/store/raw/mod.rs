//! Objects whose types are known at run time only.
//!
//! What differs from the typed calls is how a type is said; records are written, looked up and borrowed by the same code.

mod atomics;
mod glance;
mod loan;
mod many;
mod mutator;
mod place;
mod reader;
mod update;

pub use atomics::Atomics;
pub use loan::Lent;
pub use mutator::RawMutator;
pub use place::{FileId, Hold, Place};
pub use reader::{RawReader, Seen};
pub use update::Update;

use super::batch::TypeOf;
use super::borrow::Deadline;
use super::inner::Writer;
use super::loan::Space;
use super::write::{Change, Condition, Description, Outcome};
use super::{Batch, Inner, Store};
use crate::chunk::{Chunk, Record};
use crate::error::{Error, Result};
use crate::format::PAGE_BYTES;
use crate::layout::{Layout, LayoutMismatch};
use crate::map::Buffer;

/// What an object is: one value of a layout, or an array of such.
#[derive(Debug, Clone)]
pub struct Described {
    layout: Layout,
    shape: Option<Vec<u64>>,
}

/// On which condition an object is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// In place of whatever there is.
    Always,
    /// Only where there is nothing.
    Absent,
    /// Only where the current record has this [`Store::sequence`].
    Sequence(u64),
}

/// A copy of an object, with what it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Copied {
    /// The number of its type in this store.
    pub type_number: u32,
    /// The layout of the object, or of an array's elements.
    pub layout: Layout,
    /// The dimensions of an array; `None` for what is no array.
    pub shape: Option<Vec<u64>>,
    /// The object.
    pub bytes: Vec<u8>,
}

/// The calls of a store for objects whose types are known at run time only; see [`Store::raw`].
#[derive(Debug, Clone, Copy)]
pub struct Raw<'s> {
    store: &'s Store,
}

impl Described {
    /// One value of this layout.
    pub fn one(layout: Layout) -> Self {
        Self { layout, shape: None }
    }

    /// An array of values of this layout, in C order.
    pub fn array(layout: Layout, shape: Vec<u64>) -> Self {
        Self { layout, shape: Some(shape) }
    }

    /// The layout of the value, or of the elements.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The dimensions of an array.
    pub fn shape(&self) -> Option<&[u64]> {
        self.shape.as_deref()
    }

    /// The size of such an object, in bytes; `None` when no number says it.
    pub fn bytes(&self) -> Option<u64> {
        let lengths = self.shape.iter().flatten();
        lengths.copied().try_fold(self.layout.size(), u64::checked_mul)
    }

    fn description(&self) -> Result<Description> {
        let shape = self.shape.as_deref();
        Description::new(shape.is_some(), shape.unwrap_or_default(), self.layout.align() as usize)
    }

    fn number(&self) -> impl Fn(&Inner, &mut Writer) -> Result<u32> + '_ {
        |inner, writer| inner.number_of_layout(&self.layout, &mut writer.next_type)
    }

    /// The size of such an object under a key.
    fn bytes_under(&self, key: &[u8]) -> Result<u64> {
        Inner::check_key(key)?;
        let limit = i64::MAX as u64;
        match self.bytes() {
            Some(0) => Err(Error::Empty { key: key.to_vec() }),
            Some(bytes) if bytes <= limit => Ok(bytes),
            bytes => Err(Error::TooLarge { what: "an array", bytes: bytes.unwrap_or(u64::MAX), limit }),
        }
    }

    /// Refuses bytes that are no such object.
    fn check_bytes(&self, key: &[u8], bytes: &[u8]) -> Result<()> {
        if self.bytes_under(key)? == bytes.len() as u64 {
            return Ok(());
        }
        let shape = self.shape();
        let length = bytes.len() as u64;
        let mismatch = LayoutMismatch::of_shapes(&self.layout, shape, length, &self.layout, shape);
        Err(Error::LayoutMismatch { key: key.to_vec(), mismatch: Box::new(mismatch) })
    }

    /// Refuses an object under `key` that is not such a one.
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`]: the layouts differ, one is an array and the other is not, or the sizes differ.
    pub fn check(&self, key: &[u8], stored: &Layout, shape: Option<&[u64]>, bytes: u64) -> Result<()> {
        let alike =
            stored.fingerprint() == self.layout.fingerprint() && shape.is_some() == self.shape.is_some();
        if alike && self.bytes() == Some(bytes) {
            return Ok(());
        }
        let mismatch = LayoutMismatch::between(stored, &self.layout)
            .unwrap_or_else(|| LayoutMismatch::of_shapes(stored, shape, bytes, &self.layout, self.shape()));
        Err(Error::LayoutMismatch { key: key.to_vec(), mismatch: Box::new(mismatch) })
    }
}

impl Store {
    /// The calls for objects whose types are known at run time only.
    pub fn raw(&self) -> Raw<'_> {
        Raw { store: self }
    }
}

impl<'s> Raw<'s> {
    fn inner(self) -> &'s Inner {
        &self.store.inner
    }

    /// Stores an object; false when the condition did not hold. Waits while somebody changes the object under `key` alone.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`] when `bytes` has not the length of what is described, and as for [`Store::put`].
    pub fn put(self, key: &[u8], what: &Described, bytes: &[u8], when: When) -> Result<bool> {
        self.put_until(key, what, bytes, when, self.inner().patience(true))
    }

    /// [`Raw::put`] that answers [`Error::Busy`] at once instead of waiting.
    ///
    /// # Errors
    /// As for [`Raw::put`].
    pub fn try_put(self, key: &[u8], what: &Described, bytes: &[u8], when: When) -> Result<bool> {
        self.put_until(key, what, bytes, when, Deadline::Now)
    }

    fn put_until(
        self,
        key: &[u8],
        what: &Described,
        bytes: &[u8],
        when: When,
        deadline: Deadline,
    ) -> Result<bool> {
        what.check_bytes(key, bytes)?;
        let change = Change { key, condition: when.into(), deadline, sure: when == When::Always };
        self.put_described(&change, what, &what.description()?, bytes)
    }

    /// Puts what has the length that it should have.
    fn put_described(
        self,
        change: &Change<'_>,
        what: &Described,
        description: &Description,
        bytes: &[u8],
    ) -> Result<bool> {
        let inner = self.inner();
        let outcome = if bytes.len() as u64 > inner.chunks.geometry.largest_inline() {
            let new = inner.begin_body(bytes.len() as u64, Space::Auto)?;
            new.body.map.copy_in(PAGE_BYTES, bytes).ok_or_else(|| new.truncated())?;
            inner.publish_body(change, description, new, what.number(), |_| Ok(()))?
        } else {
            let draft = description.draft(change.key, bytes.len() as u64);
            let fill = |chunk: &Chunk, at| chunk.map.copy_in(at, bytes);
            inner.store_record(change, draft, what.number(), |_| Ok(()), |_| Ok(()), fill)?
        };
        Ok(outcome == Outcome::Stored)
    }

    /// A copy of the object under `key`, of one moment, or `None`.
    ///
    /// # Errors
    /// As for [`Entry::bytes`](crate::Entry::bytes).
    pub fn load(self, key: &[u8]) -> Result<Option<Copied>> {
        let inner = self.inner();
        inner.check_open()?;
        // All of one record: where that is replaced meanwhile, everything is asked of the next one.
        inner.still(inner.with_object(key, inner.views.hashes.of_key(key), |record| {
            inner.check_alone(record)?;
            inner.copied(record, inner.copy_free_bytes(record, u64::MAX)?)
        }))
    }

    /// The same, also where a process died in the middle of changing it: then some of its bytes are old and some new.
    ///
    /// # Errors
    /// As for [`Store::load_torn`].
    pub fn load_torn(self, key: &[u8]) -> Result<Option<Copied>> {
        let inner = self.inner();
        inner.check_open()?;
        let mut deadline = inner.patience(true);
        inner.still(inner.with_object(key, inner.views.hashes.of_key(key), |record| {
            inner.check_alone(record)?;
            let copy = || inner.copy_settled_bytes(record, u64::MAX);
            inner.copied(record, inner.copy_torn_by(record, &mut deadline, copy)?)
        }))
    }

    /// Removes the object under `key` and gives a copy of it.
    ///
    /// # Durability
    /// As for [`Store::remove`].
    ///
    /// # Errors
    /// As for [`Store::remove`] and [`Raw::load`].
    pub fn take(self, key: &[u8]) -> Result<Option<Copied>> {
        let inner = self.inner();
        let mut taken = None;
        inner.remove_record(key, Condition::Whole, inner.patience(true), |record| {
            taken = Some(inner.copied(record, inner.copy_settled_bytes(record, u64::MAX)?)?);
            Ok(())
        })?;
        Ok(taken)
    }
}

impl Inner {
    /// A copy of an object, with what it is.
    fn copied(&self, record: &Record<'_>, bytes: Vec<u8>) -> Result<Copied> {
        let type_number = record.header().type_number;
        let layout = self.stored_type(type_number)?.layout.clone();
        let shape = record.header().flags.array.then(|| record.extension().shape);
        Ok(Copied { type_number, layout, shape, bytes })
    }
}

impl From<When> for Condition {
    fn from(when: When) -> Self {
        match when {
            When::Always => Self::Always,
            When::Absent => Self::Absent,
            When::Sequence(sequence) => Self::Sequence(sequence),
        }
    }
}

impl Batch<'_> {
    /// [`Batch::put`] of an object whose type is known at run time only.
    ///
    /// # Errors
    /// As for [`Batch::put`], and [`Error::LayoutMismatch`] when `bytes` has not the length of what is described.
    pub fn put_raw(&mut self, key: impl AsRef<[u8]>, what: &Described, bytes: &[u8]) -> Result<()> {
        let key = key.as_ref();
        what.check_bytes(key, bytes)?;
        let shape = what.shape.clone().unwrap_or_default();
        let number = TypeOf::Described(what.layout.clone());
        let large = |map: &crate::map::Mapping| map.copy_in(PAGE_BYTES, bytes);
        self.put_new(key, &what.description()?, shape, bytes.len(), number, large, || Buffer::copy_of(bytes))
    }
}
