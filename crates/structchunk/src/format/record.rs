//! The record header: 32 bytes that stand before every key and payload.
//!
//! | at | field |
//! | --- | --- |
//! | 0 | u32 checksum of bytes 4..24, extension and key, seeded with store and location |
//! | 4 | u16 key length |
//! | 6 | u8 kind (low half), log2 of the alignment (high half) |
//! | 7 | u8 flags (low half), length of the extension in units of 16 bytes (high half) |
//! | 8 | u48 payload length, u16 type number (low) |
//! | 16 | u48 sequence, u16 type number (high) |
//! | 24 | u32 version word, u32 payload checksum |
//!
//! All of it is little-endian, so it is handled as words of 64 bits. Only the last word ever changes.

use super::{Location, align_up};
use crate::quick_crc;

/// Size of the header, in bytes.
pub(crate) const HEADER_BYTES: u64 = 32;
/// Every record begins at a multiple of this, in bytes.
pub(crate) const RECORD_ALIGN: u64 = 16;
/// Longest extension, in units of 16 bytes; 15 is kept for longer ones of a later format.
pub(crate) const MAX_EXTENSION_UNITS: usize = 14;
/// Largest alignment of a payload: 4,096 bytes.
pub(crate) const MAX_ALIGN_LOG2: u8 = 12;

const LOW_48: u64 = (1 << 48) - 1;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Key and payload of an object.
    Object,
    /// Key of an object whose payload is a body; see [`super::ExternPayload`].
    Extern,
    /// The key exists no longer.
    Tombstone,
    /// A layout; the key is its number.
    Type,
    /// Something to step over: a pad, or a kind of a later version that says it may be, by a code of 8 or more.
    Other(u8),
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Object => 1,
            Self::Extern => 2,
            Self::Tombstone => 3,
            Self::Type => 4,
            Self::Other(code) => code,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Object,
            2 => Self::Extern,
            3 => Self::Tombstone,
            4 => Self::Type,
            _ => Self::Other(code),
        }
    }

    /// Whether it makes an object exist.
    pub(crate) const fn is_object(self) -> bool {
        matches!(self, Self::Object | Self::Extern)
    }
}

/// The low half of byte 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags {
    /// Written by a batch: visible only once the end of the log has passed it.
    pub batch: bool,
    /// The batch goes on behind this record.
    pub more: bool,
    /// The object is an array; its shape is in the extension.
    pub array: bool,
}

impl Flags {
    const fn code(self) -> u8 {
        self.batch as u8 | (self.more as u8) << 1 | (self.array as u8) << 2
    }
}

/// A parsed header, without the word at 24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// What it is.
    pub kind: Kind,
    /// How it was written.
    pub flags: Flags,
    /// log2 of the payload's alignment, 4 to 12.
    pub align_log2: u8,
    /// Length of the extension, in units of 16 bytes.
    pub extension_units: u8,
    /// Length of the key, in bytes.
    pub key_length: u16,
    /// Length of the payload, in bytes.
    pub payload_length: u64,
    /// The type of the object.
    pub type_number: u32,
    /// Its place in the order of all records.
    pub sequence: u64,
}

/// What the headers say of all objects of one type and size under keys of one length: two comparisons tell such a header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual {
    /// The upper half of word 0, without [`Usual::ANY`].
    first: u32,
    payload_length: u64,
}

/// What a [`Usual`] leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Particulars {
    /// Length of the extension, in bytes.
    pub extension_bytes: u64,
    /// The type of the object.
    pub type_number: u32,
}

impl Usual {
    /// Bits that may be anything: a batch's flags, and the length of the extension.
    const ANY: u32 = 0xf3 << 24;

    /// Of objects whose payload has this length and alignment, arrays or not.
    #[inline]
    pub(crate) const fn new(key_length: u16, align_log2: u8, array: bool, payload_length: u64) -> Self {
        let kind = Kind::Object.code() | align_log2 << 4;
        let flags = Flags { batch: false, more: false, array }.code();
        let first = key_length as u32 | (kind as u32) << 16 | (flags as u32) << 24;
        Self { first, payload_length }
    }

    /// What is particular about the header with these words 0 to 2; `None` when it is another one.
    #[inline]
    pub(crate) fn recognise(self, words: [u64; 3]) -> Option<Particulars> {
        let first = (words[0] >> 32) as u32;
        let same = first & !Self::ANY == self.first && words[1] & LOW_48 == self.payload_length;
        same.then(|| Particulars {
            extension_bytes: u64::from(first >> 28) * 16,
            type_number: type_number(words),
        })
    }
}

