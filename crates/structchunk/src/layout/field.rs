//! The fields of layouts.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use super::fingerprint::FieldCode;
use super::kind::{ByteOrder, Kind, Presentation, Scalar};
use super::statics::{MAX_DIMENSIONS, is_padding_name};
use super::stored::{Escaped, Layout};

/// One field of a [`Layout`].
#[derive(Clone)]
pub struct Field {
    name: String,
    first_bit: u64,
    content: FieldContent,
    shape: Vec<u64>,
    presentation: Presentation,
    title: Option<String>,
    group: Option<String>,
    former_names: Vec<String>,
}

/// What a field is, or each of its elements when it is an array.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FieldContent {
    /// A number.
    Scalar(Scalar),
    /// A bit field.
    Bits {
        /// How many bits, 1 to 64.
        width: u8,
        /// Whether the highest bit is a sign.
        signed: bool,
        /// How bits are counted. Little: from the least significant bit of the first byte, the first bit being the
        /// lowest of the value. Big: from the most significant bit of the first byte, the first bit being the highest.
        order: ByteOrder,
    },
    /// A struct.
    Nested(Layout),
}

impl Field {
    /// A field at this offset, in bytes.
    pub fn new(name: impl Into<String>, offset: u64, content: FieldContent) -> Self {
        // An offset beyond the limit of sizes stays beyond it, and is refused when it gets into a layout.
        Self::at_bit(name, offset.saturating_mul(8), content)
    }

    /// A field at this bit, counted from the struct's first; for bit fields.
    pub fn at_bit(name: impl Into<String>, first_bit: u64, content: FieldContent) -> Self {
        Self {
            name: name.into(),
            first_bit,
            content,
            shape: Vec::new(),
            presentation: Presentation::Number,
            title: None,
            group: None,
            former_names: Vec::new(),
        }
    }

    /// The field as an array; outermost dimension first.
    #[must_use]
    pub fn with_shape(mut self, shape: Vec<u64>) -> Self {
        self.shape = shape;
        self
    }

    /// The field with a hint how to show it.
    #[must_use]
    pub fn with_presentation(mut self, presentation: Presentation) -> Self {
        self.presentation = presentation;
        self
    }

    /// The field with a longer name for people.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The field as one that comes from an anonymous member of this name.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// The field with one more name that it had in an older layout.
    #[must_use]
    pub fn with_former_name(mut self, name: impl Into<String>) -> Self {
        self.former_names.push(name.into());
        self
    }

    /// The name; empty only in types that are one number. May be odd when it comes from a file: escape it before showing it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name in the form that fingerprints go by.
    pub(super) fn normalize(&mut self) {
        self.name = self.name.nfc().collect();
    }

    /// Where the field begins, in bytes from the struct's start; for bit fields the byte with the first bit.
    pub fn offset(&self) -> u64 {
        self.first_bit / 8
    }

    /// Where the field begins, in bits from the struct's start.
    pub fn first_bit(&self) -> u64 {
        self.first_bit
    }

    /// What the field, or each of its elements, is.
    pub fn content(&self) -> &FieldContent {
        &self.content
    }

    /// The dimensions, outermost first; empty when the field is no array.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// How it is best shown.
    pub fn presentation(&self) -> Presentation {
        self.presentation
    }

    /// A longer name for people.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The anonymous member that the field comes from.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// Names that it had in layouts that the type extends, as far as the type says.
    pub fn former_names(&self) -> &[String] {
        &self.former_names
    }

    pub(super) fn nested(&self) -> Option<&Layout> {
        match &self.content {
            FieldContent::Nested(layout) => Some(layout),
            _ => None,
        }
    }

    pub(super) fn is_padding(&self) -> bool {
        matches!(&self.content, FieldContent::Scalar(scalar) if scalar.kind() == Kind::U1)
            && is_padding_name(&self.name)
    }

    /// The size, in bits. Saturates, so that a size beyond all limits stays beyond them.
    pub(super) fn bits(&self) -> u64 {
        let bytes = match &self.content {
            FieldContent::Scalar(scalar) => scalar.kind().size() as u64,
            FieldContent::Bits { width, .. } => return u64::from(*width),
            FieldContent::Nested(layout) => layout.size(),
        };
        self.shape.iter().fold(bytes, |product, &length| product.saturating_mul(length)).saturating_mul(8)
    }

    pub(super) fn check(&self, size: u64, alone: bool) -> Result<(), &'static str> {
        let is_number = matches!(self.content, FieldContent::Scalar(_));
        if self.name.is_empty() && !(alone && is_number && self.shape.is_empty() && self.bits() == size * 8) {
            return Err("only a type that is one number has a field without a name");
        }
        if self.shape.len() > MAX_DIMENSIONS {
            return Err("an array has at most 32 dimensions");
        }
        if self.shape.contains(&0) {
            return Err("an array has no dimension of length zero");
        }
        if let FieldContent::Bits { width, .. } = self.content {
            if !(1..=64).contains(&width) {
                return Err("a bit field has 1 to 64 bits");
            }
            if !self.shape.is_empty() {
                return Err("a bit field is no array");
            }
        }
        if self.first_bit.saturating_add(self.bits()) > size * 8 {
            return Err("reaches beyond the end of the type");
        }
        if !(matches!(self.content, FieldContent::Bits { .. }) || self.first_bit.is_multiple_of(8)) {
            return Err("only bit fields begin within a byte");
        }
        Ok(())
    }
}

impl FieldContent {
    pub(super) fn code(&self) -> FieldCode {
        match self {
            Self::Scalar(scalar) => FieldCode::Scalar(*scalar),
            Self::Bits { width, signed, order } => {
                FieldCode::Bits { signed: *signed, order: *order, width: *width }
            }
            Self::Nested(layout) => FieldCode::Nested(layout.fingerprint()),
        }
    }
}

/// What the field is and where, without its name: `f8[3] at 16`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            FieldContent::Scalar(scalar) => write!(f, "{scalar}")?,
            FieldContent::Nested(layout) => write!(f, "{}", Escaped(layout.name()))?,
            FieldContent::Bits { width, signed, order } => {
                let class = if *signed { "i" } else { "u" };
                let order = if *order == ByteOrder::Big { ">" } else { "" };
                return write!(f, "{order}{class}:{width} at bit {}", self.first_bit);
            }
        }
        if !self.shape.is_empty() {
            write!(f, "{:?}", self.shape)?;
        }
        write!(f, " at {}", self.offset())
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({:?}, {self})", self.name)
    }
}
