use proptest::prelude::*;

use super::{Fingerprint, Layout, MAX_ENCODED_BYTES};
use crate::{ByteOrder, Field, FieldContent, Kind, Object, Presentation, Scalar, TimeBase, TimeUnit};

/// One of everything that a description can say.
fn sample() -> Layout {
    let number = |kind| FieldContent::Scalar(Scalar::new(kind, ByteOrder::Big));
    let inner = || Layout::new("Inner", 8, 4, vec![Field::new("é", 4, number(Kind::F4))]).unwrap();
    let unit = TimeUnit { base: TimeBase::Nanosecond, step: 25 };
    let fields = vec![
        Field::new("inner", 0, FieldContent::Nested(inner())).with_shape(vec![2, 3]),
        Field::new("again", 48, FieldContent::Nested(inner()))
            .with_title("Once more")
            .with_group("u")
            .with_former_name("ère")
            .with_former_name("once"),
        Field::new("when", 56, number(Kind::I8)).with_presentation(Presentation::Instant(unit)),
        Field::new("span", 56, number(Kind::I8)).with_presentation(Presentation::Duration(unit)),
        Field::new("text", 64, number(Kind::U1)).with_shape(vec![8]).with_presentation(Presentation::Text),
        Field::at_bit("b", 77, FieldContent::Bits { width: 13, signed: true, order: ByteOrder::Little })
            .with_presentation(Presentation::Bool),
    ];
    let older = [0, u64::MAX].map(Fingerprint::from_bits).to_vec();
    Layout::new("Sample", 96, 16, fields).unwrap().extending(older)
}

#[test]
fn a_layout_comes_back_as_it_was_and_nested_types_are_told_once() {
    let bytes = sample().encode().unwrap();
    let back = Layout::decode(&bytes).unwrap();
    assert_eq!(back.fingerprint(), sample().fingerprint());
    assert_eq!(back.to_string(), sample().to_string());
    assert_eq!((back.align(), back.fields()[1].title()), (16, Some("Once more")));
    assert_eq!(back.fields()[1].group(), Some("u"));
    assert_eq!(back.fields()[1].former_names(), ["ère", "once"]);
    assert_eq!(back.extends(), sample().extends());
    assert_eq!(back.extends().len(), 2);
    assert_eq!(back.fields()[2].presentation(), sample().fields()[2].presentation());
    assert_eq!(back.encode().unwrap(), bytes);
    assert_eq!(bytes.windows(5).filter(|window| window == b"Inner").count(), 1);
}

#[test]
fn the_example_of_the_format_document_is_what_is_written() {
    let number = |kind| FieldContent::Scalar(Scalar::new(kind, ByteOrder::Little));
    let at = Layout::new(
        "At",
        4,
        2,
        vec![Field::new("x", 0, number(Kind::I2)), Field::new("y", 2, number(Kind::I2))],
    );
    let fields = vec![
        Field::new("at", 0, FieldContent::Nested(at.unwrap())),
        Field::new("tag", 4, number(Kind::U1)).with_shape(vec![4]).with_presentation(Presentation::Text),
    ];
    let layout = Layout::new("Dot", 8, 2, fields).unwrap();
    let document = include_str!("../../../../../FORMAT.md");
    let hex: Vec<String> = layout.encode().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    for (index, line) in hex.chunks(16).enumerate() {
        let line = format!("{:04x}  {}", index * 16, line.join(" "));
        assert!(document.contains(&line), "{line}");
    }
    assert!(document.contains(&layout.fingerprint().to_string()), "{}", layout.fingerprint());
}

#[test]
fn numbers_are_layouts_too() {
    let back = Layout::decode(&Layout::from(f64::ELEMENT).encode().unwrap()).unwrap();
    assert_eq!((back.fingerprint(), back.name()), (f64::FINGERPRINT, "f8"));
    assert_eq!(back.scalar(), Some(Scalar::native(Kind::F8)));
}

