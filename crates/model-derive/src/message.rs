//! `#[derive(Message)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Result};

use crate::{
    fields::{self, Field},
    names,
};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let fields = fields::of(input)?;
    let table = fields.iter().map(|field| {
        let Field { name, ty, .. } = field;
        let json_name = names::json_name(name);
        let bytes = field.is_bytes.then(|| quote!(.bytes()));
        let oneof = field.oneof.map(|number| quote!(.in_oneof(#number)));
        let refers_to = field.reference.as_ref().map(|kind| quote!(.refers_to(wire::RefKind::#kind)));
        quote!(wire::Field::of::<#ty>(#name, #json_name) #bytes #oneof #refers_to)
    });
    let read = fields
        .iter()
        .enumerate()
        .map(|(index, Field { ident, .. })| quote!(#index => wire::FieldType::read(&mut self.#ident, map),));
    let write =
        fields.iter().map(|Field { ident, name, .. }| quote!(wire::FieldType::write(&self.#ident, map, #name)?;));
    let refs = fields.iter().filter_map(|field| {
        let Field { ident, name, .. } = field;
        match &field.reference {
            Some(kind) => Some(quote!(wire::Ref::visit(wire::RefKind::#kind, #name, &self.#ident, visit);)),
            None => field.may_contain_message().then(|| quote!(wire::Ref::visit_nested(&self.#ident, visit);)),
        }
    });
    let getters = fields.iter().filter_map(getter);
    Ok(quote! {
        const _: () = {
            use ::ferroflow_model::wire;

            impl #name {
                #(#getters)*
            }

            #[automatically_derived]
            impl wire::Message for #name {
                const FIELDS: &'static [wire::Field] = &[#(#table),*];

                fn read_field<'de, A: ::serde::de::MapAccess<'de>>(
                    &mut self,
                    field: usize,
                    map: &mut A,
                ) -> ::core::result::Result<bool, A::Error> {
                    match field {
                        #(#read)*
                        _ => wire::read::skip(map),
                    }
                }

                fn write_fields<M: ::serde::ser::SerializeMap>(
                    &self,
                    map: &mut M,
                ) -> ::core::result::Result<(), M::Error> {
                    #(#write)*
                    ::core::result::Result::Ok(())
                }

                fn refs<'a>(&'a self, visit: &mut dyn ::core::ops::FnMut(wire::Ref<'a>)) {
                    #(#refs)*
                }
            }

            #[automatically_derived]
            impl wire::ValueType for #name {
                const KIND: wire::Kind = wire::Kind::Message(wire::fields::<Self>());

                fn refs<'a>(&'a self, visit: &mut dyn ::core::ops::FnMut(wire::Ref<'a>)) {
                    wire::Message::refs(self, visit);
                }
            }

            #[automatically_derived]
            impl ::serde::Serialize for #name {
                fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                    wire::write::message(self, serializer)
                }
            }

            #[automatically_derived]
            impl<'de> ::serde::Deserialize<'de> for #name {
                fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                    wire::read::message(deserializer)
                }
            }
        };
    })
}

/// The getter of a field with a default, or of a text.
fn getter(field: &Field<'_>) -> Option<TokenStream> {
    let Field { ident, of, .. } = field;
    if let Some(default) = &field.default {
        let doc = format!("The field, or its declared default `{}`.", quote!(#default).to_string().replace(' ', ""));
        return Some(quote! {
            #[doc = #doc]
            #[must_use]
            pub fn #ident(&self) -> #of {
                self.#ident.unwrap_or(#default)
            }
        });
    }
    field.is_text().then(|| {
        quote! {
            /// The field, or the empty text.
            #[must_use]
            pub fn #ident(&self) -> &str {
                self.#ident.as_deref().unwrap_or_default()
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> String {
        let input = syn::parse_str(message).expect("an item");
        expand(&input).map_or_else(|error| error.to_string(), |_| String::new())
    }

    /// The tokens without spaces.
    fn expanded(message: &str) -> String {
        let input = syn::parse_str(message).expect("an item");
        expand(&input).expect("a message").to_string().replace(' ', "")
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (message, expected) in [
            ("enum E { A }", "a message is a struct"),
            ("struct S<T> { a: Option<T> }", "a message has no type parameters"),
            ("struct S(String);", "a message has named fields, or `{}`"),
            ("struct S { a: u8 }", "a field of a message is an `Option`, a `Vec` or a `BTreeMap<String, _>`"),
            ("struct S { #[field(oneof = 0)] a: Option<i64> }", "a oneof has a number from 1 to 63"),
            ("struct S { #[field(oneof = 64)] a: Option<i64> }", "a oneof has a number from 1 to 63"),
            ("struct S { #[field(oneof)] a: Option<i64> }", "expected `=`"),
            ("struct S { #[field(oneof = 1, oneof = 2)] a: Option<i64> }", "`oneof` is given twice"),
            (
                "struct S { #[field(of = 1)] a: Option<i64> }",
                "unknown attribute: a field has `oneof`, `default`, `bytes`, `refers_to` and `refers_to_nothing`",
            ),
            ("struct S { #[field(bytes)] a: Option<i64> }", "`bytes` is for a text: `Option<String>` or `Vec<String>`"),
            (
                "struct S { #[field(default = 1)] a: Vec<i64> }",
                "a default is for an `Option` of a number, a `bool` or an enum",
            ),
            (
                "struct S { #[field(refers_to = Run)] a: Option<i64> }",
                "a reference is a text: `Option<String>` or `Vec<String>`",
            ),
            (
                "struct S { #[field(refers_to = Run, refers_to_nothing)] a: Option<String> }",
                "`refers_to_nothing` is given twice",
            ),
        ] {
            assert_eq!(error(message), expected, "{message}");
        }
        let many = (0..65).map(|index| format!("f{index}: Option<i64>")).collect::<Vec<_>>().join(", ");
        assert_eq!(error(&format!("struct S {{ {many} }}")), "a message has at most 64 fields");
    }

    #[test]
    fn names_types_and_attributes_make_the_table() {
        let text = expanded(
            "struct S { #[field(bytes)] span_id: Option<String>, #[field(oneof = 2)] r#type: Vec<super::a::T>,
                run_id: Option<String> }",
        );
        assert!(text.contains(r#"wire::Field::of::<Option<String>>("span_id","spanId").bytes()"#), "{text}");
        assert!(text.contains(r#"wire::Field::of::<Vec<super::a::T>>("type","type").in_oneof(2u8)"#), "{text}");
        assert!(text.contains(r#"("run_id","runId").refers_to(wire::RefKind::Run)"#), "{text}");
    }

    #[test]
    fn references_come_from_names_and_attributes() {
        let text = expanded(
            "struct S {
                run_id: Option<String>,
                trace_ids: Vec<String>,
                #[field(refers_to = RegisteredModel)] name: Option<String>,
                #[field(refers_to_nothing)] model_id: Option<String>,
                #[field(bytes)] trace_id: Option<String>,
                experiment_id: Option<i64>,
                nested: Vec<T>,
            }",
        );
        assert_eq!(
            refs(&text),
            Some(
                "wire::Ref::visit(wire::RefKind::Run,\"run_id\",&self.run_id,visit);\
                 wire::Ref::visit(wire::RefKind::Trace,\"trace_ids\",&self.trace_ids,visit);\
                 wire::Ref::visit(wire::RefKind::RegisteredModel,\"name\",&self.name,visit);\
                 wire::Ref::visit_nested(&self.nested,visit);"
            )
        );
    }

    #[test]
    fn parts_are_references_in_calls() {
        let fields = "struct S { version: Option<String>, path: Option<String> }";
        assert_eq!(refs(&expanded(fields)), Some(""));
        assert_eq!(
            refs(&expanded(&format!("#[route(GET, 2, \"/a\")] {fields}"))),
            Some(
                "wire::Ref::visit(wire::RefKind::Version,\"version\",&self.version,visit);\
                 wire::Ref::visit(wire::RefKind::ArtifactPath,\"path\",&self.path,visit);"
            )
        );
    }

    /// The body of the method `refs`.
    fn refs(expanded: &str) -> Option<&str> {
        expanded.split("fnrefs").nth(1)?.split('{').nth(1)?.split('}').next()
    }
}
