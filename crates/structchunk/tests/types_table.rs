//! The table of types whose fingerprints are the same in every language: `golden/layouts.txt`.
//!
//! Tests of other languages declare the same types, by the description in the last column, and compare with the same file.
//! A line that changes means that stored objects are no longer found under their type.
#![cfg(target_endian = "little")]

use std::fmt::Write as _;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    AtomicUsize,
};

use structchunk::{
    Bool, ByteOrder, F16, Field, FieldContent, Kind, Layout, Object, Presentation, Scalar, TimeBase, TimeUnit,
};
use zerocopy::{big_endian, little_endian};

/// Declares structs, and a function that answers their layouts.
macro_rules! types {
    ($($(#[$attribute:meta])* struct $name:ident { $($(#[$on_field:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            #[derive(Object)]
            #[repr(C)]
            #[allow(clippy::struct_field_names, reason = "some are those of C")]
            $(#[$attribute])*
            struct $name { $($(#[$on_field])* $field: $ty,)* }
        )*

        fn declared() -> Vec<Layout> {
            vec![$(Layout::from(<$name as Object>::ELEMENT)),*]
        }
    };
}

types! {
    struct One { x: u8, }
    struct Unsigned { a: u64, b: u32, c: u16, d: u8, e: u8, }
    struct Signed { a: i64, b: i32, c: i16, d: i8, e: i8, }
    struct Floats { a: f64, b: f32, c: F16, d: F16, }
    struct PlatformIntegers { u: usize, i: isize, }
    struct Booleans { a: Bool, b: [Bool; 3], }
    struct Point { x: f64, y: f64, }
    struct SinglePoint { x: f32, y: f32, }
    struct PointOfOtherNames { x0: f64, y0: f64, }
    struct PointOtherWayRound { y: f64, x: f64, }
    struct Particle { position: [f64; 3], velocity: [f64; 3], charge: f32, id: u32, }
    struct Bytes { data: [u8; 10], }
    struct Name { #[object(text)] name: [u8; 16], }
    struct Wide { #[object(text)] name: [u32; 10], }
    struct Matrix { m: [[f64; 3]; 2], }
    struct Flat { m: [f64; 6], }
    struct OneByOne { m: [[f64; 1]; 1], }
    struct Scalar64 { m: f64, }
    struct FourDimensions { t: [[[[i16; 2]; 3]; 4]; 5], }
    struct ComplexNumbers { #[object(complex)] z: [f64; 2], #[object(complex)] row: [[f32; 2]; 4], }
    struct Times { #[object(instant = "ns")] at: i64, #[object(duration = "25s")] lasting: i64, }
    struct BigEndian {
        a: big_endian::U16, b: big_endian::U32, c: big_endian::U64, d: big_endian::I16, e: big_endian::I32,
        f: big_endian::I64, g: big_endian::F32, h: big_endian::F64,
    }
    struct LittleEndian {
        a: little_endian::U16, b: little_endian::U32, c: little_endian::U64, d: little_endian::I16,
        e: little_endian::I32, f: little_endian::I64, g: little_endian::F32, h: little_endian::F64,
    }
    struct PackedLikeC { tag: u8, length: little_endian::U32, value: little_endian::U64, }
    struct Padded { a: u8, #[object(padding)] _pad: [u8; 3], b: u32, c: u8, #[object(padding)] _pad0: [u8; 7], d: f64, }
    struct PaddedAtTheEnd { a: u64, b: u8, _pad17: [u8; 7], }
    struct NotPadding { a: u64, _padding: [u8; 8], }
    struct GapFilledByName { a: u8, b: [u8; 7], c: u64, }
    #[repr(align(64))]
    struct CacheLine { x: u64, _pad: [u8; 56], }
    struct Nested { first: Point, second: SinglePoint, }
    struct NestedDeep { label: u64, nested: Nested, point: Point, }
    struct NestedArray { points: [Point; 3], grid: [[SinglePoint; 2]; 4], }
    struct NestedPadded { inner: [Padded; 2], }
    struct Keyword { r#type: u32, r#match: u32, }
    struct Unicode { größe: f64, 高さ: f64, }
    struct EightByteName { exactly8: u8, exactly_16_bytes: u8, }
    #[object(name = "struct point")]
    struct Renamed { x: f64, y: f64, }
    #[object(atomic)]
    struct AtomicUnsigned { a: AtomicU64, b: AtomicU32, c: AtomicU16, d: AtomicU8, e: AtomicU8, }
    #[object(atomic)]
    struct AtomicSigned { a: AtomicI64, b: AtomicI32, c: AtomicI16, d: AtomicI8, e: AtomicI8, }
    #[object(atomic)]
    struct AtomicPlatform { u: AtomicUsize, i: AtomicIsize, }
    #[object(atomic)]
    struct AtomicArrays { cells: [[AtomicU32; 2]; 2], nested: [AtomicPlatform; 2], }
    struct ElfSymbol { st_name: u32, st_info: u8, st_other: u8, st_shndx: u16, st_value: u64, st_size: u64, }
}

#[derive(Object)]
#[repr(C)]
struct Generic<T: Object, const N: usize> {
    items: [T; N],
    last: T,
}

/// What Rust has no syntax for, as other languages describe it at run time.
fn described() -> Vec<Layout> {
    let number = |kind| FieldContent::Scalar(Scalar::native(kind));
    let bits = |width, signed, order| FieldContent::Bits { width, signed, order };
    let (little, big) = (ByteOrder::Little, ByteOrder::Big);
    let point = Layout::from(Point::ELEMENT);
    let make = |name: &str, size, align, fields| Layout::new(name, size, align, fields).unwrap();
    vec![
        make(
            "UnionOfNumbers",
            8,
            8,
            vec![
                Field::new("f", 0, number(Kind::F8)),
                Field::new("i", 0, number(Kind::I8)),
                Field::new("bytes", 0, number(Kind::U1)).with_shape(vec![8]),
                Field::new("low", 0, number(Kind::U4)),
            ],
        ),
        make(
            "UnionMember",
            24,
            8,
            vec![
                Field::new("tag", 0, number(Kind::U4)),
                Field::new("point", 8, FieldContent::Nested(point)),
                Field::new("id", 8, number(Kind::U8)).with_group("u"),
            ],
        ),
        make(
            "BitFields",
            8,
            4,
            vec![
                Field::at_bit("a", 0, bits(3, false, little)),
                Field::at_bit("b", 3, bits(13, true, little)),
                Field::at_bit("flag", 16, bits(1, false, little)).with_presentation(Presentation::Bool),
                Field::new("rest", 4, number(Kind::U4)),
            ],
        ),
        make(
            "BigEndianBitFields",
            4,
            4,
            vec![Field::at_bit("a", 0, bits(3, false, big)), Field::at_bit("b", 3, bits(13, true, big))],
        ),
        make(
            "UnalignedPacked",
            13,
            1,
            vec![
                Field::new("a", 0, number(Kind::U1)),
                Field::new("b", 1, number(Kind::F8)),
                Field::new("c", 9, number(Kind::U4)),
            ],
        ),
        make(
            "DeclaredBackwards",
            16,
            8,
            vec![
                Field::new("second", 8, number(Kind::I8))
                    .with_presentation(Presentation::Instant(TimeUnit { base: TimeBase::Day, step: 1 })),
                Field::new("first", 0, number(Kind::I8)),
            ],
        ),
    ]
}

fn all() -> Vec<Layout> {
    let numbers = [
        u8::ELEMENT,
        u16::ELEMENT,
        u32::ELEMENT,
        u64::ELEMENT,
        i8::ELEMENT,
        i16::ELEMENT,
        i32::ELEMENT,
        i64::ELEMENT,
        F16::ELEMENT,
        f32::ELEMENT,
        f64::ELEMENT,
        Bool::ELEMENT,
        big_endian::U32::ELEMENT,
        big_endian::F64::ELEMENT,
    ];
    let generic = [<Generic<f64, 3>>::ELEMENT, <Generic<Point, 2>>::ELEMENT];
    let mut all: Vec<Layout> = numbers.into_iter().map(Layout::from).collect();
    all.extend(declared());
    all.extend(generic.into_iter().map(Layout::from));
    all.extend(described());
    all
}

#[test]
fn the_fingerprints_of_the_table_are_what_they_have_always_been() {
    let mut table = String::from("# name, fingerprint, size, fields; separated by tabs\n");
    for layout in all() {
        writeln!(table, "{}\t{}\t{}\t{layout}", layout.name(), layout.fingerprint(), layout.size()).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/layouts.txt");
    if std::env::var_os("STRUCTCHUNK_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (line, expected) in table.lines().zip(golden.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(table, golden);
}

#[test]
fn constants_and_stored_layouts_have_the_same_fingerprints() {
    assert_eq!(Layout::from(Padded::ELEMENT).fingerprint(), Padded::FINGERPRINT);
    assert_eq!(Layout::from(NestedArray::ELEMENT).fingerprint(), NestedArray::FINGERPRINT);
    assert_eq!(Layout::from(AtomicArrays::ELEMENT).fingerprint(), AtomicArrays::FINGERPRINT);
    assert_eq!(Layout::from(<Generic<Matrix, 2>>::ELEMENT).fingerprint(), <Generic<Matrix, 2>>::FINGERPRINT);
    for layout in all() {
        let back = Layout::decode(&layout.encode().unwrap()).unwrap();
        assert_eq!((back.fingerprint(), back.to_string()), (layout.fingerprint(), layout.to_string()));
    }
}

#[test]
fn types_are_one_type_exactly_when_their_bytes_mean_the_same() {
    // Names of types, atomicity, hints and alignment change no byte.
    assert_eq!(Renamed::FINGERPRINT, Point::FINGERPRINT);
    assert_eq!(AtomicUnsigned::FINGERPRINT, Unsigned::FINGERPRINT);
    assert_eq!(AtomicPlatform::FINGERPRINT, PlatformIntegers::FINGERPRINT);
    assert_eq!(Bool::FINGERPRINT, u8::FINGERPRINT);
    assert_eq!(little_endian::U32::FINGERPRINT, u32::FINGERPRINT);
    let all = all();
    let same = |a: &Layout, b: &Layout| a.fingerprint() == b.fingerprint();
    for (index, layout) in all.iter().enumerate() {
        let twins: Vec<&str> =
            all[..index].iter().filter(|other| same(layout, other)).map(Layout::name).collect();
        let expected: &[&str] = match layout.name() {
            "struct point" => &["Point"],
            "AtomicUnsigned" => &["Unsigned"],
            "AtomicSigned" => &["Signed"],
            "AtomicPlatform" => &["PlatformIntegers"],
            "bool" => &["u1"],
            _ => &[],
        };
        assert_eq!(twins, expected, "{layout}");
    }
}