#[inline]
fn type_number(words: [u64; 3]) -> u32 {
    (words[1] >> 48) as u32 | ((words[2] >> 48) as u32) << 16
}

/// Where the parts of a record lie, as offsets in its chunk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The extension.
    pub extension: u64,
    /// The key.
    pub key: u64,
    /// The payload.
    pub payload: u64,
    /// The next record.
    pub end: u64,
}

impl RecordHeader {
    /// Words 0 to 2, with a checksum of zero.
    #[inline]
    fn words(&self) -> [u64; 3] {
        let kind = u64::from(self.kind.code() | self.align_log2 << 4);
        let flags = u64::from(self.flags.code() | self.extension_units << 4);
        [
            u64::from(self.key_length) << 32 | kind << 48 | flags << 56,
            self.payload_length & LOW_48 | u64::from(self.type_number & 0xffff) << 48,
            self.sequence & LOW_48 | u64::from(self.type_number >> 16) << 48,
        ]
    }

    /// Words 0 to 2 as they are stored.
    #[inline]
    pub(crate) fn encode(&self, seed: RecordSeed, at: Location, extension: &[u8], key: &[u8]) -> [u64; 3] {
        let mut words = self.words();
        words[0] |= u64::from(seed.checksum(at, words, extension, key));
        words
    }

    /// Reads words 0 to 2. `None` when they are no header; the checksum is not looked at (see [`RecordSeed::holds`]).
    #[inline]
    pub(crate) fn parse(words: [u64; 3]) -> Option<Self> {
        let header = Self::decode(words);
        // Flag 8 ("encoded") means a payload that this version cannot read.
        let known = words[0] >> 56 & 8 == 0
            && !matches!(header.kind, Kind::Other(..8))
            && (4..=MAX_ALIGN_LOG2).contains(&header.align_log2)
            && usize::from(header.extension_units) <= MAX_EXTENSION_UNITS
            && (header.key_length > 0 || matches!(header.kind, Kind::Other(_)));
        known.then_some(header)
    }

    /// What words 0 to 2 say, where [`RecordHeader::parse`] has found them to be a header.
    #[inline]
    pub(crate) fn decode(words: [u64; 3]) -> Self {
        let [first, second, third] = words;
        let kind_and_align = (first >> 48) as u8;
        let flags_and_extension = (first >> 56) as u8;
        Self {
            kind: Kind::from_code(kind_and_align & 0xf),
            flags: Flags {
                batch: flags_and_extension & 1 != 0,
                more: flags_and_extension & 2 != 0,
                array: flags_and_extension & 4 != 0,
            },
            align_log2: kind_and_align >> 4,
            extension_units: flags_and_extension >> 4,
            key_length: (first >> 32) as u16,
            payload_length: second & LOW_48,
            type_number: type_number(words),
            sequence: third & LOW_48,
        }
    }

    /// Where the parts lie when the record begins at `offset`.
    #[inline]
    pub(crate) fn place(&self, offset: u64) -> Placement {
        let extension = offset + HEADER_BYTES;
        let key = extension + u64::from(self.extension_units) * 16;
        let payload = align_up(key + u64::from(self.key_length), 1 << self.align_log2);
        Placement {
            extension,
            key,
            payload,
            end: align_up(payload.saturating_add(self.payload_length), RECORD_ALIGN),
        }
    }
}

/// Seeds the checksums of one store's records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordSeed(u32);

impl RecordSeed {
    /// The seed of the store with this uuid.
    pub(crate) fn new(uuid: [u8; 16]) -> Self {
        Self(crc32c::crc32c(&uuid))
    }

    /// The checksum of what stands before extension and key.
    pub(crate) fn begin(self, at: Location, words: [u64; 3]) -> u32 {
        self.checksum(at, words, &[], &[])
    }

    #[inline]
    fn checksum(self, at: Location, words: [u64; 3], extension: &[u8], key: &[u8]) -> u32 {
        quick_crc::append(self.0, [at.get(), words[0], words[1], words[2]], [extension, key])
    }

    /// Whether words 0 to 2 carry the right checksum for this place.
    pub(crate) fn holds(self, at: Location, words: [u64; 3], extension: &[u8], key: &[u8]) -> bool {
        words[0] as u32 == self.checksum(at, words, extension, key)
    }

