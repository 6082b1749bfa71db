//! What the index on disk holds: for each key where its record lies, and under the empty key, how far it goes.
#![cfg_attr(not(feature = "leveldb"), allow(dead_code, reason = "without an index nothing of it is written"))]

use std::mem::offset_of;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Location, MAX_SEQUENCE};

/// The key of the mark. No object has it: keys have at least one byte.
pub(crate) const MARK_KEY: &[u8] = b"";

/// What the index has under a key: where the record lies that was current when the index got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexValue {
    pub location: Location,
    pub sequence: u64,
}

/// How far the index goes, and in which store and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexMark {
    /// The store.
    pub uuid: [u8; 16],
    pub epoch: u64,
    /// Everything up to this sequence is in the index.
    pub sequence: u64,
    /// The end of the log at that time.
    pub position: Location,
    /// The boot in which it was written, while it may not have reached the disk; zeroes once it has.
    pub boot: [u8; 16],
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawValue {
    location: U64,
    sequence: U64,
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawMark {
    uuid: [u8; 16],
    epoch: U64,
    sequence: U64,
    position: U64,
    boot: [u8; 16],
}

const _: () = assert!(
    size_of::<RawValue>() == 16
        && offset_of!(RawValue, sequence) == 8
        && size_of::<RawMark>() == 56
        && offset_of!(RawMark, epoch) == 16
        && offset_of!(RawMark, sequence) == 24
        && offset_of!(RawMark, position) == 32
        && offset_of!(RawMark, boot) == 40
);

impl IndexValue {
    pub(crate) fn encode(self) -> [u8; 16] {
        let raw = RawValue { location: self.location.get().into(), sequence: self.sequence.into() };
        zerocopy::transmute!(raw)
    }

    /// `None` for another length, and for what is no location or no sequence.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let raw = RawValue::read_from_bytes(bytes).ok()?;
        let sequence = raw.sequence.get();
        Some(Self { location: Location::new(raw.location.get())?, sequence })
            .filter(|_| sequence <= MAX_SEQUENCE)
    }
}

impl IndexMark {
    pub(crate) fn encode(&self) -> [u8; 56] {
        let raw = RawMark {
            uuid: self.uuid,
            epoch: self.epoch.into(),
            sequence: self.sequence.into(),
            position: self.position.get().into(),
            boot: self.boot,
        };
        zerocopy::transmute!(raw)
    }

    /// `None` for another length, and for what is no position or no sequence.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let raw = RawMark::read_from_bytes(bytes).ok()?;
        let sequence = raw.sequence.get();
        let mark = Self {
            uuid: raw.uuid,
            epoch: raw.epoch.get(),
            sequence,
            position: Location::new(raw.position.get())?,
            boot: raw.boot,
        };
        (sequence <= MAX_SEQUENCE).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_marks_come_back_and_other_lengths_are_refused() {
        let value = IndexValue { location: Location::new(0x0102_0304).unwrap(), sequence: 5 };
        let bytes = value.encode();
        assert_eq!(bytes, [4, 3, 2, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(IndexValue::decode(&bytes), Some(value));
        let mark = IndexMark {
            uuid: [7; 16],
            epoch: 8,
            sequence: 9,
            position: Location::new(10).unwrap(),
            boot: [11; 16],
        };
        assert_eq!(IndexMark::decode(&mark.encode()), Some(mark));
        for length in [0, 1, 15, 17, 55, 57] {
            assert_eq!(IndexValue::decode(&vec![1; length]), None, "{length}");
            assert_eq!(IndexMark::decode(&vec![1; length]), None, "{length}");
        }
    }

    #[test]
    fn what_no_store_can_have_is_refused() {
        let mut value = [1; 16];
        assert_eq!(IndexValue::decode(&value), None, "a location has 48 bits");
        value[6..8].fill(0);
        assert_eq!(IndexValue::decode(&value), None, "a sequence has 48 bits");
        value[14..].fill(0);
        assert!(IndexValue::decode(&value).is_some());
        value[..8].fill(0);
        assert_eq!(IndexValue::decode(&value), None, "no record lies at 0");
        assert_eq!(IndexMark::decode(&[1; 56]), None);
        assert_eq!(IndexMark::decode(&[0; 56]), None);
    }
}
