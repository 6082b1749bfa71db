//! Comparing eight numbers at once.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vector instructions"))]

/// A bit for each of eight lanes that equals `wanted`.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn equal_lanes(lanes: [u16; 8], wanted: u16) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi16, _mm_movemask_epi8, _mm_packs_epi16, _mm_set_epi16, _mm_set1_epi16,
    };

    #[inline]
    #[target_feature(enable = "sse2")]
    fn with_sse2(lanes: [u16; 8], wanted: u16) -> u32 {
        let l = lanes.map(u16::cast_signed);
        let packed = _mm_set_epi16(l[7], l[6], l[5], l[4], l[3], l[2], l[1], l[0]);
        let equal = _mm_cmpeq_epi16(packed, _mm_set1_epi16(wanted.cast_signed()));
        _mm_movemask_epi8(_mm_packs_epi16(equal, equal)).cast_unsigned() & 0xff
    }
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { with_sse2(lanes, wanted) }
}

/// A bit for each of eight lanes that equals `wanted`.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn equal_lanes(lanes: [u16; 8], wanted: u16) -> u32 {
    lanes.iter().rev().fold(0, |bits, &lane| bits << 1 | u32::from(lane == wanted))
}

#[cfg(test)]
mod tests {
    use super::equal_lanes;

    #[test]
    fn every_lane_has_its_bit() {
        assert_eq!(equal_lanes([5, 0, 0, 5, 0xffff, 0x8000, 5, 0], 5), 0b0100_1001);
        assert_eq!(equal_lanes([5, 0, 0, 5, 0xffff, 0x8000, 5, 0], 0), 0b1000_0110);
        assert_eq!(equal_lanes([5, 0, 0, 5, 0xffff, 0x8000, 5, 0], 0xffff), 0b0001_0000);
        assert_eq!(equal_lanes([5, 0, 0, 5, 0xffff, 0x8000, 5, 0], 0x8000), 0b0010_0000);
        assert_eq!(equal_lanes([7; 8], 7), 0xff);
    }
}
