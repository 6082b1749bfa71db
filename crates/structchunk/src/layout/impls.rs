//! The objects that come with the library: numbers, atomics, arrays and slices.

#![expect(unsafe_code, reason = "implements the unsafe traits for numbers and arrays")]

use std::ptr;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    AtomicUsize, Ordering::Relaxed,
};

use zerocopy::byteorder::{self, BigEndian, LittleEndian};

use super::fingerprint::Fingerprint;
use super::kind::{ByteOrder, Kind, Presentation, Scalar};
use super::object::{Object, Plain, SharedAtomic};
use super::racy::{copy_words, write_words};
use super::shape::Shape;
use super::statics::{Content, Dimension, Dimensions, MAX_DIMENSIONS, TypeLayout, count_dimensions};
use super::wrappers::{Bool, F16};

const _: () = assert!(size_of::<usize>() == 8, "structchunk needs 64-bit addresses");

/// What is the same for everything that has a fixed size and is no array.
macro_rules! single_value {
    ($layout:expr) => {
        const ELEMENT: &'static TypeLayout = &$layout;
        const FINGERPRINT: Fingerprint = Fingerprint::of(Self::ELEMENT);
        const ARRAY: bool = false;
        const ALIGN: usize = align_of::<Self>();
        const DIMENSIONS: Dimensions = None;

        fn shape(&self) -> Shape {
            Shape::NONE
        }

        fn from_raw_parts(at: *const u8, bytes: usize) -> Option<*const Self> {
            (bytes == size_of::<Self>()).then_some(at.cast())
        }
    };
}

macro_rules! plain {
    ($($type:ty: $layout:expr;)*) => { $(
        // SAFETY: a number, or a transparent wrapper of one: any bytes are a value, no pointers, no padding, no cells.
        unsafe impl Object for $type {
            single_value!($layout);
            const ATOMIC: bool = false;

            #[inline]
            unsafe fn copy_racy(from: *const u8, to: *mut u8, _bytes: usize) {
                // SAFETY: the caller's promise; `bytes` can only be our size.
                unsafe { copy_words(from, to, size_of::<Self>()) }
            }

            #[inline]
            unsafe fn write_racy(from: *const u8, to: *mut u8, _bytes: usize) {
                // SAFETY: the caller's promise; `bytes` can only be our size.
                unsafe { write_words(from, to, size_of::<Self>()) }
            }
        }

        // SAFETY: as above.
        unsafe impl Plain for $type {}
    )* };
}

macro_rules! atomic {
    ($($type:ty, $word:ty: $kind:ident;)*) => { $(
        // SAFETY: an atomic integer: any bytes are a value, no pointers, no padding.
        unsafe impl Object for $type {
            single_value!(TypeLayout::of_scalar(Scalar::native(Kind::$kind), align_of::<Self>()));
            const ATOMIC: bool = true;

            #[inline]
            unsafe fn copy_racy(from: *const u8, to: *mut u8, _bytes: usize) {
                // SAFETY: the caller promises an aligned pointer that is good for reads and only used through atomics of
                // this width. Relaxed loads of up to eight bytes are allowed in memory mapped read-only.
                let value = unsafe { <$type>::from_ptr(from.cast_mut().cast()) }.load(Relaxed);
                // SAFETY: the caller promises `to` is good for writes and ours alone.
                unsafe { to.cast::<$word>().write_unaligned(value) }
            }

            #[inline]
            unsafe fn write_racy(from: *const u8, to: *mut u8, _bytes: usize) {
                // SAFETY: the caller promises `from` is good for reads and nobody writes there.
                let value = unsafe { from.cast::<$word>().read_unaligned() };
                // SAFETY: the caller promises an aligned pointer that is good for writes and only used through atomics of
                // this width.
                unsafe { <$type>::from_ptr(to.cast()) }.store(value, Relaxed);
            }
        }

        // SAFETY: as above.
        unsafe impl SharedAtomic for $type {}
    )* };
}

macro_rules! native {
    ($($type:ty: $kind:ident;)*) => {
        plain! { $($type: TypeLayout::of_scalar(Scalar::native(Kind::$kind), align_of::<$type>());)* }
    };
}

macro_rules! ordered {
    ($($type:ident: $kind:ident;)*) => {
        plain! { $(
            byteorder::$type<LittleEndian>: TypeLayout::of_scalar(Scalar::new(Kind::$kind, ByteOrder::Little), 1);
            byteorder::$type<BigEndian>: TypeLayout::of_scalar(Scalar::new(Kind::$kind, ByteOrder::Big), 1);
        )* }
    };
}

native! {
    u8: U1; u16: U2; u32: U4; u64: U8; usize: U8;
    i8: I1; i16: I2; i32: I4; i64: I8; isize: I8;
    F16: F2; f32: F4; f64: F8;
}

