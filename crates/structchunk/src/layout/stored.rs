//! Layouts as values: of types that a store knows, and of types made at run time by other languages.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::field::{Field, FieldContent};
use super::fingerprint::{Fingerprint, Fold};
use super::kind::{Presentation, Scalar};
use super::statics::{Content, TypeLayout};
use crate::key::EscapedKey;

/// Deepest nesting of structs in structs.
pub const MAX_DEPTH: usize = 32;
/// Largest size of a type, in bytes: what a record's payload length can say.
pub const MAX_TYPE_BYTES: u64 = 1 << 48;
/// Largest alignment, in bytes.
pub(super) const MAX_ALIGN: u64 = 4096;

/// What the bytes of a type mean: its name, size and fields.
///
/// The owned counterpart of [`TypeLayout`], with the same [`Fingerprint`]. Behind every `Layout` are checked facts: each
/// field lies within the size, no dimension is zero, nesting is limited. Fields may overlap (unions of C), and those read
/// from a file may repeat names.
///
/// Cloning is cheap.
#[derive(Clone)]
pub struct Layout(Arc<Inner>);

struct Inner {
    name: String,
    size: u64,
    align: u32,
    fields: Vec<Field>,
    fingerprint: Fingerprint,
    depth: usize,
    extends: Vec<Fingerprint>,
}

/// Why fields do not make a layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", field.as_deref().map_or(String::new(), |name| format!("field {}: ", EscapedKey(name.as_bytes()))))]
pub struct LayoutError {
    field: Option<String>,
    reason: &'static str,
}

impl Layout {
    /// A struct with these fields, in the order of their declaration. Names become NFC; padding is left out.
    ///
    /// # Errors
    ///
    /// When a field leaves the struct, has no name or one that is taken, has a dimension of zero or too many of them; when
    /// the size is zero or more than 2^48, the alignment no power of two up to 4,096, or the nesting too deep.
    pub fn new(
        name: impl Into<String>,
        size: u64,
        align: u32,
        mut fields: Vec<Field>,
    ) -> Result<Self, LayoutError> {
        // Padding first: of anonymous members that were flattened, several may have brought their own.
        fields.retain(|field| !field.is_padding());
        let mut names = HashSet::new();
        for field in &mut fields {
            field.normalize();
            let reason = if field.name().is_empty() {
                "a field has a name"
            } else if names.insert(field.name().to_owned()) {
                continue;
            } else {
                "the name is taken"
            };
            return Err(LayoutError { field: Some(field.name().to_owned()), reason });
        }
        Self::assemble(name.into(), size, align, fields)
    }

    /// A type that is one number. As name its kind, such as `f8`, is usual.
    pub fn of_scalar(name: impl Into<String>, scalar: Scalar, presentation: Presentation) -> Self {
        let size = scalar.kind().size();
        let field = Field::new("", 0, FieldContent::Scalar(scalar)).with_presentation(presentation);
        Self::of_checked(name.into(), size as u64, size as u32, vec![field])
    }

    /// The one door behind which a layout is sound.
    pub(super) fn assemble(
        name: String,
        size: u64,
        align: u32,
        mut fields: Vec<Field>,
    ) -> Result<Self, LayoutError> {
        let refuse = |reason| Err(LayoutError { field: None, reason });
        if !(1..=MAX_TYPE_BYTES).contains(&size) {
            return refuse("a type has 1 to 2^48 bytes");
        }
        if !align.is_power_of_two() || u64::from(align) > MAX_ALIGN {
            return refuse("an alignment is a power of two up to 4096");
        }
        fields.retain(|field| !field.is_padding());
        if fields.is_empty() {
            return refuse("a type has at least one field");
        }
        let alone = fields.len() == 1;
        for field in &fields {
            field
                .check(size, alone)
                .map_err(|reason| LayoutError { field: Some(field.name().to_owned()), reason })?;
        }
        let layout = Self::of_checked(name, size, align, fields);
        if layout.0.depth > MAX_DEPTH { refuse("structs are nested at most 32 deep") } else { Ok(layout) }
    }

    fn of_checked(name: String, size: u64, align: u32, fields: Vec<Field>) -> Self {
        let nested = fields.iter().filter_map(Field::nested);
        let depth = 1 + nested.map(|layout| layout.0.depth).max().unwrap_or(0);
        let mut layout = Inner {
            name,
            size,
            align,
            fields,
            fingerprint: Fingerprint::from_bits(0),
            depth,
            extends: Vec::new(),
        };
        layout.fingerprint = layout.fold();
        Self(Arc::new(layout))
    }

    /// The type's name: a label, for people.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The size, in bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// The alignment its own language gives it, in bytes: a hint.
    pub fn align(&self) -> u32 {
        self.0.align
    }

