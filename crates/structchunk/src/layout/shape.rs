//! The dimensions of an array that is stored as an object.

use std::fmt;
use std::ops::Deref;

use super::statics::{Dimensions, MAX_DIMENSIONS};

/// The dimensions of an array, outermost first; empty for what is no array. Derefs to a slice.
///
/// Kept inline, so that putting an array allocates nothing.
#[derive(Clone, Copy)]
pub struct Shape {
    count: u8,
    lengths: [u64; MAX_DIMENSIONS],
}

impl Shape {
    /// The shape of what is no array.
    pub const NONE: Self = Self { count: 0, lengths: [0; MAX_DIMENSIONS] };

    /// These dimensions; `None` when there are more than [`MAX_DIMENSIONS`].
    pub fn new(lengths: &[u64]) -> Option<Self> {
        let mut shape = Self::NONE;
        shape.lengths.get_mut(..lengths.len())?.copy_from_slice(lengths);
        shape.count = lengths.len() as u8;
        Some(shape)
    }

    /// These dimensions, behind `first` where there is one. Dimensions beyond the limit were refused at compile time.
    pub(crate) const fn of(first: Option<u64>, mut dimensions: Dimensions) -> Self {
        let mut shape = Self::NONE;
        if let Some(first) = first {
            shape = shape.push(first);
        }
        while let Some(outer) = dimensions {
            shape = shape.push(outer.length);
            dimensions = outer.inner;
        }
        shape
    }

    const fn push(mut self, length: u64) -> Self {
        if (self.count as usize) < MAX_DIMENSIONS {
            self.lengths[self.count as usize] = length;
            self.count += 1;
        }
        self
    }

    /// How many elements an array of this shape has: 1 without dimensions, `None` when that exceeds a `u64`.
    pub fn elements(&self) -> Option<u64> {
        self.iter().try_fold(1_u64, |product, &length| product.checked_mul(length))
    }
}

impl Deref for Shape {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        self.lengths.get(..usize::from(self.count)).unwrap_or(&[])
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Shape {}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_DIMENSIONS, Shape};

    #[test]
    fn a_shape_holds_up_to_the_limit_and_refuses_more() {
        let lengths = [2; MAX_DIMENSIONS + 1];
        assert_eq!(Shape::new(&lengths), None);
        let shape = Shape::new(&lengths[1..]).unwrap();
        assert_eq!(*shape, lengths[1..]);
        assert_eq!(shape.elements(), Some(1 << 32));
    }

    #[test]
    fn too_many_elements_are_no_number() {
        assert_eq!(Shape::NONE.elements(), Some(1));
        assert_eq!(Shape::new(&[1 << 32, 1 << 32]).unwrap().elements(), None);
    }
}
