//! Where two layouts differ, for people.

use std::fmt;

use super::field::{Field, FieldContent};
use super::object::Object;
use super::shape::Shape;
use super::stored::{Escaped, Layout};

/// Two layouts that should be equal and are not: which types, which field first, and what both sides say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayoutMismatch {
    /// The name of the type in the store.
    pub stored_type: String,
    /// The name of the type that was asked for.
    pub asked_type: String,
    /// The first field that differs, with dots where structs are nested; `None` where the types differ as a whole.
    pub field: Option<String>,
    /// What the store says about it.
    pub stored: String,
    /// What the program says about it.
    pub asked: String,
}

impl LayoutMismatch {
    /// The first difference between two layouts; `None` when their fingerprints are equal.
    pub fn between(stored: &Layout, asked: &Layout) -> Option<Self> {
        if stored.fingerprint() == asked.fingerprint() {
            return None;
        }
        let (field, stored_says, asked_says) = first_difference(stored, asked);
        Some(Self {
            stored_type: stored.name().to_owned(),
            asked_type: asked.name().to_owned(),
            field: (!field.is_empty()).then_some(field),
            stored: stored_says,
            asked: asked_says,
        })
    }

    /// Why an object cannot be used as a `T`: of the layout of the stored type, the shape of a stored array (`None`: no
    /// array) and the length of the payload, the first that does not fit.
    pub fn explain<T: Object + ?Sized>(stored: &Layout, shape: Option<&[u64]>, payload_bytes: u64) -> Self {
        let asked = Layout::from(T::ELEMENT);
        if let Some(mismatch) = Self::between(stored, &asked) {
            return mismatch;
        }
        Self::of_shape::<T>(stored, shape, payload_bytes)
    }

    /// Why an array, or what is none, cannot be used as a `T`, whatever it consists of.
    pub(crate) fn of_shape<T: Object + ?Sized>(
        stored: &Layout,
        shape: Option<&[u64]>,
        payload_bytes: u64,
    ) -> Self {
        let fixed = Shape::of(None, T::DIMENSIONS);
        let asked = Layout::from(T::ELEMENT);
        Self::of_shapes(stored, shape, payload_bytes, &asked, T::ARRAY.then_some(&*fixed))
    }

    /// The same for what is asked for at run time.
    pub(crate) fn of_shapes(
        stored: &Layout,
        shape: Option<&[u64]>,
        payload_bytes: u64,
        asked: &Layout,
        asked_shape: Option<&[u64]>,
    ) -> Self {
        let (stored_says, asked_says) = match (shape, asked_shape) {
            (Some(shape), None) => (format!("an array {shape:?}"), "no array".to_owned()),
            (None, Some(fixed)) => ("no array".to_owned(), format!("an array{}", dimensions(fixed))),
            (Some(shape), Some(fixed)) => (
                format!("an array {shape:?} of {payload_bytes} bytes"),
                format!("an array{} of elements of {} bytes", dimensions(fixed), asked.size()),
            ),
            (None, None) => (format!("{payload_bytes} bytes"), format!("{} bytes", asked.size())),
        };
        Self {
            stored_type: stored.name().to_owned(),
            asked_type: asked.name().to_owned(),
            field: None,
            stored: stored_says,
            asked: asked_says,
        }
    }
}

/// The dimensions that the type fixes; a slice leaves the first one open.
fn dimensions(fixed: &[u64]) -> String {
    if fixed.is_empty() { String::new() } else { format!(" {fixed:?}") }
}

/// Path of the field, or nothing; what the store says; what the program says.
fn first_difference(stored: &Layout, asked: &Layout) -> (String, String, String) {
    let (stored_fields, asked_fields) = (stored.sorted(), asked.sorted());
    for index in 0..stored_fields.len().max(asked_fields.len()) {
        let (left, right) = (stored_fields.get(index).copied(), asked_fields.get(index).copied());
        let (Some(a), Some(b)) = (left, right) else {
            let name = left.or(right).map_or("", Field::name);
            return (Escaped(name).to_string(), describe(left, false), describe(right, false));
        };
        let placed_alike = a.name() == b.name() && a.first_bit() == b.first_bit() && a.shape() == b.shape();
        match (a.content(), b.content()) {
            (FieldContent::Nested(x), FieldContent::Nested(y)) if placed_alike => {
                if x.fingerprint() == y.fingerprint() {
                    continue;
                }
                // Layouts are nested at most 32 deep, so this ends.
                let (inner, stored_says, asked_says) = first_difference(x, y);
                let dot = if inner.is_empty() { "" } else { "." };
                return (format!("{}{dot}{inner}", Escaped(a.name())), stored_says, asked_says);
            }
            (x, y) if placed_alike && x.code().parts() == y.code().parts() => (),
            _ => {
                let renamed = a.name() != b.name();
                return (Escaped(a.name()).to_string(), describe(left, renamed), describe(right, renamed));
            }
        }
    }
    (String::new(), format!("{} bytes", stored.size()), format!("{} bytes", asked.size()))
}

