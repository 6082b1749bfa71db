//! What a type says of the layouts that it extends, and what the compiler can check of that.
//!
//! That a type extends another one is said, never guessed from a name: by the fingerprint of the older layout, or by the older type.
//! What is said here of types of the program, `conversion.rs` checks again of what a store holds.

#![expect(unsafe_code, reason = "copies the bytes of an object")]

use std::ptr;

use super::fingerprint::Fingerprint;
use super::object::Object;
use super::statics::{Content, Dimensions, FieldLayout, TypeLayout};
use super::support::Message;

/// An [`Object`] that says which older layouts it extends; objects of these can be read as it and be rewritten as it, by
/// [`Store::load_as`](crate::Store::load_as) and [`Store::upgrade`](crate::Store::upgrade).
///
/// The derive macro implements it for structs with the attribute `extends`:
///
/// ```
/// use structchunk::{Evolves, Object};
///
/// #[derive(Object, Clone, Copy)]
/// #[object(name = "Quote")]
/// #[repr(C)]
/// struct QuoteV1 { bid: f64, ask: f64 }
///
/// #[derive(Object, Clone, Copy)]
/// #[object(extends = QuoteV1)]
/// #[repr(C)]
/// struct Quote {
///     bid: f64,
///     #[object(renamed_from = "ask")]
///     offer: f64,
///     volume: u64,               // appended: zero in older objects
///     #[object(default = 1.0)]
///     rate: f64,                 // appended: 1.0 in older objects
/// }
///
/// fn readable_as<T: Evolves>() {}
/// readable_as::<Quote>();
/// ```
///
/// - `#[object(extends = Older)]` on the struct: an older type that is still in the program. The compiler checks that all of its
///   fields are there, at their places. This is the safest form.
/// - `#[object(extends = "c73a1bf72f734efc")]`: the fingerprint of an older layout, as `structchunk types` shows it. It is checked
///   when the first object of that layout is met. Both forms may be given, as often as there are older layouts.
/// - `#[object(renamed_from = "old")]` on a field: a name that the field had before, in any of these layouts.
/// - `#[object(default = 1.5)]` on a field: what it is in objects that lack it, instead of zero bytes; an expression of the field's type,
///   evaluated whenever an object is converted (of an array: once for the whole array).
///
/// Every field of the older layout is in the new one, with the same name (or one declared), offset, kind and shape. Fields that the
/// older layout lacks are appended behind it or lie in its gaps. A field that is a struct may have been extended too, when that struct
/// says so and has kept its size. Arrays and slices of such a type evolve element by element.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which layout it extends",
    label = "no `structchunk::Evolves`",
    note = "say `#[object(extends = Older)]` or `#[object(extends = \"<fingerprint>\")]` on the struct with `#[derive(Object)]`"
)]
pub trait Evolves: Object {
    /// What the attributes say, of the type or of an array's element.
    #[doc(hidden)]
    const EVOLUTION: &'static Evolution;

    /// Fails to evaluate when an older type is not extended.
    #[doc(hidden)]
    const CHECKED: ();
}

impl<T: Evolves, const N: usize> Evolves for [T; N] {
    const EVOLUTION: &'static Evolution = T::EVOLUTION;
    const CHECKED: () = T::CHECKED;
}

impl<T: Evolves> Evolves for [T] {
    const EVOLUTION: &'static Evolution = T::EVOLUTION;
    const CHECKED: () = T::CHECKED;
}

/// Which layouts a type extends.
#[doc(hidden)]
#[derive(Debug)]
pub struct Evolution {
    pub extends: &'static [Fingerprint],
    /// Writes the defaults that are not zero into the zeroed bytes of a value. (Never a whole value: it may be larger than a stack.)
    pub defaults: fn(&mut [u8]),
}

impl Evolution {
    pub const fn declares(&self, older: Fingerprint) -> bool {
        let mut index = 0;
        while index < self.extends.len() {
            if self.extends[index].to_bits() == older.to_bits() {
                return true;
            }
            index += 1;
        }
        false
    }
}

/// Writes a field's default into the bytes of a value. Out of bounds it writes nothing.
#[expect(clippy::needless_pass_by_value, reason = "made for this call")]
pub fn write_default<T: Object>(bytes: &mut [u8], offset: usize, value: T) {
    let size = const {
        assert!(T::ELEMENT.size() > 0);
        size_of::<T>()
    };
    let Some(target) = bytes.get_mut(offset..).and_then(|rest| rest.get_mut(..size)) else { return };
    // SAFETY: `value` is a whole `T` that nobody else knows; `target` has room for it.
    unsafe { T::copy_racy(ptr::from_ref(&value).cast(), target.as_mut_ptr(), size) };
}

