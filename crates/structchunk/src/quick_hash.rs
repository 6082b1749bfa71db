//! A hash for tables on the heap that are looked into at every call.

use std::hash::{BuildHasherDefault, Hasher};

/// For `HashMap` and `HashSet`.
pub(crate) type Quick = BuildHasherDefault<Mix>;

/// Spreads locations, which are multiples of small numbers, over all bits (Knuth, TAOCP 3, 6.4: multiplicative hashing).
#[inline]
pub(crate) const fn mix(value: u64) -> u64 {
    value.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Hashes numbers that nobody chose to collide: locations, numbers of types and bodies, type ids.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = mix(self.0 ^ u64::from(byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(value) ^ value;
    }
}
