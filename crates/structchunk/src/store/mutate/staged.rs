//! Changes of objects of any size in a copy, stored back word by word under the claim.
#![expect(unsafe_code, reason = "copies objects from and to mapped memory")]

use std::sync::atomic::{Ordering, fence};

use super::super::Inner;
use super::super::find::Payload;
use super::super::parts::{copy_parts, data_of, make_room_for, store_parts};
use super::super::read::out_of_bounds;
use super::claim::Claim;
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::format::PAGE_BYTES;
use crate::layout::Plain;
use crate::map::{Buffer, object_at};

/// A copy of an object that nobody else changes.
pub(crate) struct Staged {
    buffer: Buffer,
    bytes: usize,
}

impl Staged {
    /// Of an object that was checked to be a `T`, and is claimed.
    pub(crate) fn copy<T: Plain + ?Sized>(record: &Record<'_>, payload: &Payload<'_>) -> Result<Self> {
        let bytes = payload.bytes as usize;
        let from =
            payload.map().address(payload.offset, payload.bytes).ok_or_else(|| out_of_bounds(record))?;
        let buffer = Buffer::zeroed(bytes, T::ALIGN)?;
        if payload.body().is_some() {
            // What is a hole stays one: looking into it takes space on some file systems.
            let parts = data_of(payload)?;
            // SAFETY: the parts are those of a whole, mapped object, as its payload was checked to be, and others store there only by words;
            // the buffer is as large and nobody else's.
            unsafe { copy_parts(&parts, from, buffer.as_ptr()) };
        } else {
            // SAFETY: `from` is a whole, aligned `T` of a mapping, as its payload was checked to be, and others store there only by `write_racy`;
            // the buffer is as large, aligned, and nobody else's.
            unsafe { T::copy_racy(from, buffer.as_ptr(), bytes) };
        }
        Ok(Self { buffer, bytes })
    }

    /// The copy.
    pub(crate) fn change<T: Plain + ?Sized>(&mut self, change: impl FnOnce(&mut T)) {
        let object = object_at::<T>(self.buffer.as_ptr(), self.bytes).cast_mut();
        // SAFETY: the buffer has a whole, aligned `T`, is borrowed exclusively, and nobody else has it.
        change(unsafe { &mut *object });
    }

    /// Stores the copy into the object, as far as it is another one. The claim is what keeps others from doing the same.
    ///
    /// # Errors
    /// [`Error::NoSpace`] where a hole is to be filled for which the disk has no room; then, and with any other, nothing has changed.
    pub(crate) fn write_back<T: Plain + ?Sized>(
        &self,
        record: &Record<'_>,
        payload: &Payload<'_>,
        _claim: &Claim<'_>,
    ) -> Result<()> {
        let to = payload.map().address(payload.offset, payload.bytes).ok_or_else(|| out_of_bounds(record))?;
        // The target of both was checked to be a whole `T`; it lies in a mapping that may be written (that of a writer, or of a mutator: nobody else has
        // claims), and others use it only through `copy_racy` while it is claimed: no reference leads into an object of this store that is not
        // sealed, and what is sealed is not claimed. Should a forged directory have led to a record that lies inside a sealed object, the live map
        // would have been found to mark both, and neither is used then.
        if payload.body().is_some() || payload.bytes > PAGE_BYTES {
            let copy = self.buffer.bytes().get(..self.bytes).unwrap_or_default();
            let parts = make_room_for(payload, copy)?;
            // SAFETY: the parts are those of the copy and of the object, of the same size; for the object, see above.
            unsafe { store_parts(&parts, self.buffer.as_ptr(), to) };
        } else {
            // SAFETY: the buffer is a whole `T` of the payload's size; for the object, see above.
            unsafe { T::write_racy(self.buffer.as_ptr(), to, self.bytes) };
        }
        Ok(())
    }
}

/// Where a process that is not the writer has found an object to be changed, claimed.
pub(crate) struct Claimed<'a> {
    // (Dropped first: its end is stored into the record.)
    claim: Claim<'a>,
    pub(crate) record: Record<'a>,
    pub(crate) payload: Payload<'a>,
}

impl Claimed<'_> {
    /// Whether a process that died has left the object half changed.
    pub(crate) fn is_torn(&self) -> bool {
        self.claim.is_torn()
    }
}

