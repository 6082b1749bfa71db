//! What a number is to the machine: its kind, its byte order, and how people like to see it.

use std::fmt;

/// The machine kind of a number: unsigned, signed or floating, and its width in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Unsigned, 1 byte. Characters and booleans are of this kind too.
    U1,
    /// Unsigned, 2 bytes.
    U2,
    /// Unsigned, 4 bytes.
    U4,
    /// Unsigned, 8 bytes.
    U8,
    /// Signed, 1 byte.
    I1,
    /// Signed, 2 bytes.
    I2,
    /// Signed, 4 bytes.
    I4,
    /// Signed, 8 bytes.
    I8,
    /// IEEE 754 floating point, 2 bytes.
    F2,
    /// IEEE 754 floating point, 4 bytes.
    F4,
    /// IEEE 754 floating point, 8 bytes.
    F8,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::U1,
        Self::U2,
        Self::U4,
        Self::U8,
        Self::I1,
        Self::I2,
        Self::I4,
        Self::I8,
        Self::F2,
        Self::F4,
        Self::F8,
    ];

    /// The width, in bytes.
    pub const fn size(self) -> usize {
        1 << (self.code() & 0x0f)
    }

    /// The number that stands for the kind in fingerprints and type records: class in the high half, log2 of the
    /// width in the low half.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::U1 => 0x10,
            Self::U2 => 0x11,
            Self::U4 => 0x12,
            Self::U8 => 0x13,
            Self::I1 => 0x20,
            Self::I2 => 0x21,
            Self::I4 => 0x22,
            Self::I8 => 0x23,
            Self::F2 => 0x31,
            Self::F4 => 0x32,
            Self::F8 => 0x33,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether this is floating point.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F2 | Self::F4 | Self::F8)
    }

    /// The kind's name: `u1` to `u8`, `i1` to `i8`, `f2` to `f8`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U1 => "u1",
            Self::U2 => "u2",
            Self::U4 => "u4",
            Self::U8 => "u8",
            Self::I1 => "i1",
            Self::I2 => "i2",
            Self::I4 => "i4",
            Self::I8 => "i8",
            Self::F2 => "f2",
            Self::F4 => "f4",
            Self::F8 => "f8",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The least significant byte comes first; written `<`.
    Little,
    /// The most significant byte comes first; written `>`.
    Big,
}

impl ByteOrder {
    /// The order of the machine this runs on.
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Little => 1,
            Self::Big => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Little),
            2 => Some(Self::Big),
            _ => None,
        }
    }
}

/// A number: machine kind and byte order. One byte has no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scalar {
    kind: Kind,
    order: Option<ByteOrder>,
}

impl Scalar {
    /// A number of this kind and order; the order of a single byte is dropped.
    pub const fn new(kind: Kind, order: ByteOrder) -> Self {
        Self { kind, order: if kind.size() == 1 { None } else { Some(order) } }
    }

    /// A number as this machine stores it.
    pub const fn native(kind: Kind) -> Self {
        Self::new(kind, ByteOrder::NATIVE)
    }

    /// The machine kind.
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// The byte order; `None` for a single byte.
    pub const fn order(self) -> Option<ByteOrder> {
        self.order
    }

    pub(crate) const fn order_code(self) -> u8 {
        match self.order {
            None => 0,
            Some(order) => order.code(),
        }
    }

    /// The name of the type that is this number and nothing else: `f8`, or `>f8` when it is big-endian.
    pub const fn type_name(self) -> &'static str {
        match (self.kind, self.order) {
            (Kind::U2, Some(ByteOrder::Big)) => ">u2",
            (Kind::U4, Some(ByteOrder::Big)) => ">u4",
            (Kind::U8, Some(ByteOrder::Big)) => ">u8",
            (Kind::I2, Some(ByteOrder::Big)) => ">i2",
            (Kind::I4, Some(ByteOrder::Big)) => ">i4",
            (Kind::I8, Some(ByteOrder::Big)) => ">i8",
            (Kind::F2, Some(ByteOrder::Big)) => ">f2",
            (Kind::F4, Some(ByteOrder::Big)) => ">f4",
            (Kind::F8, Some(ByteOrder::Big)) => ">f8",
            (kind, _) => kind.name(),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

/// How a field's bytes are best shown. A hint: it is no part of the fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Presentation {
    /// As numbers.
    #[default]
    Number,
    /// As text: the last dimension holds UTF-8 bytes (`u1`) or code points (`u4`), ended by zeroes.
    Text,
    /// As true or false.
    Bool,
    /// As a complex number: the last dimension holds real and imaginary part.
    Complex,
    /// As a point in time: so many units since 1970.
    Instant(TimeUnit),
    /// As a span of time.
    Duration(TimeUnit),
}

impl Presentation {
    /// Whether an array of this kind with this last dimension (none: not an array) can be shown in this way.
    pub const fn fits(self, kind: Kind, last_dimension: Option<u64>) -> bool {
        match self {
            Self::Number => true,
            Self::Text => matches!(kind, Kind::U1 | Kind::U4) && last_dimension.is_some(),
            Self::Bool => matches!(kind, Kind::U1),
            Self::Complex => kind.is_float() && matches!(last_dimension, Some(2)),
            Self::Instant(_) | Self::Duration(_) => matches!(kind, Kind::I8),
        }
    }
}

/// A unit of time, and how many of them make one step (numpy's `datetime64[25s]` counts in steps of 25 s).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeUnit {
    /// The unit.
    pub base: TimeBase,
    /// How many units one step has; at least 1.
    pub step: u32,
}

/// The units of time that numpy knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum TimeBase {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Picosecond,
    Femtosecond,
    Attosecond,
}

impl TimeBase {
    /// All units, in the order of their codes in type records, from 1.
    pub const ALL: [Self; 13] = [
        Self::Year,
        Self::Month,
        Self::Week,
        Self::Day,
        Self::Hour,
        Self::Minute,
        Self::Second,
        Self::Millisecond,
        Self::Microsecond,
        Self::Nanosecond,
        Self::Picosecond,
        Self::Femtosecond,
        Self::Attosecond,
    ];

    /// The unit as numpy writes it.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Year => "Y",
            Self::Month => "M",
            Self::Week => "W",
            Self::Day => "D",
            Self::Hour => "h",
            Self::Minute => "m",
            Self::Second => "s",
            Self::Millisecond => "ms",
            Self::Microsecond => "us",
            Self::Nanosecond => "ns",
            Self::Picosecond => "ps",
            Self::Femtosecond => "fs",
            Self::Attosecond => "as",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        self as u8 + 1
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.step != 1 {
            write!(f, "{}", self.step)?;
        }
        f.write_str(self.base.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteOrder, Kind, Scalar, TimeBase};

    #[test]
    fn every_kind_has_a_code_and_a_size_of_its_own_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
            assert!(kind.name().ends_with(&kind.size().to_string()), "{kind}");
        }
        assert_eq!(Kind::from_code(0x30), None);
    }

    #[test]
    fn one_byte_has_no_order() {
        assert_eq!(Scalar::new(Kind::U1, ByteOrder::Big), Scalar::new(Kind::U1, ByteOrder::Little));
        assert_ne!(Scalar::new(Kind::U2, ByteOrder::Big), Scalar::new(Kind::U2, ByteOrder::Little));
    }

    #[test]
    fn every_unit_of_time_has_a_code() {
        for base in TimeBase::ALL {
            assert_eq!(TimeBase::from_code(base.code()), Some(base));
        }
        assert_eq!(TimeBase::from_code(0), None);
        assert_eq!(TimeBase::from_code(14), None);
    }
}
