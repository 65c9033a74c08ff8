//! `#[derive(Enum)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::names;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(ident, "derive `Message` for a struct"));
    };
    let mut values = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a value of an enum has no fields"));
        }
        let Some((_, number)) = &variant.discriminant else {
            return Err(Error::new_spanned(variant, "a value has the number of the proto file: `Running = 1`"));
        };
        let name = names::value_name(&variant.ident.to_string());
        values.push(quote!((#name, #number)));
    }
    let variants = data.variants.iter().map(|variant| &variant.ident);
    Ok(quote! {
        const _: () = {
            use ::ferroflow_model::wire;

            #[automatically_derived]
            impl wire::Enum for #ident {
                const VALUES: &'static [(&'static str, i32)] = &[#(#values),*];
                const ALL: &'static [Self] = &[#(Self::#variants),*];
            }

            #[automatically_derived]
            impl wire::ValueType for #ident {
                const KIND: wire::Kind = wire::Kind::Enum(<Self as wire::Enum>::VALUES);
            }

            #[automatically_derived]
            impl ::serde::Serialize for #ident {
                fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                    serializer.serialize_str(wire::Enum::name(*self))
                }
            }

            #[automatically_derived]
            impl<'de> ::serde::Deserialize<'de> for #ident {
                fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                    wire::read::variant(deserializer)
                }
            }
        };
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(of: &str) -> std::result::Result<String, String> {
        let input = syn::parse_str(of).expect("an item");
        expand(&input).map(|tokens| tokens.to_string().replace(' ', "")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (of, expected) in [
            ("struct S {}", "derive `Message` for a struct"),
            ("enum E { A(u8) }", "a value of an enum has no fields"),
            ("enum E { A = 1, B }", "a value has the number of the proto file: `Running = 1`"),
        ] {
            assert_eq!(expanded(of), Err(expected.to_owned()), "{of}");
        }
    }

    #[test]
    fn values_have_names_and_numbers() {
        let text = expanded("enum E { ModelReady = 2, Done = 1 }").expect("an enum");
        assert!(text.contains(r#"&[("MODEL_READY",2),("DONE",1)]"#), "{text}");
        assert!(text.contains("&[Self::ModelReady,Self::Done]"), "{text}");
    }
}
