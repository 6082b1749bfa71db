//! Loans: memory of the right type, filled in place and then published.
#![expect(unsafe_code, reason = "a loan is a reference into memory that only it knows")]

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::inner::Writer;
use super::log::{Draft, FRESH_VERSION};
use super::write::{Change, Condition, Description, Outcome};
use super::{Inner, Store};
use crate::chunk::{BodyRef, Record, SEALED};
use crate::disk::Sabotage;
use crate::error::{Error, Result};
use crate::format::{BodyNumber, BodySeal, ExternPayload, Kind, PAGE_BYTES};
use crate::layout::{Object, Plain, Shape};
use crate::map::{Buffer, object_at};

/// How the space of a large object is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Space {
    /// Reserved up to 64 MiB, sparse above; always reserved where there are no sparse files.
    #[default]
    Auto,
    /// A file of its own, however small, that takes disk space only where it is touched. On a full disk, touching a fresh page
    /// kills the process with SIGBUS; [`Store::reserve`] backs a part beforehand. [`Error::Unsupported`] in a store without sparse files;
    /// see [`Options::sparse`](crate::Options::sparse).
    Sparse,
    /// Backed by disk space from the start: a full disk is an error now, never a signal later.
    Reserved,
}

/// Objects up to this size are reserved by [`Space::Auto`], in bytes.
const LARGEST_AUTO_RESERVED: u64 = 64 << 20;

/// A body that no record points to yet. Dropping it removes the file.
pub(crate) struct NewBody<'a> {
    inner: &'a Inner,
    pub body: BodyRef,
    named: bool,
    kept: bool,
    /// The record will say that it is sealed.
    sealed: bool,
}

impl NewBody<'_> {
    pub(crate) fn truncated(&self) -> Error {
        Error::corrupt(self.body.path(), self.body.map.limit(), "the file is shorter than it was")
    }

    /// The pointer that an extern record holds, and the version word with its checksum.
    pub(crate) fn pointer(&self) -> ([u8; ExternPayload::BYTES], u64) {
        let payload = ExternPayload { body: self.body.number, bytes: self.body.payload_bytes }.encode();
        let checksum = u64::from(self.inner.chunks.seed.payload_checksum(&payload));
        (payload, checksum << 32 | if self.sealed { SEALED } else { 0 } | FRESH_VERSION)
    }

    /// The body will be that of a sealed object, whose payload has this checksum.
    pub(crate) fn seal(&mut self, payload_checksum: u32) -> Result<()> {
        let seal = BodySeal { payload_checksum };
        self.body.seal(self.inner.identity.uuid, seal).ok_or_else(|| self.truncated())?;
        self.sealed = true;
        Ok(())
    }

    /// Gives the body its name. It exists for readers only when an extern record points to it.
    pub(crate) fn name(&mut self, writer: &mut Writer) -> Result<()> {
        self.inner.bodies.publish(&self.body)?;
        self.named = true;
        writer.new_names = true;
        Ok(())
    }

    /// A record points to it from now on.
    pub(crate) fn keep(mut self, writer: &mut Writer) {
        writer.dirty_bodies.insert(self.body.number, self.body.shared());
        self.kept = true;
    }
}

impl Drop for NewBody<'_> {
    fn drop(&mut self) {
        // The file is the parent's where this is a forked child.
        if self.kept || self.inner.is_forked() {
            return;
        }
        let bodies = &self.inner.bodies;
        let number = self.body.number;
        if let Err(error) = if self.named { bodies.unlink(number) } else { bodies.discard(number) } {
            tracing::warn!(%error, "a body that was not published could not be removed");
        }
    }
}

