//! Guards: references to objects where they lie.
//!
//! What makes them sound: a [`Ref`] has the object's shared borrow and a [`RefMut`] the exclusive one, in a table that every
//! guard of every thread goes through; records are never overwritten by a put; and mappings stay until the last handle and guard
//! are gone. That no other process writes is the contract of opening a store.

mod atomic;
mod exclusive;
mod shared;

use std::sync::atomic::{AtomicU32, Ordering};

pub(super) use atomic::AtomicHold;
pub use atomic::AtomicRef;
pub use exclusive::RefMut;
pub use shared::{OwnedRef, Ref};

use super::Inner;
use super::borrow::{Deadline, Subject, Want};
use super::find::Payload;
use super::mutate::Claim;
use crate::chunk::Record;
use crate::error::{Error, Result};
use crate::layout::Object;
use crate::protocol::VERSION_BITS;

/// An entry in the table of what is borrowed, for as long as it lives.
pub(super) struct Borrow<'a> {
    inner: &'a Inner,
    subject: Subject,
    want: Want,
}

impl<'a> Borrow<'a> {
    pub(super) fn acquire(
        inner: &'a Inner,
        record: &Record<'_>,
        want: Want,
        deadline: &mut Deadline,
    ) -> Option<Self> {
        let subject = Subject::of(record);
        // Made only when it is taken: a `Borrow` that is dropped gives the object back, whoever has it.
        inner.borrows.acquire(subject, want, deadline).then(|| Self { inner, subject, want })
    }
}

impl Drop for Borrow<'_> {
    fn drop(&mut self) {
        self.inner.borrows.release(self.subject, self.want);
        self.inner.release_lock_if_unused();
    }
}

/// A borrow of an object that will be changed.
pub(in crate::store) struct WriteHold<'a> {
    pub(in crate::store) record: Record<'a>,
    pub(in crate::store) payload: Payload<'a>,
    /// Where other processes change objects too: it is this one's turn. (Dropped before the borrow.)
    pub(in crate::store) claim: Option<Claim<'a>>,
    borrow: Borrow<'a>,
}

impl WriteHold<'_> {
    /// Makes the version odd. Its checksum half then names the writer: slot 0, the writer of the store.
    pub(in crate::store) fn begin_writing(&self) {
        if self.claim.is_some() {
            return;
        }
        if let Some(word) = self.record.version_to_change() {
            word.begin_change();
        }
    }

    /// Makes the version even again, another one than before. (A claim does so when it ends.)
    pub(in crate::store) fn end_writing(&self) {
        if self.claim.is_some() {
            return;
        }
        let version = self.record.version_word(Ordering::Relaxed) & VERSION_BITS;
        self.record.settle_version(version, self.borrow.inner.chunks.seed);
    }

    pub(in crate::store) fn address(&self) -> *mut u8 {
        self.payload.map().as_ptr().wrapping_add(self.payload.offset as usize)
    }
}

impl Drop for WriteHold<'_> {
    fn drop(&mut self) {
        // First: that stores into the record, too.
        drop(self.claim.take());
        for file in writers(&self.record, &self.payload) {
            file.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The counts of guards that may write into the files that hold an object: its version word and, where it has one, its body.
fn writers<'p>(record: &'p Record<'_>, payload: &'p Payload<'_>) -> impl Iterator<Item = &'p AtomicU32> {
    [Some(&record.chunk.writers), payload.body().map(|body| &body.writers)].into_iter().flatten()
}

impl Inner {
    /// A borrow of the object under a key for changing it. Its file counts as dirty from here on.
    fn borrow_to_write<T: Object + ?Sized>(
        &self,
        key: &[u8],
        want: Want,
        waits: bool,
    ) -> Result<Option<WriteHold<'_>>> {
        self.borrow_found(key, want, waits, |hash| {
            let Some(record) = self.find_hashed(key, hash)? else { return Ok(None) };
            let payload = self.typed_payload::<T>(&record)?;
            Ok(Some((record, payload)))
        })
    }

    /// The same, where somebody else finds the object by the hash of its key.
    #[inline]
    pub(in crate::store) fn borrow_found<'a>(
        &'a self,
        key: &[u8],
        want: Want,
        waits: bool,
        find: impl Fn(u64) -> Result<Option<(Record<'a>, Payload<'a>)>>,
    ) -> Result<Option<WriteHold<'a>>> {
        let mut deadline = self.patience(waits);
        let hold = self.borrow_unclaimed(key, want, &mut deadline, find)?;
        let Some(mut hold) = hold else { return Ok(None) };
        if self.shares_changes && want == Want::Exclusive {
            hold.claim = Some(self.claim(&hold.record, &mut deadline, false)?);
        }
        Ok(Some(hold))
    }

    /// The same, without a claim. As long as it is borrowed alone, this process does not supersede or move it; and no other one can.
    #[inline]
    pub(in crate::store) fn borrow_unclaimed<'a>(
        &'a self,
        key: &[u8],
        want: Want,
        deadline: &mut Deadline,
        find: impl Fn(u64) -> Result<Option<(Record<'a>, Payload<'a>)>>,
    ) -> Result<Option<WriteHold<'a>>> {
        let mut waited_for: Option<Borrow<'_>> = None;
        let hash = self.views.hashes.of_key(key);
        self.views.directory.prefetch_line(hash);
        loop {
            let mut writer = self.begin_change()?;
            let Some((record, payload)) = find(hash)? else { return Ok(None) };
            self.check_alone_to_write(&record)?;
            Self::check_not_sealed(&record)?;
            // What was waited for may have been superseded meanwhile.
            let borrow = match waited_for.take() {
                Some(borrow) if borrow.subject == Subject::of(&record) => Some(borrow),
                _ => Borrow::acquire(self, &record, want, &mut Deadline::Now),
            };
            if let Some(borrow) = borrow {
                // The record's chunk changes even where the object has a body: its version word does.
                writer.dirty_chunks.insert(record.chunk.id);
                writer.dirty_bodies.extend(payload.body().map(|body| (body.number, body.shared())));
                writer.changed = true;
                for file in writers(&record, &payload) {
                    file.fetch_add(1, Ordering::SeqCst);
                }
                drop(writer);
                return Ok(Some(WriteHold { record, payload, claim: None, borrow }));
            }
            drop(writer);
            waited_for = Borrow::acquire(self, &record, want, deadline);
            if waited_for.is_none() {
                return Err(Error::Busy { key: key.to_vec() });
            }
        }
    }
}