    /// Checksum of a payload that never changes: types, externs, sealed objects. Never 0, which means "none".
    pub(crate) fn payload_checksum(self, payload: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, payload).max(1)
    }

    /// The same for a payload that is met in parts.
    pub(crate) fn begin_payload(self) -> PayloadSum {
        PayloadSum(self.0)
    }
}

/// The checksum of a payload, as far as it was met.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PayloadSum(u32);

impl PayloadSum {
    /// Goes on with these bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// Goes on with so many zeroes, in as many steps as their number has bits.
    pub(crate) fn append_zeroes(&mut self, count: u64) {
        // Of 1, 2, 4.. zeroes.
        let (mut power, mut length, mut left) = (crc32c::crc32c(&[0]), 1_usize, count);
        while left != 0 {
            if left & 1 != 0 {
                self.0 = crc32c::crc32c_combine(self.0, power, length);
            }
            left >>= 1;
            if left != 0 {
                power = crc32c::crc32c_combine(power, power, length);
                length = length.saturating_mul(2);
            }
        }
    }

    /// The checksum: never 0.
    pub(crate) fn finish(self) -> u32 {
        self.0.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> RecordHeader {
        RecordHeader {
            kind: Kind::Object,
            flags: Flags { batch: true, more: false, array: true },
            align_log2: 6,
            extension_units: 2,
            key_length: 3,
            payload_length: 0x1234_5678_9abc,
            type_number: 0xdead_beef,
            sequence: 0xba98_7654_3210,
        }
    }

    fn bytes(words: [u64; 3]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn every_field_stands_where_the_format_says() {
        let words = header().encode(RecordSeed::new([1; 16]), Location::new(256).unwrap(), &[0; 32], b"key");
        let bytes = bytes(words);
        assert_eq!(bytes[4..6], 3u16.to_le_bytes());
        assert_eq!(bytes[6], 0x61);
        assert_eq!(bytes[7], 0x25);
        assert_eq!(bytes[8..16], [0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12, 0xef, 0xbe]);
        assert_eq!(bytes[16..24], [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xad, 0xde]);
        assert_eq!(RecordHeader::parse(words), Some(header()));
    }

    #[test]
    fn a_usual_header_is_recognised_and_no_other_one() {
        let usual = Usual::new(3, 6, true, 0x1234_5678_9abc);
        let particulars = Particulars { extension_bytes: 32, type_number: 0xdead_beef };
        assert_eq!(usual.recognise(header().words()), Some(particulars));
        let plain =
            RecordHeader { flags: Flags { array: true, ..Flags::default() }, extension_units: 0, ..header() };
        assert_eq!(usual.recognise(plain.words()), Some(Particulars { extension_bytes: 0, ..particulars }));
        for other in [
            RecordHeader { kind: Kind::Tombstone, ..header() },
            RecordHeader { kind: Kind::Type, ..header() },
            RecordHeader { flags: Flags::default(), ..header() },
            RecordHeader { align_log2: 5, ..header() },
            RecordHeader { key_length: 4, ..header() },
            RecordHeader { payload_length: 1, ..header() },
        ] {
            assert_eq!(usual.recognise(other.words()), None, "{other:?}");
        }
    }

    #[test]
    fn the_checksum_holds_only_for_this_store_place_key_and_extension() {
        let (seed, at) = (RecordSeed::new([1; 16]), Location::new(256).unwrap());
        let words = header().encode(seed, at, b"extension", b"key");
        assert!(seed.holds(at, words, b"extension", b"key"));
        assert!(!seed.holds(at, words, b"extension", b"kez"));
        assert!(!seed.holds(at, words, b"extensiom", b"key"));
        assert!(!seed.holds(Location::new(257).unwrap(), words, b"extension", b"key"));
        assert!(!RecordSeed::new([2; 16]).holds(at, words, b"extension", b"key"));
        for bit in 0..192 {
            let mut changed = words;
            changed[bit / 64] ^= 1 << (bit % 64);
            assert!(!seed.holds(at, changed, b"extension", b"key"), "bit {bit}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_all_bytes_in_a_row_however_long_the_key() {
        let (uuid, at) = ([3; 16], Location::new(256).unwrap());
        for (extension, key) in
            [(0, 1), (0, 15), (16, 84), (0, 256), (0, 257), (32, 224), (32, 225), (208, 65_535)]
        {
            let (extension, key) = (vec![5; extension], vec![7; key]);
            let words = header().encode(RecordSeed::new(uuid), at, &extension, &key);
            let mut all = uuid.to_vec();
            all.extend(at.get().to_le_bytes());
            all.extend(&bytes(words)[4..]);
            all.extend(extension.iter().chain(&key));
            assert_eq!(words[0] as u32, crc32c::crc32c(&all), "{} and {} bytes", extension.len(), key.len());
        }
    }

    #[test]
    fn the_version_word_is_not_covered_and_zeroes_are_no_header() {
        assert_eq!(RecordHeader::parse([0; 3]), None);
        let mut unknown = header();
        unknown.kind = Kind::Other(7);
        assert_eq!(RecordHeader::parse(unknown.words()), None);
        unknown.kind = Kind::Other(8);
        assert_eq!(RecordHeader::parse(unknown.words()), Some(unknown));
    }

    #[test]
    fn kinds_and_flags_have_the_codes_of_the_format() {
        let kinds = [Kind::Object, Kind::Extern, Kind::Tombstone, Kind::Type];
        assert_eq!(kinds.map(Kind::code), [1, 2, 3, 4]);
        assert_eq!([1, 2, 3, 4].map(Kind::from_code), kinds);
        assert_eq!([0, 5, 15].map(|code| Kind::from_code(code).code()), [0, 5, 15]);
        assert_eq!(kinds.map(Kind::is_object), [true, true, false, false]);
        assert!(!Kind::Other(8).is_object());
        for bits in 0..8 {
            let flags = Flags { batch: bits & 1 != 0, more: bits & 2 != 0, array: bits & 4 != 0 };
            let header = RecordHeader { flags, ..header() };
            assert_eq!((flags.code(), RecordHeader::parse(header.words())), (bits, Some(header)));
        }
    }

    #[test]
    fn what_lies_just_beyond_what_a_header_may_say_is_none() {
        let parses = |header: RecordHeader| RecordHeader::parse(header.words()) == Some(header);
        let aligned = |align_log2| RecordHeader { align_log2, ..header() };
        assert_eq!([3, 4, 12, 13].map(|align| parses(aligned(align))), [false, true, true, false]);
        let extended = |extension_units| RecordHeader { extension_units, ..header() };
        assert_eq!([0, 14, 15].map(|units| parses(extended(units))), [true, true, false]);
        let kinds = [Kind::Object, Kind::Tombstone, Kind::Type, Kind::Other(8)];
        let keyless = |kind| parses(RecordHeader { kind, key_length: 0, ..header() });
        assert_eq!(kinds.map(keyless), [false, false, false, true]);
        // The flag "encoded".
        let [first, second, third] = header().words();
        assert_eq!(RecordHeader::parse([first | 8 << 56, second, third]), None);
    }

    #[test]
    fn the_checksum_of_a_payload_begins_with_the_uuid() {
        let sum = crc32c::crc32c(&[&[1; 16][..], b"payload"].concat());
        assert_eq!(RecordSeed::new([1; 16]).payload_checksum(b"payload"), sum);
    }

    #[test]
    fn zeroes_that_are_only_counted_sum_up_as_those_that_are_there() {
        let seed = RecordSeed::new([1; 16]);
        for count in [0, 1, 2, 3, 7, 8, 4095, 4096, 100_001] {
            let mut sum = seed.begin_payload();
            sum.append(b"before");
            sum.append_zeroes(count as u64);
            sum.append(b"behind");
            let all = [&b"before"[..], &vec![0; count], b"behind"].concat();
            assert_eq!(sum.finish(), seed.payload_checksum(&all), "{count} zeroes");
        }
    }

    #[test]
    fn a_64_byte_object_with_a_16_byte_key_takes_112_bytes() {
        let header = RecordHeader {
            flags: Flags::default(),
            align_log2: 4,
            extension_units: 0,
            key_length: 16,
            payload_length: 64,
            ..header()
        };
        let place = header.place(4096);
        assert_eq!((place.key, place.payload, place.end), (4128, 4144, 4208));
    }

    #[test]
    fn lengths_that_overflow_saturate() {
        let header = RecordHeader { payload_length: LOW_48, ..header() };
        assert!(header.place(u64::MAX - 8192).end >= u64::MAX - 16);
    }
}
