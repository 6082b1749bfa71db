//! Objects that any number of threads and processes change by atomic instructions, whatever they are made of.
#![expect(unsafe_code, reason = "it outlives the handle that it came from, with the store in it")]

use std::fmt;
use std::sync::Arc;

use super::loan::outlived;
use super::update::payload_in_bounds;
use super::{Raw, RawMutator};
use crate::chunk::Record;
use crate::error::Result;
use crate::layout::Layout;
use crate::store::Inner;
use crate::store::borrow::Want;
use crate::store::find::Payload;
use crate::store::guard::AtomicHold;

/// An object to be changed through atomics, as through an [`AtomicRef`](crate::AtomicRef): mapped, and in its place, for as long as this lives.
pub struct Atomics {
    // Before `inner`, which it borrows from.
    _hold: AtomicHold<'static>,
    address: *mut u8,
    bytes: u64,
    type_number: u32,
    layout: Layout,
    shape: Option<Vec<u64>>,
    _inner: Arc<Inner>,
}

// SAFETY: the pointer is to mapped memory, which stays where it is whatever thread has this.
unsafe impl Send for Atomics {}

impl Raw<'_> {
    /// The object under `key`, to be changed through atomics; `None` where there is none. Does not wait:
    /// [`Error::Busy`](crate::Error::Busy) where somebody changes it otherwise.
    ///
    /// # Errors
    /// As for [`Store::try_get_atomic`](crate::Store::try_get_atomic).
    pub fn try_atomics(self, key: &[u8]) -> Result<Option<Atomics>> {
        // SAFETY: what borrows it goes into the result, whose fields are dropped in the order of their declaration.
        let inner = unsafe { outlived(&self.store.inner) };
        let find = |hash| {
            let Some(record) = inner.find_hashed(key, hash)? else { return Ok(None) };
            let payload = payload_in_bounds(inner, &record)?;
            Ok(Some((record, payload)))
        };
        let Some(hold) = inner.borrow_found(key, Want::Atomic, false, find)? else { return Ok(None) };
        Atomics::of(self.store.inner.clone(), AtomicHold::Own(hold)).map(Some)
    }
}

impl RawMutator<'_> {
    /// The object under `key`, to be changed through atomics; `None` where there is none. Does not wait for whoever changes it otherwise:
    /// [`Error::Busy`](crate::Error::Busy).
    ///
    /// # Errors
    /// As for [`MutatorSession::get_atomic`](crate::MutatorSession::get_atomic).
    pub fn try_atomics(self, key: &[u8]) -> Result<Option<Atomics>> {
        self.in_session(|store| {
            // SAFETY: as above.
            let inner = unsafe { outlived(&store.inner) };
            let Some(beside) = inner.hold_beside(key, false, payload_in_bounds)? else { return Ok(None) };
            Atomics::of(store.inner.clone(), AtomicHold::Beside(beside)).map(Some)
        })
    }
}

impl AtomicHold<'_> {
    fn record(&self) -> &Record<'_> {
        match self {
            Self::Own(hold) => &hold.record,
            Self::Beside(beside) => beside.record(),
        }
    }

    fn payload(&self) -> &Payload<'_> {
        match self {
            Self::Own(hold) => &hold.payload,
            Self::Beside(beside) => beside.payload(),
        }
    }
}

impl Atomics {
    fn of(inner: Arc<Inner>, hold: AtomicHold<'static>) -> Result<Self> {
        let (record, payload) = (hold.record(), hold.payload());
        let header = record.header();
        let (type_number, bytes) = (header.type_number, payload.bytes);
        let layout = inner.stored_type(type_number)?.layout.clone();
        let shape = header.flags.array.then(|| record.extension().shape);
        let address = payload.map().as_ptr().wrapping_add(payload.offset as usize);
        Ok(Self { _hold: hold, address, bytes, type_number, layout, shape, _inner: inner })
    }

    /// The object.
    ///
    /// # Safety of its use
    /// [`Atomics::len`] bytes may be read and written through atomics that are aligned, as long as this lives. Others do the same.
    pub fn as_ptr(&self) -> *mut u8 {
        self.address
    }

    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The number of the object's type in this store.
    pub fn type_number(&self) -> u32 {
        self.type_number
    }

    /// The layout of the object, or of an array's elements.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The dimensions of an array; `None` for what is no array.
    pub fn shape(&self) -> Option<&[u64]> {
        self.shape.as_deref()
    }
}

impl fmt::Debug for Atomics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atomics").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
