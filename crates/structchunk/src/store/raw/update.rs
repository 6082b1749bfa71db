//! Changes in place of what is described at run time: staged, and written back as a whole.
#![expect(unsafe_code, reason = "an update outlives the handle that it came from, with the store in it")]

use std::fmt;
use std::sync::Arc;

use super::Raw;
use super::loan::outlived;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::map::Buffer;
use crate::store::Inner;
use crate::store::borrow::Want;
use crate::store::guard::WriteHold;
use crate::store::parts::{copy_parts, data_of, make_room_for, store_parts};
use crate::store::read::out_of_bounds;

/// Objects up to this size can be staged, in bytes.
const LARGEST: u64 = 1 << 30;

/// A copy of an object that nobody else changes meanwhile, to be written back by [`Update::commit`]. Dropping it changes nothing.
pub struct Update {
    // Before `inner`, which it borrows from.
    hold: Option<WriteHold<'static>>,
    staged: Buffer,
    bytes: u64,
    type_number: u32,
    layout: Layout,
    shape: Option<Vec<u64>>,
    inner: Arc<Inner>,
}

impl Raw<'_> {
    /// Begins to change the object under `key`, alone with it; `None` where there is none. Waits for whoever else does, at most the
    /// busy timeout.
    ///
    /// # Errors
    /// As for [`Store::get_mut`](crate::Store::get_mut); [`Error::TooLarge`] above a gibibyte.
    pub fn update(self, key: &[u8]) -> Result<Option<Update>> {
        self.begin_update(key, true)
    }

    /// [`Raw::update`] that answers [`Error::Busy`] at once instead of waiting.
    ///
    /// # Errors
    /// As for [`Raw::update`].
    pub fn try_update(self, key: &[u8]) -> Result<Option<Update>> {
        self.begin_update(key, false)
    }

    fn begin_update(self, key: &[u8], waits: bool) -> Result<Option<Update>> {
        // SAFETY: what borrows it goes into the update, whose fields are dropped in the order of their declaration.
        let inner = unsafe { outlived(&self.store.inner) };
        let find = |hash| {
            let Some(record) = inner.find_hashed(key, hash)? else { return Ok(None) };
            let payload = inner.payload(&record)?;
            payload.map().address(payload.offset, payload.bytes).ok_or_else(|| out_of_bounds(&record))?;
            if payload.bytes > LARGEST {
                let what = "an object that is changed in a copy";
                return Err(Error::TooLarge { what, bytes: payload.bytes, limit: LARGEST });
            }
            Ok(Some((record, payload)))
        };
        let Some(hold) = inner.borrow_found(key, Want::Exclusive, waits, find)? else { return Ok(None) };
        let header = hold.record.header();
        let layout = inner.stored_type(header.type_number)?.layout.clone();
        let shape = header.flags.array.then(|| hold.record.extension().shape);
        let bytes = hold.payload.bytes;
        let staged = Buffer::zeroed(bytes as usize, 1 << header.align_log2.min(12))?;
        // What is a hole stays one, here and there.
        let parts = data_of(&hold.payload)?;
        // SAFETY: the object's bytes are mapped, as was looked up, and only changed by those who have the borrow, or by atomic stores;
        // the buffer is as large, and nobody else's; the parts are those of both.
        unsafe { copy_parts(&parts, hold.address(), staged.as_ptr()) };
        let (type_number, inner) = (header.type_number, self.store.inner.clone());
        Ok(Some(Update { hold: Some(hold), staged, bytes, type_number, layout, shape, inner }))
    }
}

impl Update {
    /// The copy: good until the update is dropped.
    ///
    /// # Safety of its use
    /// [`Update::len`] bytes may be read and written, not while [`Update::commit`] runs.
    pub fn as_ptr(&self) -> *mut u8 {
        self.staged.as_ptr()
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

    /// Writes the copy back, under the object's version word, and lets go of the object. Once only: later calls do nothing.
    ///
    /// # Durability
    /// As for [`RefMut`](crate::RefMut).
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`], [`Error::Forked`]; [`Error::NoSpace`] where the change needs room in a sparse object and the disk
    /// has none. The change is lost then.
    pub fn commit(&mut self) -> Result<()> {
        let Some(hold) = self.hold.take() else { return Ok(()) };
        self.inner.check_writable()?;
        let copy = self.staged.bytes().get(..self.bytes as usize).unwrap_or_default();
        let parts = make_room_for(&hold.payload, copy)?;
        hold.begin_writing();
        // SAFETY: the parts are those of the copy, which is as large as the object, and of the object, which is mapped, may be written and is
        // borrowed exclusively; others read it by atomic loads of the same words only.
        unsafe { store_parts(&parts, self.staged.as_ptr(), hold.address()) };
        hold.end_writing();
        Ok(())
    }

    /// Lets go of the object without a change.
    pub fn cancel(&mut self) {
        self.hold = None;
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
