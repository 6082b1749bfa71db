//! Where objects lie, and what keeps them there.

use std::fmt;

use super::Raw;
use crate::chunk::Record;
use crate::directory::AtHome;
use crate::error::{Error, Result};
use crate::format::{
    BodyNumber, ChunkId, HEADER_BYTES, Location, PAGE_BYTES, Placement, RECORD_ALIGN, RecordHeader,
};
use crate::store::Inner;
use crate::store::find::Payload;
use crate::store::hold::FileHold;
use crate::store::read::out_of_bounds;

/// A file with objects in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileId {
    /// The chunk with this number.
    Chunk(u32),
    /// The body with this number: one large object, or a sparse one.
    Body(u64),
}

/// Where an object lies. Good while its file is held and the object is not replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// In which file.
    pub file: FileId,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The number of its type in this store; [`Raw::layout`] knows the layout.
    pub type_number: u32,
    /// Whether it is an array; [`Raw::shape`] knows its dimensions.
    pub is_array: bool,
    location: Location,
}

/// Keeps a file mapped, and the objects in it in their places, for as long as it lives: also when they are removed, and when the store is
/// closed.
///
/// Another process gets at the store when it is closed and the last hold is gone. Compaction leaves held chunks as they are. What is
/// written through the hold is durable with the next [`Store::sync`](crate::Store::sync).
pub struct Hold {
    hold: FileHold,
    /// The key under which it was found.
    key: Vec<u8>,
}

impl<'s> Raw<'s> {
    /// Where the object under `key` lies, or `None`.
    ///
    /// Hold the file before you look there; and when it was not held before this call, call again after: it may have been moved meanwhile.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Corrupt`]; [`Error::Sealed`] unless the store is open read-only: a sealed object can be copied by
    /// [`Raw::load`]; [`Error::SharedStore`] where other processes change objects in place; [`Error::Forked`] in a child of the process that writes, which can [`Raw::load`].
    pub fn locate(self, key: &[u8]) -> Result<Option<Place>> {
        let inner = self.inner();
        inner.check_open()?;
        if inner.is_forked() && !inner.read_only {
            return Err(Error::Forked);
        }
        let hash = inner.views.hashes.of_key(key);
        match inner.place_at_a_glance(key, hash) {
            AtHome::Found(place) => return Ok(Some(place)),
            AtHome::Absent => return Ok(None),
            AtHome::Unclear => {}
        }
        inner.with_object(key, hash, |record| {
            inner.check_alone(record)?;
            if !record.is_sealed() {
                // Who looks at it through memory would see it change, and change it without a claim.
                inner.check_not_shared()?;
            }
            if !inner.read_only {
                // Whoever holds its file could write into it.
                Inner::check_not_sealed(record)?;
            }
            place_of(record, &inner.payload(record)?)
        })
    }

    /// Holds a file in which [`Raw::locate`] has found the object under `key`.
    ///
    /// # Errors
    /// [`Error::Busy`] with the key when the chunk is being emptied for longer than the busy timeout; [`Error::Poisoned`], [`Error::Closed`],
    /// [`Error::Forked`]; what the disk says where the file cannot be mapped.
    pub fn hold(self, key: &[u8], file: FileId) -> Result<Hold> {
        let inner = &self.store.inner;
        let hold = match file {
            FileId::Chunk(number) => FileHold::of_chunk(inner, ChunkId(number))?,
            FileId::Body(number) => Some(FileHold::of_body(inner, BodyNumber(number))?),
        };
        hold.map(|hold| Hold::of(hold, key)).ok_or_else(|| Error::Busy { key: key.to_vec() })
    }

