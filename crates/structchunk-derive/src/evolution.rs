//! What a struct says of the layouts that it extends.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Generics, Result, Type};

use crate::attributes::Extended;
use crate::fields::StructField;

/// Refuses what can be recognised from the source alone.
pub fn check(extends: &[Extended], fields: &[StructField<'_>]) -> Result<()> {
    for StructField { ident, name, attributes, .. } in fields {
        for former in &attributes.former_names {
            if former.value() == name.value() {
                return Err(Error::new(
                    former.span(),
                    "this is the field's name; give the one that it had before",
                ));
            }
        }
        let says_so = attributes.default.is_some() || !attributes.former_names.is_empty();
        if extends.is_empty() && says_so {
            return Err(Error::new(
                ident.span(),
                "`renamed_from` and `default` are about older layouts: say which, with `#[object(extends = Older)]` or \
                 `#[object(extends = \"<fingerprint>\")]` on the struct",
            ));
        }
    }
    for (index, one) in extends.iter().enumerate() {
        let twice = extends.iter().take(index).any(|other| match (one, other) {
            (Extended::Fingerprint(one), Extended::Fingerprint(other)) => one == other,
            (Extended::Type(one), Extended::Type(other)) => {
                one.to_token_stream().to_string() == other.to_token_stream().to_string()
            }
            _ => false,
        });
        if twice {
            let span = fields.first().map_or_else(proc_macro2::Span::call_site, |field| field.ident.span());
            return Err(Error::new(span, "the same layout is extended twice"));
        }
    }
    Ok(())
}

/// The implementation of `Evolves`; nothing where the struct extends nothing.
pub fn expand(
    input: &DeriveInput,
    extends: &[Extended],
    fields: &[StructField<'_>],
    generics: &Generics,
) -> TokenStream {
    if extends.is_empty() {
        return TokenStream::new();
    }
    let ident = &input.ident;
    let older: Vec<&Type> = extends
        .iter()
        .filter_map(|older| match older {
            Extended::Type(older) => Some(&**older),
            Extended::Fingerprint(_) => None,
        })
        .collect();
    let fingerprints = extends.iter().map(|older| match older {
        Extended::Fingerprint(bits) => quote!(::structchunk::Fingerprint::from_bits(#bits)),
        Extended::Type(older) => {
            quote_spanned!(older.span()=> <#older as ::structchunk::Object>::FINGERPRINT)
        }
    });
    let values = fields.iter().filter_map(|StructField { ident, ty, attributes, .. }| {
        let default = attributes.default.as_ref()?;
        Some(quote_spanned! {default.span()=> {
            let value: #ty = #default;
            ::structchunk::__derive::write_default(bytes, ::core::mem::offset_of!(Self, #ident), value);
        }})
    });
    let values: Vec<_> = values.collect();
    let defaults = if values.is_empty() { quote!(|_| {}) } else { quote!(|bytes| { #(#values)* }) };
    let own_fingerprint = quote_spanned! {ident.span()=>
        if <Self as ::structchunk::Evolves>::EVOLUTION.declares(<Self as ::structchunk::Object>::FINGERPRINT) {
            ::core::panic!("the layout extends itself: give the fingerprint of an older one");
        }
    };
    let kept = older.iter().map(|older| {
        quote_spanned! {older.span()=>
            if let ::core::option::Option::Some(why) = ::structchunk::__derive::misfit(
                <Self as ::structchunk::Object>::ELEMENT,
                <#older as ::structchunk::Object>::ELEMENT,
            ) {
                ::core::panic!("{}", why.as_str());
            }
        }
    });
    // Of layouts that are given by their fingerprints, nothing is known here.
    let complete = older.len() == extends.len();
    let former_names = fields.iter().flat_map(|field| &field.attributes.former_names).filter(|_| complete);
    let known = former_names.map(|name| {
        let message = format!("no older type that is extended has a field `{}`", name.value());
        quote_spanned! {name.span()=>
            if !(false #(|| ::structchunk::__derive::has_field(
                <#older as ::structchunk::Object>::ELEMENT,
                #name,
            ))*) {
                ::core::panic!(#message);
            }
        }
    });
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    // What a generic struct violates shows when it is used; all else at once.
    let force = input.generics.params.is_empty().then(|| {
        quote! {
            const _: () = <#ident as ::structchunk::Evolves>::CHECKED;
        }
    });
    quote! {
        #[automatically_derived]
        impl #impl_generics ::structchunk::Evolves for #ident #type_generics #where_clause {
            const EVOLUTION: &'static ::structchunk::__derive::Evolution = &::structchunk::__derive::Evolution {
                extends: &[#(#fingerprints),*],
                defaults: #defaults,
            };
            const CHECKED: () = {
                #(#kept)*
                #(#known)*
                #own_fingerprint
            };
        }

        #force
    }
}