    /// The fields, in the order of their declaration; without padding. A type that is one number has one without a name.
    pub fn fields(&self) -> &[Field] {
        &self.0.fields
    }

    /// The number of a type that is nothing but one.
    pub fn scalar(&self) -> Option<Scalar> {
        match self.fields() {
            [field] if field.name().is_empty() => match field.content() {
                FieldContent::Scalar(scalar) => Some(*scalar),
                _ => None,
            },
            _ => None,
        }
    }

    /// Stands for the physical facts.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// The older layouts that the type extends, as far as it says: a hint.
    pub fn extends(&self) -> &[Fingerprint] {
        &self.0.extends
    }

    /// The layout with the older ones that it extends; of one that was just made, and is not shared.
    pub(super) fn extending(mut self, extends: Vec<Fingerprint>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.extends = extends;
        }
        self
    }

    /// Whether this is the same layout object, not only an equal one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same layout object, not only an equal one.
    pub(super) fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }

    /// The fields in the order that fingerprints go by.
    pub(super) fn sorted(&self) -> Vec<&Field> {
        self.0.sorted()
    }
}

impl Inner {
    fn sorted(&self) -> Vec<&Field> {
        let mut fields: Vec<&Field> = self.fields.iter().collect();
        fields.sort_by_key(|field| (field.first_bit(), field.bits(), field.name()));
        fields
    }

    fn fold(&self) -> Fingerprint {
        let mut fold = Fold::start(self.size, self.fields.len() as u64);
        for field in self.sorted() {
            fold = fold.field(
                field.first_bit(),
                field.name(),
                field.content().code(),
                field.shape().len() as u64,
            );
            fold = field.shape().iter().fold(fold, |fold, &length| fold.word(length));
        }
        fold.finish()
    }
}

/// What the compiler knows is a layout already: the limits were checked when its fingerprint was computed.
impl From<&TypeLayout> for Layout {
    fn from(layout: &TypeLayout) -> Self {
        let fields = match layout.content {
            Content::Scalar { scalar, presentation } => {
                return Self::of_scalar(layout.name, scalar, presentation);
            }
            Content::Struct { fields } => fields,
        };
        let fields = fields.iter().filter(|field| !field.is_padding()).map(|field| {
            let (content, presentation) = match field.element.content {
                Content::Scalar { scalar, presentation } => (FieldContent::Scalar(scalar), presentation),
                Content::Struct { .. } => {
                    (FieldContent::Nested(Self::from(field.element)), Presentation::Number)
                }
            };
            let shape = super::Shape::of(None, field.dimensions).to_vec();
            let made = Field::new(field.name, field.offset as u64, content)
                .with_shape(shape)
                .with_presentation(field.presentation.unwrap_or(presentation));
            let made = field.former_names.iter().fold(made, |made, name| made.with_former_name(*name));
            match field.title {
                Some(title) => made.with_title(title),
                None => made,
            }
        });
        let extends = layout.evolution.map_or(Vec::new(), |evolution| evolution.extends.to_vec());
        Self::of_checked(layout.name.to_owned(), layout.size as u64, layout.align as u32, fields.collect())
            .extending(extends)
    }
}

/// As in `Particle { position: f8[3] at 0, id: u4 at 24 }, 28 bytes`; nested structs by name.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(self.name()))?;
        if self.scalar().is_none() {
            f.write_str(" { ")?;
            for (index, field) in self.fields().iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{}: {field}", Escaped(field.name()))?;
            }
            f.write_str(" }")?;
        }
        write!(f, ", {} bytes", self.size())
    }
}

/// By name and fingerprint only: what a file describes may unfold without end.
impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layout({:?}, {})", self.name(), self.fingerprint())
    }
}