    /// The layout of a type of this store, by its number.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it cannot be read.
    pub fn layout(self, type_number: u32) -> Result<&'s crate::Layout> {
        Ok(&self.inner().stored_type(type_number)?.layout)
    }

    /// The layout of the object under `key`, and whether it is an array; `None` where there is none.
    ///
    /// # Errors
    /// As for [`Raw::locate`].
    pub fn what(self, key: &[u8]) -> Result<Option<(crate::Layout, bool)>> {
        let Some(place) = self.locate(key)? else { return Ok(None) };
        Ok(Some((self.layout(place.type_number)?.clone(), place.is_array)))
    }

    /// The dimensions of an array that was found somewhere.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the record is no longer there.
    pub fn shape(self, place: &Place) -> Result<Vec<u64>> {
        let inner = self.inner();
        let record = inner.chunks.record(place.location)?.ok_or_else(|| {
            Error::corrupt(&inner.path, place.location.get(), "the record of an object is gone")
        })?;
        Ok(record.extension().shape)
    }
}

impl Place {
    /// Of an object in the log.
    #[inline]
    pub(super) fn in_chunk(
        chunk: ChunkId,
        location: Location,
        header: &RecordHeader,
        parts: &Placement,
    ) -> Self {
        Self {
            file: FileId::Chunk(chunk.0),
            offset: parts.payload,
            bytes: header.payload_length,
            type_number: header.type_number,
            is_array: header.flags.array,
            location,
        }
    }
}

fn place_of(record: &Record<'_>, payload: &Payload<'_>) -> Result<Place> {
    payload.map().address(payload.offset, payload.bytes).ok_or_else(|| out_of_bounds(record))?;
    let file = match payload.body() {
        Some(body) => FileId::Body(body.number.0),
        None => FileId::Chunk(record.chunk.id.0),
    };
    let header = record.header();
    Ok(Place {
        file,
        offset: payload.offset,
        bytes: payload.bytes,
        type_number: header.type_number,
        is_array: header.flags.array,
        location: record.location(),
    })
}

impl Hold {
    pub(super) fn of(hold: FileHold, key: &[u8]) -> Self {
        Self { hold, key: key.to_vec() }
    }

    /// Where the file is mapped.
    ///
    /// # Safety of its use
    /// Read and, where [`Hold::is_writable`], write only the bytes of objects that [`Raw::locate`] has found in this file while it was held,
    /// from then on for as long as this lives. Others may read and write them at the same time, so data races are to be kept out by
    /// the user as among threads, and neither may a guard (`Ref`, `RefMut`) of the same object live meanwhile.
    pub fn as_ptr(&self) -> *mut u8 {
        self.hold.memory().0
    }

    /// How long the mapping is, in bytes. (Only what objects take of it is sure to be backed by the file.)
    pub fn len(&self) -> u64 {
        self.hold.memory().1
    }

    /// Whether the mapping is empty: never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the memory may be written to: not in a store that is open read-only.
    pub fn is_writable(&self) -> bool {
        self.hold.is_writable()
    }

    /// Whether an object begins at this offset of the file that is current under its key; for a body, the key under which it was found. A
    /// reader can say so until the session is over in which it was found.
    pub fn is_current(&self, file: FileId, offset: u64) -> bool {
        let inner = self.hold.inner();
        let FileId::Chunk(number) = file else {
            let record = inner.find(&self.key).ok().flatten();
            let payload = record.and_then(|record| inner.payload(&record).ok());
            let body = payload.as_ref().and_then(|payload| payload.body());
            let is_it = offset == PAGE_BYTES && body.map(|body| FileId::Body(body.number.0)) == Some(file);
            return is_it && inner.still(Ok(())).is_ok();
        };
        let geometry = &inner.chunks.geometry;
        // No record begins further before its payload.
        let reach = HEADER_BYTES + 15 * 16 + crate::MAX_KEY_BYTES as u64 + 4096;
        let mut at = offset & !(RECORD_ALIGN - 1);
        let least = at.saturating_sub(reach).max(PAGE_BYTES);
        while at > least {
            at -= RECORD_ALIGN;
            let location = geometry.location(ChunkId(number), at);
            if inner.views.live.is_live(location) {
                let record = inner.chunks.record(location).ok().flatten();
                let is_it = record.is_some_and(|record| record.place().payload == offset);
                return is_it && inner.still(Ok(())).is_ok();
            }
        }
        false
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("bytes", &self.len()).field("writable", &self.is_writable()).finish()
    }
}
