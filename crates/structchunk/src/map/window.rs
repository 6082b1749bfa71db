//! What of a mapping is accessible, looked up once for several accesses.
#![expect(unsafe_code, reason = "reads mapped memory")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU64;

use super::{Mapping, racing};
use crate::layout::Object;

/// The accessible part of a [`Mapping`], as it was a moment ago: the file may be longer by now, and is never shorter.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    /// Aligned to a page.
    base: *mut u8,
    limit: u64,
    mapping: PhantomData<&'a Mapping>,
}

impl<'a> Window<'a> {
    /// Of a mapping at `base`, of which the file backs `limit` bytes.
    #[inline]
    pub(super) fn new(base: *mut u8, limit: u64) -> Self {
        Self { base, limit, mapping: PhantomData }
    }

    /// The address of an accessible range; valid as long as the mapping is there.
    #[inline]
    pub(crate) fn address(self, offset: u64, bytes: u64) -> Option<*mut u8> {
        let end = offset.checked_add(bytes)?;
        (end <= self.limit).then(|| self.base.wrapping_add(offset as usize))
    }

    /// See [`Mapping::cells`].
    #[inline]
    pub(crate) fn cells<const N: usize>(self, offset: u64) -> Option<&'a [AtomicU64; N]> {
        // The base is aligned, so the address is where the offset is.
        if !offset.is_multiple_of(8) {
            return None;
        }
        let at = self.address(offset, const { 8 * N as u64 })?.cast::<[AtomicU64; N]>();
        // SAFETY: aligned, inside the part of the mapping that the file backs, and borrowed from the mapping, which does not go while it
        // is used; an atomic has the size and alignment of its word here, and all access to words is atomic.
        Some(unsafe { &*at })
    }

    /// See [`Mapping::eq_bytes`].
    #[inline]
    pub(crate) fn eq_bytes(self, offset: u64, bytes: &[u8]) -> bool {
        let Some(at) = self.address(offset, bytes.len() as u64) else { return false };
        if offset.is_multiple_of(8) {
            // SAFETY: the range is backed, and so are the words at its ends: mapping and file come in whole pages, and a page in whole
            // words. The base is aligned, so the address is where the offset is.
            unsafe { racing::equal_aligned(at, bytes) }
        } else {
            // SAFETY: as above.
            unsafe { racing::equal_skewed(at, bytes) }
        }
    }

    /// See [`Mapping::read_object`].
    #[inline]
    pub(crate) fn read_object<T: Object>(self, offset: u64) -> Option<T> {
        let from = self.address(offset, size_of::<T>() as u64)?;
        if !from.cast::<T>().is_aligned() {
            return None;
        }
        let mut copy = MaybeUninit::<T>::uninit();
        // SAFETY: `from` is aligned and in bounds, and only changed by atomic stores; `copy` has room for a `T`.
        unsafe { T::copy_racy(from, copy.as_mut_ptr().cast(), size_of::<T>()) };
        // SAFETY: all bytes were written, and any bytes are a `T`.
        Some(unsafe { copy.assume_init() })
    }

    /// Begins to bring the cache line at `offset` near.
    #[inline]
    pub(crate) fn prefetch(self, offset: u64) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let at = self.base.wrapping_add(offset as usize);
            // SAFETY: a prefetch faults at no address, mapped or not, and every x86-64 has the instruction.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = offset;
    }
}
