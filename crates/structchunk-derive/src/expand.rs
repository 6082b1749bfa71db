//! Writes the implementations.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, GenericParam, Ident, LitStr, Result, Type, parse_quote_spanned};

use crate::fields::{self, StructField};
use crate::{attributes, evolution};

pub fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = attributes::of_struct(input)?;
    // Fields first: on an enum, advice about `repr` would mislead.
    let fields = fields::of(input, attributes.atomic)?;
    attributes::check_repr(input)?;
    if let Some(GenericParam::Lifetime(lifetime)) =
        input.generics.params.iter().find(|parameter| matches!(parameter, GenericParam::Lifetime(_)))
    {
        return Err(Error::new(
            lifetime.span(),
            "a stored struct borrows nothing and has no lifetime parameter",
        ));
    }

    let ident = &input.ident;
    evolution::check(&attributes.extends, &fields)?;
    let label = attributes.name.unwrap_or_else(|| LitStr::new(&ident.to_string(), ident.span()));
    let marker = if attributes.atomic { format_ident!("SharedAtomic") } else { format_ident!("Plain") };
    let atomic = attributes.atomic;
    let checks = checks(input, &fields, atomic);
    let layouts = fields.iter().map(|field| field_layout(field, atomic));
    let copies = copies(&fields, atomic);

    let mut generics = input.generics.clone();
    let bounds = &mut generics.make_where_clause().predicates;
    // A bound on a type without parameters is an error of its own, at a worse place than `field_layout` has.
    for StructField { ty, .. } in fields.iter().filter(|field| mentions_parameter(field.ty, input)) {
        bounds.push(parse_quote_spanned!(ty.span()=> #ty: ::structchunk::#marker));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();

    let evolves = evolution::expand(input, &attributes.extends, &fields, &generics);
    let evolution = if evolves.is_empty() {
        quote!(::core::option::Option::None)
    } else {
        quote!(::core::option::Option::Some(<Self as ::structchunk::Evolves>::EVOLUTION))
    };

    // What a generic struct violates shows when it is used; all else at once.
    let force = input.generics.params.is_empty().then(|| {
        quote! {
            const _: ::structchunk::Fingerprint = <#ident as ::structchunk::Object>::FINGERPRINT;
        }
    });

    Ok(quote! {
        // SAFETY: the struct is `repr(C)`; every field is an object, plain or atomic as the struct is; the constant
        // `ELEMENT` fails to evaluate when there is a gap between them or a destructor.
        #[automatically_derived]
        unsafe impl #impl_generics ::structchunk::Object for #ident #type_generics #where_clause {
            const ELEMENT: &'static ::structchunk::__derive::TypeLayout = {
                #checks
                &::structchunk::__derive::TypeLayout {
                    name: #label,
                    size: ::core::mem::size_of::<Self>(),
                    align: ::core::mem::align_of::<Self>(),
                    content: ::structchunk::__derive::Content::Struct { fields: &[#(#layouts),*] },
                    evolution: #evolution,
                }
            };
            const FINGERPRINT: ::structchunk::Fingerprint =
                ::structchunk::Fingerprint::of(<Self as ::structchunk::Object>::ELEMENT);
            const ARRAY: bool = false;
            const ALIGN: usize = ::core::mem::align_of::<Self>();
            const ATOMIC: bool = #atomic;
            const DIMENSIONS: ::structchunk::__derive::Dimensions = ::core::option::Option::None;

            fn shape(&self) -> ::structchunk::__derive::Shape {
                ::structchunk::__derive::Shape::NONE
            }

            fn from_raw_parts(at: *const u8, bytes: usize) -> ::core::option::Option<*const Self> {
                // A generic struct with a gap stops here, at compile time.
                const { ::core::assert!(!<Self as ::structchunk::Object>::ELEMENT.name().is_empty()) };
                if bytes == ::core::mem::size_of::<Self>() {
                    ::core::option::Option::Some(at.cast())
                } else {
                    ::core::option::Option::None
                }
            }

            #copies
        }

        // SAFETY: every field is, as the bounds demand.
        #[automatically_derived]
        unsafe impl #impl_generics ::structchunk::#marker for #ident #type_generics #where_clause {}

        #evolves

        #force
    })
}

/// Statements that fail to evaluate when the struct is not what it must be.
fn checks(input: &DeriveInput, fields: &[StructField<'_>], atomic: bool) -> TokenStream {
    let ident = &input.ident;
    let offset = |field: &StructField<'_>| {
        let ident = field.ident;
        quote!(::core::mem::offset_of!(Self, #ident))
    };
    let ends = fields.iter().map(|field| {
        let (offset, ty) = (offset(field), field.ty);
        quote!(#offset + ::core::mem::size_of::<#ty>())
    });
    let places = fields.iter().map(|field| {
        let place = format!("before field `{}`", field.name.value());
        (offset(field), place, field.ident.span())
    });
    let last = (quote!(::core::mem::size_of::<Self>()), format!("at the end of `{ident}`"), ident.span());
    // The first field begins at 0; each end meets the next field's begin, the last one the struct's.
    let gaps = ends.zip(places.skip(1).chain([last])).map(|(end, (begin, place, span))| {
        quote_spanned! {span=>
            if #begin != #end {
                ::core::panic!("{}", ::structchunk::__derive::gap(#begin - (#end), #place).as_str());
            }
        }
    });
    // An attribute below the derive may have changed what the derive has seen.
    let types = fields.iter().map(|field| {
        let (ident, ty) = (field.ident, field.ty);
        quote_spanned! {ty.span()=>
            let _: fn(&Self) -> *const #ty = |this| &raw const this.#ident;
        }
    });
    let empty = fields.iter().map(|field| {
        let ty = field.ty;
        let message = format!("field `{}` has no bytes: remove it", field.name.value());
        quote_spanned! {field.ident.span()=>
            if ::core::mem::size_of::<#ty>() == 0 {
                ::core::panic!(#message);
            }
        }
    });
    let only_padding = fields.iter().all(|field| fields::is_padding_name(&field.name.value())).then(|| {
        let layouts = fields.iter().map(|field| field_layout(field, atomic));
        let message = format!("`{ident}` is nothing but padding: rename what is not");
        quote_spanned! {ident.span()=>
            if true #(&& (#layouts).is_padding())* {
                ::core::panic!(#message);
            }
        }
    });
    let presentations = fields.iter().filter(|field| field.attributes.needs_check()).map(|field| {
        let layout = field_layout(field, atomic);
        let padding = field.attributes.padding;
        let name = format!("field `{}`", field.name.value());
        quote_spanned! {field.ident.span()=>
            if let ::core::result::Result::Err(reason) = (#layout).check(#padding) {
                ::core::panic!("{}", ::structchunk::__derive::Message::new(#name).text(reason).as_str());
            }
        }
    });
    let destructor =
        format!("`{ident}` has a destructor, which stored bytes would never run: remove the impl of Drop");
    let align = format!("`{ident}` is aligned to more than 4096 bytes");
    quote_spanned! {ident.span()=>
        #(#types)*
        #(#empty)*
        #(#gaps)*
        #only_padding
        #(#presentations)*
        if ::core::mem::needs_drop::<Self>() {
            ::core::panic!(#destructor);
        }
        if ::core::mem::align_of::<Self>() > 4096 {
            ::core::panic!(#align);
        }
    }
}

/// Whether a type or const parameter of the struct appears in the type.
fn mentions_parameter(ty: &Type, input: &DeriveInput) -> bool {
    fn search(tokens: TokenStream, input: &DeriveInput) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => input.generics.params.iter().any(|parameter| match parameter {
                GenericParam::Type(parameter) => parameter.ident == ident,
                GenericParam::Const(parameter) => parameter.ident == ident,
                GenericParam::Lifetime(_) => false,
            }),
            TokenTree::Group(group) => search(group.stream(), input),
            _ => false,
        })
    }
    search(ty.to_token_stream(), input)
}

/// The description of a field. Here the compiler finds out whether its type is what the struct may contain.
fn field_layout(field: &StructField<'_>, atomic: bool) -> TokenStream {
    let StructField { ident, name, ty, attributes } = field;
    let option = |value: Option<TokenStream>| {
        value.map_or(
            quote!(::core::option::Option::None),
            |value| quote!(::core::option::Option::Some(#value)),
        )
    };
    let presentation = option(attributes.presentation.clone());
    let title = option(attributes.title.as_ref().map(|title| quote!(#title)));
    let names = &attributes.former_names;
    let former = (!names.is_empty()).then(|| quote!(.renamed_from(&[#(#names),*])));
    let constructor = Ident::new(if atomic { "atomic" } else { "plain" }, ty.span());
    let offset = quote!(::core::mem::offset_of!(Self, #ident));
    quote_spanned! {ty.span()=>
        ::structchunk::__derive::FieldLayout::#constructor::<#ty>(#name, #offset, #presentation, #title) #former
    }
}

/// `copy_racy` and `write_racy`: in words for plain structs, field by field for atomic ones.
fn copies(fields: &[StructField<'_>], atomic: bool) -> TokenStream {
    let copy = |function: TokenStream, words: TokenStream| {
        if !atomic {
            return quote! {
                #[inline]
                unsafe fn #function(from: *const u8, to: *mut u8, _bytes: usize) {
                    // SAFETY: the caller's promise; `bytes` can only be our size.
                    unsafe { ::structchunk::__derive::#words(from, to, ::core::mem::size_of::<Self>()) }
                }
            };
        }
        let each = fields.iter().map(|StructField { ident, ty, .. }| {
            quote! {
                // SAFETY: the field lies within the struct.
                let source = unsafe { from.add(::core::mem::offset_of!(Self, #ident)) };
                // SAFETY: the field lies within the struct.
                let target = unsafe { to.add(::core::mem::offset_of!(Self, #ident)) };
                // SAFETY: the caller's promise about the struct holds for its field.
                unsafe {
                    <#ty as ::structchunk::Object>::#function(source, target, ::core::mem::size_of::<#ty>());
                }
            }
        });
        quote! {
            #[inline]
            unsafe fn #function(from: *const u8, to: *mut u8, _bytes: usize) {
                #(#each)*
            }
        }
    };
    let read = copy(quote!(copy_racy), quote!(copy_words));
    let write = copy(quote!(write_racy), quote!(write_words));
    quote! { #read #write }
}
