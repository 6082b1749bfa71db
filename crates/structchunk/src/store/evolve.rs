//! Objects of older layouts, read as the type that extends them.

use std::sync::Arc;

use super::borrow::Want;
use super::find::Payload;
use super::guard::Borrow;
use super::read::out_of_bounds;
use super::{Entry, Inner, Store};
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::layout::{Conversion, Evolves, LayoutMismatch};
use crate::map::Buffer;

/// Elements of arrays are converted in pieces of about this size, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// An object of an older layout that nobody changes while this lives.
pub(super) struct Older<'a> {
    pub record: Record<'a>,
    pub payload: Payload<'a>,
    conversion: Arc<Conversion>,
    elements: u64,
    /// Size of the new object, in bytes.
    pub new_bytes: u64,
    _borrow: Borrow<'a>,
}

impl Inner {
    /// How a record's object becomes a `T`; `None` when it has the layout of `T` already. Its kind and length are not looked at.
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`] when `T` does not say that it extends the stored layout, [`Error::NoExtension`] when that is not so.
    pub(super) fn conversion_of<T: Evolves + ?Sized>(
        &self,
        record: &Record<'_>,
    ) -> Result<Option<Arc<Conversion>>> {
        let stored = self.stored_type(record.header().type_number)?;
        if stored.fingerprint == T::FINGERPRINT {
            return Ok(None);
        }
        self.conversion::<T>(stored)?
            .map_or_else(|| Err(self.mismatch::<T>(record)), |conversion| Ok(Some(conversion)))
    }

    /// Takes hold of an object of an older layout. Waits for whoever changes it; atomics count as changing.
    pub(super) fn hold_older<'a>(
        &'a self,
        record: &Record<'a>,
        conversion: Arc<Conversion>,
    ) -> Result<Older<'a>> {
        // The parent, which sees none of our borrows, may change the object meanwhile.
        if self.is_forked() && !self.read_only {
            return Err(Error::Forked);
        }
        let borrow = Borrow::acquire(self, record, Want::Shared, &mut self.patience(true));
        let borrow = borrow.ok_or_else(|| Error::Busy { key: record.key().to_vec() })?;
        let payload = self.payload(record)?;
        let array = record.header().flags.array;
        let old_bytes = conversion.old_bytes() as u64;
        let elements = payload.bytes / old_bytes;
        if payload.bytes % old_bytes != 0 || elements == 0 || !array && elements != 1 {
            let reason = "the object's length does not fit its type";
            return Err(Error::corrupt(record.chunk.path(), record.offset(), reason));
        }
        let new_bytes =
            elements.checked_mul(conversion.new_bytes() as u64).filter(|&bytes| i64::try_from(bytes).is_ok());
        let new_bytes = new_bytes.ok_or(Error::TooLarge {
            what: "an upgraded array",
            bytes: u64::MAX,
            limit: i64::MAX as u64,
        })?;
        Ok(Older { record: record.clone(), payload, conversion, elements, new_bytes, _borrow: borrow })
    }

    /// Refuses an object that would become something else than a `T`: an array, another number of elements.
    pub(super) fn check_kind<T: Evolves + ?Sized>(&self, older: &Older<'_>) -> Result<()> {
        let header = older.record.header();
        let fits = T::from_raw_parts(std::ptr::null(), older.new_bytes as usize).is_some();
        if header.flags.array == T::ARRAY && fits {
            return Ok(());
        }
        let stored = self.stored_type(header.type_number)?;
        let shape = header.flags.array.then(|| older.record.extension().shape);
        let mismatch = LayoutMismatch::of_shape::<T>(&stored.layout, shape.as_deref(), older.payload.bytes);
        Err(Error::LayoutMismatch { key: older.record.key().to_vec(), mismatch: Box::new(mismatch) })
    }

    fn copy_as<T: Evolves>(&self, record: &Record<'_>) -> Result<T> {
        let Some(conversion) = self.conversion_of::<T>(record)? else { return self.copy_object(record) };
        let older = self.hold_older(record, conversion)?;
        self.check_kind::<T>(&older)?;
        let buffer = if self.sees_no_borrows() {
            let buffer = self.steadily(record, || older.converted(T::ALIGN))?;
            self.check_not_gone_on(record, &older.payload)?;
            buffer
        } else {
            older.converted(T::ALIGN)?
        };
        self.check_not_given_back(record, &older.payload)?;
        buffer.read_object(older.new_bytes as usize).ok_or_else(|| out_of_bounds(record))
    }
}

impl Older<'_> {
    /// The whole new object, aligned so.
    pub(super) fn converted(&self, align: usize) -> Result<Buffer> {
        let mut buffer = Buffer::zeroed(self.new_bytes as usize, align)?;
        self.convert(|at, piece| {
            let end = at as usize + piece.len();
            let target = buffer.bytes_mut().get_mut(at as usize..end);
            target.map(|target| target.copy_from_slice(piece)).ok_or_else(|| out_of_bounds(&self.record))
        })?;
        Ok(buffer)
    }

    /// Shows the new object to `sink`, piece by piece: where each begins, and its bytes. What is not shown is zero.
    pub(super) fn convert(&self, mut sink: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let (old_bytes, new_bytes) = (self.conversion.old_bytes(), self.conversion.new_bytes());
        let at_once = (PIECE_BYTES / new_bytes).max(1).min(self.elements as usize);
        let (mut old, mut new) = (zeroes(at_once * old_bytes)?, zeroes(at_once * new_bytes)?);
        let defaults = self.conversion.defaults();
        // What is a hole in the old body is zero in the new one too; reading it would take time, and memory on some file systems.
        let sparse = self.payload.body().filter(|_| defaults.iter().all(|&byte| byte == 0));
        let mut data_end = 0;
        let mut done = 0;
        while done < self.elements {
            if let Some(body) = sparse
                && done * old_bytes as u64 >= data_end
            {
                let Some(data) = body.next_data(done * old_bytes as u64)? else { break };
                done = done.max(data.start / old_bytes as u64);
                data_end = data.end;
                continue;
            }
            let count = at_once.min((self.elements - done) as usize);
            let (old, new) = (&mut old[..count * old_bytes], &mut new[..count * new_bytes]);
            let from = self.payload.offset + done * old_bytes as u64;
            self.payload.map().copy_out(from, old).ok_or_else(|| out_of_bounds(&self.record))?;
            for (old, new) in old.chunks_exact(old_bytes).zip(new.chunks_exact_mut(new_bytes)) {
                new.copy_from_slice(&defaults);
                self.conversion.carry_over(old, new);
            }
            sink(done * new_bytes as u64, new)?;
            done += count as u64;
        }
        Ok(())
    }
}

/// Memory for a copy, where there is so much.
fn zeroes(bytes: usize) -> Result<Vec<u8>> {
    let mut memory = Vec::new();
    let refused = |_| Error::NoMemory { what: "a copy", bytes: bytes as u64 };
    memory.try_reserve_exact(bytes).map_err(refused)?;
    memory.resize(bytes, 0);
    Ok(memory)
}

impl Store {
    /// A consistent copy of the object under `key`, as [`Store::load`] gives it; one of a layout that `T`
    /// [extends](crate::Evolves) is made a `T`, with defaults for what it lacks. The stored object stays as it is.
    ///
    /// Objects of an older layout are borrowed while they are read, so they wait for a [`RefMut`](crate::RefMut) and for guards of
    /// atomics.
    ///
    /// # Errors
    /// As for [`Store::load`]; [`Error::LayoutMismatch`] also when `T` does not say that it extends the object's layout;
    /// [`Error::NoExtension`] when it says so and does not keep a field; [`Error::Forked`] for such an object in a child of the process
    /// that writes.
    pub fn load_as<T: Evolves>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        const { T::CHECKED };
        self.inner.check_open()?;
        let key = key.as_ref();
        let hash = self.inner.views.hashes.of_key(key);
        self.inner.with_object(key, hash, |record| match self.inner.glance_into(record) {
            Some(copy) => Ok(copy),
            None => self.inner.copy_as(record),
        })
    }
}

impl Entry<'_> {
    /// A consistent copy of the object as [`Store::load_as`] gives it.
    ///
    /// # Errors
    /// As for [`Store::load_as`].
    pub fn load_as<T: Evolves>(&self) -> Result<T> {
        const { T::CHECKED };
        self.store.inner.still(self.with_object(|inner, record| inner.copy_as(record)))
    }
}
