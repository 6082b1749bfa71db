//! Emptying one chunk: what is current goes to the end of the log, in pieces, and then the chunk leaves the log.

use std::collections::BTreeSet;
use std::fmt;

use super::super::Inner;
use super::super::inner::Writer;
use super::relocate::Moved;
use crate::chunk::{Chunk, ChunkRef, Record, Step, Walk};
use crate::disk::Sabotage;
use crate::error::{Error, Result};
use crate::format::{ChunkId, DroppedChunks, Kind, PAGE_BYTES};

/// Under the writer's lock at most so many records are moved at a time, and no more when so many bytes have been.
const PIECE_RECORDS: usize = 64;
const PIECE_BYTES: u64 = 256 << 10;
/// Records are looked at without it, so many at a time.
const WALKED_RECORDS: usize = 4096;

/// Why a chunk was left as it is, or not emptied to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftReason {
    /// A guard refers to an object in it.
    InUse,
    /// Another process, or another part of this one, holds it.
    Held,
    /// Something in it is damaged: it may hold more than can be read. `check` says what.
    Damaged,
    /// It holds records of a kind that a later version has written.
    Unknown,
    /// There is no room for what is current in it.
    NoRoom,
    /// As many dropped chunks as a checkpoint can name could not be removed from the disk yet.
    Waiting,
}

impl fmt::Display for LeftReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "objects in it are in use",
            Self::Held => "somebody holds it",
            Self::Damaged => "something in it is damaged",
            Self::Unknown => "it has records that this version does not know",
            Self::NoRoom => "there is no room for what is current in it",
            Self::Waiting => "other chunks wait to be removed",
        })
    }
}

/// What moving has come to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub objects: u64,
    pub bytes: u64,
    pub tombstones: u64,
    pub tombstones_left: u64,
    /// Records looked at.
    pub walked: u64,
}

/// How far a piece has brought it.
pub(super) enum Stage {
    /// There is more to move.
    Going,
    /// The chunk is no longer in the log.
    Dropped,
    /// It stays.
    Left(LeftReason),
}

/// A chunk that is being emptied, between two pieces.
pub(super) struct Emptying {
    pub chunk: ChunkId,
    /// Where the next piece begins, and behind which sequence.
    offset: u64,
    end: u64,
    last_sequence: u64,
    /// Objects that were in use when their turn came.
    busy: Vec<u64>,
    types: BTreeSet<u32>,
}

/// Records that may have to be moved.
struct Piece<'a> {
    records: Vec<Record<'a>>,
    ended: bool,
}

impl Emptying {
    /// Begins with a chunk that is full.
    pub(super) fn of(chunk: &Chunk) -> std::result::Result<Self, LeftReason> {
        let end = chunk.sealed_head().map_err(|_| LeftReason::Damaged)?;
        let (busy, types) = (Vec::new(), BTreeSet::new());
        Ok(Self { chunk: chunk.id, offset: PAGE_BYTES, end, last_sequence: 0, busy, types })
    }

    /// Walks on to records that have to be moved. Without the writer's lock: in a chunk that is full, records only cease to be current.
    fn walk<'a>(
        &mut self,
        inner: &Inner,
        chunk: &ChunkRef<'a>,
        tally: &mut Tally,
    ) -> std::result::Result<Piece<'a>, LeftReason> {
        let mut walk = Walk::new(chunk, inner.chunks.seed, self.end, self.last_sequence);
        walk.go_to(self.offset);
        let (mut records, mut bytes, mut walked) = (Vec::new(), 0, 0);
        while records.len() < PIECE_RECORDS && bytes < PIECE_BYTES && walked < WALKED_RECORDS {
            let record = match walk.next() {
                None => break,
                Some(Step::Damage { .. }) => return Err(LeftReason::Damaged),
                Some(Step::Record(record)) => record,
            };
            walked += 1;
            match record.header().kind {
                Kind::Object | Kind::Extern if !inner.views.live.is_live(record.location()) => continue,
                Kind::Object | Kind::Extern | Kind::Tombstone => {}
                Kind::Type => {
                    self.types.insert(record.header().type_number);
                    continue;
                }
                Kind::Other(_) => return Err(LeftReason::Unknown),
            }
            bytes += record.bytes();
            records.push(record);
        }
        (self.offset, self.last_sequence) = (walk.offset(), walk.last_sequence());
        tally.walked += walked as u64;
        Ok(Piece { records, ended: self.offset >= self.end })
    }
}