impl Inner {
    /// Finds the object under a key and claims it, in a process that is not the writer.
    ///
    /// The order: claim, then another look at the key and at the session. Nobody who follows the rules supersedes a claimed record, and a
    /// recovery after the death of the writer alone leaves a living claim as it is; one that takes records back waits until no mutator is
    /// left. So what is found current under the claim stays so until its end.
    pub(crate) fn find_and_claim<'a>(
        &'a self,
        key: &[u8],
        wait: bool,
        over_torn: bool,
        payload_of: impl Fn(&'a Self, &Record<'a>) -> Result<Payload<'a>>,
    ) -> Result<Option<Claimed<'a>>> {
        let hash = self.views.hashes.of_key(key);
        let (mut deadline, mut until_found) = (self.patience(wait), self.patience(true));
        loop {
            let found = self.with_object(key, hash, |record| Ok((record.clone(), payload_of(self, record)?)));
            let Some((record, payload)) = self.still(found)? else { return Ok(None) };
            if !self.stands_alone_here(&record, &mut until_found)? {
                continue;
            }
            let claim = self.claim(&record, &mut deadline, over_torn)?;
            // A recovery that does not see the claim has said before that it is one: the other half of the fence in `Shared::begin_recovery`.
            fence(Ordering::SeqCst);
            if self.still(self.is_current(&record))? {
                self.check_writer_syncs()?;
                return Ok(Some(Claimed { claim, record, payload }));
            }
            // It is replaced again and again.
            if until_found.is_over() {
                return Err(Error::Busy { key: key.to_vec() });
            }
        }
    }

    /// Refuses changes beside a writer whose sync has failed: whatever is changed now, the next writer takes back.
    pub(in crate::store) fn check_writer_syncs(&self) -> Result<()> {
        if self.shared.is_poisoned() {
            return Err(Error::Poisoned { cause: "the writer's sync failed".into() });
        }
        Ok(())
    }

    /// Changes an object from beside the writer; whether there was one. `change` is taken when it is used.
    pub(crate) fn update_beside<T: Plain + ?Sized, F: FnOnce(&mut T)>(
        &self,
        key: &[u8],
        wait: bool,
        change: &mut Option<F>,
    ) -> Result<bool> {
        let Some(found) = self.find_and_claim(key, wait, false, Self::typed_payload::<T>)? else {
            return Ok(false);
        };
        self.change_claimed(found, change).map(|()| true)
    }

    /// Changes an object that a dead process has left half changed; whether there was one.
    pub(crate) fn mend_beside<T: Plain + ?Sized, F: FnOnce(&mut T)>(
        &self,
        key: &[u8],
        change: &mut Option<F>,
    ) -> Result<bool> {
        let Some(found) = self.find_and_claim(key, true, true, Self::typed_payload::<T>)? else {
            return Ok(false);
        };
        if !found.is_torn() {
            return Ok(false);
        }
        self.change_claimed(found, change).map(|()| true)
    }

    fn change_claimed<T: Plain + ?Sized>(
        &self,
        found: Claimed<'_>,
        change: &mut Option<impl FnOnce(&mut T)>,
    ) -> Result<()> {
        self.check_can_mark(found.record.chunk.id)?;
        // Where `change` panics, the claim ends: what was whole is as it was, and what was torn still says so.
        let mut staged = Staged::copy::<T>(&found.record, &found.payload)?;
        if let Some(change) = change.take() {
            staged.change(change);
        }
        self.end_change(found, |Claimed { claim, record, payload }| {
            staged.write_back::<T>(record, payload, claim)
        })
    }

    /// Stores a changed copy back into the object of which it was made, and lets go of that.
    pub(crate) fn end_change(
        &self,
        found: Claimed<'_>,
        write_back: impl FnOnce(&Claimed<'_>) -> Result<()>,
    ) -> Result<()> {
        // The claim is the parent's, who has not been waiting for what was made of a copy of that time.
        if self.is_forked() {
            return Err(Error::Forked);
        }
        // It may have been begun long ago. (No recovery takes anything back as long as this one is attached.)
        self.check_writer_syncs()?;
        write_back(&found)?;
        let Claimed { claim, record, payload } = found;
        let (chunk, in_body) = (record.chunk.id, payload.body().is_some());
        claim.mended();
        // Before anybody sees the change, so that it is in the next sync even if this process dies now. (In the session in which the object was claimed:
        // the next one knows of the claim, should it have come meanwhile.)
        self.mark_dirty(chunk, in_body)?;
        drop(claim);
        // And the version word with it.
        self.mark_dirty(chunk, in_body)
    }
}
