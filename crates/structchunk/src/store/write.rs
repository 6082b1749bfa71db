//! Changing what exists: put, remove and their variants.

use super::borrow::{Deadline, Subject};
use super::inner::Writer;
use super::loan::Space;
use super::log::{Draft, FRESH_VERSION, Room};
use super::mutate::OldClaim;
use super::{Inner, Store};
use crate::chunk::{Chunk, Record};
use crate::directory::SlotRef;
use crate::disk::Sabotage;
use crate::error::{Error, Result};
use crate::format::{Extension, Flags, Kind, MAX_DIMENSIONS, PAGE_BYTES};
use crate::layout::Object;

/// Up to so many bytes an object is written before anybody knows whether it can be put: longer than that the wait for a slot does not last.
const SMALL: u64 = 4 << 10;

/// When a put or remove takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Whatever there is.
    Always,
    /// Whatever there is, if it is whole: it will be read.
    Whole,
    /// Only when there is nothing.
    Absent,
    /// Only when the current record has this sequence.
    Sequence(u64),
}

impl Condition {
    fn holds(self, old: Option<&Record<'_>>) -> bool {
        match self {
            Self::Always | Self::Whole => true,
            Self::Absent => old.is_none(),
            Self::Sequence(expected) => old.is_some_and(|old| old.header().sequence == expected),
        }
    }
}

/// What a put came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It took place.
    Stored,
    /// The condition did not hold.
    Refused,
}

/// How an object is described in its record.
pub(crate) struct Description {
    pub flags: Flags,
    pub align_log2: u8,
    pub extension: Vec<u8>,
}

impl Description {
    /// Of a value.
    #[inline]
    pub(crate) fn of<T: Object + ?Sized>(value: &T) -> Result<Self> {
        if !T::ARRAY {
            return Self::with_shape::<T>(&[]);
        }
        Self::with_shape::<T>(&value.shape())
    }

    /// Of an array of this shape, or of what is no array.
    #[inline]
    pub(crate) fn with_shape<T: Object + ?Sized>(shape: &[u64]) -> Result<Self> {
        Self::new(T::ARRAY, shape, T::ALIGN)
    }

    /// Of an array or not, of this shape, that wants to be aligned to so many bytes.
    #[inline]
    pub(crate) fn new(array: bool, shape: &[u64], align: usize) -> Result<Self> {
        if shape.len() > MAX_DIMENSIONS {
            return Err(Error::Dimensions { dimensions: shape.len(), limit: MAX_DIMENSIONS });
        }
        let extension = if shape.is_empty() {
            Vec::new()
        } else {
            Extension { shape: shape.to_vec(), previous: None }.encode()
        };
        let align_log2 = align.max(16).ilog2() as u8;
        Ok(Self { flags: Flags { array, ..Flags::default() }, align_log2, extension })
    }

    /// The record of such an object in the log, of so many bytes; its type's number is still to come.
    #[inline]
    pub(crate) fn draft<'d>(&'d self, key: &'d [u8], bytes: u64) -> Draft<'d> {
        Draft {
            kind: Kind::Object,
            flags: self.flags,
            align_log2: self.align_log2,
            type_number: 0,
            extension: &self.extension,
            key,
            payload_length: bytes,
            version_word: FRESH_VERSION,
        }
    }
}

/// What is to be stored under a key.
pub(crate) struct Change<'k> {
    pub key: &'k [u8],
    pub condition: Condition,
    pub deadline: Deadline,
    /// Nothing is asked of what there is, and nothing but the record has to be made.
    pub sure: bool,
}