/// A name without what a terminal would obey, and without the quotes of a key.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = EscapedKey(self.0.as_bytes()).to_string();
        f.write_str(quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&quoted))
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, FieldContent, Layout, MAX_DEPTH, MAX_TYPE_BYTES};
    use crate::layout::{ByteOrder, Kind, Presentation, Scalar};

    fn number(kind: Kind) -> FieldContent {
        FieldContent::Scalar(Scalar::native(kind))
    }

    fn bits(width: u8, signed: bool) -> FieldContent {
        FieldContent::Bits { width, signed, order: ByteOrder::Little }
    }

    fn refusal(size: u64, fields: Vec<Field>) -> String {
        Layout::new("T", size, 1, fields).unwrap_err().to_string()
    }

    #[test]
    fn impossible_fields_are_refused_by_name() {
        let x = || Field::new("x", 0, number(Kind::U4));
        assert!(refusal(0, vec![x()]).contains("1 to 2^48"));
        assert!(refusal(MAX_TYPE_BYTES + 1, vec![x()]).contains("1 to 2^48"));
        assert!(refusal(4, vec![]).contains("at least one field"));
        assert!(refusal(4, vec![Field::new("_pad", 0, number(Kind::U1))]).contains("at least one field"));
        assert_eq!(refusal(3, vec![x()]), "field \"x\": reaches beyond the end of the type");
        assert!(refusal(8, vec![x(), x()]).contains("name is taken"));
        let pad = || Field::new("_pad", 4, number(Kind::U1)).with_shape(vec![2]);
        assert!(Layout::new("T", 8, 1, vec![x(), pad(), pad()]).is_ok());
        assert!(
            refusal(
                8,
                vec![Field::new("e\u{301}", 0, number(Kind::U1)), Field::new("é", 1, number(Kind::U1))]
            )
            .contains("name is taken")
        );
        assert!(refusal(8, vec![Field::new("", 0, number(Kind::U8))]).contains("has a name"));
        assert!(refusal(8, vec![x().with_shape(vec![1, 0])]).contains("length zero"));
        assert!(refusal(8, vec![x().with_shape(vec![1; 33])]).contains("32 dimensions"));
        for huge in [vec![u64::MAX], vec![1 << 40, 1 << 40], vec![1 << 62, 4]] {
            assert!(refusal(8, vec![x().with_shape(huge)]).contains("beyond the end"));
        }
        for offset in [5, u64::MAX / 8, u64::MAX] {
            assert!(refusal(8, vec![Field::new("x", offset, number(Kind::U4))]).contains("beyond the end"));
        }
        assert!(refusal(8, vec![Field::at_bit("x", 3, number(Kind::U4))]).contains("within a byte"));
        assert!(refusal(8, vec![Field::at_bit("x", 0, bits(0, false))]).contains("1 to 64 bits"));
        assert!(refusal(8, vec![Field::at_bit("x", 1, bits(64, false))]).contains("beyond the end"));
        assert!(
            refusal(8, vec![Field::at_bit("x", 1, bits(6, false)).with_shape(vec![2])]).contains("no array")
        );
        assert!(Layout::new("T", 8, 3, vec![x()]).is_err());
        assert!(Layout::new("T", 8, 8192, vec![x()]).is_err());
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let mut layout = Layout::of_scalar("u1", Scalar::native(Kind::U1), Presentation::Number);
        for _ in 1..MAX_DEPTH {
            layout = Layout::new("T", 1, 1, vec![Field::new("x", 0, FieldContent::Nested(layout))]).unwrap();
        }
        let error =
            Layout::new("T", 1, 1, vec![Field::new("x", 0, FieldContent::Nested(layout))]).unwrap_err();
        assert!(error.to_string().contains("nested"));
    }

    #[test]
    fn order_of_declaration_and_hints_do_not_move_the_fingerprint_and_facts_do() {
        let make = |fields: Vec<Field>| Layout::new("T", 16, 8, fields).unwrap().fingerprint();
        let a = || Field::new("a", 0, number(Kind::U4));
        let b = || Field::new("b", 8, number(Kind::F8));
        let union = || Field::new("whole", 0, number(Kind::U8)).with_shape(vec![2]);
        let facts = make(vec![a(), b(), union()]);
        assert_eq!(make(vec![union(), b(), a()]), facts);
        assert_eq!(make(vec![a().with_title("A").with_group("g"), b(), union()]), facts);
        assert_eq!(make(vec![a(), b(), union(), Field::new("_pad0", 4, number(Kind::U1))]), facts);
        assert_ne!(make(vec![a(), b(), union(), Field::new("_pad0", 4, number(Kind::I1))]), facts);
        assert_ne!(make(vec![a(), b()]), facts);
        assert_ne!(make(vec![a(), b(), union().with_shape(vec![2, 1])]), facts);
        assert_ne!(make(vec![a(), Field::new("b", 8, number(Kind::I8)), union()]), facts);
        assert_ne!(make(vec![a(), Field::new("c", 8, number(Kind::F8)), union()]), facts);
        let swapped = FieldContent::Scalar(Scalar::new(Kind::F8, ByteOrder::Big));
        assert_ne!(make(vec![a(), Field::new("b", 8, swapped), union()]), facts);
        let narrow = make(vec![Field::at_bit("n", 3, bits(4, false))]);
        assert_ne!(make(vec![Field::at_bit("n", 3, bits(4, true))]), narrow);
        assert_ne!(make(vec![Field::at_bit("n", 3, bits(5, false))]), narrow);
        assert_ne!(make(vec![Field::at_bit("n", 4, bits(4, false))]), narrow);
    }
}
