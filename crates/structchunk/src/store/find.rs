//! From a key to the record of its object.

use super::Inner;
use super::read::out_of_bounds;
use crate::chunk::{BodyRef, Chunk, ChunkRef, Record};
use crate::error::{Error, Result};
use crate::format::{ChunkId, ExternPayload, Kind, Location, PAGE_BYTES, RECORD_ALIGN, align_up};
use crate::layout::Object;
use crate::map::Mapping;

/// Where the bytes of an object lie.
pub(crate) struct Payload<'a> {
    mapping: Memory<'a>,
    pub offset: u64,
    pub bytes: u64,
}

enum Memory<'a> {
    Chunk(ChunkRef<'a>),
    Body(BodyRef),
}

/// What stays mapped for one who does not borrow the store.
pub(crate) enum Kept {
    /// Until [`ChunkSet::let_go`](crate::chunk::ChunkSet::let_go).
    Chunk(ChunkId),
    /// As long as it lives.
    Body(#[expect(dead_code, reason = "it is there to live")] BodyRef),
}

impl<'a> Payload<'a> {
    /// Of an object in the log.
    #[inline]
    pub(crate) fn inline(chunk: ChunkRef<'a>, offset: u64, bytes: u64) -> Self {
        Self { mapping: Memory::Chunk(chunk), offset, bytes }
    }

    #[inline]
    pub(crate) fn map(&self) -> &Mapping {
        match &self.mapping {
            Memory::Chunk(chunk) => &chunk.map,
            Memory::Body(body) => &body.map,
        }
    }

    /// Stays mapped.
    pub(crate) fn keep(self) -> Kept {
        match self.mapping {
            Memory::Chunk(chunk) => {
                let id = chunk.id;
                chunk.keep();
                Kept::Chunk(id)
            }
            Memory::Body(body) => Kept::Body(body),
        }
    }

