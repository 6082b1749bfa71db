//! Layouts as the payload of a type record, and back.
//!
//! The payload is a table of layouts, each after those nested in it, the type itself last. So decoding needs no recursion,
//! and a type that is nested in many places is told once. The bytes are drawn in `FORMAT.md`.

use std::collections::HashMap;

use super::field::{Field, FieldContent};
use super::fingerprint::{NESTED, SIGNED_BITS, UNSIGNED_BITS};
use super::kind::{ByteOrder, Kind, Presentation, Scalar, TimeBase, TimeUnit};
use super::stored::Layout;
use crate::error::{Error, Result};

/// Longest description of a type, in bytes.
pub const MAX_ENCODED_BYTES: usize = 32 << 10;

const VERSION: u16 = 1;
const FIELD_BYTES: usize = 20;
const LAYOUT_BYTES: usize = 16;

const HINT_PRESENTATION: u8 = 1;
const HINT_TITLE: u8 = 2;
const HINT_GROUP: u8 = 3;

/// Why bytes are no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("type description, byte {offset}: {reason}")]
pub struct DecodeError {
    /// Where in the description, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
}

impl Layout {
    /// The description that a type record holds.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] when it has more than 32 KiB: the type has too many fields, or too long names.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut table = Table::default();
        table.add(self);
        let mut bytes = Vec::new();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((table.entries.len() as u16).to_le_bytes());
        bytes.extend(table.entries.concat());
        // Within the limit no count or length reaches 2^16, so none was cut above.
        if bytes.len() > MAX_ENCODED_BYTES {
            let (bytes, limit) = (bytes.len() as u64, MAX_ENCODED_BYTES as u64);
            return Err(Error::TooLarge { what: "the description of a type", bytes, limit });
        }
        Ok(bytes)
    }

    /// Reads a description. Every byte must have its place; the layout is sound whatever the bytes are.
    ///
    /// # Errors
    ///
    /// Names the first byte of what cannot be.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader { bytes, offset: 0 };
        if bytes.len() > MAX_ENCODED_BYTES {
            return Err(reader.error("longer than 32 KiB"));
        }
        if reader.u16()? != VERSION {
            reader.offset = 0;
            return Err(reader.error("unknown version"));
        }
        let count = reader.u16()?;
        let mut known: Vec<Layout> = Vec::new();
        for _ in 0..count {
            let layout = reader.layout(&known)?;
            known.push(layout);
        }
        if reader.offset != bytes.len() {
            return Err(reader.error("bytes after the end"));
        }
        known.pop().ok_or_else(|| reader.error("no layout"))
    }
}

/// The layouts encoded so far.
#[derive(Default)]
struct Table {
    entries: Vec<Vec<u8>>,
    by_bytes: HashMap<Vec<u8>, u16>,
    /// Layouts are shared; looking at each only once keeps this linear whatever a file described.
    by_address: HashMap<*const (), u16>,
}

impl Table {
    /// Adds a layout and all that are nested in it; answers its number.
    fn add(&mut self, layout: &Layout) -> u16 {
        if let Some(&number) = self.by_address.get(&layout.address()) {
            return number;
        }
        let mut entry = Vec::new();
        entry.extend(layout.size().to_le_bytes());
        entry.extend((layout.align() as u16).to_le_bytes());
        entry.extend((layout.fields().len() as u16).to_le_bytes());
        entry.extend((layout.name().len() as u16).to_le_bytes());
        entry.extend(0_u16.to_le_bytes());
        entry.extend(layout.name().as_bytes());
        for field in layout.fields() {
            self.add_field(&mut entry, field);
        }
        let next = self.entries.len() as u16;
        let number = *self.by_bytes.entry(entry.clone()).or_insert(next);
        if number == next {
            self.entries.push(entry);
        }
        self.by_address.insert(layout.address(), number);
        number
    }

    fn add_field(&mut self, entry: &mut Vec<u8>, field: &Field) {
        let (kind, order, width) = field.content().code().parts();
        let nested = match field.content() {
            FieldContent::Nested(layout) => self.add(layout),
            _ => 0,
        };
        let hints = encode_hints(field);
        entry.extend(field.first_bit().to_le_bytes());
        entry.extend([kind, order, width, field.shape().len() as u8]);
        entry.extend(nested.to_le_bytes());
        entry.extend((field.name().len() as u16).to_le_bytes());
        entry.extend((hints.len() as u16).to_le_bytes());
        entry.extend(0_u16.to_le_bytes());
        entry.extend(field.shape().iter().flat_map(|length| length.to_le_bytes()));
        entry.extend(field.name().as_bytes());
        entry.extend(hints);
    }
}