impl Inner {
    /// Appends one record for a key and makes it the current one.
    ///
    /// `number` says which type it has; `before` sees the record that will be superseded, and may still refuse; `prepare` is the last thing
    /// that may fail; `fill` writes the payload. A change that is `sure` has no use for `before` and `prepare`, and may ask `number` and
    /// `fill` twice.
    pub(crate) fn store_record<'a>(
        &'a self,
        change: &Change<'_>,
        mut draft: Draft<'_>,
        number: impl Fn(&Self, &mut Writer) -> Result<u32>,
        before: impl FnOnce(&Record<'a>) -> Result<()>,
        prepare: impl FnOnce(&mut Writer) -> Result<()>,
        fill: impl Fn(&Chunk, u64) -> Option<()>,
    ) -> Result<Outcome> {
        let &Change { key, condition, mut deadline, sure } = change;
        Self::check_key(key)?;
        let hash = self.views.hashes.of_key(key);
        self.views.directory.prefetch_slot(hash);
        debug_assert!(!sure || condition == Condition::Always, "a condition asks what there is");
        // (Where other processes change objects, what is superseded is claimed first.)
        let at_once = sure && !self.shares_changes && draft.payload_length <= SMALL;
        if at_once && self.store_at_once(hash, &mut draft, &number, &fill)? {
            return Ok(Outcome::Stored);
        }
        let (mut guard, slot, old, _claim) = loop {
            let guard = self.begin_change()?;
            let (slot, old) = self.slot_of(key, hash)?;
            if !condition.holds(old.as_ref()) {
                return Ok(Outcome::Refused);
            }
            match old {
                Some(old) if self.borrows.is_exclusive(Subject::of(&old)) => {
                    drop(guard);
                    self.wait_for_writer(&old, &mut deadline)?;
                }
                old => match self.claim_old(old.as_ref(), condition != Condition::Whole)? {
                    OldClaim::Free(claim) => break (guard, slot, old, claim),
                    OldClaim::Busy => {
                        drop(guard);
                        Self::wait_for_claim(old.as_ref(), &mut deadline)?;
                    }
                },
            }
        };
        let writer = &mut *guard;
        if let Some(old) = &old {
            before(old)?;
        }
        draft.type_number = number(self, writer)?;
        let quick = self.has_room(writer, &draft) && self.has_slot(&slot, old.as_ref());
        if !quick {
            self.make_room(writer, [&draft], Room::Ordinary)?;
            let of_type = self.views.hashes.of_type(draft.type_number);
            self.views.make_slots(&self.chunks, &mut [hash, of_type])?;
        }
        prepare(writer)?;
        let record = self.append(writer, &draft, fill)?;
        let slot = if quick {
            slot
        } else {
            // Making room may have moved the slot, and the type's record may have taken it.
            self.slot_of(key, hash).map_err(|error| self.stop_writing(error))?.0
        };
        self.make_current(writer, &slot, &record, old.as_ref());
        Ok(Outcome::Stored)
    }

    /// The usual put, in as few steps as it takes: when there is room at the head and a slot, and nobody is in the way. Whether it was done.
    ///
    /// The record is written before anybody looks for its slot, which is a cache miss, and so while that is on its way.
    #[inline]
    fn store_at_once(
        &self,
        hash: u64,
        draft: &mut Draft<'_>,
        number: impl Fn(&Self, &mut Writer) -> Result<u32>,
        fill: impl Fn(&Chunk, u64) -> Option<()>,
    ) -> Result<bool> {
        let mut guard = self.begin_change()?;
        let writer = &mut *guard;
        draft.type_number = number(self, writer)?;
        if !self.has_room(writer, draft) {
            return Ok(false);
        }
        let ahead = self.write_ahead(writer, draft, fill)?;
        match self.slot_of(draft.key, hash) {
            Ok((slot, old))
                if self.has_slot(&slot, old.as_ref())
                    && !old.as_ref().is_some_and(|old| self.borrows.is_exclusive(Subject::of(old))) =>
            {
                let record = self.complete(writer, draft, &ahead)?;
                self.make_current(writer, &slot, &record, old.as_ref());
                Ok(true)
            }
            // Whatever it is, it will be met again.
            _ => self.take_back(writer, &ahead).map(|()| false),
        }
    }

    /// Whether the slot that was found can be stored to.
    #[inline]
    fn has_slot(&self, slot: &SlotRef, old: Option<&Record<'_>>) -> bool {
        old.is_some() || self.views.directory.has_room(slot)
    }

    /// Makes the record that was appended the key's.
    #[inline]
    fn make_current(
        &self,
        writer: &mut Writer,
        slot: &SlotRef,
        record: &Record<'_>,
        old: Option<&Record<'_>>,
    ) {
        self.publish_end(writer);
        self.root.pass();
        self.views.touch(slot);
        self.views.directory.store(slot, record.location());
        self.views.live.set(record.location(), writer.head - record.offset());
        match old {
            // Its body goes on under the new record.
            Some(old) if old.header().kind == Kind::Extern && Subject::of(old) == Subject::of(record) => {
                self.unmark(old);
            }
            Some(old) => self.supersede(writer, old),
            None => self.views.directory.change_len(1),
        }
    }

