//! What `#[repr(...)]` and `#[object(...)]` say.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, Field, Ident, LitInt, LitStr, Result, Token, Type};

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
    pub extends: Vec<Extended>,
}

/// An older layout.
pub enum Extended {
    /// By its fingerprint.
    Fingerprint(u64),
    /// By a type that has it.
    Type(Box<Type>),
}

/// `#[object(...)]` on a field.
#[derive(Default)]
pub struct FieldAttributes {
    pub padding: bool,
    pub title: Option<LitStr>,
    /// A value of the library's `Presentation`.
    pub presentation: Option<TokenStream>,
    pub former_names: Vec<LitStr>,
    /// An expression.
    pub default: Option<TokenStream>,
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
        } else if meta.path.is_ident("extends") {
            found.extends.push(extended(&meta)?);
            Ok(())
        } else {
            Err(meta.error(
                "unknown attribute; on a struct there are `atomic`, `name = \"...\"`, `extends = Older` and \
                 `extends = \"<fingerprint>\"`",
            ))
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
        } else if path.is_ident("renamed_from") {
            let mut name = None;
            set_label(&mut name, &meta)?;
            found.former_names.extend(name);
            Ok(())
        } else if path.is_ident("default") {
            set_default(&mut found.default, &meta)
        } else {
            Err(meta.error(
                "unknown attribute; on a field there are `padding`, `text`, `complex`, `instant = \"ns\"`, \
                 `duration = \"ns\"`, `title = \"...\"`, `renamed_from = \"...\"` and `default = ...`",
            ))
        }
    })?;
    let says_more = found.title.is_some() || found.presentation.is_some() || found.default.is_some();
    if found.padding && (says_more || !found.former_names.is_empty()) {
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

/// A fingerprint in quotes, or a type.
fn extended(meta: &ParseNestedMeta<'_>) -> Result<Extended> {
    let value = meta.value()?;
    if !value.peek(LitStr) {
        return Ok(Extended::Type(Box::new(value.parse()?)));
    }
    let text: LitStr = value.parse()?;
    let digits = text.value();
    let well_formed = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bits = u64::from_str_radix(&digits, 16).ok().filter(|_| well_formed);
    bits.map(Extended::Fingerprint).ok_or_else(|| {
        Error::new(
            text.span(),
            "a fingerprint has 16 hexadecimal digits, as `structchunk types` shows it; a type is given without quotes",
        )
    })
}

/// Everything up to the next comma: the compiler looks at it where it stands in the code.
fn set_default(default: &mut Option<TokenStream>, meta: &ParseNestedMeta<'_>) -> Result<()> {
    let value = meta.value()?;
    let mut tokens = TokenStream::new();
    while !value.is_empty() && !value.peek(Token![,]) {
        tokens.extend([value.parse::<TokenTree>()?]);
    }
    if tokens.is_empty() {
        return Err(meta.error("needs a value: `default = 1.5`"));
    }
    if default.replace(tokens).is_some() { Err(meta.error("given twice")) } else { Ok(()) }
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
