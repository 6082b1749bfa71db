//! Appending to the log: room first, then bytes, then the end.

use std::collections::HashSet;

use super::Inner;
use super::inner::Writer;
use crate::chunk::{Chunk, ChunkRef, Record, write_header};
use crate::directory::SlotRef;
use crate::error::{Error, Result};
use crate::format::{ChunkId, Flags, Kind, PAGE_BYTES, Placement, RecordHeader, Seal, align_up};
use crate::map::{Advice, LARGE_PAGE};

/// The version word of a fresh record.
pub(crate) const FRESH_VERSION: u64 = 2;

/// A record that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'a> {
    pub kind: Kind,
    pub flags: Flags,
    pub align_log2: u8,
    /// 0 for tombstones.
    pub type_number: u32,
    pub extension: &'a [u8],
    pub key: &'a [u8],
    pub payload_length: u64,
    /// Version word: [`FRESH_VERSION`], and the payload's checksum where it has one.
    pub version_word: u64,
}

/// Whether the space kept back may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// One step stays free behind the record.
    Ordinary,
    /// For tombstones: a full store can still be emptied.
    KeptBack,
}

impl Draft<'_> {
    /// A tombstone for a key.
    pub(crate) fn tombstone(key: &[u8]) -> Draft<'_> {
        Draft {
            kind: Kind::Tombstone,
            flags: Flags::default(),
            align_log2: 4,
            type_number: 0,
            extension: &[],
            key,
            payload_length: 0,
            version_word: FRESH_VERSION,
        }
    }

    #[inline]
    fn header(&self, sequence: u64) -> RecordHeader {
        RecordHeader {
            kind: self.kind,
            flags: self.flags,
            align_log2: self.align_log2,
            extension_units: (self.extension.len() / 16) as u8,
            key_length: self.key.len() as u16,
            payload_length: self.payload_length,
            type_number: self.type_number,
            sequence,
        }
    }

    #[inline]
    fn place(&self, offset: u64) -> Placement {
        self.header(0).place(offset)
    }
}

/// A record at the head that is complete but for its header: not even recovery would find it.
pub(crate) struct Ahead<'a> {
    chunk: ChunkRef<'a>,
    offset: u64,
    /// Offset one past the record.
    end: u64,
    sequence: u64,
    /// Words 0 to 2 of the header.
    words: [u64; 3],
}

/// Where the next record goes, seen from the end of the log.
struct Cursor {
    head: u64,
    capacity: u64,
}

impl Cursor {
    /// Offset one past the draft and, where it is needed, the type record before it; `None` when they do not fit in this chunk.
    fn end_of(&self, draft: &Draft<'_>, type_bytes: Option<u64>) -> Option<u64> {
        let end = draft.place(self.head + type_bytes.unwrap_or(0)).end;
        (end <= self.capacity).then_some(end)
    }
}

