//! `#[derive(Rpc)]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    DeriveInput, Error, LitInt, LitStr, Result, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

use crate::{fields, names};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let routes: Vec<Route> = input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("route"))
        .map(syn::Attribute::parse_args)
        .collect::<Result<_>>()?;
    if routes.is_empty() {
        return Err(Error::new_spanned(ident, "a call has a route: `#[route(POST, 2, \"/mlflow/runs/create\")]`"));
    }
    let name = name(input)?.unwrap_or_else(|| ident.to_string());
    let response = format_ident!("{ident}Response");
    let fields = fields::of(input)?;
    let is_blank =
        fields.iter().enumerate().filter(|(_, field)| field.is_text() && !field.is_bytes).map(|(index, field)| {
            let ident = field.ident;
            quote!(#index => self.#ident.as_deref() == ::core::option::Option::Some(""),)
        });
    let path_refs = path_refs(&routes);
    let routes = routes
        .iter()
        .map(|Route { method, version, path }| quote!(wire::Route { method: #method, path: #path, version: #version }));
    Ok(quote! {
        const _: () = {
            use ::ferroflow_model::wire;

            #[automatically_derived]
            impl wire::Rpc for #ident {
                const NAME: &'static str = #name;
                const ROUTES: &'static [wire::Route] = &[#(#routes),*];
                const PATH_REFS: &'static [(&'static str, wire::RefKind)] = &[#(#path_refs),*];
                type Response = #response;

                fn is_blank(&self, field: usize) -> bool {
                    match field {
                        #(#is_blank)*
                        _ => false,
                    }
                }
            }
        };
    })
}

/// `#[route(POST, 2, "/mlflow/runs/create")]`
struct Route {
    method: String,
    version: u8,
    path: String,
}

impl Parse for Route {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let method = input.call(Ident::parse_any)?;
        if !METHODS.iter().any(|known| method == known) {
            return Err(Error::new_spanned(&method, format!("a method is one of {}", METHODS.join(", "))));
        }
        input.parse::<Token![,]>()?;
        let version: LitInt = input.parse()?;
        input.parse::<Token![,]>()?;
        let path: LitStr = input.parse()?;
        if !input.is_empty() {
            return Err(input.error("a route is a method, a version and a path"));
        }
        Ok(Self { method: method.to_string(), version: version.base10_parse()?, path: path.value() })
    }
}

/// The name in `#[rpc(name = "…")]`.
fn name(input: &DeriveInput) -> Result<Option<String>> {
    let mut name = None;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("rpc")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("unknown attribute: a call has `name`"));
            }
            let text: LitStr = meta.value()?.parse()?;
            if name.replace(text.value()).is_some() { Err(meta.error("`name` is given twice")) } else { Ok(()) }
        })?;
    }
    Ok(name)
}

/// The parameters of the paths that are references, each once.
fn path_refs(routes: &[Route]) -> Vec<TokenStream> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for part in routes.iter().flat_map(|route| route.path.split('/')) {
        let braced = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        // The rest of a path.
        let rest = part.strip_prefix("<path:").and_then(|part| part.strip_suffix('>'));
        let Some(parameter) = braced.or(rest) else { continue };
        // `{assessment.trace_id}` is the field of a nested message.
        let field = parameter.rsplit('.').next().unwrap_or(parameter);
        let Some(kind) = names::reference_of_call(field) else { continue };
        if !seen.contains(&parameter) {
            seen.push(parameter);
            let kind = Ident::new(kind, Span::call_site());
            found.push(quote!((#parameter, wire::RefKind::#kind)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(call: &str) -> std::result::Result<String, String> {
        let input = syn::parse_str(call).expect("an item");
        expand(&input).map(|tokens| tokens.to_string().replace(' ', "")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (attributes, expected) in [
            ("", "a call has a route: `#[route(POST, 2, \"/mlflow/runs/create\")]`"),
            ("#[route(POTS, 2, \"/a\")]", "a method is one of GET, POST, PUT, PATCH, DELETE"),
            ("#[route(POST, \"/a\")]", "expected integer literal"),
            ("#[route(POST, 300, \"/a\")]", "number too large to fit in target type"),
            ("#[route(POST, 2)]", "expected `,`"),
            ("#[route(POST, 2, \"/a\", 3)]", "a route is a method, a version and a path"),
            ("#[route(POST, 2, \"/a\")] #[rpc(nam = \"S\")]", "unknown attribute: a call has `name`"),
            ("#[route(POST, 2, \"/a\")] #[rpc(name = \"S\", name = \"T\")]", "`name` is given twice"),
        ] {
            assert_eq!(expanded(&format!("{attributes} struct S {{}}")), Err(expected.to_owned()), "{attributes}");
        }
    }

    #[test]
    fn a_call_has_its_name_routes_and_response() {
        let text = expanded(
            "#[rpc(name = \"a.S\")]
             #[route(PATCH, 3, \"/x/{run_id}/{assessment.trace_id}/{key}\")]
             #[route(GET, 2, \"x/{run_id}/<path:artifact_path>\")]
             struct S { a: Option<String>, b: Vec<String>, c: Option<String> }",
        )
        .expect("a call");
        for part in [
            r#"NAME:&'staticstr="a.S""#,
            r#"wire::Route{method:"PATCH",path:"/x/{run_id}/{assessment.trace_id}/{key}",version:3u8}"#,
            r#"wire::Route{method:"GET",path:"x/{run_id}/<path:artifact_path>",version:2u8}"#,
            r#"&[("run_id",wire::RefKind::Run),("assessment.trace_id",wire::RefKind::Trace),("#,
            r#"("key",wire::RefKind::Key),("artifact_path",wire::RefKind::ArtifactPath)]"#,
            "typeResponse=SResponse;",
            r#"0usize=>self.a.as_deref()==::core::option::Option::Some(""),2usize=>self.c"#,
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
