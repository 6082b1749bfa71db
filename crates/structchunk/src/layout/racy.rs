//! Copies to and from memory that other threads and processes use at the same time.
//!
//! Rust calls a race between atomic and plain accesses undefined, and one between atomic accesses of different widths
//! too. So both directions cut memory into the same words: eight bytes wherever the *address* in shared memory allows
//! it, narrower ones at the ends. The cut depends on address and length only, never on who copies.

#![expect(unsafe_code, reason = "atomic accesses through raw pointers into shared memory")]

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Calls a macro for each word of `$shared .. $shared + $bytes`, with the offset and the atomic type of that width.
macro_rules! for_each_word {
    ($shared:expr, $bytes:expr, $copy:ident) => {{
        let (address, bytes) = ($shared.addr(), $bytes);
        let mut done = 0;
        if address % 8 != 0 {
            while done < bytes && (address + done) % 8 != 0 {
                let (at, left) = (address + done, bytes - done);
                if at % 4 == 0 && left >= 4 {
                    $copy!(AtomicU32, u32, done);
                    done += 4;
                } else if at % 2 == 0 && left >= 2 {
                    $copy!(AtomicU16, u16, done);
                    done += 2;
                } else {
                    $copy!(AtomicU8, u8, done);
                    done += 1;
                }
            }
        }
        while bytes - done >= 8 {
            $copy!(AtomicU64, u64, done);
            done += 8;
        }
        if bytes - done >= 4 {
            $copy!(AtomicU32, u32, done);
            done += 4;
        }
        if bytes - done >= 2 {
            $copy!(AtomicU16, u16, done);
            done += 2;
        }
        if bytes - done >= 1 {
            $copy!(AtomicU8, u8, done);
        }
    }};
}

/// Copies out of shared memory, word by word, by relaxed loads.
///
/// # Safety
///
/// `from` is good for reads of `bytes` bytes and others write there only through atomics of the same width; `to` is good
/// for writes of as many and nobody else uses it.
#[inline]
pub unsafe fn copy_words(from: *const u8, to: *mut u8, bytes: usize) {
    macro_rules! load {
        ($atomic:ty, $word:ty, $done:expr) => {{
            // SAFETY: `done` and the word's width stay within `bytes`.
            let source = unsafe { from.add($done) };
            // SAFETY: as above.
            let target = unsafe { to.add($done) };
            // SAFETY: in bounds and aligned to the word, since the word was chosen by the address; others use atomics of
            // this width. Relaxed loads of up to eight bytes are allowed in memory mapped read-only.
            let word = unsafe { <$atomic>::from_ptr(source.cast_mut().cast()) }.load(Relaxed);
            // SAFETY: in bounds, ours alone.
            unsafe { target.cast::<$word>().write_unaligned(word) };
        }};
    }
    for_each_word!(from, bytes, load);
}

/// Copies into shared memory, word by word, by relaxed stores.
///
/// # Safety
///
/// `to` is good for writes of `bytes` bytes and others use it only through atomics of the same width; `from` is good for
/// reads of as many and nobody writes there.
#[inline]
pub unsafe fn write_words(from: *const u8, to: *mut u8, bytes: usize) {
    macro_rules! store {
        ($atomic:ty, $word:ty, $done:expr) => {{
            // SAFETY: `done` and the word's width stay within `bytes`.
            let source = unsafe { from.add($done) };
            // SAFETY: as above.
            let target = unsafe { to.add($done) };
            // SAFETY: in bounds, nobody writes there.
            let word = unsafe { source.cast::<$word>().read_unaligned() };
            // SAFETY: in bounds and aligned to the word, since the word was chosen by the address; others use atomics of
            // this width.
            unsafe { <$atomic>::from_ptr(target.cast()) }.store(word, Relaxed);
        }};
    }
    for_each_word!(to, bytes, store);
}

#[cfg(test)]
mod tests {
    use super::{copy_words, write_words};

    #[test]
    fn every_start_and_length_is_copied_exactly_in_both_directions() {
        let shared: Vec<u8> = (0..64).collect();
        for start in 0..16 {
            for bytes in 0..40 {
                let mut copy = [0xee_u8; 64];
                // SAFETY: both are in bounds and nobody else uses them.
                unsafe { copy_words(shared[start..].as_ptr(), copy[1..].as_mut_ptr(), bytes) };
                assert_eq!(copy[1..=bytes], shared[start..start + bytes]);
                assert!(copy[0] == 0xee && copy[1 + bytes] == 0xee);

                let mut target = [0xee_u8; 64];
                // SAFETY: both are in bounds and nobody else uses them.
                unsafe { write_words(shared[1..].as_ptr(), target[start..].as_mut_ptr(), bytes) };
                assert_eq!(target[start..start + bytes], shared[1..=bytes]);
                assert!(target[..start].iter().chain(&target[start + bytes..]).all(|&byte| byte == 0xee));
            }
        }
    }
}
