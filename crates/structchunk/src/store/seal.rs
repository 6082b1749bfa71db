//! Sealing: objects that never change any more, so that every process may refer to them.
//!
//! Sealing an object appends a copy of it as its new version: the highest bit of its version word says that it is sealed, the other half has
//! the checksum of the payload. Whoever has the object before keeps that one. A body is not copied: nobody may be changing it, its header page
//! gets the checksum, and the new record points to it.
//!
//! Why a sealed object can be referred to from any process: its bytes are written before the record exists, and nobody stores there again. Who
//! changes objects in place asks for the bit first ([`Inner::check_not_sealed`]), under the writer's lock, and no record loses it. What else
//! writes into a chunk's records is making holes, and wiping what a recovery takes back: both are done by one who holds the chunk alone. A
//! body is another matter: records from before it was sealed lead to it, too, and a recovery may make one of them current again. It waits
//! until nobody holds such a body, and who refers to a sealed one holds it.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::borrow::{Deadline, Want};
use super::guard::Borrow;
use super::hold::HeldBody;
use super::inner::Writer;
use super::loan::Space;
use super::log::{Draft, FRESH_VERSION};
use super::mutate::is_changing;
use super::write::{Change, Condition, Description, Outcome};
use super::{Inner, Store};
use crate::chunk::{BodyRef, Chunk, Record, SEALED};
use crate::error::{Error, Result};
use crate::format::{BodySeal, Checkpoint, Extension, Features, Flags, Kind, PAGE_BYTES};
use crate::layout::Plain;
use crate::map::bytes_of;
use crate::protocol::{VERSION_BITS, WRITING};

impl Inner {
    /// Refuses an object that nobody may change in place.
    #[inline]
    pub(crate) fn check_not_sealed(record: &Record<'_>) -> Result<()> {
        if record.is_sealed() { Err(Error::Sealed { key: record.key().to_vec() }) } else { Ok(()) }
    }

    /// Says in the checkpoint that there are sealed objects, before there are any: a version that does not know them must not write.
    fn announce_seals(&self) -> Result<()> {
        self.check_writable()?;
        if self.seals_announced.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut checkpoints = self.lock_checkpoints();
        self.check_open()?;
        self.check_not_poisoned()?;
        let mut features = checkpoints.newest.features;
        if !features.has_sealed() {
            features.join(&Features::sealed());
            let checkpoint = Checkpoint { features, ..checkpoints.newest };
            checkpoints.write(checkpoint).map_err(|error| self.poison(&checkpoints, error))?;
        }
        self.seals_announced.store(true, Ordering::Release);
        Ok(())
    }

    fn put_sealed<T: Plain + ?Sized>(&self, key: &[u8], value: &T) -> Result<()> {
        Self::check_key(key)?;
        let description = Description::of(value)?;
        let bytes = value.byte_len() as u64;
        if bytes == 0 {
            return Err(Error::Empty { key: key.to_vec() });
        }
        self.announce_seals()?;
        let checksum = self.chunks.seed.payload_checksum(bytes_of(value).unwrap_or_default());
        let change = Change { key, condition: Condition::Always, deadline: self.patience(true), sure: false };
        if bytes > self.chunks.geometry.largest_inline() {
            let mut body = self.begin_body(bytes, Space::Auto)?;
            body.body.map.write_object(PAGE_BYTES, value).ok_or_else(|| body.truncated())?;
            body.seal(checksum)?;
            self.publish_body(&change, &description, body, Self::number_at_hand::<T>, |_| Ok(()))?;
            return Ok(());
        }
        let draft = Draft { version_word: sealed_word(checksum), ..description.draft(key, bytes) };
        let fill = |chunk: &Chunk, at| chunk.write_object(at, value);
        self.store_record(&change, draft, Self::number_at_hand::<T>, |_| Ok(()), |_| Ok(()), fill)?;
        Ok(())
    }

    fn seal(&self, key: &[u8]) -> Result<bool> {
        Self::check_key(key)?;
        self.announce_seals()?;
        let hash = self.views.hashes.of_key(key);
        let busy = || Error::Busy { key: key.to_vec() };
        let mut deadline = self.patience(true);
        loop {
            // (That begins it.)
            let is_over = deadline.is_over();
            let sealed = self.with_object(key, hash, |record| {
                if record.is_sealed() {
                    return Ok(Outcome::Stored);
                }
                // Nobody changes it alone as long as this lives; and who looks at it goes on.
                let borrow = Borrow::acquire(self, record, Want::Shared, &mut { deadline });
                let _borrow = borrow.ok_or_else(busy)?;
                self.seal_borrowed(record, deadline)
            })?;
            match sealed {
                None => return Ok(false),
                Some(Outcome::Stored) => return Ok(true),
                // It was changed or replaced meanwhile. Whoever has no patience gets one attempt, too.
                Some(Outcome::Refused) if is_over => return Err(busy()),
                Some(Outcome::Refused) => {}
            }
        }
    }

