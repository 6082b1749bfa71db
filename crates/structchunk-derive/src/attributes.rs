//! What `#[repr(...)]` and `#[object(...)]` say.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, Field, Ident, LitInt, LitStr, Result};

/// The units of time in the order of the library's `TimeBase`, with the variant's name.
const TIME_UNITS: [(&str, &str); 13] = [
    ("Y", "Year"),
    ("M", "Month"),
    ("W", "Week"),
    ("D", "Day"),
    ("h", "Hour"),
    ("m", "Minute"),
    ("s", "Second"),
    ("ms", "Millisecond"),
    ("us", "Microsecond"),
    ("ns", "Nanosecond"),
    ("ps", "Picosecond"),
    ("fs", "Femtosecond"),
    ("as", "Attosecond"),
];

/// `#[object(...)]` on the struct.
#[derive(Default)]
pub struct StructAttributes {
    pub atomic: bool,
    pub name: Option<LitStr>,
}

/// `#[object(...)]` on a field.
#[derive(Default)]
pub struct FieldAttributes {
    pub padding: bool,
    pub title: Option<LitStr>,
    /// A value of the library's `Presentation`.
    pub presentation: Option<TokenStream>,
}

impl FieldAttributes {
    /// Whether something is said that only holds for some types.
    pub fn needs_check(&self) -> bool {
        self.padding || self.presentation.is_some()
    }
}

pub fn of_struct(input: &DeriveInput) -> Result<StructAttributes> {
    let mut found = StructAttributes::default();
    for_each_object_meta(&input.attrs, |meta| {
        if meta.path.is_ident("atomic") {
            set_flag(&mut found.atomic, &meta)
        } else if meta.path.is_ident("name") {
            set_label(&mut found.name, &meta)
        } else {
            Err(meta.error("unknown attribute; on a struct there are `atomic` and `name = \"...\"`"))
        }
    })?;
    Ok(found)
}

pub fn of_field(field: &Field) -> Result<FieldAttributes> {
    let mut found = FieldAttributes::default();
    for_each_object_meta(&field.attrs, |meta| {
        let path = &meta.path;
        if path.is_ident("padding") {
            set_flag(&mut found.padding, &meta)
        } else if path.is_ident("title") {
            set_label(&mut found.title, &meta)
        } else if path.is_ident("text") {
            set_presentation(&mut found, &meta, &quote!(Text))
        } else if path.is_ident("complex") {
            set_presentation(&mut found, &meta, &quote!(Complex))
        } else if path.is_ident("instant") {
            let unit = time_unit(&meta)?;
            set_presentation(&mut found, &meta, &quote!(Instant(#unit)))
        } else if path.is_ident("duration") {
            let unit = time_unit(&meta)?;
            set_presentation(&mut found, &meta, &quote!(Duration(#unit)))
        } else {
            Err(meta.error(
                "unknown attribute; on a field there are `padding`, `text`, `complex`, `instant = \"ns\"`, \
                 `duration = \"ns\"` and `title = \"...\"`",
            ))
        }
    })?;
    if found.padding && (found.title.is_some() || found.presentation.is_some()) {
        return Err(Error::new(
            field.span(),
            "padding is not part of the layout and takes no other attribute",
        ));
    }
    Ok(found)
}

/// Refuses everything but `#[repr(C)]`, with or without `align`.
pub fn check_repr(input: &DeriveInput) -> Result<()> {
    let mut is_c = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("C") {
                is_c = true;
                return Ok(());
            }
            if meta.path.is_ident("align") {
                let content;
                syn::parenthesized!(content in meta.input);
                let align: LitInt = content.parse()?;
                return if align.base10_parse::<u64>()? <= 4096 {
                    Ok(())
                } else {
                    Err(Error::new(align.span(), "a stored object is aligned to at most 4096 bytes"))
                };
            }
            if meta.path.is_ident("packed") {
                return Err(meta.error(
                    "a packed struct cannot be stored, because its fields cannot be borrowed; use #[repr(C)] and fields \
                     that need no alignment, such as zerocopy::little_endian::U32",
                ));
            }
            Err(meta.error("a stored struct has the representation of C: use #[repr(C)]"))
        })?;
    }
    if is_c {
        return Ok(());
    }
    let name = &input.ident;
    Err(Error::new(
        name.span(),
        format!(
            "the layout of `{name}` is not fixed: add #[repr(C)], so that stored bytes keep their meaning"
        ),
    ))
}

fn for_each_object_meta(
    attributes: &[Attribute],
    mut each: impl FnMut(ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("object"))
        .try_for_each(|attribute| attribute.parse_nested_meta(&mut each))
}

fn set_flag(flag: &mut bool, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if std::mem::replace(flag, true) { Err(meta.error("given twice")) } else { Ok(()) }
}

/// A text for people: not empty, and short enough for any type record.
fn set_label(label: &mut Option<LitStr>, meta: &ParseNestedMeta<'_>) -> Result<()> {
    let text: LitStr = meta.value()?.parse()?;
    if !(1..=255).contains(&text.value().len()) {
        return Err(Error::new(text.span(), "must have 1 to 255 bytes"));
    }
    if label.replace(text).is_some() { Err(meta.error("given twice")) } else { Ok(()) }
}

fn set_presentation(
    found: &mut FieldAttributes,
    meta: &ParseNestedMeta<'_>,
    value: &TokenStream,
) -> Result<()> {
    let value = quote!(::structchunk::__derive::Presentation::#value);
    if found.presentation.replace(value).is_some() {
        return Err(
            meta.error("a field is shown in one way: give one of `text`, `complex`, `instant`, `duration`")
        );
    }
    Ok(())
}

/// `"ns"`, or with a step `"25s"`, as numpy writes it.
fn time_unit(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let text: LitStr = meta.value()?.parse()?;
    let value = text.value();
    let symbol = value.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &value[..value.len() - symbol.len()];
    let step = if digits.is_empty() { Some(1) } else { digits.parse::<u32>().ok().filter(|&step| step > 0) };
    let base = TIME_UNITS.iter().find(|(unit, _)| *unit == symbol);
    let (Some(step), Some((_, variant))) = (step, base) else {
        let units = TIME_UNITS.map(|(unit, _)| unit).join(", ");
        return Err(Error::new(
            text.span(),
            format!("no unit of time; there are {units}, each with a step as in \"25s\""),
        ));
    };
    let variant = Ident::new(variant, text.span());
    Ok(quote! {
        ::structchunk::__derive::TimeUnit { base: ::structchunk::__derive::TimeBase::#variant, step: #step }
    })
}
