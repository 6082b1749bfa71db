//! Values for which Rust has no type of which any bytes are a value.

use std::fmt;

/// A boolean of one byte, of which any value is valid: zero is false, everything else is true.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Bool(u8);

impl Bool {
    /// False, stored as 0.
    pub const FALSE: Self = Self(0);
    /// True, stored as 1.
    pub const TRUE: Self = Self(1);

    /// The value.
    pub const fn get(self) -> bool {
        self.0 != 0
    }
}

impl From<bool> for Bool {
    fn from(value: bool) -> Self {
        Self(u8::from(value))
    }
}

impl From<Bool> for bool {
    fn from(value: Bool) -> Self {
        value.get()
    }
}

impl PartialEq for Bool {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Bool {}

impl fmt::Debug for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Display for Bool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A floating point number of two bytes (IEEE 754 binary16; numpy's `float16`).
///
/// For storing only: convert to `f32` to calculate. Comparison and display go by the value.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct F16(u16);

impl F16 {
    /// The number with these bits.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// The nearest number of two bytes; of two equally near the even one. Beyond 65,504 that is infinity.
    pub fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let sign = (bits >> 16 & 0x8000) as u16;
        let exponent = (bits >> 23 & 0xff).cast_signed();
        let mantissa = bits & 0x007f_ffff;
        if exponent == 0xff {
            // Infinity, or a NaN: keep the upper bits of its payload and make it quiet, so that it stays a NaN.
            let payload = if mantissa == 0 { 0 } else { 0x0200 | (mantissa >> 13) as u16 };
            return Self(sign | 0x7c00 | payload);
        }
        let exponent = exponent - 127 + 15;
        if exponent >= 0x1f {
            return Self(sign | 0x7c00);
        }
        // The significand with its leading one, shifted to where the result has its last bit. Subnormals lose more.
        let significand = mantissa | 0x0080_0000;
        let shift = if exponent > 0 { 13 } else { 14 - exponent };
        if shift > 24 {
            return Self(sign);
        }
        let kept = significand >> shift;
        let lost = significand & ((1 << shift) - 1);
        let half = 1 << (shift - 1);
        let up = lost > half || (lost == half && kept & 1 == 1);
        // The leading one, added to the exponent, makes up for the 1 taken off here; a carry moves up by itself.
        let base = if exponent > 0 { (exponent.cast_unsigned() - 1) << 10 } else { 0 };
        Self(sign | (base + kept + u32::from(up)) as u16)
    }

    /// The same number as `f32`; exact.
    pub fn to_f32(self) -> f32 {
        let sign = u32::from(self.0 & 0x8000) << 16;
        let exponent = u32::from(self.0 >> 10 & 0x1f);
        let mantissa = self.0 & 0x03ff;
        let magnitude = match exponent {
            // Subnormals are multiples of 2^-24; `mantissa` has ten bits, so the product is exact.
            0 => (f32::from(mantissa) * f32::from_bits(0x3380_0000)).to_bits(),
            0x1f => 0x7f80_0000 | u32::from(mantissa) << 13,
            _ => (exponent + 127 - 15) << 23 | u32::from(mantissa) << 13,
        };
        f32::from_bits(sign | magnitude)
    }
}

impl From<F16> for f32 {
    fn from(value: F16) -> Self {
        value.to_f32()
    }
}

impl From<F16> for f64 {
    fn from(value: F16) -> Self {
        value.to_f32().into()
    }
}

impl PartialEq for F16 {
    fn eq(&self, other: &Self) -> bool {
        self.to_f32() == other.to_f32()
    }
}

impl PartialOrd for F16 {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.to_f32().partial_cmp(&other.to_f32())
    }
}

impl fmt::Debug for F16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_f32().fmt(f)
    }
}

impl fmt::Display for F16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_f32().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bool, F16};

    #[test]
    fn every_byte_but_zero_is_true() {
        assert!(!Bool(0).get());
        assert!((1..=255).all(|byte| Bool(byte).get()));
        assert_eq!(Bool(7), Bool::from(true));
    }

    #[test]
    fn every_half_survives_the_way_to_single_precision_and_back() {
        for bits in 0..=u16::MAX {
            let half = F16::from_bits(bits);
            let back = F16::from_f32(half.to_f32());
            if half.to_f32().is_nan() {
                assert!(back.to_f32().is_nan());
            } else {
                assert_eq!(back.to_bits(), bits);
            }
        }
    }

    #[test]
    fn rounds_to_the_nearest_half_and_ties_to_even() {
        // For every pair of neighbours: below, at and above the middle between them.
        for bits in 0..0x7bff_u16 {
            let (low, high) = (F16::from_bits(bits).to_f32(), F16::from_bits(bits + 1).to_f32());
            let middle = low.midpoint(high);
            assert_eq!(F16::from_f32(middle.next_down()).to_bits(), bits);
            assert_eq!(F16::from_f32(middle.next_up()).to_bits(), bits + 1);
            assert_eq!(F16::from_f32(middle).to_bits(), bits + (bits & 1));
            assert_eq!(F16::from_f32(-middle).to_bits(), 0x8000 | (bits + (bits & 1)));
        }
        assert_eq!(F16::from_f32(65_519.996).to_bits(), 0x7bff);
        assert_eq!(F16::from_f32(65_520.0).to_bits(), 0x7c00);
        assert_eq!(F16::from_f32(f32::MIN_POSITIVE).to_bits(), 0);
    }
}