/// Why `new` does not extend `old`, for the compiler's message.
pub const fn misfit(new: &TypeLayout, old: &TypeLayout) -> Option<Message> {
    if Fingerprint::of(new).to_bits() == Fingerprint::of(old).to_bits() {
        return Some(text(&[
            "`",
            old.name(),
            "` has the layout of `",
            new.name(),
            "`: there is nothing to extend",
        ]));
    }
    if old.size() > new.size() {
        let sizes = Message::new("`").text(old.name()).text("` has ").number(old.size());
        let sizes = sizes.text(" bytes, `").text(new.name()).text("` only ").number(new.size());
        return Some(sizes);
    }
    let (Content::Struct { fields: kept }, Content::Struct { fields }) = (&old.content, &new.content) else {
        return Some(text(&["`", old.name(), "` and `", new.name(), "` are not both structs"]));
    };
    let mut index = 0;
    while index < kept.len() {
        let field = &kept[index];
        index += 1;
        if field.is_padding() || has_field_like(fields, field) {
            continue;
        }
        let which = text(&["field `", field.name, "` of `", old.name(), "` is not in `", new.name()]);
        let where_to = which.text("` at byte ").number(field.offset).text(" with the same type");
        return Some(where_to.text(" and name; if it was renamed, say #[object(renamed_from = \"...\")]"));
    }
    None
}

const fn text(parts: &[&str]) -> Message {
    let mut message = Message::new("");
    let mut index = 0;
    while index < parts.len() {
        message = message.text(parts[index]);
        index += 1;
    }
    message
}

const fn has_field_like(fields: &[FieldLayout], old: &FieldLayout) -> bool {
    let mut index = 0;
    while index < fields.len() {
        let new = &fields[index];
        index += 1;
        if new.offset == old.offset
            && new.was_named(old.name)
            && equal_dimensions(new.dimensions, old.dimensions)
            && is_kept(new.element, old.element)
        {
            return true;
        }
    }
    false
}

const fn equal_dimensions(mut a: Dimensions, mut b: Dimensions) -> bool {
    while let (Some(left), Some(right)) = (a, b) {
        if left.length != right.length {
            return false;
        }
        (a, b) = (left.inner, right.inner);
    }
    a.is_none() && b.is_none()
}

/// Whether a field's type is what it was, or says that it extends that without growing.
const fn is_kept(new: &TypeLayout, old: &TypeLayout) -> bool {
    let was = Fingerprint::of(old);
    if Fingerprint::of(new).to_bits() == was.to_bits() {
        return true;
    }
    let Some(evolution) = new.evolution else { return false };
    new.size() == old.size() && evolution.declares(was) && misfit(new, old).is_none()
}

/// Whether the type is a struct with a field of this name.
pub const fn has_field(layout: &TypeLayout, name: &str) -> bool {
    let Content::Struct { fields } = layout.content else { return false };
    let mut index = 0;
    while index < fields.len() {
        if equal(fields[index].name, name) {
            return true;
        }
        index += 1;
    }
    false
}

/// Whether two names are equal.
pub(super) const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{has_field, misfit};
    use crate::Object;

    #[derive(Object)]
    #[repr(C)]
    struct Old {
        a: u32,
        b: [u16; 2],
    }

    #[derive(Object)]
    #[repr(C)]
    struct Moved {
        b: [u16; 2],
        a: u32,
    }

    #[derive(Object)]
    #[repr(C)]
    struct Reshaped {
        a: u32,
        b: [[u16; 1]; 2],
    }

    #[derive(Object)]
    #[repr(C)]
    struct Cut {
        a: u32,
    }

    #[test]
    fn what_does_not_keep_every_field_at_its_place_is_told_by_the_first_that_is_missing() {
        let why =
            |new: &'static crate::TypeLayout| misfit(new, Old::ELEMENT).map(|why| why.as_str().to_owned());
        let missing = |field: &str, new: &str, at: u32| {
            format!("field `{field}` of `Old` is not in `{new}` at byte {at} with the same type and name;")
        };
        assert!(why(Moved::ELEMENT).unwrap().starts_with(&missing("a", "Moved", 0)));
        assert!(why(Reshaped::ELEMENT).unwrap().starts_with(&missing("b", "Reshaped", 4)));
        assert_eq!(why(Cut::ELEMENT).unwrap(), "`Old` has 8 bytes, `Cut` only 4");
        assert_eq!(why(Old::ELEMENT).unwrap(), "`Old` has the layout of `Old`: there is nothing to extend");
        assert_eq!(why(u64::ELEMENT).unwrap(), "`Old` and `u8` are not both structs");
    }

    #[test]
    fn fields_are_known_by_their_whole_name() {
        assert!(
            has_field(Old::ELEMENT, "a") && !has_field(Old::ELEMENT, "") && !has_field(Old::ELEMENT, "ab")
        );
    }
}
