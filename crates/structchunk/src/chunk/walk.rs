//! Walks the records of a chunk, verifying each, and finds its way again behind damage.

use super::{ChunkRef, Record};
use crate::format::{PAGE_BYTES, RECORD_ALIGN, RecordSeed};

/// What a walk meets.
pub(crate) enum Step<'a> {
    /// A record whose checksum holds and whose sequence is higher than the last one's.
    Record(Record<'a>),
    /// Bytes that are no record. Records behind them are found all the same.
    Damage {
        /// First byte.
        from: u64,
        /// One past the last byte.
        to: u64,
    },
}

/// The records of one chunk, in the order in which they were written, up to `end`.
pub(crate) struct Walk<'a> {
    chunk: ChunkRef<'a>,
    seed: RecordSeed,
    offset: u64,
    end: u64,
    last_sequence: u64,
}

impl<'a> Walk<'a> {
    /// Walks from the first record to `end`; records up to `last_sequence` are stale, not records of this chunk.
    pub(crate) fn new(chunk: &ChunkRef<'a>, seed: RecordSeed, end: u64, last_sequence: u64) -> Self {
        let chunk = chunk.clone();
        let end = end.min(chunk.map.len());
        Self { chunk, seed, offset: PAGE_BYTES, end, last_sequence }
    }

    /// Goes on from `offset`.
    pub(crate) fn go_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The sequence of the last record met.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Where the walk stands, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The record at `offset`, where it ends, and its sequence.
    fn record_at(&self, offset: u64) -> Option<(Record<'a>, u64, u64)> {
        let (record, header, place) = Record::read_with_header(&self.chunk, offset)?;
        let (end, sequence) = (place.end, header.sequence);
        let believed = end <= self.end && sequence > self.last_sequence && record.checksum_holds(self.seed);
        believed.then_some((record, end, sequence))
    }

    /// The record right here, or `None` where the records end; never looks behind damage.
    pub(crate) fn next_adjacent(&mut self) -> Option<Record<'a>> {
        let (record, end, sequence) = self.record_at(self.offset)?;
        self.offset = end;
        self.last_sequence = sequence;
        Some(record)
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if self.offset >= self.end {
            return None;
        }
        if let Some(record) = self.next_adjacent() {
            return Some(Step::Record(record));
        }
        let from = self.offset;
        while self.offset < self.end && self.record_at(self.offset).is_none() {
            self.offset += RECORD_ALIGN;
        }
        self.offset = self.offset.min(self.end);
        Some(Step::Damage { from, to: self.offset })
    }
}
