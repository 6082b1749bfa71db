//! Looking at the top 16 bits of eight words at once.
#![cfg_attr(
    all(target_arch = "x86_64", not(any(loom, miri))),
    expect(unsafe_code, reason = "vector instructions")
)]

#[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
use std::sync::atomic::Ordering;

use super::words::AtomicU64;

/// What the top 16 bits of eight words are, a bit for each word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    /// One of the numbers that were looked for.
    pub(crate) wanted: u32,
    /// Zero.
    pub(crate) zero: u32,
    /// A number with its highest bit set.
    pub(crate) high: u32,
}

/// Compares the top 16 bits of each word with two numbers and with zero. Others may store to the words: each is seen as it is at some
/// moment, and before anything that is read later.
#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
#[inline]
pub(crate) fn survey_shared(words: &[AtomicU64; 8], wanted: [u16; 2]) -> Survey {
    use std::arch::asm;
    use std::arch::x86_64::__m128i;

    let (first, second, third, fourth): (__m128i, __m128i, __m128i, __m128i);
    // SAFETY: loads of the words' own bytes. (A vector load is two or more of words as far as anybody has seen, each of them whole;
    // and the processor keeps loads in their order, as the compiler does around an `asm!` that may touch any memory.)
    unsafe {
        asm!(
            "movdqu {first}, [{words}]",
            "movdqu {second}, [{words} + 16]",
            "movdqu {third}, [{words} + 32]",
            "movdqu {fourth}, [{words} + 48]",
            words = in(reg) words.as_ptr(),
            first = lateout(xmm_reg) first,
            second = lateout(xmm_reg) second,
            third = lateout(xmm_reg) third,
            fourth = lateout(xmm_reg) fourth,
            options(nostack, preserves_flags),
        );
    }
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { survey_pairs([first, second, third, fourth], wanted) }
}

/// The same without vectors.
#[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
#[inline]
pub(crate) fn survey_shared(words: &[AtomicU64; 8], wanted: [u16; 2]) -> Survey {
    survey(words.each_ref().map(|word| word.load(Ordering::Acquire)), wanted)
}

#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
#[inline]
#[target_feature(enable = "sse2")]
fn survey_pairs(pairs: [std::arch::x86_64::__m128i; 4], wanted: [u16; 2]) -> Survey {
    use std::arch::x86_64::{
        __m128i, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi16, _mm_movemask_epi8, _mm_or_si128,
        _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi16, _mm_setzero_si128, _mm_shuffle_ps, _mm_srai_epi32,
    };
    /// The odd ones of eight halves of words.
    const UPPER_HALVES: i32 = 0b11_01_11_01;

    let tops = |low: __m128i, high: __m128i| -> __m128i {
        let halves = _mm_shuffle_ps::<UPPER_HALVES>(_mm_castsi128_ps(low), _mm_castsi128_ps(high));
        _mm_srai_epi32::<16>(_mm_castps_si128(halves))
    };
    let [first, second, third, fourth] = pairs;
    // Sign-extended, so that packing cuts nothing off.
    let tags = _mm_packs_epi32(tops(first, second), tops(third, fourth));
    let [first, second] = wanted.map(|tag| _mm_cmpeq_epi16(tags, _mm_set1_epi16(tag.cast_signed())));
    let zero = _mm_cmpeq_epi16(tags, _mm_setzero_si128());
    let bits = _mm_movemask_epi8(_mm_packs_epi16(_mm_or_si128(first, second), zero)).cast_unsigned();
    let high = _mm_movemask_epi8(_mm_packs_epi16(tags, tags)).cast_unsigned() & 0xff;
    Survey { wanted: bits & 0xff, zero: bits >> 8, high }
}

/// The same of words that stand still, without vectors.
#[cfg(any(test, not(all(target_arch = "x86_64", not(any(loom, miri))))))]
#[inline]
pub(crate) fn survey(words: [u64; 8], wanted: [u16; 2]) -> Survey {
    let where_top = |is_it: &dyn Fn(u16) -> bool| {
        words.iter().rev().fold(0, |bits, word| bits << 1 | u32::from(is_it((word >> 48) as u16)))
    };
    Survey {
        wanted: where_top(&|top| wanted.contains(&top)),
        zero: where_top(&|top| top == 0),
        high: where_top(&|top| top >> 15 == 1),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{AtomicU64, Survey, survey, survey_shared};

    #[test]
    fn every_word_has_its_bit() {
        let tops = [5, 0, 0x7fff, 5, 0xffff, 0x8000, 5, 0];
        // What lies below the top is not looked at.
        let words = std::array::from_fn(|i| tops[i] << 48 | (i as u64).wrapping_mul(0xffff_ffff_ffff) >> 16);
        let shared = words.map(AtomicU64::new);
        let see = |first, second| {
            let seen = survey(words, [first, second]);
            assert_eq!(survey_shared(&shared, [first, second]), seen);
            seen
        };
        assert_eq!(see(5, 5), Survey { wanted: 0b0100_1001, zero: 0b1000_0010, high: 0b0011_0000 });
        assert_eq!(see(0, 9), Survey { wanted: 0b1000_0010, zero: 0b1000_0010, high: 0b0011_0000 });
        assert_eq!(see(9, 0xffff).wanted, 0b0001_0000);
        assert_eq!(see(0x8000, 0x7fff).wanted, 0b0010_0100);
        assert_eq!(survey([7 << 48; 8], [7, 8]), Survey { wanted: 0xff, zero: 0, high: 0 });
    }
}
