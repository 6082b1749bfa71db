//! `#[derive(Object)]`; what it asks for is in the documentation of `structchunk::Object`.

mod attributes;
mod evolution;
mod expand;
mod fields;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a `#[repr(C)]` struct something that can be stored. See the trait `structchunk::Object` for what it asks for.
#[proc_macro_derive(Object, attributes(object))]
pub fn derive_object(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
