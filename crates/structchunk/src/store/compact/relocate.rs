//! Moving one record: it is appended again, with a new sequence, and the slot leads to the copy.

use std::sync::atomic::Ordering;

use super::super::Inner;
use super::super::borrow::{Deadline, Subject, Want};
use super::super::inner::Writer;
use super::super::log::Draft;
use super::super::mutate::OldClaim;
use crate::chunk::{Chunk, Record, is_odd};
use crate::error::{Error, Result};
use crate::format::{Extension, Flags, Kind};

/// Payloads are copied in pieces of this, in bytes.
const COPY_BYTES: u64 = 64 << 10;

/// What came of moving an object.
pub(super) enum Moved {
    /// It is elsewhere now, and took so many bytes here.
    Bytes(u64),
    /// It is no longer the current one of its key.
    NotCurrent,
    /// Somebody refers to it.
    Busy,
}

/// An object that nobody else refers to, for as long as this lives.
struct Alone<'a> {
    inner: &'a Inner,
    subject: Subject,
}

impl<'a> Alone<'a> {
    fn take(inner: &'a Inner, record: &Record<'_>) -> Option<Self> {
        let subject = Subject::of(record);
        inner
            .borrows
            .acquire(subject, Want::Exclusive, &mut Deadline::Now)
            .then_some(())
            .map(|()| Self { inner, subject })
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.inner.borrows.release(self.subject, Want::Exclusive);
    }
}

impl Inner {
    /// Moves the object of a record to the end of the log.
    ///
    /// Nobody refers to it meanwhile, so the copy has every change in place that has returned. Readers find one or the other.
    pub(super) fn move_object(&self, writer: &mut Writer, record: &Record<'_>) -> Result<Moved> {
        let (key, header) = (record.key(), record.header());
        let hash = self.views.hashes.of_key(key);
        let (slot, current) = self.slot_of(key, hash)?;
        if current.is_none_or(|current| current.location() != record.location()) {
            return Ok(Moved::NotCurrent);
        }
        let Some(_alone) = Alone::take(self, record) else { return Ok(Moved::Busy) };
        let version_word = record.version_word(Ordering::Acquire);
        if is_odd(version_word) {
            return Ok(Moved::Busy);
        }
        // From here on no other process changes it: the copy has what was changed before, and who comes later finds the copy.
        let _claim = match self.claim_to_move(record) {
            Ok(OldClaim::Free(claim)) => claim,
            // Somebody has died in changing it since the look above.
            Ok(OldClaim::Busy) | Err(Error::Torn { .. }) => return Ok(Moved::Busy),
            Err(error) => return Err(error),
        };
        self.keep_body_dirty(writer, record)?;
        let extension = Extension::without_previous(record.extension_bytes());
        let draft = Draft {
            kind: header.kind,
            flags: Flags { batch: false, more: false, ..header.flags },
            align_log2: header.align_log2,
            type_number: header.type_number,
            extension: &extension,
            key,
            payload_length: header.payload_length,
            version_word,
        };
        let quick = self.has_room(writer, &draft);
        if !quick {
            self.make_room_to_remove(writer, [&draft])?;
            self.views.make_slots(&self.chunks, &mut [self.views.hashes.of_type(header.type_number)])?;
        }
        let from = header.place(record.offset()).payload;
        let fill = |chunk: &Chunk, at: u64| copy(&record.chunk, from, chunk, at, header.payload_length);
        let copied = self.append(writer, &draft, fill)?;
        self.publish_end(writer);
        let slot = if quick {
            slot
        } else {
            // Making room may have moved the slot.
            self.slot_of(key, hash).map_err(|error| self.stop_writing(error))?.0
        };
        self.views.directory.store(&slot, copied.location());
        // Not before: whoever sees this count finds the copy. And while the object is still borrowed alone, so that whoever has found
        // the old record before sees another count once it has that.
        self.relocations.fetch_add(1, Ordering::SeqCst);
        self.views.live.set(copied.location(), copied.bytes());
        self.views.live.clear(record.location(), record.bytes());
        Ok(Moved::Bytes(record.bytes()))
    }

    /// Repeats a tombstone at the end of the log, unless its key has an object again; whether it did.
    pub(super) fn move_tombstone(&self, writer: &mut Writer, record: &Record<'_>) -> Result<bool> {
        let key = record.key();
        if self.slot_of(key, self.views.hashes.of_key(key))?.1.is_some() {
            return Ok(false);
        }
        let draft = Draft::tombstone(key);
        self.make_room_to_remove(writer, [&draft])?;
        self.append(writer, &draft, |_, _| Some(()))?;
        self.publish_end(writer);
        Ok(true)
    }

    /// Repeats a type at the end of the log if the directory leads to its record in `chunk`; otherwise it leads to another one.
    pub(super) fn move_type(&self, writer: &mut Writer, chunk: &Chunk, number: u32) -> Result<()> {
        let hash = self.views.hashes.of_type(number);
        let key = number.to_le_bytes();
        let is_it = |record: &Record<'_>| record.header().kind == Kind::Type && record.key_is(&key);
        let (_, found) = self.views.slot_where(&self.chunks, hash, is_it)?;
        if found.is_none_or(|record| record.chunk.id != chunk.id) {
            return Ok(());
        }
        self.views.make_slots(&self.chunks, &mut [hash])?;
        self.repeat_type(writer, number)?;
        self.publish_end(writer);
        Ok(())
    }
}

/// Copies a payload from one place of the log to another.
fn copy(from: &Chunk, source: u64, to: &Chunk, target: u64, bytes: u64) -> Option<()> {
    let mut buffer = vec![0; bytes.min(COPY_BYTES) as usize];
    let mut done = 0;
    while done < bytes {
        let piece = &mut buffer[..(bytes - done).min(COPY_BYTES) as usize];
        from.map.copy_out(source + done, piece)?;
        to.map.copy_in(target + done, piece)?;
        done += piece.len() as u64;
    }
    Some(())
}
