//! Bytes of memory that others may be writing at the same time: copied and compared without a data race.
//!
//! A `memcpy` from memory that another thread or process writes is undefined, even when its result is thrown away.
//! So whole aligned words are loaded and stored, atomically and relaxed, which compiles to plain moves.
//! Reading covers the range with aligned words and masks the ends, so all loads have one size.
#![expect(unsafe_code, reason = "works on raw mapped memory")]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const WORD: usize = size_of::<u64>();

/// The aligned word at `at`, its first byte lowest.
///
/// # Safety
/// `at` is aligned to 8, and the 8 bytes are mapped.
#[inline]
unsafe fn load(at: *const u8) -> u64 {
    // SAFETY: aligned and mapped, as the caller promises. A load through `&AtomicU64` needs no more, on read-only
    // pages either, and no reference outlives this line.
    let word = unsafe { AtomicU64::from_ptr(at.cast_mut().cast()) };
    u64::from_le(word.load(Ordering::Relaxed))
}

/// # Safety
/// `at` is aligned to 8, and the 8 bytes are mapped for writing.
#[inline]
unsafe fn store(at: *mut u8, word: u64) {
    // SAFETY: aligned and mapped, as the caller promises.
    let target = unsafe { AtomicU64::from_ptr(at.cast()) };
    target.store(word.to_le(), Ordering::Relaxed);
}

/// # Safety
/// The byte is mapped for writing.
#[inline]
unsafe fn store_byte(at: *mut u8, byte: u8) {
    // SAFETY: mapped, as the caller promises; bytes are always aligned.
    let target = unsafe { AtomicU8::from_ptr(at) };
    target.store(byte, Ordering::Relaxed);
}

/// Copies `target.len()` bytes from `source`. Torn when somebody writes meanwhile; the caller checks.
///
/// # Safety
/// The bytes from `source` on, rounded outwards to whole words, are mapped.
#[inline]
pub(super) unsafe fn copy_out(source: *const u8, target: &mut [u8]) {
    let skew = source.addr() % WORD;
    let mut at = source.wrapping_sub(skew);
    let mut rest = target;
    if skew != 0 && !rest.is_empty() {
        let (head, tail) = rest.split_at_mut(rest.len().min(WORD - skew));
        // SAFETY: rounded down to a word that holds the first byte, hence mapped.
        let word = unsafe { load(at) };
        head.copy_from_slice(&(word >> (8 * skew)).to_le_bytes()[..head.len()]);
        at = at.wrapping_add(WORD);
        rest = tail;
    }
    let (words, tail) = rest.as_chunks_mut::<WORD>();
    for target in words {
        // SAFETY: aligned since the head, and all 8 bytes belong to the range.
        *target = unsafe { load(at) }.to_le_bytes();
        at = at.wrapping_add(WORD);
    }
    if !tail.is_empty() {
        // SAFETY: aligned, and holds the last byte of the range.
        let word = unsafe { load(at) };
        tail.copy_from_slice(&word.to_le_bytes()[..tail.len()]);
    }
}

/// Whether memory holds `expected`.
///
/// # Safety
/// As for [`copy_out`], and `source` is not aligned to a word.
#[inline(never)]
pub(super) unsafe fn equal_skewed(source: *const u8, expected: &[u8]) -> bool {
    let skew = source.addr() % WORD;
    if expected.is_empty() {
        return true;
    }
    let first = source.wrapping_sub(skew);
    let (head, rest) = expected.split_at(expected.len().min(WORD - skew));
    // SAFETY: rounded down to a word that holds the first byte, hence mapped.
    let word = unsafe { load(first) } >> (8 * skew);
    // SAFETY: the caller's promise, less the first word; aligned.
    (word ^ first_word(expected)) & low_bytes(head.len()) == 0
        && unsafe { equal_aligned(first.wrapping_add(WORD), rest) }
}

/// Whether memory holds `expected`: a compare of words, without a call.
///
/// # Safety
/// As for [`copy_out`], and `source` is aligned to a word.
#[inline]
pub(super) unsafe fn equal_aligned(source: *const u8, expected: &[u8]) -> bool {
    let mut at = source;
    let (words, tail) = expected.as_chunks::<WORD>();
    for expected in words {
        // SAFETY: aligned, and all 8 bytes belong to the range.
        let word = unsafe { load(at) };
        if word != u64::from_le_bytes(*expected) {
            return false;
        }
        at = at.wrapping_add(WORD);
    }
    if tail.is_empty() {
        return true;
    }
    // SAFETY: aligned, and holds the last byte of the range.
    let word = unsafe { load(at) };
    (word ^ first_word(tail)) & low_bytes(tail.len()) == 0
}

/// The first up to 8 bytes, the first lowest.
#[inline]
fn first_word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<WORD>() {
        Some(word) => u64::from_le_bytes(*word),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Ones in the lowest `count` bytes; `count` is 1..=7.
#[inline]
fn low_bytes(count: usize) -> u64 {
    (1 << (8 * count)) - 1
}

/// Copies `source` to `target`.
///
/// # Safety
/// The bytes from `target` on are mapped for writing.
#[inline]
pub(super) unsafe fn copy_in(target: *mut u8, source: &[u8]) {
    let mut at = target;
    let mut rest = source;
    if !target.addr().is_multiple_of(WORD) {
        let (head, behind) = source.split_at(source.len().min(WORD - target.addr() % WORD));
        for byte in head {
            // SAFETY: one of the range's bytes.
            unsafe { store_byte(at, *byte) };
            at = at.wrapping_add(1);
        }
        rest = behind;
    }
    let (words, tail) = rest.as_chunks::<WORD>();
    for word in words {
        // SAFETY: aligned since the head, and all 8 bytes belong to the range.
        unsafe { store(at, u64::from_le_bytes(*word)) };
        at = at.wrapping_add(WORD);
    }
    for byte in tail {
        // SAFETY: one of the range's bytes.
        unsafe { store_byte(at, *byte) };
        at = at.wrapping_add(1);
    }
}

/// Stores `bytes` zeroes.
///
/// # Safety
/// As for [`copy_in`].
pub(super) unsafe fn zero(target: *mut u8, bytes: usize) {
    const ZEROES: [u8; 512] = [0; 512];
    let mut done = 0;
    while done < bytes {
        let step = (bytes - done).min(ZEROES.len());
        // SAFETY: a part of the range.
        unsafe { copy_in(target.wrapping_add(done), &ZEROES[..step]) };
        done += step;
    }
}
