//! The traits of what can be stored.

#![expect(unsafe_code, reason = "the traits promise what the compiler cannot check")]

use super::fingerprint::Fingerprint;
use super::shape::Shape;
use super::statics::{Dimensions, TypeLayout};

/// A type whose bytes can live in a store.
///
/// Integers, floats, atomics, [`Bool`](crate::Bool), [`F16`](crate::F16), the integers of a fixed byte order from
/// [`zerocopy::byteorder`], arrays `[T; N]` and slices `[T]` of all these are objects. Structs become objects with
/// the derive macro of the same name:
///
/// ```
/// use structchunk::Object;
///
/// #[derive(Object, Clone, Copy)]
/// #[repr(C)]
/// struct Particle {
///     position: [f64; 3],
///     charge: f32,
///     #[object(padding)]
///     _pad: [u8; 4],
/// }
///
/// assert_eq!(Particle::ELEMENT.size(), 32);
/// ```
///
/// # What the derive asks for
///
/// The struct is `#[repr(C)]`, or `#[repr(C, align(N))]` with at most 4,096; not `packed`, because a packed field
/// cannot be borrowed (use integers of a fixed byte order, which need no alignment, for packed C structs). It has named
/// fields and no destructor; it may have type and const parameters. Every field is itself an `Object`. There are no
/// gaps: the compiler says where one is and how many bytes fill it.
///
/// On the struct:
///
/// - `#[object(atomic)]`: all fields are atomics, and the struct is [`SharedAtomic`]. Without it all fields are plain,
///   and the struct is [`Plain`]. A mix does not compile.
/// - `#[object(name = "...")]`: the name in type records, else the struct's own. A label, no part of the fingerprint.
/// - `#[object(extends = Older)]`, `#[object(extends = "<fingerprint>")]`: an older layout that this one extends. See
///   [`Evolves`](crate::Evolves), also for `renamed_from` and `default` on fields.
///
/// On a field:
///
/// - `#[object(padding)]`: fills a gap. Such a field is named `_pad`, `_pad0`, `_pad1`.. and made of `u8` (`AtomicU8` in
///   an atomic struct). Fields so named and made are left out of the layout with or without the attribute.
/// - `#[object(text)]`: an array of `u8` (UTF-8) or `u32` (code points) is text, ended by zeroes.
/// - `#[object(complex)]`: two floats are a complex number.
/// - `#[object(instant = "ns")]`, `#[object(duration = "ns")]`: an `i64` is a time since 1970, or a span; numpy's units.
/// - `#[object(title = "...")]`: a longer name for people.
///
/// # Safety
///
/// Whoever relies on these promises uses [`ELEMENT`](Self::ELEMENT) or [`FINGERPRINT`](Self::FINGERPRINT) on the way: the
/// derive can check a generic struct only when these constants are evaluated.
///
/// Use the derive. An implementation by hand promises that:
///
/// - `Self` has the layout that [`ELEMENT`](Self::ELEMENT) and [`DIMENSIONS`](Self::DIMENSIONS) describe, the same in
///   every program: `repr(C)`, no padding, no zero size;
/// - any bytes are a valid value, and `Self` owns nothing: no pointers, references or handles, no destructor;
/// - interior mutability is there only as atomics, and then [`ATOMIC`](Self::ATOMIC) is true and all of `Self` is made
///   of atomics;
/// - the functions do what they say.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored",
    label = "no `structchunk::Object`",
    note = "objects are numbers, atomics, arrays and slices of them, and `#[repr(C)]` structs with `#[derive(Object)]`",
    note = "for `bool` use `structchunk::Bool`, for `char` use `u32`, for an enum an integer and constants",
    note = "what points elsewhere (`String`, `Vec`, `Box`, references) cannot be stored: use arrays of fixed length"
)]
pub unsafe trait Object: Send + Sync + 'static {
    /// The type whose layout is recorded: `Self`, or the innermost element of arrays and slices.
    const ELEMENT: &'static TypeLayout;

    /// The fingerprint of [`ELEMENT`](Self::ELEMENT).
    const FINGERPRINT: Fingerprint = Fingerprint::of(Self::ELEMENT);

    /// Whether this is an array. `[T; 1]` is one and `T` is not, though their bytes are equal.
    const ARRAY: bool;

    /// Alignment, in bytes.
    const ALIGN: usize;

    /// Whether all of this is made of atomics, and no atomic access may be wider than the field it touches.
    #[doc(hidden)]
    const ATOMIC: bool;

    /// Lengths of `Self` as nested arrays; for a slice, of its item.
    #[doc(hidden)]
    const DIMENSIONS: Dimensions;

    /// The dimensions of an array: `[2, 3]` for `[[f64; 3]; 2]`, the length first for slices. Empty for what is no array.
    fn shape(&self) -> Shape;

    /// Size of this value, in bytes. Zero only for an empty slice.
    fn byte_len(&self) -> usize {
        size_of_val(self)
    }

    /// A pointer to a `Self` of `bytes` bytes at `at`. Does not look there; the caller minds the alignment.
    ///
    /// `None` when no `Self` has that many bytes: types of fixed size need exactly theirs, slices a multiple of their
    /// item's and not zero.
    fn from_raw_parts(at: *const u8, bytes: usize) -> Option<*const Self>;

    /// Copies the bytes of a `Self` out of memory that others may change meanwhile, by relaxed atomic loads.
    ///
    /// The copy may mix old and new bytes; whoever asked finds out and throws it away.
    /// Plain types are read in aligned words of up to eight bytes, atomic ones field by field.
    ///
    /// # Safety
    ///
    /// `from` is aligned to [`ALIGN`](Self::ALIGN) and good for reads of `bytes` bytes, `to` is good for writes of as many,
    /// and nobody else uses `to`. `bytes` is what [`from_raw_parts`](Self::from_raw_parts) accepts. Others write to `from`
    /// only through atomics of the same width: [`write_racy`](Self::write_racy), or the atomics that `Self` is made of.
    unsafe fn copy_racy(from: *const u8, to: *mut u8, bytes: usize);

    /// Copies the bytes of a `Self` into memory that others may read meanwhile: the opposite of
    /// [`copy_racy`](Self::copy_racy), in the same words, by relaxed atomic stores.
    ///
    /// # Safety
    ///
    /// As for `copy_racy`, where `to` is the shared side, aligned, and only used through atomics of the same width.
    unsafe fn write_racy(from: *const u8, to: *mut u8, bytes: usize);
}