/// Hints are entries of tag, length and bytes; unknown tags are stepped over.
fn encode_hints(field: &Field) -> Vec<u8> {
    let mut hints = Vec::new();
    let mut add = |tag: u8, bytes: &[u8]| {
        hints.push(tag);
        hints.extend((bytes.len() as u16).to_le_bytes());
        hints.extend(bytes);
    };
    let time = |code: u8, unit: TimeUnit| {
        let step = unit.step.to_le_bytes();
        [code, unit.base.code(), step[0], step[1], step[2], step[3]]
    };
    match field.presentation() {
        Presentation::Number => (),
        Presentation::Text => add(HINT_PRESENTATION, &[1]),
        Presentation::Bool => add(HINT_PRESENTATION, &[2]),
        Presentation::Complex => add(HINT_PRESENTATION, &[3]),
        Presentation::Instant(unit) => add(HINT_PRESENTATION, &time(4, unit)),
        Presentation::Duration(unit) => add(HINT_PRESENTATION, &time(5, unit)),
    }
    if let Some(title) = field.title() {
        add(HINT_TITLE, title.as_bytes());
    }
    if let Some(group) = field.group() {
        add(HINT_GROUP, group.as_bytes());
    }
    hints
}

fn decode_presentation(bytes: &[u8]) -> Option<Presentation> {
    let unit = |unit: &[u8; 5]| {
        let [base, step @ ..] = unit;
        let step = u32::from_le_bytes(*step);
        Some(TimeUnit { base: TimeBase::from_code(*base)?, step: (step > 0).then_some(step)? })
    };
    match bytes {
        [1] => Some(Presentation::Text),
        [2] => Some(Presentation::Bool),
        [3] => Some(Presentation::Complex),
        [4, rest @ ..] => unit(rest.try_into().ok()?).map(Presentation::Instant),
        [5, rest @ ..] => unit(rest.try_into().ok()?).map(Presentation::Duration),
        _ => None,
    }
}

/// Reads the description from front to back.
struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: impl Into<String>) -> DecodeError {
        DecodeError { offset: self.offset, reason: reason.into() }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self.rest().get(..length).ok_or_else(|| self.error("cut short"))?;
        self.offset += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self, length: usize) -> Result<String, DecodeError> {
        let start = self.offset;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|error| DecodeError {
            offset: start + error.valid_up_to(),
            reason: "no UTF-8".into(),
        })?;
        Ok(text.to_owned())
    }

    /// Refuses a count of items before room is made for them.
    fn expect(&self, items: u16, item_bytes: usize) -> Result<usize, DecodeError> {
        let items = usize::from(items);
        if items * item_bytes > self.left() { Err(self.error("cut short")) } else { Ok(items) }
    }

    fn layout(&mut self, known: &[Layout]) -> Result<Layout, DecodeError> {
        let start = self.offset;
        self.expect(1, LAYOUT_BYTES)?;
        let size = self.u64()?;
        let align = self.u16()?;
        let count = self.u16()?;
        let name_length = self.u16()?;
        let hints_length = self.u16()?;
        let name = self.text(name_length.into())?;
        self.hints(hints_length)?;
        let mut fields = Vec::with_capacity(self.expect(count, FIELD_BYTES)?);
        for _ in 0..count {
            fields.push(self.field(known)?);
        }
        Layout::assemble(name, size, u32::from(align), fields)
            .map_err(|error| DecodeError { offset: start, reason: error.to_string() })
    }

    fn field(&mut self, known: &[Layout]) -> Result<Field, DecodeError> {
        let start = self.offset;
        let first_bit = self.u64()?;
        let [kind, order, width, dimensions] = self.array()?;
        let nested = self.u16()?;
        let name_length = self.u16()?;
        let hints_length = self.u16()?;
        let reserved = self.u16()?;
        let content = field_content(kind, order, width, nested, known)
            .filter(|_| reserved == 0)
            .ok_or_else(|| DecodeError { offset: start, reason: "no kind of field".into() })?;
        let mut shape = Vec::with_capacity(self.expect(dimensions.into(), 8)?);
        for _ in 0..dimensions {
            shape.push(self.u64()?);
        }
        let name = self.text(name_length.into())?;
        let mut field = Field::at_bit(name, first_bit, content).with_shape(shape);
        for (tag, mut hint) in self.hints(hints_length)? {
            field = match tag {
                // A way to show things that is not known here: as numbers, then.
                HINT_PRESENTATION => {
                    field.with_presentation(decode_presentation(hint.rest()).unwrap_or_default())
                }
                HINT_TITLE => field.with_title(hint.text(hint.left())?),
                HINT_GROUP => field.with_group(hint.text(hint.left())?),
                _ => field,
            };
        }
        Ok(field)
    }

    /// The hints in the next bytes: tags, each with a reader of what it says.
    fn hints(&mut self, length: u16) -> Result<Vec<(u8, Self)>, DecodeError> {
        let start = self.offset;
        self.take(usize::from(length))?;
        let mut hints = Self { bytes: self.bytes.get(..self.offset).unwrap_or(&[]), offset: start };
        let mut found = Vec::new();
        while hints.left() > 0 {
            let [tag] = hints.array()?;
            let length = hints.u16()?;
            let start = hints.offset;
            hints.take(usize::from(length))?;
            found.push((tag, Self { bytes: hints.bytes.get(..hints.offset).unwrap_or(&[]), offset: start }));
        }
        Ok(found)
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or(&[])
    }
}