    /// Appends a tombstone for a key; what was there before, if anything was. `condition`: [`Condition::Always`] or [`Condition::Whole`].
    pub(crate) fn remove_record<'a>(
        &'a self,
        key: &[u8],
        condition: Condition,
        mut deadline: Deadline,
        before: impl FnOnce(&Record<'a>) -> Result<()>,
    ) -> Result<bool> {
        Self::check_key(key)?;
        let hash = self.views.hashes.of_key(key);
        let draft = Draft::tombstone(key);
        let (mut guard, slot, old, _claim) = loop {
            let guard = self.begin_change()?;
            let (slot, old) = self.slot_of(key, hash)?;
            let Some(old) = old else { return Ok(false) };
            if !self.borrows.is_exclusive(Subject::of(&old)) {
                match self.claim_old(Some(&old), condition != Condition::Whole)? {
                    OldClaim::Free(claim) => break (guard, slot, old, claim),
                    OldClaim::Busy => {
                        drop(guard);
                        Self::wait_for_claim(Some(&old), &mut deadline)?;
                        continue;
                    }
                }
            }
            drop(guard);
            self.wait_for_writer(&old, &mut deadline)?;
        };
        let writer = &mut *guard;
        before(&old)?;
        self.make_room_to_remove(writer, [&draft])?;
        self.append(writer, &draft, |_, _| Some(()))?;
        self.publish_end(writer);
        self.root.pass();
        self.views.touch(&slot);
        if self.root.breaks(Sabotage::SlotCleared) {
            self.views.directory.clear(&slot);
        } else {
            self.views.directory.erase(&slot);
        }
        self.supersede(writer, &old);
        self.views.directory.change_len(-1);
        Ok(true)
    }

    /// Room for tombstones: ordinary room while there is some, then what is kept back for them.
    pub(crate) fn make_room_to_remove<'d>(
        &self,
        writer: &mut Writer,
        drafts: impl IntoIterator<Item = &'d Draft<'d>> + Clone,
    ) -> Result<()> {
        match self.make_room(writer, drafts.clone(), Room::Ordinary) {
            Err(Error::NoSpace { .. }) => self.make_room(writer, drafts, Room::KeptBack),
            outcome => outcome,
        }
    }

    /// Takes note that a record is no longer the current one.
    pub(crate) fn supersede(&self, writer: &mut Writer, old: &Record<'_>) {
        self.unmark(old);
        self.note_payload(writer, old);
        if old.header().kind == Kind::Extern {
            match self.extern_payload(old) {
                Ok(pointer) => {
                    if self.root.breaks(Sabotage::BodyUnlinkedEarly) {
                        let _ = self.bodies.unlink(pointer.body);
                    }
                    writer.superseded.push(pointer.body);
                }
                // The body stays until the next recovery finds that nothing points to it.
                Err(error) => tracing::warn!(%error, "a superseded body cannot be given back"),
            }
        }
    }

    /// Waits, without the writer's lock, until nobody changes the record.
    pub(crate) fn wait_for_writer(&self, record: &Record<'_>, deadline: &mut Deadline) -> Result<()> {
        if self.borrows.wait_for_writer(Subject::of(record), deadline) {
            return Ok(());
        }
        Err(Error::Busy { key: record.key().to_vec() })
    }

    /// Stores a value under a key: inline, or as a body when it is large.
    pub(crate) fn put_value<'a, T: Object + ?Sized>(
        &'a self,
        change: &Change<'_>,
        value: &T,
        before: impl FnOnce(&Record<'a>) -> Result<()>,
    ) -> Result<Outcome> {
        let description = Description::of(value)?;
        let bytes = value.byte_len() as u64;
        if bytes == 0 {
            return Err(Error::Empty { key: change.key.to_vec() });
        }
        if bytes > self.chunks.geometry.largest_inline() {
            Self::check_key(change.key)?;
            let body = self.begin_body(bytes, Space::Auto)?;
            body.body.map.write_object(PAGE_BYTES, value).ok_or_else(|| body.truncated())?;
            return self.publish_body(change, &description, body, Self::number_at_hand::<T>, before);
        }
        let draft = description.draft(change.key, bytes);
        let fill = |chunk: &Chunk, at| chunk.write_object(at, value);
        self.store_record(change, draft, Self::number_at_hand::<T>, before, |_| Ok(()), fill)
    }
}