ordered! {
    U16: U2; U32: U4; U64: U8; Usize: U8;
    I16: I2; I32: I4; I64: I8; Isize: I8;
    F32: F4; F64: F8;
}

plain! {
    Bool: TypeLayout {
        name: "bool",
        size: 1,
        align: 1,
        content: Content::Scalar { scalar: Scalar::native(Kind::U1), presentation: Presentation::Bool },
        evolution: None,
    };
}

atomic! {
    AtomicU8, u8: U1; AtomicU16, u16: U2; AtomicU32, u32: U4; AtomicU64, u64: U8; AtomicUsize, usize: U8;
    AtomicI8, i8: I1; AtomicI16, i16: I2; AtomicI32, i32: I4; AtomicI64, i64: I8; AtomicIsize, isize: I8;
}

/// Copies an array: at once when it is plain, else item by item.
macro_rules! array_copies {
    () => {
        const ATOMIC: bool = T::ATOMIC;

        #[inline]
        unsafe fn copy_racy(from: *const u8, to: *mut u8, bytes: usize) {
            if !T::ATOMIC {
                // SAFETY: the caller's promise.
                return unsafe { copy_words(from, to, bytes) };
            }
            for done in (0..bytes).step_by(size_of::<T>()) {
                // SAFETY: `done` is below `bytes`.
                let source = unsafe { from.add(done) };
                // SAFETY: as above.
                let target = unsafe { to.add(done) };
                // SAFETY: `bytes` is a multiple of the item's size, so this item is in bounds, and aligned as the first.
                unsafe { T::copy_racy(source, target, size_of::<T>()) };
            }
        }

        #[inline]
        unsafe fn write_racy(from: *const u8, to: *mut u8, bytes: usize) {
            if !T::ATOMIC {
                // SAFETY: the caller's promise.
                return unsafe { write_words(from, to, bytes) };
            }
            for done in (0..bytes).step_by(size_of::<T>()) {
                // SAFETY: `done` is below `bytes`.
                let source = unsafe { from.add(done) };
                // SAFETY: as above.
                let target = unsafe { to.add(done) };
                // SAFETY: `bytes` is a multiple of the item's size, so this item is in bounds, and aligned as the first.
                unsafe { T::write_racy(source, target, size_of::<T>()) };
            }
        }
    };
}

// SAFETY: items without gaps, each an object.
unsafe impl<T: Object, const N: usize> Object for [T; N] {
    const ELEMENT: &'static TypeLayout = T::ELEMENT;
    const FINGERPRINT: Fingerprint = T::FINGERPRINT;
    const ARRAY: bool = true;
    const ALIGN: usize = align_of::<T>();
    const DIMENSIONS: Dimensions = {
        assert!(N > 0, "an array of length 0 cannot be stored");
        assert!(
            count_dimensions(T::DIMENSIONS) < MAX_DIMENSIONS as u64,
            "an array has at most 32 dimensions"
        );
        Some(&Dimension { length: N as u64, inner: T::DIMENSIONS })
    };

    fn shape(&self) -> Shape {
        Shape::of(None, Self::DIMENSIONS)
    }

    fn from_raw_parts(at: *const u8, bytes: usize) -> Option<*const Self> {
        // Refuses arrays of length 0 at compile time.
        const { assert!(Self::DIMENSIONS.is_some()) };
        (bytes == size_of::<Self>()).then_some(at.cast())
    }

    array_copies!();
}

// SAFETY: an array is what its items are.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

// SAFETY: an array is what its items are.
unsafe impl<T: SharedAtomic, const N: usize> SharedAtomic for [T; N] {}

// SAFETY: items without gaps, each an object.
unsafe impl<T: Object> Object for [T] {
    const ELEMENT: &'static TypeLayout = T::ELEMENT;
    const FINGERPRINT: Fingerprint = T::FINGERPRINT;
    const ARRAY: bool = true;
    const ALIGN: usize = align_of::<T>();
    const DIMENSIONS: Dimensions = {
        assert!(
            count_dimensions(T::DIMENSIONS) < MAX_DIMENSIONS as u64,
            "an array has at most 32 dimensions"
        );
        T::DIMENSIONS
    };

    fn shape(&self) -> Shape {
        Shape::of(Some(self.len() as u64), Self::DIMENSIONS)
    }

    fn from_raw_parts(at: *const u8, bytes: usize) -> Option<*const Self> {
        let item = const {
            assert!(size_of::<T>() > 0, "a type without bytes cannot be stored");
            size_of::<T>()
        };
        (bytes > 0 && bytes.is_multiple_of(item)).then(|| ptr::slice_from_raw_parts(at.cast(), bytes / item))
    }