impl Inner {
    /// Moves some of what is current in a chunk and, when that was the last of it, takes the chunk out of the log.
    pub(super) fn empty_piece(&self, emptying: &mut Emptying, tally: &mut Tally) -> Result<Stage> {
        let chunk = &self.chunks.get(emptying.chunk)?;
        let Some(_held) = self.hold_alone(chunk.id) else { return Ok(Stage::Left(LeftReason::Held)) };
        let piece = match emptying.walk(self, chunk, tally) {
            Ok(piece) => piece,
            Err(reason) => return Ok(Stage::Left(reason)),
        };
        let mut writer = self.begin_change()?;
        for record in &piece.records {
            if record.header().kind == Kind::Tombstone {
                self.settle_tombstone(&mut writer, record, tally)?;
            } else if !self.move_counted(&mut writer, record, tally)? {
                emptying.busy.push(record.offset());
            }
        }
        if !piece.ended {
            return Ok(Stage::Going);
        }
        let busy = std::mem::take(&mut emptying.busy);
        for offset in busy {
            if let Some(record) = Record::read(chunk, offset)
                && !self.move_counted(&mut writer, &record, tally)?
            {
                emptying.busy.push(offset);
            }
        }
        if !emptying.busy.is_empty() {
            return Ok(Stage::Left(LeftReason::InUse));
        }
        for &number in &emptying.types {
            self.move_type(&mut writer, chunk, number)?;
        }
        Ok(self.drop_chunk(&mut writer, chunk).map_or_else(Stage::Left, |()| Stage::Dropped))
    }

    /// Moves an object; whether it is no longer current here.
    fn move_counted(&self, writer: &mut Writer, record: &Record<'_>, tally: &mut Tally) -> Result<bool> {
        match self.move_object(writer, record)? {
            Moved::Bytes(bytes) => {
                tally.objects += 1;
                tally.bytes += bytes;
            }
            Moved::NotCurrent => {}
            Moved::Busy => return Ok(false),
        }
        Ok(true)
    }

    /// Leaves a tombstone behind where no chunk of the log has older records, that is, nothing that it would be needed against. (Chunks
    /// that were dropped are unlinked, for good, before this one is.)
    fn settle_tombstone(&self, writer: &mut Writer, record: &Record<'_>, tally: &mut Tally) -> Result<()> {
        let early = self.root.breaks(Sabotage::TombstoneDroppedEarly);
        if writer.chunks.first() == Some(&record.chunk.id) || early {
            tally.tombstones_left += 1;
        } else if self.move_tombstone(writer, record)? {
            tally.tombstones += 1;
        }
        Ok(())
    }

    /// Takes a chunk without current records out of the log. Its file goes after the sync that comes after the next. (Nobody who catches up
    /// from the log is told: that sequences are missing is noticed in `store/since.rs`.)
    fn drop_chunk(&self, writer: &mut Writer, chunk: &Chunk) -> std::result::Result<(), LeftReason> {
        let live = &self.views.live;
        if live.live_records(chunk.id) != 0 || live.live_bytes(chunk.id) != 0 {
            // The walk has not met all that the map counts.
            return Err(LeftReason::Damaged);
        }
        if writer.dropped.len() >= DroppedChunks::MOST {
            return Err(LeftReason::Waiting);
        }
        writer.chunks.remove(&chunk.id);
        writer.dropped.insert(chunk.id);
        writer.changed = true;
        if self.root.breaks(Sabotage::ChunkUnlinkedEarly) {
            let _ = self.chunks.remove(chunk.id);
        }
        Ok(())
    }

    /// Room for everything that will be moved out of a chunk, so that the space kept back for a full disk is not used up by halves.
    pub(super) fn make_room_to_empty(&self, writer: &mut Writer, chunk: ChunkId) -> Result<()> {
        let live = &self.views.live;
        let is_first = writer.chunks.first() == Some(&chunk);
        let tombstones = if is_first { 0 } else { live.tombstone_bytes(chunk) };
        let bytes = live.live_bytes(chunk) + tombstones;
        if bytes == 0 {
            return Ok(());
        }
        match self.back_ahead(writer, bytes + self.reserve_step) {
            Err(Error::NoSpace { .. }) => self.back_ahead(writer, bytes),
            outcome => outcome,
        }
    }
}
