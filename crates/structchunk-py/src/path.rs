//! Fields of fields: `a.b`, `a[3]`, `a[1, 2].b`.

use pyo3::exceptions::{PyAttributeError, PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use structchunk::{Field, FieldContent, Layout, Presentation};

/// What a path leads to.
pub struct Spot {
    /// In bytes, from the beginning of the object.
    pub offset: u64,
    pub content: FieldContent,
    pub presentation: Presentation,
    /// The dimensions that are left.
    pub shape: Vec<u64>,
}

impl Spot {
    /// The bytes of one element.
    fn element(&self) -> u64 {
        match &self.content {
            FieldContent::Scalar(scalar) => scalar.kind().size() as u64,
            FieldContent::Nested(layout) => layout.size(),
            // Met in a field that is refused.
            _ => 0,
        }
    }

    /// The bytes of all of it; `None` when no number says it.
    pub fn bytes(&self) -> Option<u64> {
        self.shape.iter().try_fold(self.element(), |bytes, &length| bytes.checked_mul(length))
    }

    /// The object itself.
    fn whole(layout: &Layout, shape: &[u64]) -> Self {
        let (content, presentation) = match (layout.scalar(), layout.fields().first()) {
            (Some(scalar), Some(field)) => (FieldContent::Scalar(scalar), field.presentation()),
            _ => (FieldContent::Nested(layout.clone()), Presentation::Number),
        };
        Self { offset: 0, content, presentation, shape: shape.to_vec() }
    }

    /// What a path leads to in an object; an empty one to all of it.
    pub fn find(layout: &Layout, shape: &[u64], path: &str) -> PyResult<Self> {
        let mut spot = Self::whole(layout, shape);
        let mut rest = path;
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix('[') {
                let (indices, behind) = behind.split_once(']').ok_or_else(|| malformed(path))?;
                for index in indices.split(',') {
                    spot.index(index.trim(), path)?;
                }
                rest = behind;
            } else {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                let end = name.find(['.', '[']).unwrap_or(name.len());
                spot.enter(&name[..end], path)?;
                rest = &name[end..];
            }
        }
        Ok(spot)
    }

    fn index(&mut self, index: &str, path: &str) -> PyResult<()> {
        let index: i64 = index.parse().map_err(|_| malformed(path))?;
        if self.shape.is_empty() {
            return Err(PyTypeError::new_err(format!(
                "{path}: there is no array to take element {index} of"
            )));
        }
        let length = self.shape.remove(0);
        let from_front =
            if index < 0 { length.checked_add_signed(index) } else { Some(index.cast_unsigned()) };
        let Some(index) = from_front.filter(|&index| index < length) else {
            return Err(PyIndexError::new_err(format!("{path}: element {index} of an array of {length}")));
        };
        self.offset += index * self.bytes().unwrap_or_default();
        Ok(())
    }

    fn enter(&mut self, name: &str, path: &str) -> PyResult<()> {
        let FieldContent::Nested(layout) = &self.content else {
            return Err(PyAttributeError::new_err(format!("{path}: a number has no field {name:?}")));
        };
        if !self.shape.is_empty() {
            return Err(PyTypeError::new_err(format!(
                "{path}: which element of the array has the field {name:?}?"
            )));
        }
        let is_it = |field: &&Field| field.name() == name;
        let Some(field) = layout.fields().iter().find(is_it) else {
            return Err(PyAttributeError::new_err(format!(
                "{path}: {} has no field {name:?}",
                layout.name()
            )));
        };
        if let FieldContent::Bits { .. } = field.content() {
            return Err(PyTypeError::new_err(format!(
                "{path}: {name:?} is a bit-field, which has no bytes of its own"
            )));
        }
        let found = Self {
            offset: self.offset + field.offset(),
            content: field.content().clone(),
            presentation: field.presentation(),
            shape: field.shape().to_vec(),
        };
        *self = found;
        Ok(())
    }
}

fn malformed(path: &str) -> PyErr {
    PyValueError::new_err(format!("{path:?} is no path of fields, such as a.b or a[3]"))
}