    array_copies!();
}

// SAFETY: a slice is what its items are.
unsafe impl<T: Plain> Plain for [T] {}

// SAFETY: a slice is what its items are.
unsafe impl<T: SharedAtomic> SharedAtomic for [T] {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
    use std::{ptr, thread};

    use crate::{Bool, F16, Object};

    #[derive(Object)]
    #[object(atomic)]
    #[repr(C)]
    struct Counters {
        hits: AtomicU64,
        pairs: [[AtomicU16; 2]; 3],
        flags: [AtomicU8; 4],
    }

    fn lengths_accepted<T: Object + ?Sized>() -> Vec<usize> {
        let at = ptr::without_provenance(64);
        (0..=48).filter(|&bytes| T::from_raw_parts(at, bytes).is_some()).collect()
    }

    #[test]
    fn only_the_right_number_of_bytes_is_taken_for_an_object() {
        assert_eq!(lengths_accepted::<Counters>(), [24]);
        assert_eq!(lengths_accepted::<u32>(), [4]);
        assert_eq!(lengths_accepted::<[[u32; 2]; 3]>(), [24]);
        assert_eq!(lengths_accepted::<[[u32; 2]]>(), [8, 16, 24, 32, 40, 48]);
        let slice = <[[u32; 2]]>::from_raw_parts(ptr::without_provenance(64), 24).unwrap();
        assert_eq!(slice.len(), 3);
    }

    #[test]
    fn arrays_know_their_shape_and_what_is_none_has_no_dimensions() {
        let nested = [[[0_u8; 4]; 3]; 2];
        assert_eq!(*nested.shape(), [2, 3, 4]);
        assert_eq!(*nested[..1].shape(), [1, 3, 4]);
        assert_eq!(nested[..1].byte_len(), 12);
        assert!(Bool::TRUE.shape().is_empty() && !Bool::ARRAY && <[Bool; 1]>::ARRAY && <[Bool]>::ARRAY);
        assert_eq!(<[[F16; 2]]>::FINGERPRINT, F16::FINGERPRINT);
        assert_eq!((<[[F16; 2]]>::ALIGN, Counters::ALIGN), (2, 8));
    }

    /// Bytes at an alignment of 16, as records have it.
    #[repr(align(16))]
    struct Aligned([u8; 72]);

    fn copies_exactly<T: Object + ?Sized>(bytes: usize) {
        let mut shared = Aligned(std::array::from_fn(|index| index as u8));
        let mut copy = [0xee; 72];
        // SAFETY: both have 72 bytes, `shared` is aligned, nobody else uses them.
        unsafe { T::copy_racy(shared.0.as_ptr(), copy.as_mut_ptr(), bytes) };
        assert_eq!(copy[..bytes], shared.0[..bytes]);
        assert!(copy[bytes..].iter().all(|&byte| byte == 0xee));
        copy[..bytes].reverse();
        // SAFETY: both have 72 bytes, `shared` is aligned, nobody else uses them.
        unsafe { T::write_racy(copy.as_ptr(), shared.0.as_mut_ptr(), bytes) };
        assert_eq!(copy[..bytes], shared.0[..bytes]);
        assert!((bytes..72).all(|index| shared.0[index] == index as u8));
    }

    #[test]
    fn every_kind_of_object_is_copied_exactly_and_nothing_beside_it() {
        copies_exactly::<u8>(1);
        copies_exactly::<f64>(8);
        copies_exactly::<[u8; 7]>(7);
        copies_exactly::<[[f32; 3]]>(36);
        copies_exactly::<AtomicU32>(4);
        copies_exactly::<[AtomicU16]>(10);
        copies_exactly::<Counters>(24);
        copies_exactly::<[Counters; 3]>(72);
    }

    #[test]
    fn racing_copies_mix_whole_words_only() {
        let shared: Vec<AtomicU64> = (0..9).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..10_000_u64 {
                    let value = [round << 32 | round; 9];
                    let target = shared.as_ptr().cast_mut().cast();
                    // SAFETY: 72 bytes on both sides; the shared ones are atomics of eight bytes, the width of the words.
                    unsafe { <[u64]>::write_racy(value.as_ptr().cast(), target, 72) };
                }
            });
            for _ in 0..10_000 {
                let mut seen = [0_u64; 9];
                // SAFETY: as above.
                unsafe { <[u64]>::copy_racy(shared.as_ptr().cast(), seen.as_mut_ptr().cast(), 72) };
                assert!(seen.iter().all(|word| word >> 32 == word & 0xffff_ffff), "{seen:x?}");
            }
        });
        assert_eq!(shared[8].load(Relaxed), (9_999 << 32) + 9_999);
    }
}