pub(super) fn describe(field: Option<&Field>, with_name: bool) -> String {
    match field {
        None => "absent".to_owned(),
        Some(field) if with_name && !field.name().is_empty() => format!("{}: {field}", Escaped(field.name())),
        Some(field) => field.to_string(),
    }
}

impl fmt::Display for LayoutMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stored_type, asked_type) = (Escaped(&self.stored_type), Escaped(&self.asked_type));
        write!(f, "stored as {stored_type}, asked for as {asked_type}: {}", self.says())
    }
}

impl LayoutMismatch {
    /// What both sides say, without the names of the types.
    fn says(&self) -> impl fmt::Display {
        fmt::from_fn(|f| match &self.field {
            // The one field of a number has no name.
            Some(field) => {
                write!(f, "field {field} is {} in the store, {} in the program", self.stored, self.asked)
            }
            None => write!(f, "{} in the store, {} in the program", self.stored, self.asked),
        })
    }

    /// The same as what contradicts a declaration.
    pub(crate) fn contradicts(&self) -> impl fmt::Display {
        let (stored_type, asked_type) = (Escaped(&self.stored_type), Escaped(&self.asked_type));
        fmt::from_fn(move |f| {
            write!(f, "{asked_type} does not extend {stored_type}, though it says so: {}", self.says())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::LayoutMismatch;
    use crate::{Layout, Object};

    #[derive(Object)]
    #[object(name = "Point")]
    #[repr(C)]
    struct Point {
        x: f64,
        y: f64,
    }

    #[derive(Object)]
    #[object(name = "Point")]
    #[repr(C)]
    struct SinglePoint {
        x: f64,
        y: f32,
        z: f32,
    }

    #[derive(Object)]
    #[repr(C)]
    struct Line<P: Object> {
        id: u64,
        ends: [P; 2],
    }

    fn text<Stored: Object, Asked: Object + ?Sized>(shape: Option<&[u64]>, payload_bytes: u64) -> String {
        LayoutMismatch::explain::<Asked>(&Layout::from(Stored::ELEMENT), shape, payload_bytes).to_string()
    }

    #[test]
    fn the_first_field_that_differs_is_named_with_both_sides() {
        assert_eq!(
            text::<Point, SinglePoint>(None, 16),
            "stored as Point, asked for as Point: field y is f8 at 8 in the store, f4 at 8 in the program"
        );
        assert_eq!(
            text::<Line<Point>, Line<SinglePoint>>(None, 40),
            "stored as Line, asked for as Line: field ends.y is f8 at 8 in the store, f4 at 8 in the program"
        );
        assert_eq!(
            text::<f64, i64>(None, 8),
            "stored as f8, asked for as i8: f8 at 0 in the store, i8 at 0 in the program"
        );
        assert_eq!(
            text::<f64, Point>(None, 8),
            "stored as f8, asked for as Point: f8 at 0 in the store, x: f8 at 0 in the program"
        );
    }

    #[test]
    fn an_array_of_one_and_a_single_value_are_told_apart() {
        assert_eq!(
            text::<f64, f64>(Some(&[1]), 8),
            "stored as f8, asked for as f8: an array [1] in the store, no array in the program"
        );
        assert_eq!(
            text::<f64, [[f64; 3]]>(None, 8),
            "stored as f8, asked for as f8: no array in the store, an array [3] in the program"
        );
        assert_eq!(
            text::<f64, [[f64; 3]; 2]>(Some(&[5]), 40),
            "stored as f8, asked for as f8: an array [5] of 40 bytes in the store, \
             an array [2, 3] of elements of 8 bytes in the program"
        );
        assert_eq!(
            text::<f64, f64>(None, 7),
            "stored as f8, asked for as f8: 7 bytes in the store, 8 bytes in the program"
        );
    }

    #[test]
    fn a_field_only_one_side_has_and_a_size_are_named() {
        #[derive(Object)]
        #[repr(C)]
        struct Short {
            x: f64,
        }
        #[derive(Object)]
        #[repr(C, align(32))]
        struct Wide {
            x: f64,
            #[object(padding)]
            _pad: [u8; 24],
        }
        assert_eq!(
            text::<Short, Point>(None, 8),
            "stored as Short, asked for as Point: field y is absent in the store, f8 at 8 in the program"
        );
        assert_eq!(
            text::<Short, Wide>(None, 8),
            "stored as Short, asked for as Wide: 8 bytes in the store, 32 bytes in the program"
        );
    }
}
