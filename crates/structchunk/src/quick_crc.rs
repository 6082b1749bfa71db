//! CRC-32C of a few bytes. The crate that computes the others does its best with many: setting out takes it longer than the 44 bytes
//! of a usual header and key (233 instructions against 40, in every put and for every record of a recovery).
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the processor's instruction"))]

/// Up to so many bytes are few.
const FEW: usize = 256;

/// The checksum of what has `sum`, three words (of the second only the upper half), and these parts, one behind the other.
#[inline]
pub(crate) fn append(sum: u32, [at, first, second, third]: [u64; 4], parts: [&[u8]; 2]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if parts[0].len() + parts[1].len() <= FEW && std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has the instruction.
        return unsafe { append_few(sum, [at, first, second, third], parts) };
    }
    let mut fixed = [0; 28];
    fixed[..8].copy_from_slice(&at.to_le_bytes());
    fixed[8..12].copy_from_slice(&((first >> 32) as u32).to_le_bytes());
    fixed[12..20].copy_from_slice(&second.to_le_bytes());
    fixed[20..].copy_from_slice(&third.to_le_bytes());
    parts.iter().fold(crc32c::crc32c_append(sum, &fixed), |sum, part| crc32c::crc32c_append(sum, part))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn append_few(sum: u32, [at, first, second, third]: [u64; 4], parts: [&[u8]; 2]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

    let mut state = _mm_crc32_u64(u64::from(!sum), at);
    state = _mm_crc32_u32(state as u32, (first >> 32) as u32).into();
    state = _mm_crc32_u64(_mm_crc32_u64(state, second), third);
    for part in parts {
        let (words, rest) = part.as_chunks();
        for word in words {
            state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
        }
        for byte in rest {
            state = _mm_crc32_u8(state as u32, *byte).into();
        }
    }
    !(state as u32)
}
