//! Changes in place of what is described at run time: staged, and written back as a whole.
#![expect(unsafe_code, reason = "an update outlives the handle that it came from, with the store in it")]

use std::fmt;
use std::sync::Arc;

use super::loan::outlived;
use super::{Raw, RawMutator};
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::map::Buffer;
use crate::store::Inner;
use crate::store::borrow::{Deadline, Want};
use crate::store::find::Payload;
use crate::store::guard::WriteHold;
use crate::store::mutate::Claimed;
use crate::store::parts::{copy_parts, data_of, make_room_for, store_parts};
use crate::store::read::out_of_bounds;

/// Objects up to this size can be staged, in bytes.
const LARGEST: u64 = 1 << 30;

/// A copy of an object that nobody else changes meanwhile, to be written back by [`Update::commit`]. Dropping it changes nothing.
pub struct Update {
    // The turn goes before the store, which it borrows from. Both go with the end of the change, however long the copy is kept.
    turn: Option<(Turn<'static>, Arc<Inner>)>,
    staged: Buffer,
    bytes: u64,
    type_number: u32,
    layout: Layout,
    shape: Option<Vec<u64>>,
}

/// What keeps others from changing the object.
enum Turn<'a> {
    /// In the process that writes the store.
    Own(WriteHold<'a>),
    /// In another one.
    Beside(Claimed<'a>),
}

impl Turn<'_> {
    fn record(&self) -> &Record<'_> {
        match self {
            Self::Own(hold) => &hold.record,
            Self::Beside(claimed) => &claimed.record,
        }
    }

    fn payload(&self) -> &Payload<'_> {
        match self {
            Self::Own(hold) => &hold.payload,
            Self::Beside(claimed) => &claimed.payload,
        }
    }
}

/// An object that can be changed in a copy: all of it is mapped, and it is no larger than that.
pub(super) fn payload_to_stage<'a>(inner: &'a Inner, record: &Record<'a>) -> Result<Payload<'a>> {
    let payload = payload_in_bounds(inner, record)?;
    if payload.bytes > LARGEST {
        let what = "an object that is changed in a copy";
        return Err(Error::TooLarge { what, bytes: payload.bytes, limit: LARGEST });
    }
    Ok(payload)
}

/// An object, all of which is mapped.
pub(super) fn payload_in_bounds<'a>(inner: &'a Inner, record: &Record<'a>) -> Result<Payload<'a>> {
    let payload = inner.payload(record)?;
    payload.map().address(payload.offset, payload.bytes).ok_or_else(|| out_of_bounds(record))?;
    Ok(payload)
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
            let payload = payload_to_stage(inner, &record)?;
            Ok(Some((record, payload)))
        };
        let Some(hold) = inner.borrow_found(key, Want::Exclusive, waits, find)? else { return Ok(None) };
        Update::begin(self.store.inner.clone(), Turn::Own(hold)).map(Some)
    }

    /// Whether other processes may change objects in place: what [`Options::shared_mutation`](crate::Options::shared_mutation) was when the store was made.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn is_shared(self) -> Result<bool> {
        self.store.inner.check_open().map(|()| self.store.inner.shares_changes)
    }

    /// Begins to mend the object under `key`, which a process that died has left half changed: the copy is of what it has left, and
    /// [`Update::commit`] makes the object whole. `None` where there is nothing to mend. An update that is
    /// dropped leaves the object as it was left. Does not wait: [`Error::Busy`], also where somebody else mends it.
    ///
    /// # Errors
    /// As for [`Raw::try_update`].
    pub fn try_mend(self, key: &[u8]) -> Result<Option<Update>> {
        // SAFETY: as above.
        let inner = unsafe { outlived(&self.store.inner) };
        let Some(hold) = inner.borrow_to_mend(key, &mut Deadline::Now, payload_to_stage)? else {
            return Ok(None);
        };
        Update::begin(self.store.inner.clone(), Turn::Own(hold)).map(Some)
    }
}