impl Inner {
    /// Makes a body for an object of `bytes` bytes, zeroed.
    pub(crate) fn begin_body(&self, bytes: u64, space: Space) -> Result<NewBody<'_>> {
        self.check_writable()?;
        let stepwise = self.chunks.is_stepwise();
        if stepwise && space == Space::Sparse {
            let what = "sparse objects: the files of this store have no holes".into();
            return Err(Error::Unsupported { path: self.path.clone(), what });
        }
        let number = {
            // Once the store is closed, the next process gives out the same numbers.
            let mut writer = self.begin_change()?;
            let number = writer.next_body;
            writer.next_body = number.checked_add(1).ok_or(Error::Exhausted { what: "body numbers" })?;
            self.shared.set_next_files(writer.next_chunk, writer.next_body);
            // Even if it is never published: its number is not given out again.
            writer.changed = true;
            BodyNumber(number)
        };
        let reserved = match space {
            Space::Auto => stepwise || bytes <= LARGEST_AUTO_RESERVED,
            Space::Sparse => false,
            Space::Reserved => true,
        };
        let body = self.bodies.create(number, bytes, reserved)?;
        Ok(NewBody { inner: self, body, named: false, kept: false, sealed: false })
    }

    /// Gives a body its name and appends the extern record that makes the object exist.
    pub(crate) fn publish_body<'a>(
        &'a self,
        change: &Change<'_>,
        description: &Description,
        mut new: NewBody<'a>,
        number: impl Fn(&Self, &mut Writer) -> Result<u32>,
        before: impl FnOnce(&Record<'a>) -> Result<()>,
    ) -> Result<Outcome> {
        let (payload, version_word) = new.pointer();
        let draft = Draft {
            kind: Kind::Extern,
            flags: description.flags,
            align_log2: description.align_log2,
            type_number: 0,
            extension: &description.extension,
            key: change.key,
            payload_length: payload.len() as u64,
            version_word,
        };
        let name = |writer: &mut Writer| {
            new.name(writer)?;
            new.keep(writer);
            Ok(())
        };
        // The body gets its name last.
        let change = &Change { sure: false, ..*change };
        self.store_record(change, draft, number, before, name, |chunk, at| chunk.map.copy_in(at, &payload))
    }
}

/// Memory for one object, to be filled in place. Nobody else can see it until [`Loan::publish`]; dropping it forgets it.
///
/// It begins as zeroes. Small objects are filled in memory and appended by `publish`; those above an eighth of the chunk capacity,
/// and sparse ones, are filled in their own file.
pub struct Loan<'a, T: Plain + ?Sized> {
    inner: &'a Inner,
    key: Vec<u8>,
    description: Description,
    memory: Memory<'a>,
    bytes: usize,
    object: std::marker::PhantomData<T>,
}

enum Memory<'a> {
    Staged(Buffer),
    Body(NewBody<'a>),
}

impl<T: Plain + ?Sized> Loan<'_, T> {
    fn address(&self) -> *mut u8 {
        match &self.memory {
            Memory::Staged(buffer) => buffer.as_ptr(),
            Memory::Body(new) => new.body.map.as_ptr().wrapping_add(PAGE_BYTES as usize),
        }
    }

    /// Makes the object exist, in place of whatever is under the key.
    ///
    /// # Durability
    /// As for [`Store::put`]: a large object's bytes are durable with the sync that makes it exist.
    ///
    /// # Errors
    /// As for [`Store::put`]. The loan is over all the same.
    pub fn publish(self) -> Result<()> {
        let deadline = self.inner.patience(true);
        let change = Change { key: &self.key, condition: Condition::Always, deadline, sure: false };
        match self.memory {
            Memory::Body(new) => {
                let number = Inner::number_at_hand::<T>;
                self.inner.publish_body(&change, &self.description, new, number, |_| Ok(()))?;
            }
            Memory::Staged(buffer) => {
                let draft = self.description.draft(&self.key, self.bytes as u64);
                self.inner.store_record(
                    &change,
                    draft,
                    Inner::number_at_hand::<T>,
                    |old| {
                        if self.inner.root.breaks(Sabotage::DurableHeaderRewritten) {
                            let _ = old.chunk.map.copy_in(old.offset(), &[0; 16]);
                        }
                        Ok(())
                    },
                    |_| Ok(()),
                    |chunk, at| chunk.map.copy_in(at, buffer.bytes()),
                )?;
            }
        }
        Ok(())
    }

    /// The key under which the object will be.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

impl<T: Plain + ?Sized> Deref for Loan<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `begin_loan` made `bytes` zeroed bytes, aligned for `T`, which nobody else refers to; `T` has no interior
        // mutability, and any bytes are a `T`.
        unsafe { &*object_at::<T>(self.address(), self.bytes) }
    }
}

impl<T: Plain + ?Sized> DerefMut for Loan<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and `self` is borrowed exclusively.
        unsafe { &mut *object_at::<T>(self.address(), self.bytes).cast_mut() }
    }
}