    /// The body, where the object has one.
    pub(crate) fn body(&self) -> Option<&BodyRef> {
        match &self.mapping {
            Memory::Chunk(_) => None,
            Memory::Body(body) => Some(body),
        }
    }
}

impl Inner {
    /// The first record that a slot with this hash leads to and `read` accepts.
    #[inline]
    pub(crate) fn look_up<'a>(
        &'a self,
        hash: u64,
        read: impl Fn(Location) -> Result<Option<Record<'a>>>,
    ) -> Result<Option<Record<'a>>> {
        let mut tries = 0;
        loop {
            // Errors take a side door: what comes out of the search then fits into registers.
            let mut failure = None;
            let found = self.views.directory.find(hash, |location| match read(location) {
                Ok(record) => record.map(Some),
                Err(error) => {
                    failure = Some(error);
                    Some(None)
                }
            });
            let found = match (found, failure) {
                (Some(None), Some(error)) => Err(error),
                (found, _) => Ok(found.flatten()),
            };
            if self.attached.is_none() || !Self::looks_again(&found, &mut tries) {
                return found;
            }
        }
    }

    /// The record of the current object under `key`.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Record<'_>>> {
        self.find_hashed(key, self.views.hashes.of_key(key))
    }

    #[inline]
    pub(crate) fn find_hashed(&self, key: &[u8], hash: u64) -> Result<Option<Record<'_>>> {
        let Some(record) = self.look_up(hash, |location| self.chunks.record_about(location, key))? else {
            return Ok(None);
        };
        let header = record.header();
        if header.flags.batch {
            return self.settle_batch(record, key);
        }
        // At or behind the end of the log there are no records: a damaged directory leads there.
        Ok((header.kind.is_object() && self.is_in_log(&record)).then_some(record))
    }

    /// Whether all of a record lies before the end of the log.
    #[inline]
    pub(crate) fn is_in_log(&self, record: &Record<'_>) -> bool {
        self.ends_in_log(record.location(), &record.chunk, record.place().end)
    }

    /// Whether a record at a location, which ends at an offset in its chunk, lies before the end of the log. What a file says to reach
    /// behind the end that was found in it does not: other records are written there.
    #[inline]
    pub(super) fn ends_in_log(&self, location: Location, chunk: &Chunk, end: u64) -> bool {
        let limit = if location < self.found_end { self.found_end.get() } else { self.shared.end() };
        chunk.geometry.location(chunk.id, align_up(end, RECORD_ALIGN)).get() <= limit
    }

    /// The object that a batch record stands for now: itself once the end of the log has passed it, before that the one it
    /// will replace. So a batch becomes visible all at once.
    fn settle_batch<'a>(&'a self, record: Record<'a>, key: &[u8]) -> Result<Option<Record<'a>>> {
        let record = if self.is_in_log(&record) {
            record
        } else {
            let Some(Some(previous)) = record.extension().previous else { return Ok(None) };
            match self.chunks.record(previous) {
                // It has been given back: then the batch is there by now.
                Err(error) if error.is_absent() && self.is_in_log(&record) => record,
                previous => {
                    let is_it = |record: &Record<'_>| record.key_is(key) && self.is_in_log(record);
                    let Some(previous) = previous?.filter(is_it) else { return Ok(None) };
                    previous
                }
            }
        };
        Ok(record.header().kind.is_object().then_some(record))
    }

    /// Does something with the object under a key, if there is one.
    ///
    /// Between the look-up and the opening of a body the object may be replaced, and the body be given back. Then it is done once
    /// more, with the object that is there by then.
    #[inline]
    pub(crate) fn with_object<'a, R>(
        &'a self,
        key: &[u8],
        hash: u64,
        mut action: impl FnMut(&Record<'a>) -> Result<R>,
    ) -> Result<Option<R>> {
        let Some(record) = self.find_hashed(key, hash)? else { return Ok(None) };
        match action(&record) {
            Err(error) if error.is_absent() => {
                self.with_successor(key, hash, record.location(), error, action)
            }
            outcome => outcome.map(Some),
        }
    }

    #[cold]
    fn with_successor<'a, R>(
        &'a self,
        key: &[u8],
        hash: u64,
        mut gone: Location,
        mut error: Error,
        mut action: impl FnMut(&Record<'a>) -> Result<R>,
    ) -> Result<Option<R>> {
        loop {
            let Some(record) = self.find_hashed(key, hash)? else { return Ok(None) };
            if record.location() == gone {
                // Nobody replaced it: its body is lost.
                return Err(error);
            }
            gone = record.location();
            match action(&record) {
                Err(next) if next.is_absent() => error = next,
                outcome => return outcome.map(Some),
            }
        }
    }

    /// Where the bytes of an object lie.
    #[inline]
    pub(crate) fn payload<'a>(&'a self, record: &Record<'a>) -> Result<Payload<'a>> {
        let header = record.header();
        if header.kind == Kind::Extern {
            return self.body_payload(record);
        }
        Ok(Payload::inline(
            record.chunk.clone(),
            header.place(record.offset()).payload,
            header.payload_length,
        ))
    }

    #[cold]
    fn body_payload<'a>(&'a self, record: &Record<'a>) -> Result<Payload<'a>> {
        let pointer = self.extern_payload(record)?;
        let body = self.bodies.get(pointer.body)?;
        if body.payload_bytes != pointer.bytes {
            let reason =
                format!("the body has {} bytes, its record says {}", body.payload_bytes, pointer.bytes);
            return Err(Error::corrupt(body.path(), 40, reason));
        }
        Ok(Payload { bytes: pointer.bytes, mapping: Memory::Body(body), offset: PAGE_BYTES })
    }

    /// What an extern record points to.
    pub(crate) fn extern_payload(&self, record: &Record<'_>) -> Result<ExternPayload> {
        ExternPayload::decode(record.frozen_payload())
            .filter(|_| record.payload_checksum_holds(self.chunks.seed))
            .ok_or_else(|| {
                Error::corrupt(record.chunk.path(), record.offset(), "the pointer to a body is damaged")
            })
    }

    /// Size of an object, in bytes.
    pub(crate) fn object_bytes(&self, record: &Record<'_>) -> Result<u64> {
        let header = record.header();
        match header.kind {
            Kind::Extern => Ok(self.extern_payload(record)?.bytes),
            _ => Ok(header.payload_length),
        }
    }

    /// Where the bytes of an object lie, once it is sure that it may be seen as a `T`.
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`], [`Error::Misaligned`], [`Error::Corrupt`], also where the file does not have all of them.
    #[inline]
    pub(crate) fn typed_payload<'a, T: Object + ?Sized>(
        &'a self,
        record: &Record<'a>,
    ) -> Result<Payload<'a>> {
        self.check_type::<T>(record)?;
        let payload = self.payload(record)?;
        if !payload.offset.is_multiple_of(T::ALIGN as u64) {
            return Err(misaligned::<T>(record));
        }
        if T::from_raw_parts(std::ptr::null(), payload.bytes as usize).is_none() {
            return Err(self.mismatch::<T>(record));
        }
        // A record lies inside of its chunk, whose file may be shorter.
        if payload.map().address(payload.offset, payload.bytes).is_none() {
            return Err(out_of_bounds(record));
        }
        Ok(payload)
    }
}

#[cold]
fn misaligned<T: Object + ?Sized>(record: &Record<'_>) -> Error {
    Error::Misaligned {
        key: record.key().to_vec(),
        required: T::ALIGN as u64,
        found: 1 << record.header().align_log2,
    }
}