#[test]
fn every_cut_and_every_extra_byte_is_refused() {
    let bytes = sample().encode().unwrap();
    for length in 0..bytes.len() {
        assert!(Layout::decode(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let error = Layout::decode(&longer).unwrap_err();
    assert_eq!(error.to_string(), format!("type description, byte {}: bytes after the end", bytes.len()));
    assert!(Layout::decode(&vec![0; MAX_ENCODED_BYTES + 1]).unwrap_err().reason.contains("32 KiB"));
}

#[test]
fn unknown_hints_are_stepped_over_and_unknown_kinds_are_not() {
    let bytes = Layout::from(u8::ELEMENT).encode().unwrap();
    // Header, layout with the name `u1`, field without a name: `at` is where the field begins.
    let at = 4 + 16 + 2;
    assert_eq!(bytes.len(), at + 20);
    let mut hinted = bytes.clone();
    hinted[at + 16] = 5;
    hinted.extend([0xee, 2, 0, 7, 7]);
    assert_eq!(Layout::decode(&hinted).unwrap().fingerprint(), u8::FINGERPRINT);
    *hinted.last_mut().unwrap() = 0xff;
    hinted[at + 20] = super::HINT_TITLE;
    let error = Layout::decode(&hinted).unwrap_err();
    assert_eq!((error.offset, error.reason.as_str()), (at + 24, "no UTF-8"));
    for (index, value) in [(8, 0x14), (9, 1), (9, 3), (10, 1), (11, 1), (12, 1), (18, 1)] {
        let mut odd = bytes.clone();
        odd[at + index] = value;
        assert!(Layout::decode(&odd).is_err(), "{index}");
    }
}

#[test]
fn a_hint_of_older_layouts_that_has_no_whole_number_of_them_says_nothing() {
    let bytes = Layout::from(u8::ELEMENT).encode().unwrap();
    // Header, layout with the name `u1`: `at` is where its hints begin.
    let at = 4 + 16 + 2;
    let hinted = |hint: &[u8]| {
        let mut hinted = bytes.clone();
        hinted[4 + 14] = hint.len() as u8;
        hinted.splice(at..at, hint.iter().copied());
        Layout::decode(&hinted)
    };
    let eight = [super::HINT_EXTENDS, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0x80];
    assert_eq!(hinted(&eight).unwrap().extends(), [Fingerprint::from_bits(1 << 63 | 1)]);
    let nine = [&eight[..], &[7]].concat();
    assert!(hinted(&nine).is_err(), "a byte that belongs to no hint");
    let nine = [&[super::HINT_EXTENDS, 9], &nine[2..]].concat();
    assert!(hinted(&nine).unwrap().extends().is_empty());
    assert_eq!(hinted(&nine).unwrap().fingerprint(), u8::FINGERPRINT);
    assert!(hinted(&[super::HINT_EXTENDS, 0, 0]).unwrap().extends().is_empty());
}

#[test]
fn a_struct_can_only_nest_what_was_told_before_it() {
    let inner =
        Layout::new("I", 1, 1, vec![Field::new("x", 0, FieldContent::Scalar(Scalar::native(Kind::U1)))]);
    let outer =
        Layout::new("O", 1, 1, vec![Field::new("i", 0, FieldContent::Nested(inner.unwrap()))]).unwrap();
    let mut bytes = outer.encode().unwrap();
    let nested = 4 + (16 + 1 + 20 + 1) + 16 + 1 + 12;
    assert_eq!(bytes[nested], 0);
    bytes[nested] = 1;
    assert!(Layout::decode(&bytes).is_err());
}

#[test]
fn structs_that_are_nested_deeper_than_any_program_has_them_are_refused() {
    let number = FieldContent::Scalar(Scalar::native(Kind::U1));
    let inner = Layout::new("S", 1, 1, vec![Field::new("f", 0, number)]).unwrap();
    let outer =
        Layout::new("S", 1, 1, vec![Field::new("f", 0, FieldContent::Nested(inner.clone()))]).unwrap();
    let (inner, outer) = (inner.encode().unwrap(), outer.encode().unwrap());
    // Each of these nests the one before it.
    let level = &outer[inner.len()..];
    let nested = |levels: u16| {
        let mut bytes = inner.clone();
        for number in 0..levels {
            let at = bytes.len() + 16 + 1 + 12;
            bytes.extend(level);
            bytes[at..at + 2].copy_from_slice(&number.to_le_bytes());
        }
        bytes[2..4].copy_from_slice(&(levels + 1).to_le_bytes());
        bytes
    };
    let deepest = (1..800).take_while(|&levels| Layout::decode(&nested(levels)).is_ok()).count();
    assert_eq!(deepest, crate::layout::MAX_DEPTH - 1);
    let error = Layout::decode(&nested(800)).unwrap_err();
    assert!(error.reason.contains("nested at most 32 deep"), "{error}");
}

#[test]
fn a_type_with_too_many_fields_is_refused() {
    let number = FieldContent::Scalar(Scalar::native(Kind::U1));
    let fields = |count: u64| (0..count).map(|at| Field::new(format!("f{at}"), at, number.clone())).collect();
    assert!(Layout::new("T", 70_000, 1, fields(1_000)).unwrap().encode().is_ok());
    let error = Layout::new("T", 70_000, 1, fields(70_000)).unwrap().encode().unwrap_err();
    assert!(error.to_string().contains("at most 32768"), "{error}");
}

proptest! {
    #[test]
    fn whatever_a_description_is_changed_to_is_an_error_or_a_sound_layout(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = sample().encode().unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(layout) = Layout::decode(&bytes) {
            // Of sizes that fit here the objects are read too, within the limit.
            let object = vec![0xa5; layout.size().min(4096) as usize];
            let read = layout.read(&object, None, 100).map(|value| (value.to_string(), value.json().to_string()));
            prop_assert_eq!(read.is_some(), layout.size() <= 4096);
            prop_assert_eq!(Layout::decode(&layout.encode().unwrap()).unwrap().fingerprint(), layout.fingerprint());
            let _ = crate::LayoutMismatch::between(&layout, &sample()).map(|mismatch| mismatch.to_string());
        }
    }

    #[test]
    fn any_bytes_are_an_error_or_a_layout(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Layout::decode(&[&[1, 0, 1, 0], &bytes[..]].concat());
    }
}
