//! What `#[derive(Object)]` accepts, what it makes of it, and what it refuses with which words.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use structchunk::{Bool, F16, Fingerprint, Object, Plain, SharedAtomic};
use zerocopy::{big_endian, little_endian};

#[test]
#[cfg_attr(miri, ignore)]
fn misuse_does_not_compile_and_the_message_says_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/derive/*.rs");
}

#[derive(Object)]
#[repr(C)]
#[allow(dead_code)]
struct Everything {
    bytes: [u8; 8],
    f: f64,
    nested: [Inner; 2],
    half: F16,
    flag: Bool,
    _pad: u8,
    be: big_endian::U32,
    le: little_endian::U16,
    r#type: [[u16; 2]; 3],
    _pad0: [u8; 10],
}

#[derive(Object, Clone, Copy)]
#[repr(C)]
struct Inner {
    a: f32,
    b: u32,
}

#[derive(Object)]
#[repr(C)]
struct Grid<T: Object, const N: usize> {
    cells: [[T; N]; 2],
    sum: T,
}

#[derive(Object)]
#[object(atomic)]
#[repr(C, align(64))]
struct Counters {
    hits: AtomicU64,
    parts: [AtomicU32; 2],
    #[object(padding)]
    _pad: [AtomicU8; 48],
}

#[test]
fn a_struct_without_gaps_is_plain() {
    fn plain<T: Plain + ?Sized>() -> Fingerprint {
        T::FINGERPRINT
    }
    fn atomic<T: SharedAtomic + ?Sized>() -> Fingerprint {
        T::FINGERPRINT
    }
    plain::<Everything>();
    plain::<Grid<f64, 3>>();
    plain::<[Grid<f64, 3>]>();
    atomic::<Counters>();
    atomic::<[Counters]>();
}