/// An [`Object`] without interior mutability: behind a `&T` its bytes stand still.
///
/// # Safety
///
/// There is no `UnsafeCell` in it, and [`Object::ATOMIC`] is false.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a plain object",
    label = "not `structchunk::Plain`",
    note = "plain objects are numbers, arrays and slices of them, and `#[repr(C)]` structs with `#[derive(Object)]`",
    note = "for atomics put `#[object(atomic)]` on the struct and make all its fields atomics; a mix is not possible",
    note = "for `bool` use `structchunk::Bool`, for `char` use `u32`, for an enum an integer and constants",
    note = "what points elsewhere (`String`, `Vec`, `Box`, references) cannot be stored: use arrays of fixed length"
)]
pub unsafe trait Plain: Object {}

/// An [`Object`] made of atomics only: it may be changed through a `&T`, by several threads and processes at once.
///
/// # Safety
///
/// Every byte belongs to an atomic, and [`Object::ATOMIC`] is true.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of an atomic object",
    label = "not `structchunk::SharedAtomic`",
    note = "all fields of an `#[object(atomic)]` struct are atomics such as `AtomicU32`, arrays of them, or structs that are \
            `#[object(atomic)]`, padding is of `AtomicU8`; without the attribute all fields are plain; a mix is not possible"
)]
pub unsafe trait SharedAtomic: Object {}

/// The size of a type whose values all have the same; `None` for a slice.
pub(crate) const fn fixed_size<T: Object + ?Sized>() -> Option<usize> {
    // What points to a slice says how long it is.
    if size_of::<*const T>() > size_of::<*const u8>() {
        return None;
    }
    let mut bytes = T::ELEMENT.size();
    let mut dimensions = T::DIMENSIONS;
    while let Some(outer) = dimensions {
        bytes *= outer.length as usize;
        dimensions = outer.inner;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::fixed_size;
    use crate::Bool;

    #[test]
    fn types_of_one_size_have_it_and_slices_do_not() {
        assert_eq!((fixed_size::<u64>(), fixed_size::<Bool>()), (Some(8), Some(1)));
        assert_eq!((fixed_size::<[u32; 7]>(), fixed_size::<[[f64; 3]; 2]>()), (Some(28), Some(48)));
        assert_eq!((fixed_size::<[u64]>(), fixed_size::<[[f64; 3]]>()), (None, None));
    }
}