fn field_content(kind: u8, order: u8, width: u8, nested: u16, known: &[Layout]) -> Option<FieldContent> {
    let content = match kind {
        NESTED => FieldContent::Nested(known.get(usize::from(nested))?.clone()),
        UNSIGNED_BITS | SIGNED_BITS => {
            FieldContent::Bits { width, signed: kind == SIGNED_BITS, order: ByteOrder::from_code(order)? }
        }
        _ => FieldContent::Scalar(Scalar::new(
            Kind::from_code(kind)?,
            ByteOrder::from_code(order).unwrap_or(ByteOrder::Little),
        )),
    };
    // What the kind leaves no choice about must be as we write it.
    let unused = nested == 0 || kind == NESTED;
    (unused && content.code().parts() == (kind, order, width)).then_some(content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Layout, MAX_ENCODED_BYTES};
    use crate::{ByteOrder, Field, FieldContent, Kind, Object, Presentation, Scalar, TimeBase, TimeUnit};

    /// One of everything that a description can say.
    fn sample() -> Layout {
        let number = |kind| FieldContent::Scalar(Scalar::new(kind, ByteOrder::Big));
        let inner = || Layout::new("Inner", 8, 4, vec![Field::new("é", 4, number(Kind::F4))]).unwrap();
        let unit = TimeUnit { base: TimeBase::Nanosecond, step: 25 };
        let fields = vec![
            Field::new("inner", 0, FieldContent::Nested(inner())).with_shape(vec![2, 3]),
            Field::new("again", 48, FieldContent::Nested(inner())).with_title("Once more").with_group("u"),
            Field::new("when", 56, number(Kind::I8)).with_presentation(Presentation::Instant(unit)),
            Field::new("span", 56, number(Kind::I8)).with_presentation(Presentation::Duration(unit)),
            Field::new("text", 64, number(Kind::U1))
                .with_shape(vec![8])
                .with_presentation(Presentation::Text),
            Field::at_bit("b", 77, FieldContent::Bits { width: 13, signed: true, order: ByteOrder::Little })
                .with_presentation(Presentation::Bool),
        ];
        Layout::new("Sample", 96, 16, fields).unwrap()
    }

    #[test]
    fn a_layout_comes_back_as_it_was_and_nested_types_are_told_once() {
        let bytes = sample().encode().unwrap();
        let back = Layout::decode(&bytes).unwrap();
        assert_eq!(back.fingerprint(), sample().fingerprint());
        assert_eq!(back.to_string(), sample().to_string());
        assert_eq!((back.align(), back.fields()[1].title()), (16, Some("Once more")));
        assert_eq!(back.fields()[1].group(), Some("u"));
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
        let document = include_str!("../../../../FORMAT.md");
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
    fn a_type_with_too_many_fields_is_refused() {
        let number = FieldContent::Scalar(Scalar::native(Kind::U1));
        let fields =
            |count: u64| (0..count).map(|at| Field::new(format!("f{at}"), at, number.clone())).collect();
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
                let _ = layout.read(&object, None, 100).map(|value| (value.to_string(), value.json().to_string()));
                prop_assert_eq!(Layout::decode(&layout.encode().unwrap()).unwrap().fingerprint(), layout.fingerprint());
                let _ = crate::LayoutMismatch::between(&layout, &sample()).map(|mismatch| mismatch.to_string());
            }
        }

        #[test]
        fn any_bytes_are_an_error_or_a_layout(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Layout::decode(&[&[1, 0, 1, 0], &bytes[..]].concat());
        }
    }
}
