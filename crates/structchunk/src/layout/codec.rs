//! Layouts as the payload of a type record, and back.
//!
//! The payload is a table of layouts, each after those nested in it, the type itself last. So decoding needs no recursion,
//! and a type that is nested in many places is told once. The bytes are drawn in `FORMAT.md`.

use std::collections::HashMap;

use super::field::{Field, FieldContent};
use super::fingerprint::{Fingerprint, NESTED, SIGNED_BITS, UNSIGNED_BITS};
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
const HINT_FORMER_NAME: u8 = 4;

/// Of a type: the fingerprints of layouts that it extends.
const HINT_EXTENDS: u8 = 1;

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
        let hints = encode_type_hints(layout);
        entry.extend((layout.name().len() as u16).to_le_bytes());
        entry.extend((hints.len() as u16).to_le_bytes());
        entry.extend(layout.name().as_bytes());
        entry.extend(hints);
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
fn add_hint(hints: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    hints.push(tag);
    hints.extend((bytes.len() as u16).to_le_bytes());
    hints.extend(bytes);
}

fn encode_type_hints(layout: &Layout) -> Vec<u8> {
    let mut hints = Vec::new();
    let extends: Vec<u8> = layout.extends().iter().flat_map(|older| older.to_bits().to_le_bytes()).collect();
    if !extends.is_empty() {
        add_hint(&mut hints, HINT_EXTENDS, &extends);
    }
    hints
}

/// A length that is no multiple of a fingerprint's says nothing.
fn decode_extends(bytes: &[u8]) -> Vec<Fingerprint> {
    let (fingerprints, rest) = bytes.as_chunks();
    let all = if rest.is_empty() { fingerprints } else { &[] };
    all.iter().map(|bytes| Fingerprint::from_bits(u64::from_le_bytes(*bytes))).collect()
}

fn encode_hints(field: &Field) -> Vec<u8> {
    let mut hints = Vec::new();
    let mut add = |tag: u8, bytes: &[u8]| add_hint(&mut hints, tag, bytes);
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
    for name in field.former_names() {
        add(HINT_FORMER_NAME, name.as_bytes());
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
        let hints = self.hints(hints_length)?;
        let extends = hints.iter().filter(|(tag, _)| *tag == HINT_EXTENDS);
        let extends = extends.flat_map(|(_, hint)| decode_extends(hint.rest())).collect();
        let mut fields = Vec::with_capacity(self.expect(count, FIELD_BYTES)?);
        for _ in 0..count {
            fields.push(self.field(known)?);
        }
        Layout::assemble(name, size, u32::from(align), fields)
            .map(|layout| layout.extending(extends))
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
                HINT_FORMER_NAME => field.with_former_name(hint.text(hint.left())?),
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
mod tests;