impl Inner {
    /// Makes sure that the drafts can be written, in this order, without anything that can fail. Nothing is written yet; a
    /// refused call leaves at most empty chunks that are used later.
    pub(crate) fn make_room<'d>(
        &self,
        writer: &mut Writer,
        drafts: impl IntoIterator<Item = &'d Draft<'d>>,
        room: Room,
    ) -> Result<()> {
        let capacity = self.chunks.geometry.capacity();
        let mut cursor = Cursor { head: writer.head, capacity };
        let mut ahead: Vec<u64> = Vec::new();
        let mut types: HashSet<u32> = HashSet::new();
        let mut first_chunk = true;
        for draft in drafts {
            let known = |types: &HashSet<u32>, first: bool| {
                draft.type_number == 0
                    || types.contains(&draft.type_number)
                    || first && writer.types_here.has(draft.type_number)
            };
            let type_bytes = self.type_record_bytes(draft.type_number)?;
            let needed = (!known(&types, first_chunk)).then_some(type_bytes);
            if let Some(end) = cursor.end_of(draft, needed) {
                cursor.head = end;
            } else {
                if first_chunk {
                    self.back_active(writer, cursor.head)?;
                } else {
                    ahead.push(cursor.head);
                }
                first_chunk = false;
                types.clear();
                cursor.head = PAGE_BYTES;
                let needed = (draft.type_number != 0).then_some(type_bytes);
                cursor.head = cursor.end_of(draft, needed).ok_or(Error::TooLarge {
                    what: "a record",
                    bytes: draft.place(0).end,
                    limit: capacity - PAGE_BYTES,
                })?;
            }
            types.insert(draft.type_number);
        }
        let kept_back = if room == Room::Ordinary { self.reserve_step } else { 0 };
        let wanted = cursor.head + kept_back;
        if first_chunk {
            self.back_active(writer, wanted.min(capacity))?;
        } else {
            ahead.push(wanted.min(capacity));
        }
        if wanted > capacity {
            ahead.push(PAGE_BYTES + kept_back);
        }
        self.back_spares(writer, &ahead)
    }

    /// Makes sure that about so many bytes can be appended, whatever records they will be.
    pub(crate) fn back_ahead(&self, writer: &mut Writer, bytes: u64) -> Result<()> {
        let capacity = self.chunks.geometry.capacity();
        let here = bytes.min(capacity - writer.head);
        self.back_active(writer, writer.head + here)?;
        let (mut left, mut ahead) = (bytes - here, Vec::new());
        while left > 0 {
            let part = left.min(capacity - PAGE_BYTES);
            ahead.push(PAGE_BYTES + part);
            left -= part;
        }
        self.back_spares(writer, &ahead)
    }

    /// Ends the active chunk although there is room in it.
    pub(crate) fn end_active_chunk(&self, writer: &mut Writer) -> Result<()> {
        self.back_spares(writer, &[PAGE_BYTES + self.reserve_step])?;
        self.begin_next_chunk(writer).map_err(|error| self.stop_writing(error))?;
        writer.changed = true;
        self.publish_end(writer);
        Ok(())
    }

    /// Backs the first `bytes` of the active chunk, and its part of the live map.
    fn back_active(&self, writer: &mut Writer, bytes: u64) -> Result<()> {
        if bytes > writer.reserved {
            let chunk = &self.chunks.get(writer.active)?;
            let bulk = self.count_step(writer);
            let target = self.step_above(bytes);
            let wide = if bulk { self.wide_step_above(target) } else { target };
            let backed = match self.back(chunk, writer.reserved, wide) {
                Err(Error::NoSpace { .. }) if wide > target => {
                    self.back(chunk, writer.reserved, target).map(|()| target)
                }
                outcome => outcome.map(|()| wide),
            }?;
            if bulk {
                chunk.make_large_pages(writer.reserved..backed);
            }
            writer.reserved = backed;
        }
        Ok(())
    }

    /// Makes sure that there are chunks ahead, backed so far each.
    fn back_spares(&self, writer: &mut Writer, wanted: &[u64]) -> Result<()> {
        for (index, &bytes) in wanted.iter().enumerate() {
            let target = self.step_above(bytes);
            if index == writer.spares.len() {
                let id = ChunkId(writer.next_chunk);
                if u64::from(id.0) + 1 >= self.chunks.geometry.chunk_limit() {
                    return Err(Error::Exhausted { what: "chunk numbers" });
                }
                writer.next_chunk += 1;
                writer.new_names = true;
                self.shared.set_next_files(writer.next_chunk, writer.next_body);
                let chunk = self.chunks.create(id, PAGE_BYTES)?;
                writer.spares.push_back((id, PAGE_BYTES));
                chunk.map.advise(Advice::Random, 0..chunk.map.len());
                chunk.keep();
            }
            let (id, reserved) = writer.spares[index];
            if target > reserved {
                let chunk = &self.chunks.get(id)?;
                self.back(chunk, reserved, target)?;
                writer.spares[index].1 = target;
            }
        }
        Ok(())
    }

    fn back(&self, chunk: &Chunk, from: u64, to: u64) -> Result<()> {
        self.views.live.reserve(chunk.id, from, to, &mut |from, to| self.views.live_file.back(from, to))?;
        self.views.live.forget(chunk.id, from, to);
        chunk.reserve(from, to)
    }

    fn step_above(&self, bytes: u64) -> u64 {
        align_up(bytes, self.reserve_step).min(self.chunks.geometry.capacity())
    }

    /// In a bulk load, whole large pages are reserved at a time, where a chunk has many.
    fn wide_step_above(&self, bytes: u64) -> u64 {
        let capacity = self.chunks.geometry.capacity();
        if capacity < 16 * LARGE_PAGE || self.chunks.is_stepwise() {
            bytes
        } else {
            align_up(bytes, LARGE_PAGE).min(capacity)
        }
    }

    /// Whether one draft fits without a look at anything but numbers: the usual case.
    #[inline]
    pub(crate) fn has_room(&self, writer: &Writer, draft: &Draft<'_>) -> bool {
        let end = draft.place(writer.head).end;
        // In the last step of a chunk, the space kept back is at the start of the next one.
        let kept_back = end + self.reserve_step <= writer.reserved
            || end <= writer.reserved
                && writer.reserved == self.chunks.geometry.capacity()
                && writer.spares.front().is_some_and(|(_, reserved)| *reserved > self.reserve_step);
        kept_back && writer.types_here.has(draft.type_number)
    }

    /// Writes a record for which there is room. It does not exist until [`Inner::publish_end`].
    pub(crate) fn append(
        &self,
        writer: &mut Writer,
        draft: &Draft<'_>,
        fill: impl FnOnce(&Chunk, u64) -> Option<()>,
    ) -> Result<Record<'_>> {
        // What fails from here on cannot be taken back: nothing may be appended behind it.
        self.append_before(writer, draft).map_err(|error| self.stop_writing(error))?;
        self.append_here(writer, draft, fill)
    }

    /// What goes before a record: the next chunk, the record's type.
    #[inline]
    fn append_before(&self, writer: &mut Writer, draft: &Draft<'_>) -> Result<()> {
        if !writer.types_here.has(draft.type_number) {
            return self.append_type(writer, draft);
        }
        if draft.place(writer.head).end > self.chunks.geometry.capacity() {
            self.begin_next_chunk(writer)?;
            if draft.type_number != 0 {
                self.append_type(writer, draft)?;
            }
        }
        Ok(())
    }

    /// Writes a record at the head, where it fits: payload first, then key and extension, then the sequence is taken, then the header.
    #[inline]
    fn append_here(
        &self,
        writer: &mut Writer,
        draft: &Draft<'_>,
        fill: impl FnOnce(&Chunk, u64) -> Option<()>,
    ) -> Result<Record<'_>> {
        let ahead = self.write_ahead(writer, draft, fill)?;
        self.complete(writer, draft, &ahead)
    }

    /// Writes all of a record but its header at the head, where it fits. Nothing refers to it, and nothing has begun that could not be
    /// [taken back](Self::take_back).
    #[inline]
    pub(crate) fn write_ahead(
        &self,
        writer: &Writer,
        draft: &Draft<'_>,
        fill: impl FnOnce(&Chunk, u64) -> Option<()>,
    ) -> Result<Ahead<'_>> {
        let chunk = self.chunks.get(writer.active)?;
        let place = draft.place(writer.head);
        let written = (|| {
            fill(&chunk, place.payload)?;
            if !draft.extension.is_empty() {
                chunk.map.copy_in(place.extension, draft.extension)?;
            }
            chunk.map.copy_in(place.key, draft.key)
        })();
        if written.is_none() {
            return Err(self.stop_writing(shortened(&chunk, writer.head)));
        }
        let location = self.chunks.geometry.location(chunk.id, writer.head);
        let header = draft.header(writer.next_sequence);
        let words = header.encode(self.chunks.seed, location, draft.extension, draft.key);
        Ok(Ahead { chunk, offset: writer.head, end: place.end, sequence: writer.next_sequence, words })
    }

    /// Gives a record that was written ahead its sequence and its header.
    #[inline]
    pub(crate) fn complete<'a>(
        &'a self,
        writer: &mut Writer,
        draft: &Draft<'_>,
        ahead: &Ahead<'a>,
    ) -> Result<Record<'a>> {
        let (chunk, offset) = (&ahead.chunk, writer.head);
        let sequence = writer.take_sequence().map_err(|error| self.stop_writing(error))?;
        debug_assert_eq!(
            (ahead.offset, ahead.sequence),
            (offset, sequence),
            "something was appended in between"
        );
        let record = write_header(chunk, offset, ahead.words, draft.version_word);
        let record = record.ok_or_else(|| self.stop_writing(shortened(chunk, offset)))?;
        writer.head = ahead.end;
        writer.changed = true;
        if draft.kind == Kind::Tombstone {
            self.views.live.count_tombstone(chunk.id, ahead.end - offset);
        }
        Ok(record)
    }

    /// Makes what was written ahead the zeroes again that lie behind the head.
    #[cold]
    pub(crate) fn take_back(&self, writer: &mut Writer, ahead: &Ahead<'_>) -> Result<()> {
        // A sync that is under way may have made it durable.
        writer.changed = true;
        let zeroed = ahead.chunk.map.zero(writer.head, ahead.end - writer.head);
        zeroed.ok_or_else(|| self.stop_writing(shortened(&ahead.chunk, writer.head)))
    }

    /// Makes everything that was appended exist.
    #[inline]
    pub(crate) fn publish_end(&self, writer: &Writer) {
        self.shared.set_end(self.end_of_log(writer));
    }

    /// Seals the active chunk and goes on in the next one, which `make_room` has made.
    #[cold]
    fn begin_next_chunk(&self, writer: &mut Writer) -> Result<()> {
        let full = &self.chunks.get(writer.active)?;
        let (next, reserved) = writer
            .spares
            .pop_front()
            .ok_or_else(|| Error::corrupt(full.path(), writer.head, "no next chunk"))?;
        let seal = Seal {
            epoch: self.epoch,
            head: writer.head,
            first_sequence: writer.first_sequence,
            last_sequence: writer.next_sequence - 1,
        };
        full.seal(&seal)
            .ok_or_else(|| Error::corrupt(full.path(), 512, "the file is shorter than it was"))?;
        full.map.advise(Advice::Normal, 0..full.map.len());
        self.chunks.let_go(full.id);
        writer.dirty_chunks.insert(full.id);
        writer.dirty_chunks.insert(next);
        writer.active = next;
        writer.head = PAGE_BYTES;
        writer.reserved = reserved;
        self.count_step(writer);
        writer.first_sequence = writer.next_sequence;
        writer.types_here.clear();
        writer.chunks.insert(next);
        Ok(())
    }

    /// How many bytes the record of a type takes; its directory slot is reserved too.
    fn type_record_bytes(&self, number: u32) -> Result<u64> {
        match number {
            0 => Ok(0),
            _ => Ok(type_draft(number, &number.to_le_bytes(), self.stored_type(number)?.encoding.len(), 0)
                .place(0)
                .end),
        }
    }

    /// Repeats the type of `draft` in the active chunk, so that every chunk decodes on its own. Goes on in the next chunk when type
    /// and draft do not both fit.
    #[cold]
    fn append_type(&self, writer: &mut Writer, draft: &Draft<'_>) -> Result<()> {
        let number = draft.type_number;
        let stored = self.stored_type(number)?;
        let key = number.to_le_bytes();
        let checksum = u64::from(self.chunks.seed.payload_checksum(&stored.encoding));
        let mut record = type_draft(number, &key, stored.encoding.len(), checksum << 32 | FRESH_VERSION);
        record.flags.batch = draft.flags.batch;
        record.flags.more = draft.flags.batch;
        let cursor = Cursor { head: writer.head, capacity: self.chunks.geometry.capacity() };
        if cursor.end_of(draft, Some(record.place(0).end)).is_none() {
            self.begin_next_chunk(writer)?;
        }
        let written =
            self.append_here(writer, &record, |chunk, at| chunk.map.copy_in(at, &stored.encoding))?;
        writer.types_here.insert(number);
        self.shared.note_type(number);
        let hash = self.views.hashes.of_type(number);
        let is_it = |record: &Record<'_>| record.header().kind == Kind::Type && record.key_is(&key);
        let (slot, _) = self.views.slot_where(&self.chunks, hash, is_it)?;
        self.views.directory.store(&slot, written.location());
        Ok(())
    }

    /// Repeats a type at the end of the log; its directory slot must be there.
    pub(crate) fn repeat_type(&self, writer: &mut Writer, number: u32) -> Result<()> {
        let key = number.to_le_bytes();
        let draft = type_draft(number, &key, self.stored_type(number)?.encoding.len(), 0);
        self.make_room_to_remove(writer, [&draft])?;
        self.append_type(writer, &draft).map_err(|error| self.stop_writing(error))
    }

    /// The slot of a key or, where it has none, the one that it would get; and the record of the current object.
    /// Under the writer's lock.
    #[inline]
    pub(crate) fn slot_of(&self, key: &[u8], hash: u64) -> Result<(SlotRef, Option<Record<'_>>)> {
        match self.views.directory.free_at_home(hash) {
            Some(slot) => Ok((slot, None)),
            None => self.search_slot(key, hash),
        }
    }

    #[inline(never)]
    fn search_slot(&self, key: &[u8], hash: u64) -> Result<(SlotRef, Option<Record<'_>>)> {
        self.views.slot_where(&self.chunks, hash, |record| record.is_object_under(key))
    }
}

#[cold]
fn shortened(chunk: &Chunk, offset: u64) -> Error {
    Error::corrupt(chunk.path(), offset, "the file is shorter than it was")
}

fn type_draft(number: u32, key: &[u8; 4], encoding_bytes: usize, version_word: u64) -> Draft<'_> {
    Draft {
        kind: Kind::Type,
        flags: Flags::default(),
        align_log2: 4,
        type_number: number,
        extension: &[],
        key,
        payload_length: encoding_bytes as u64,
        version_word,
    }
}
