//! One number for the physical facts of a type, equal in every language.
//!
//! A fold over 64-bit words rather than a hash of a text, so that a `const fn` computes it also for generic types.
//! The words and their order are fixed in `FORMAT.md`; [`Fold`] is the only place that knows them.

use std::fmt;
use std::str::FromStr;

use super::kind::{ByteOrder, Scalar};
use super::statics::{Content, FieldLayout, TypeLayout, count_dimensions};
use super::stored::MAX_DEPTH;

/// Stands for the physical facts of a type: its size, and each field's name, position, kind, byte order and shape.
///
/// Types with equal fingerprints have the same bytes in Rust, Python and C. Names of types and everything else that
/// changes no byte are left out.
///
/// # Examples
///
/// ```
/// use structchunk::{Fingerprint, Object};
/// assert_eq!(u64::FINGERPRINT, usize::FINGERPRINT);
/// assert_ne!(u64::FINGERPRINT, i64::FINGERPRINT);
/// let text = f64::FINGERPRINT.to_string();
/// assert_eq!(text.len(), 16);
/// assert_eq!(text.parse::<Fingerprint>().unwrap(), f64::FINGERPRINT);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a type, as a constant.
    ///
    /// # Panics
    ///
    /// At compile time, when structs are nested more than 32 deep or a struct is nothing but padding.
    pub const fn of(layout: &TypeLayout) -> Self {
        assert!(layout.depth() <= MAX_DEPTH, "structs are nested at most 32 deep");
        match layout.content {
            Content::Scalar { scalar, .. } => {
                Fold::start(layout.size as u64, 1).field(0, "", FieldCode::Scalar(scalar), 0).finish()
            }
            Content::Struct { fields } => of_struct(layout.size as u64, fields),
        }
    }

    /// The fingerprint with this number.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number itself.
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

const fn of_struct(size: u64, fields: &[FieldLayout]) -> Fingerprint {
    let mut count = 0;
    let mut index = 0;
    while index < fields.len() {
        // The fields of a `repr(C)` struct without empty ones come in the order of their offsets already.
        assert!(
            index == 0 || fields[index - 1].offset < fields[index].offset,
            "the fields of a static layout are listed by rising offset"
        );
        if !fields[index].is_padding() {
            count += 1;
        }
        index += 1;
    }
    assert!(count > 0, "a stored struct has at least one field that is not padding");
    let mut fold = Fold::start(size, count);
    index = 0;
    while index < fields.len() {
        let field = &fields[index];
        index += 1;
        if field.is_padding() {
            continue;
        }
        let code = match field.element.content {
            Content::Scalar { scalar, .. } => FieldCode::Scalar(scalar),
            Content::Struct { .. } => FieldCode::Nested(Fingerprint::of(field.element)),
        };
        let dimensions = count_dimensions(field.dimensions);
        fold = fold.field(field.offset as u64 * 8, field.name, code, dimensions);
        let mut dimension = field.dimensions;
        while let Some(outer) = dimension {
            fold = fold.word(outer.length);
            dimension = outer.inner;
        }
    }
    fold.finish()
}

/// What a field is, as far as the fingerprint is concerned.
#[derive(Clone, Copy)]
pub(super) enum FieldCode {
    Scalar(Scalar),
    Bits { signed: bool, order: ByteOrder, width: u8 },
    Nested(Fingerprint),
}

impl FieldCode {
    /// Code of the kind, code of the byte order, width in bits; zero where there is none.
    pub(super) const fn parts(self) -> (u8, u8, u8) {
        match self {
            Self::Scalar(scalar) => (scalar.kind().code(), scalar.order_code(), 0),
            Self::Bits { signed, order, width } => {
                (if signed { SIGNED_BITS } else { UNSIGNED_BITS }, order.code(), width)
            }
            Self::Nested(_) => (NESTED, 0, 0),
        }
    }
}

/// Code of an unsigned bit field.
pub(super) const UNSIGNED_BITS: u8 = 0x40;
/// Code of a signed bit field.
pub(super) const SIGNED_BITS: u8 = 0x50;
/// Code of a field that is a struct.
pub(super) const NESTED: u8 = 0x60;

/// The fold itself. Feed fields in the order of (first bit, size, name), the dimensions of each after it.
#[derive(Clone, Copy)]
pub(super) struct Fold(u64);

/// `b"schunk01"`, read as a little-endian number.
const SEED: u64 = u64::from_le_bytes(*b"schunk01");

impl Fold {
    pub(super) const fn start(size: u64, fields: u64) -> Self {
        Self(SEED).word(size).word(fields)
    }

    /// One step of `SplitMix64` from the state mixed with the word.
    pub(super) const fn word(self, word: u64) -> Self {
        let mut z = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(z ^ (z >> 31))
    }

    pub(super) const fn field(self, first_bit: u64, name: &str, code: FieldCode, dimensions: u64) -> Self {
        let fold = self.word(first_bit).text(name.as_bytes());
        let (kind, order, width) = code.parts();
        let fold = fold.word(kind as u64 | (order as u64) << 8 | (width as u64) << 16 | dimensions << 32);
        match code {
            FieldCode::Nested(fingerprint) => fold.word(fingerprint.0),
            _ => fold,
        }
    }

    /// The length, then the bytes, eight to a little-endian word, the last one filled up with zeroes.
    const fn text(self, bytes: &[u8]) -> Self {
        let mut fold = self.word(bytes.len() as u64);
        let mut word = 0;
        let mut index = 0;
        while index < bytes.len() {
            word |= (bytes[index] as u64) << (8 * (index % 8));
            index += 1;
            if index % 8 == 0 || index == bytes.len() {
                fold = fold.word(word);
                word = 0;
            }
        }
        fold
    }

    pub(super) const fn finish(self) -> Fingerprint {
        Fingerprint(self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text that is no fingerprint: those have 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 16 hexadecimal digits")]
pub struct ParseFingerprintError(());

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let bits = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        bits.map(Self).ok_or(ParseFingerprintError(()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, Fold};

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let fingerprint = Fingerprint::from_bits(0x00ab_cdef_0123_4567);
        assert_eq!(fingerprint.to_string(), "00abcdef01234567");
        assert_eq!("00ABCDEF01234567".parse(), Ok(fingerprint));
        for bad in ["", "abcdef01234567", "+0abcdef01234567", "00abcdef012345678", "00abcdef0123456g"] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_and_the_same_name_with_a_zero_byte_differ() {
        let fold = Fold::start(8, 1);
        assert_ne!(fold.text(b"a").finish(), fold.text(b"a\0").finish());
        assert_ne!(fold.text(b"12345678").finish(), fold.text(b"1234567").finish());
    }

    #[test]
    fn the_words_are_mixed_as_splitmix64_does() {
        // The first output of SplitMix64 seeded with 0.
        assert_eq!(Fold(0).word(0).finish().to_bits(), 0xe220_a839_7b1d_cdaf);
    }
}
