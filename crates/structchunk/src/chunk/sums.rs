//! Checksums of many ranges that overlap, for the bytes of one: what looks like records with long keys may begin at every 16 bytes.

use std::collections::VecDeque;

use crc32c::crc32c_combine;

use super::{Chunk, Record};
use crate::format::{RECORD_ALIGN, RecordSeed};

/// Ranges up to this are hashed as they are, in bytes.
const SHORT: u64 = 256;

/// Checksums of what lies between one place of a chunk and every 16th byte behind it, as far as somebody asks; those that
/// are no longer needed go. A checksum is linear, so two of these tell that of what lies between.
#[derive(Default)]
pub(super) struct Sums {
    /// Where the first one that is kept ends.
    from: u64,
    kept: VecDeque<u32>,
    /// Bytes that were hashed.
    #[cfg(test)]
    pub(super) hashed: u64,
}

impl Sums {
    /// [`Record::checksum_holds`], for records at rising offsets of one chunk.
    pub(super) fn hold(&mut self, record: &Record<'_>, seed: RecordSeed) -> bool {
        let place = record.place();
        let (from, to) = (place.extension, place.key + u64::from(record.header().key_length));
        let bytes = to - from;
        if bytes <= SHORT {
            self.count(bytes);
            return record.checksum_holds(seed);
        }
        let Some((before, through)) = self.around(&record.chunk, from, to) else { return false };
        record.checksum_is(seed, |fixed| crc32c_combine(fixed ^ before, through, bytes as usize))
    }

    /// The checksums, from one place on, of all before `from` (a multiple of 16) and of all before `to`.
    fn around(&mut self, chunk: &Chunk, from: u64, to: u64) -> Option<(u32, u32)> {
        let index = from.checked_sub(self.from).map(|bytes| (bytes / RECORD_ALIGN) as usize);
        match index.filter(|&index| index < self.kept.len()) {
            Some(index) => drop(self.kept.drain(..index)),
            // Nothing is known of this place.
            None => self.kept = VecDeque::from([0]),
        }
        self.from = from;
        let mut sum = *self.kept.back()?;
        while self.end() + RECORD_ALIGN <= to {
            sum = self.append(chunk, sum, self.end(), RECORD_ALIGN);
            self.kept.push_back(sum);
        }
        let last = ((to - from) / RECORD_ALIGN) as usize;
        let rest = from + last as u64 * RECORD_ALIGN;
        let (before, whole) = (*self.kept.front()?, *self.kept.get(last)?);
        Some((before, self.append(chunk, whole, rest, to - rest)))
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests count"))]
    fn count(&mut self, bytes: u64) {
        #[cfg(test)]
        {
            self.hashed += bytes;
        }
        #[cfg(not(test))]
        let _ = bytes;
    }

    /// Where the last one ends.
    fn end(&self) -> u64 {
        self.from + (self.kept.len() as u64 - 1) * RECORD_ALIGN
    }

    fn append(&mut self, chunk: &Chunk, sum: u32, from: u64, bytes: u64) -> u32 {
        self.count(bytes);
        crc32c::crc32c_append(sum, chunk.map.frozen(from, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::crc32c_combine;

    #[test]
    fn checksums_of_parts_make_that_of_the_whole() {
        let bytes: Vec<u8> = (0..70_000_u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
        for (from, to) in [(0, 0), (0, 1), (16, 300), (1, 70_000), (4096, 69_999)] {
            let (before, through) = (crc32c::crc32c(&bytes[..from]), crc32c::crc32c(&bytes[..to]));
            // It combines by a sum that is its own opposite.
            let between = crc32c_combine(before, through, to - from);
            assert_eq!(between, crc32c::crc32c(&bytes[from..to]), "{from}..{to}");
        }
    }
}