impl Store {
    #[inline]
    fn change<'k>(&self, key: &'k [u8], condition: Condition, wait: bool) -> Change<'k> {
        Change { key, condition, deadline: self.inner.patience(wait), sure: false }
    }

    /// Stores a value under `key`, in place of whatever is there. Atomic: everybody sees the old object or the new one.
    ///
    /// Guards taken before keep the old object. Waits while somebody changes it through a [`RefMut`](crate::RefMut).
    ///
    /// # Durability
    /// Survives the death of the process at once, and a power cut after the next [`Store::sync`].
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::KeyLength`], [`Error::Busy`], [`Error::TooLarge`], [`Error::Empty`] for an empty slice,
    /// [`Error::ReadOnly`], [`Error::Poisoned`], [`Error::Closed`], [`Error::Forked`]. Nothing has changed then.
    pub fn put<T: Object + ?Sized>(&self, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        let change = Change { sure: true, ..self.change(key.as_ref(), Condition::Always, true) };
        self.inner.put_value(&change, value, |_| Ok(())).map(drop)
    }

    /// [`Store::put`] that answers [`Error::Busy`] at once instead of waiting.
    ///
    /// # Errors
    /// As for [`Store::put`].
    pub fn try_put<T: Object + ?Sized>(&self, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        let change = Change { sure: true, ..self.change(key.as_ref(), Condition::Always, false) };
        self.inner.put_value(&change, value, |_| Ok(())).map(drop)
    }

    /// Stores a value under a key that has none.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// [`Error::KeyExists`], and as for [`Store::put`].
    pub fn insert_new<T: Object + ?Sized>(&self, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        let key = key.as_ref();
        let change = self.change(key, Condition::Absent, true);
        match self.inner.put_value(&change, value, |_| Ok(()))? {
            Outcome::Stored => Ok(()),
            Outcome::Refused => Err(Error::KeyExists { key: key.to_vec() }),
        }
    }

    /// Stores a value if the current record under `key` has this [`Store::sequence`]; whether it did.
    ///
    /// A compare-and-swap of whole objects. May answer false needlessly after the object was moved by a compaction: load it and
    /// try again.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// As for [`Store::put`].
    pub fn put_if<T: Object + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        sequence: u64,
        value: &T,
    ) -> Result<bool> {
        let change = self.change(key.as_ref(), Condition::Sequence(sequence), true);
        Ok(matches!(self.inner.put_value(&change, value, |_| Ok(()))?, Outcome::Stored))
    }

    /// Stores a value and gives the one that was there before.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// As for [`Store::put`] and [`Store::load`]: when the old object is no `T`, nothing changes.
    pub fn replace<T: Object>(&self, key: impl AsRef<[u8]>, value: &T) -> Result<Option<T>> {
        let change = self.change(key.as_ref(), Condition::Whole, true);
        let mut old = None;
        self.inner.put_value(&change, value, |record| {
            old = Some(self.inner.copy_settled(record)?);
            Ok(())
        })?;
        Ok(old)
    }

    /// Removes the object under `key`; whether there was one. Guards taken before keep it.
    ///
    /// Works on a full disk: space is kept back for it.
    ///
    /// # Durability
    /// As for [`Store::put`]. The space of a large object comes back at the sync after the next.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::KeyLength`], [`Error::ReadOnly`], [`Error::Poisoned`], [`Error::Closed`], [`Error::Forked`].
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.inner.remove_record(key.as_ref(), Condition::Always, self.inner.patience(true), |_| Ok(()))
    }

    /// [`Store::remove`] that answers [`Error::Busy`] at once instead of waiting.
    ///
    /// # Errors
    /// As for [`Store::remove`].
    pub fn try_remove(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.inner.remove_record(key.as_ref(), Condition::Always, self.inner.patience(false), |_| Ok(()))
    }

    /// Removes the object under `key` and gives a copy of it.
    ///
    /// # Durability
    /// As for [`Store::remove`].
    ///
    /// # Errors
    /// As for [`Store::remove`] and [`Store::load`]: when the object is no `T`, nothing changes.
    pub fn take<T: Object>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        let mut taken = None;
        self.inner.remove_record(key.as_ref(), Condition::Whole, self.inner.patience(true), |record| {
            taken = Some(self.inner.copy_settled(record)?);
            Ok(())
        })?;
        Ok(taken)
    }
}