impl RawMutator<'_> {
    /// Begins to change the object under `key`, alone with it among all threads and processes; `None` where there is none. Does not wait:
    /// [`Error::Busy`]. As long as the update is neither committed nor dropped, others wait; when this process dies meanwhile, the
    /// object is [`Torn`](Error::Torn).
    ///
    /// # Errors
    /// As for [`Mutator::update`](crate::Mutator::update); [`Error::TooLarge`] above a gibibyte.
    pub fn try_update(self, key: &[u8]) -> Result<Option<Update>> {
        self.claim(key, false)
    }

    /// Begins to mend the object under `key`, as [`Raw::try_mend`] does.
    ///
    /// # Errors
    /// As for [`RawMutator::try_update`].
    pub fn try_mend(self, key: &[u8]) -> Result<Option<Update>> {
        self.claim(key, true)
    }

    fn claim(self, key: &[u8], mends: bool) -> Result<Option<Update>> {
        self.in_session(|store| {
            // SAFETY: as above.
            let inner = unsafe { outlived(&store.inner) };
            let claimed = inner.find_and_claim(key, false, mends, payload_to_stage)?;
            let Some(claimed) = claimed.filter(|claimed| !mends || claimed.is_torn()) else {
                return Ok(None);
            };
            inner.check_can_mark(claimed.record.chunk.id)?;
            Update::begin(store.inner.clone(), Turn::Beside(claimed)).map(Some)
        })
    }
}

impl Update {
    /// Copies the object whose turn it is.
    fn begin(inner: Arc<Inner>, turn: Turn<'static>) -> Result<Self> {
        let (record, payload) = (turn.record(), turn.payload());
        let header = record.header();
        let layout = inner.stored_type(header.type_number)?.layout.clone();
        let shape = header.flags.array.then(|| record.extension().shape);
        let (bytes, type_number) = (payload.bytes, header.type_number);
        let staged = Buffer::zeroed(bytes as usize, 1 << header.align_log2.min(12))?;
        // What is a hole stays one, here and there.
        let parts = data_of(payload)?;
        let object = payload.map().as_ptr().wrapping_add(payload.offset as usize);
        // SAFETY: the object's bytes are mapped, as was looked up, and only changed by those whose turn it is, or by atomic stores;
        // the buffer is as large, and nobody else's; the parts are those of both.
        unsafe { copy_parts(&parts, object, staged.as_ptr()) };
        Ok(Self { turn: Some((turn, inner)), staged, bytes, type_number, layout, shape })
    }

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
    /// [`Error::Closed`] in the writer; [`Error::Poisoned`]; [`Error::Forked`], also where it was begun before the fork; [`Error::NoSpace`] where the change needs room in a sparse object and the disk
    /// has none. The change is lost then.
    pub fn commit(&mut self) -> Result<()> {
        let copy = self.staged.bytes().get(..self.bytes as usize).unwrap_or_default();
        let Some((turn, inner)) = self.turn.take() else { return Ok(()) };
        match turn {
            Turn::Own(hold) => {
                inner.check_writable()?;
                let parts = make_room_for(&hold.payload, copy)?;
                hold.begin_writing();
                // SAFETY: the parts are those of the copy, which is as large as the object, and of the object, which is mapped, may be written and
                // is borrowed exclusively; others read it by atomic loads of the same words only.
                unsafe { store_parts(&parts, copy.as_ptr(), hold.address()) };
                if let Some(claim) = &hold.claim {
                    claim.mended();
                }
                hold.end_writing();
                Ok(())
            }
            Turn::Beside(claimed) => inner.end_change(claimed, |claimed| {
                let payload = &claimed.payload;
                let parts = make_room_for(payload, copy)?;
                let object = payload.map().as_ptr().wrapping_add(payload.offset as usize);
                // SAFETY: as above; the object is claimed in place of borrowed, and mapped by a mutator, which may write.
                unsafe { store_parts(&parts, copy.as_ptr(), object) };
                Ok(())
            }),
        }
    }

    /// Lets go of the object without a change.
    pub fn cancel(&mut self) {
        self.turn = None;
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
