//! Walks the records of a chunk, verifying each, and finds its way again behind damage.

use super::sums::Sums;
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
    /// Where the last record may end.
    limit: u64,
    last_sequence: u64,
    sums: Sums,
}

impl<'a> Walk<'a> {
    /// Walks from the first record to `end`; records up to `last_sequence` are stale, not records of this chunk.
    pub(crate) fn new(chunk: &ChunkRef<'a>, seed: RecordSeed, end: u64, last_sequence: u64) -> Self {
        let chunk = chunk.clone();
        let end = end.min(chunk.map.len());
        Self { chunk, seed, offset: PAGE_BYTES, end, limit: end, last_sequence, sums: Sums::default() }
    }

    /// The end is only where something was last seen: the last record may go on behind it, with zeroes.
    pub(crate) fn with_whole_records(mut self) -> Self {
        self.limit = self.chunk.map.follow();
        self
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
        let (record, end, sequence) = self.possible_record_at(offset)?;
        record.checksum_holds(self.seed).then_some((record, end, sequence))
    }

    /// The same, where the checksum was not looked at.
    fn possible_record_at(&self, offset: u64) -> Option<(Record<'a>, u64, u64)> {
        let (record, header, place) = Record::read_with_header(&self.chunk, offset)?;
        let (end, sequence) = (place.end, header.sequence);
        (end <= self.limit && sequence > self.last_sequence).then_some((record, end, sequence))
    }

    /// Whether there is a record right here, among bytes that may look like one at every place: each is hashed a few times at most.
    fn is_at_record_among_damage(&mut self) -> bool {
        let possible = self.possible_record_at(self.offset);
        possible.is_some_and(|(record, _, _)| self.sums.hold(&record, self.seed))
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
        while self.offset < self.end && !self.is_at_record_among_damage() {
            self.offset += RECORD_ALIGN;
        }
        self.offset = self.offset.min(self.end);
        Some(Step::Damage { from, to: self.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunk;
    use crate::disk::{Faults, Folder};
    use crate::format::{ChunkId, Features, Flags, Geometry, Kind, RecordHeader};

    #[test]
    fn a_chunk_that_looks_like_a_record_everywhere_is_hashed_a_few_times_at_most() {
        let geometry = Geometry::new(18).unwrap();
        let features = Features::default();
        let folder = Folder::in_memory(Faults::none());
        let chunk = Chunk::create(&folder, [1; 16], geometry, features, ChunkId(0), geometry.capacity());
        let chunk = chunk.unwrap();
        let seed = RecordSeed::new([1; 16]);
        let object = |key: &[u8], payload_length: u64| RecordHeader {
            kind: Kind::Object,
            flags: Flags::default(),
            align_log2: 4,
            extension_units: 0,
            key_length: key.len() as u16,
            payload_length,
            type_number: 1,
            sequence: 7 << 45,
        };
        // Their first two words, over and over: the next one's first word is the third of this one, and names a high sequence.
        let place = |offset: u64| geometry.location(ChunkId(0), offset);
        let longest = vec![0; 0xffff];
        let fake = object(&longest, 0).encode(seed, place(0), &[], &longest);
        let fake = [fake[0].to_le_bytes(), fake[1].to_le_bytes()].concat();
        for offset in (PAGE_BYTES..chunk.map.len()).step_by(16) {
            chunk.map.copy_in(offset, &fake).unwrap();
        }
        // Real ones among them, with a short key and long ones.
        let real = [(70_000, 3), (80_000, 257), (90_000, 5001), (110_000, 65_535)];
        for (sequence, (offset, key_length)) in (0x7001..).zip(real) {
            let key = vec![0x5a; key_length];
            let header = RecordHeader { sequence: sequence << 32, ..object(&key, 48) };
            let words = header.encode(seed, place(offset), &[], &key);
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            chunk.map.copy_in(offset, &bytes).unwrap();
            chunk.map.copy_in(header.place(offset).key, &key).unwrap();
        }
        let mut walk = Walk::new(&ChunkRef::new(&chunk), seed, chunk.map.len(), 0);
        let mut found = Vec::new();
        for step in walk.by_ref() {
            if let Step::Record(record) = step {
                found.push((record.offset(), record.key().len()));
            }
        }
        assert_eq!(found, real);
        assert!(walk.sums.hashed < 3 * chunk.map.len(), "{} bytes were hashed", walk.sums.hashed);
    }
}
