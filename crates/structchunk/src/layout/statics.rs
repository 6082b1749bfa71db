//! Descriptions of Rust types as constants, made by the compiler from `#[derive(Object)]`.

use super::evolution::{Evolution, equal};
use super::kind::{Kind, Presentation, Scalar};
use super::object::{Object, Plain, SharedAtomic};

/// Highest number of dimensions of an array or field.
pub const MAX_DIMENSIONS: usize = 32;

/// Describes a Rust type: what [`Object::ELEMENT`](super::Object::ELEMENT) refers to.
///
/// [`Layout`](super::Layout) is the same for a type that a store knows.
#[derive(Debug)]
pub struct TypeLayout {
    #[doc(hidden)]
    pub name: &'static str,
    #[doc(hidden)]
    pub size: usize,
    #[doc(hidden)]
    pub align: usize,
    #[doc(hidden)]
    pub content: Content,
    /// Which older layouts it extends, where it says so.
    #[doc(hidden)]
    pub evolution: Option<&'static Evolution>,
}

/// What a type is made of.
#[doc(hidden)]
#[derive(Debug)]
pub enum Content {
    Scalar {
        scalar: Scalar,
        presentation: Presentation,
    },
    /// Fields by rising offset.
    Struct {
        fields: &'static [FieldLayout],
    },
}

/// One field of a [`TypeLayout`].
#[doc(hidden)]
#[derive(Debug)]
pub struct FieldLayout {
    pub name: &'static str,
    pub offset: usize,
    pub element: &'static TypeLayout,
    pub dimensions: Dimensions,
    pub presentation: Option<Presentation>,
    pub title: Option<&'static str>,
    /// Names that it had in layouts that the type extends.
    pub former_names: &'static [&'static str],
}

/// Lengths of nested arrays, outermost first; `None` is no array.
///
/// A list, because an array type can say its own length and refer to its item's, which no fixed array could.
#[doc(hidden)]
pub type Dimensions = Option<&'static Dimension>;

#[doc(hidden)]
#[derive(Debug)]
pub struct Dimension {
    pub length: u64,
    pub inner: Dimensions,
}

pub(super) const fn count_dimensions(mut dimensions: Dimensions) -> u64 {
    let mut count = 0;
    while let Some(outer) = dimensions {
        count += 1;
        dimensions = outer.inner;
    }
    count
}

impl TypeLayout {
    /// A type that is one number.
    pub(super) const fn of_scalar(scalar: Scalar, align: usize) -> Self {
        Self {
            name: scalar.type_name(),
            size: scalar.kind().size(),
            align,
            content: Content::Scalar { scalar, presentation: Presentation::Number },
            evolution: None,
        }
    }

    /// The type's name, without a path: a label.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The size, in bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The alignment, in bytes.
    pub const fn align(&self) -> usize {
        self.align
    }

    /// How deep structs are nested in it; 1 for a number.
    pub(super) const fn depth(&self) -> usize {
        let Content::Struct { fields } = self.content else { return 1 };
        let mut deepest = 0;
        let mut index = 0;
        while index < fields.len() {
            if let Content::Struct { .. } = fields[index].element.content {
                let depth = fields[index].element.depth();
                if depth > deepest {
                    deepest = depth;
                }
            }
            index += 1;
        }
        deepest + 1
    }

    const fn is_byte(&self) -> bool {
        matches!(self.content, Content::Scalar { scalar, .. } if matches!(scalar.kind(), Kind::U1))
    }
}

impl FieldLayout {
    /// A field of a plain struct.
    pub const fn plain<T: Plain>(
        name: &'static str,
        offset: usize,
        presentation: Option<Presentation>,
        title: Option<&'static str>,
    ) -> Self {
        Self::of::<T>(name, offset, presentation, title)
    }

    /// A field of an atomic struct.
    pub const fn atomic<T: SharedAtomic>(
        name: &'static str,
        offset: usize,
        presentation: Option<Presentation>,
        title: Option<&'static str>,
    ) -> Self {
        Self::of::<T>(name, offset, presentation, title)
    }

    const fn of<T: Object>(
        name: &'static str,
        offset: usize,
        presentation: Option<Presentation>,
        title: Option<&'static str>,
    ) -> Self {
        let (element, dimensions) = (T::ELEMENT, T::DIMENSIONS);
        Self { name, offset, element, dimensions, presentation, title, former_names: &[] }
    }

    /// The field with names that it had before.
    #[must_use]
    pub const fn renamed_from(self, former_names: &'static [&'static str]) -> Self {
        Self { former_names, ..self }
    }

    /// Whether the field has this name, or had it before.
    pub const fn was_named(&self, name: &str) -> bool {
        if equal(self.name, name) {
            return true;
        }
        let mut index = 0;
        while index < self.former_names.len() {
            if equal(self.former_names[index], name) {
                return true;
            }
            index += 1;
        }
        false
    }

    /// Whether the field only fills a gap: bytes named `_pad`, `_pad0`, `_pad1` and so on.
    pub const fn is_padding(&self) -> bool {
        self.element.is_byte() && is_padding_name(self.name)
    }

    /// Whether what the attributes say of the field can be.
    ///
    /// # Errors
    ///
    /// Why not, to be written behind the field's name.
    pub const fn check(&self, padding: bool) -> Result<(), &'static str> {
        if padding {
            return if self.is_padding() {
                Ok(())
            } else {
                Err(" is padding: it must be made of u8 or AtomicU8")
            };
        }
        let Some(presentation) = self.presentation else { return Ok(()) };
        let Content::Scalar { scalar, .. } = self.element.content else {
            return Err(" is a struct: it cannot be shown as text, complex number or time");
        };
        if presentation.fits(scalar.kind(), last_dimension(self.dimensions)) {
            return Ok(());
        }
        Err(match presentation {
            Presentation::Text => ": #[object(text)] needs an array of u8 or u32",
            Presentation::Complex => ": #[object(complex)] needs an array of two floats",
            _ => ": #[object(instant)] and #[object(duration)] need an i64",
        })
    }
}

const fn last_dimension(mut dimensions: Dimensions) -> Option<u64> {
    let mut last = None;
    while let Some(outer) = dimensions {
        last = Some(outer.length);
        dimensions = outer.inner;
    }
    last
}

/// Whether a field of this name and of kind `u1` is padding: `_pad`, then digits only.
pub(super) const fn is_padding_name(name: &str) -> bool {
    let Some((b"_pad", digits)) = name.as_bytes().split_first_chunk::<4>() else { return false };
    let mut index = 0;
    while index < digits.len() {
        if !digits[index].is_ascii_digit() {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_padding_name;

    #[test]
    fn only_pad_and_digits_name_padding() {
        for name in ["_pad", "_pad0", "_pad17"] {
            assert!(is_padding_name(name), "{name}");
        }
        for name in ["", "pad", "_pa", "_padding", "_pad_0", "_pad0x"] {
            assert!(!is_padding_name(name), "{name}");
        }
    }
}