    /// Appends the sealed copy of an object that nobody changes, unless it is no longer the current one.
    fn seal_borrowed<'a>(&'a self, record: &Record<'a>, deadline: Deadline) -> Result<Outcome> {
        let (key, header) = (record.key(), record.header());
        // As it was before the copy was begun.
        let version = record.version_word(Ordering::Acquire) & VERSION_BITS & !WRITING;
        let payload = match header.kind {
            Kind::Extern => self.extern_payload(record)?.encode().to_vec(),
            _ => self.steadily(record, || self.copy_settled_bytes(record, u64::MAX))?,
        };
        let extension = Extension::without_previous(record.extension_bytes());
        let draft = Draft {
            kind: header.kind,
            flags: Flags { batch: false, more: false, ..header.flags },
            align_log2: header.align_log2,
            type_number: header.type_number,
            extension: &extension,
            key,
            payload_length: header.payload_length,
            // Of the bytes that are written, whatever somebody does to the others meanwhile.
            version_word: sealed_word(self.chunks.seed.payload_checksum(&payload)),
        };
        let condition = Condition::Sequence(header.sequence);
        let change = Change { key, condition, deadline, sure: false };
        let number = header.type_number;
        let fill = |chunk: &Chunk, at| chunk.map.copy_in(at, &payload);
        let sealed = Cell::new(None);
        let (changed, held) = (Cell::new(false), Cell::new(None));
        let before = |old: &Record<'a>| {
            // Its bytes are not whole, and would be so for ever. (The claim that is had by now tells what it was claimed over.)
            if self.shares_changes && is_changing(old.version_word(Ordering::Acquire)) {
                return Err(Error::Torn { key: key.to_vec() });
            }
            // Only now is it claimed: another process may have changed it since it was copied.
            let is_other = old.version_word(Ordering::Acquire) & VERSION_BITS & !WRITING != version;
            changed.set(self.shares_changes && is_other);
            if changed.get() {
                return Err(Error::Busy { key: key.to_vec() });
            }
            if old.header().kind == Kind::Extern {
                let (body, alone) = self.seal_body(old)?;
                sealed.set(Some(body));
                held.set(alone);
            }
            Ok(())
        };
        let prepare = |writer: &mut Writer| {
            writer.dirty_bodies.extend(sealed.take().map(|body: BodyRef| (body.number, body.shared())));
            Ok(())
        };
        match self.store_record(&change, draft, |_, _| Ok(number), before, prepare, fill) {
            Err(Error::Busy { .. }) if changed.get() => Ok(Outcome::Refused),
            outcome => outcome,
        }
    }

    /// Notes the checksum of a body that nobody may change any more. Under the writer's lock, so that nobody comes to hold it meanwhile; and
    /// whoever holds it later finds the object sealed.
    fn seal_body(&self, record: &Record<'_>) -> Result<(BodyRef, Option<HeldBody<'_>>)> {
        let body = self.bodies.get(self.extern_payload(record)?.body)?;
        // Not through a guard, as the borrow says; but a view from another language could.
        let busy = || Error::Busy { key: record.key().to_vec() };
        if body.has_writers() {
            return Err(busy());
        }
        // Nor through another process's guard of atomics, until the record is there and says that it is sealed.
        let held = if self.shares_changes {
            Some(self.hold_body_alone(body.number).ok_or_else(busy)?)
        } else {
            None
        };
        let short = || Error::corrupt(body.path(), PAGE_BYTES, "the file is shorter than it was");
        let seal = BodySeal { payload_checksum: body.payload_checksum(self.chunks.seed)? };
        body.seal(self.identity.uuid, seal).ok_or_else(short)?;
        Ok((body, held))
    }

    /// Whether a sealed object has the bytes that were sealed.
    pub(crate) fn seal_holds(&self, record: &Record<'_>) -> Result<bool> {
        if record.header().kind != Kind::Extern {
            return Ok(record.sealed_payload_holds(self.chunks.seed));
        }
        let payload = self.payload(record)?;
        let Some(body) = payload.body() else { return Ok(false) };
        let payload_checksum = body.payload_checksum(self.chunks.seed)?;
        Ok(body.seal_mark(self.identity.uuid) == Some(BodySeal { payload_checksum }))
    }
}

/// The version word of a sealed object.
fn sealed_word(checksum: u32) -> u64 {
    u64::from(checksum) << 32 | SEALED | FRESH_VERSION
}

impl Store {
    /// Seals the object under `key`: it never changes any more, has a checksum, and every process may refer to it; see
    /// [`Session::get`](crate::Session::get). Whether there is one; one that is sealed already stays as it is.
    ///
    /// An object in the log is copied, so guards taken before keep the old one, and what is changed through guards of atomics goes there. One
    /// with a file of its own is read once, for its checksum. Waits for whoever changes it, at most the busy timeout.
    ///
    /// Calls that change in place answer [`Error::Sealed`] from then on. The key can be put anew, renamed and removed.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// [`Error::Busy`], also while a large object is looked at from another language; and as for [`Store::put`].
    pub fn seal(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.inner.seal(key.as_ref())
    }

    /// [`Store::put`] of an object that is sealed from the start.
    ///
    /// # Durability
    /// As for [`Store::put`].
    ///
    /// # Errors
    /// As for [`Store::put`].
    pub fn put_sealed<T: Plain + ?Sized>(&self, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        self.inner.put_sealed(key.as_ref(), value)
    }

    /// Whether the object under `key` is sealed; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Corrupt`].
    pub fn is_sealed(&self, key: impl AsRef<[u8]>) -> Result<Option<bool>> {
        self.inner.check_open()?;
        Ok(self.inner.find(key.as_ref())?.map(|record| record.is_sealed()))
    }
}
