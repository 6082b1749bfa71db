//! What `#[derive(Object)]` accepts, what it makes of it, and what it refuses with which words.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use structchunk::{Bool, F16, Layout, Object, Plain, Presentation, SharedAtomic, TimeBase, TimeUnit};
use zerocopy::{big_endian, little_endian};

#[test]
fn misuse_does_not_compile_and_the_message_says_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/derive/*.rs");
}

#[derive(Object)]
#[repr(C)]
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

#[derive(Object)]
#[object(atomic)]
#[repr(C)]
struct Cells<T: SharedAtomic> {
    cells: [T; 4],
}

#[derive(Object)]
#[object(name = "struct labels")]
#[repr(C)]
struct Labels {
    #[object(text, title = "Full name")]
    name: [u8; 8],
    #[object(duration = "10ms")]
    lasting: i64,
}

fn plain<T: Plain + ?Sized>() -> Layout {
    Layout::from(T::ELEMENT)
}

fn atomic<T: SharedAtomic + ?Sized>() -> Layout {
    Layout::from(T::ELEMENT)
}

#[test]
fn a_struct_is_described_as_it_is_declared_without_its_padding() {
    assert_eq!(
        plain::<Everything>().to_string(),
        "Everything { bytes: u1[8] at 0, f: f8 at 8, nested: Inner[2] at 16, half: f2 at 32, flag: u1 at 34, \
         be: >u4 at 36, le: u2 at 40, type: u2[3, 2] at 42 }, 64 bytes"
    );
    assert_eq!(atomic::<[Counters]>().to_string(), "Counters { hits: u8 at 0, parts: u4[2] at 8 }, 64 bytes");
    assert_eq!((Counters::ALIGN, Counters::ARRAY), (64, false));
}

#[test]
fn generic_structs_are_objects_for_every_parameter_that_fits() {
    assert_eq!(
        plain::<[Grid<f64, 3>]>().to_string(),
        "Grid { cells: f8[2, 3] at 0, sum: f8 at 48 }, 56 bytes"
    );
    assert_eq!(
        plain::<Grid<Inner, 1>>().to_string(),
        "Grid { cells: Inner[2, 1] at 0, sum: Inner at 16 }, 24 bytes"
    );
    assert_eq!(atomic::<Cells<AtomicU32>>().to_string(), "Cells { cells: u4[4] at 0 }, 16 bytes");
    assert_ne!(<Grid<f64, 3>>::FINGERPRINT, <Grid<f64, 2>>::FINGERPRINT);
}

#[test]
fn names_titles_and_presentations_reach_the_layout() {
    let layout = plain::<Labels>();
    assert_eq!(layout.name(), "struct labels");
    assert_eq!(layout.fields()[0].title(), Some("Full name"));
    assert_eq!(layout.fields()[0].presentation(), Presentation::Text);
    let unit = TimeUnit { base: TimeBase::Millisecond, step: 10 };
    assert_eq!(layout.fields()[1].presentation(), Presentation::Duration(unit));
}