impl<T: Plain + ?Sized> fmt::Debug for Loan<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("key", &format_args!("{}", crate::EscapedKey(&self.key)))
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Lends zeroed memory for one `T` under `key`; it becomes the object when it is published.
    ///
    /// # Errors
    /// As for [`Store::put`].
    pub fn loan<T: Plain>(&self, key: impl AsRef<[u8]>) -> Result<Loan<'_, T>> {
        self.begin_loan(key.as_ref(), size_of::<T>() as u64, &fixed_shape::<T>(), Space::Auto)
    }

    /// [`Store::loan`] with a choice of how the space is come by.
    ///
    /// # Errors
    /// As for [`Store::put`].
    pub fn loan_with<T: Plain>(&self, key: impl AsRef<[u8]>, space: Space) -> Result<Loan<'_, T>> {
        self.begin_loan(key.as_ref(), size_of::<T>() as u64, &fixed_shape::<T>(), space)
    }

    /// Lends zeroed memory for an array of `length` items; above 64 MiB a sparse one, as [`Space::Auto`] says.
    ///
    /// # Errors
    /// As for [`Store::put`].
    pub fn loan_slice<T: Plain>(&self, key: impl AsRef<[u8]>, length: u64) -> Result<Loan<'_, [T]>>
    where
        [T]: Plain,
    {
        self.loan_array(key, &[length], Space::Auto)
    }

    /// Lends zeroed memory for an array of this shape (in items of `T`, C order), seen as one slice.
    ///
    /// # Errors
    /// As for [`Store::put`].
    pub fn loan_array<T: Plain>(
        &self,
        key: impl AsRef<[u8]>,
        shape: &[u64],
        space: Space,
    ) -> Result<Loan<'_, [T]>>
    where
        [T]: Plain,
    {
        let key = key.as_ref();
        let too_large = || Error::TooLarge { what: "an array", bytes: u64::MAX, limit: i64::MAX as u64 };
        let bytes = shape
            .iter()
            .try_fold(size_of::<T>() as u64, |bytes, &length| bytes.checked_mul(length))
            .ok_or_else(too_large)?;
        let shape: Vec<u64> = shape.iter().copied().chain(fixed_shape::<T>()).collect();
        self.begin_loan(key, bytes, &shape, space)
    }

    fn begin_loan<T: Plain + ?Sized>(
        &self,
        key: &[u8],
        bytes: u64,
        shape: &[u64],
        space: Space,
    ) -> Result<Loan<'_, T>> {
        Inner::check_key(key)?;
        self.inner.check_writable()?;
        let description = Description::with_shape::<T>(shape)?;
        if bytes == 0 {
            return Err(Error::Empty { key: key.to_vec() });
        }
        let memory = if bytes > self.inner.chunks.geometry.largest_inline() || space == Space::Sparse {
            Memory::Body(self.inner.begin_body(bytes, space)?)
        } else {
            Memory::Staged(Buffer::zeroed(bytes as usize, T::ALIGN)?)
        };
        Ok(Loan {
            inner: &self.inner,
            key: key.to_vec(),
            description,
            memory,
            bytes: bytes as usize,
            object: std::marker::PhantomData,
        })
    }

    /// Backs a part of a large object with disk space, so that touching it cannot fail. `range` is in bytes of the object.
    /// Objects without a file of their own are backed already. False when there is no object under `key`.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::TooLarge`] when the range leads beyond the object, [`Error::ReadOnly`], [`Error::Poisoned`],
    /// [`Error::Closed`], [`Error::Forked`], [`Error::Corrupt`].
    pub fn reserve(&self, key: impl AsRef<[u8]>, range: std::ops::Range<u64>) -> Result<bool> {
        self.inner.check_writable()?;
        let Some(record) = self.inner.find(key.as_ref())? else { return Ok(false) };
        let payload = self.inner.payload(&record)?;
        if range.end > payload.bytes {
            return Err(Error::TooLarge { what: "a range", bytes: range.end, limit: payload.bytes });
        }
        if let Some(body) = payload.body().filter(|_| range.start < range.end) {
            body.reserve(range.start, range.end - range.start)?;
        }
        Ok(true)
    }
}

/// The dimensions that a type has by itself.
fn fixed_shape<T: Object>() -> Vec<u64> {
    Shape::of(None, T::DIMENSIONS).to_vec()
}
