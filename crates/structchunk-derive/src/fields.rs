//! The fields of the struct, and what can be said about their types from the source alone.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Type};

use crate::attributes::{self, FieldAttributes};

/// One field, ready to be written.
pub struct StructField<'a> {
    pub ident: &'a Ident,
    /// The name without `r#`.
    pub name: LitStr,
    pub ty: &'a Type,
    pub attributes: FieldAttributes,
}

/// The fields of the struct; an error names all that is wrong with them.
pub fn of(input: &DeriveInput, atomic: bool) -> Result<Vec<StructField<'_>>> {
    let data = match &input.data {
        Data::Struct(data) => data,
        Data::Enum(data) => {
            let message = "an enum cannot be stored, because not all bytes are one of its values; store a struct with an \
                           integer and constants";
            return Err(Error::new(data.enum_token.span, message));
        }
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "a union cannot be stored from Rust; use a struct",
            ));
        }
    };
    let named = match &data.fields {
        Fields::Named(named) if named.named.is_empty() => {
            return Err(Error::new(input.ident.span(), "a struct without fields has no bytes to store"));
        }
        Fields::Named(named) => &named.named,
        Fields::Unnamed(_) => {
            let message = "the fields of a stored struct have names, which are part of its layout: use `{ name: Type }`";
            return Err(Error::new(input.ident.span(), message));
        }
        Fields::Unit => {
            return Err(Error::new(input.ident.span(), "a struct without fields has no bytes to store"));
        }
    };
    let mut errors: Option<Error> = None;
    let mut fields = Vec::new();
    for field in named {
        let Some(ident) = &field.ident else { continue };
        let checked = attributes::of_field(field).and_then(|attributes| {
            let name = ident.unraw().to_string();
            check_type(&name, &field.ty, atomic)?;
            if attributes.padding && !is_padding_name(&name) {
                return Err(Error::new(
                    ident.span(),
                    format!("padding is named `_pad`, `_pad0`, `_pad1`.. in every language: rename `{name}`"),
                ));
            }
            Ok(StructField { ident, name: LitStr::new(&name, ident.span()), ty: &field.ty, attributes })
        });
        match (checked, &mut errors) {
            (Ok(field), _) => fields.push(field),
            (Err(error), Some(errors)) => errors.combine(error),
            (Err(error), None) => errors = Some(error),
        }
    }
    errors.map_or(Ok(fields), Err)
}

/// The rule of the library's `FieldLayout::is_padding`, as far as the name goes.
pub fn is_padding_name(name: &str) -> bool {
    name.strip_prefix("_pad").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Refuses types that can be recognised from their spelling, with advice; the compiler finds the others.
fn check_type(name: &str, ty: &Type, atomic: bool) -> Result<()> {
    let refuse = |span: Span, what: &str| Err(Error::new(span, format!("field `{name}` {what}")));
    match ty {
        Type::Array(array) => check_type(name, &array.elem, atomic),
        Type::Group(group) => check_type(name, &group.elem, atomic),
        Type::Paren(paren) => check_type(name, &paren.elem, atomic),
        Type::Ptr(pointer) => refuse(
            pointer.star_token.span,
            "is a pointer, which means nothing in another process: store a key or an index instead",
        ),
        Type::Reference(reference) => refuse(
            reference.and_token.span,
            "is a reference, which means nothing in another process: store the value, a key or an index instead",
        ),
        Type::BareFn(function) => {
            refuse(function.fn_token.span, "is a function pointer, which means nothing in another process")
        }
        Type::Slice(slice) => refuse(
            slice.bracket_token.span.open(),
            "has no fixed length: use an array [T; N], or store the slice under a key of its own",
        ),
        Type::Tuple(tuple) => refuse(
            tuple.paren_token.span.open(),
            "is a tuple, whose layout is not fixed: use a #[repr(C)] struct with #[derive(Object)]",
        ),
        Type::Path(path) if path.qself.is_none() => {
            let Some(ident) = path.path.get_ident() else { return Ok(()) };
            let advice = match ident.to_string().as_str() {
                "bool" if atomic => "is a bool, of which not all bytes are valid: use AtomicU8",
                "bool" => "is a bool, of which not all bytes are valid: use structchunk::Bool",
                "char" => "is a char, of which not all bytes are valid: use u32 and char::from_u32",
                "u128" | "i128" => "has 16 bytes, a width that no other language shares: use two of 8 bytes",
                "str" => "has no fixed length: use [u8; N] with #[object(text)]",
                _ => return Ok(()),
            };
            refuse(ident.span(), advice)
        }
        _ => Ok(()),
    }
}
