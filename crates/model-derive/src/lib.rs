//! Derives for the messages of the API: what every message, call and enum of `ferroflow-model` has alike.
//!
//! | derive | on | implements |
//! | --- | --- | --- |
//! | [`Message`](macro@Message) | a struct | `wire::Message`, `wire::ValueType`, `Serialize`, `Deserialize`, getters |
//! | [`Rpc`](macro@Rpc) | the request of a call, beside `Message` | `wire::Rpc` |
//! | [`Enum`](macro@Enum) | an enum | `wire::Enum`, `wire::ValueType`, `Serialize`, `Deserialize` |
//!
//! What follows from the type of a field is in the traits `wire::FieldType` and `wire::ValueType`; what follows from its
//! name (the spelling in JSON, what it refers to) is here; the rest are attributes.

mod fields;
mod message;
mod names;
mod rpc;
mod variants;

use proc_macro::TokenStream;
use syn::DeriveInput;

/// Derives a message from a struct whose fields have the names of the proto file, and are an `Option`, a `Vec` or a
/// `BTreeMap<String, _>`.
///
/// Attributes of a field, as in `#[field(oneof = 1, default = 100)]`:
///
/// - `oneof = 1`: the number of its oneof, 1 to 63.
/// - `default = 100`: its declared default; the getter returns it if the field is not set.
/// - `bytes`: the text is base64.
/// - `refers_to = Run`: the `wire::RefKind` of what it refers to, if its name does not tell.
/// - `refers_to_nothing`: its name is that of a reference, but it is none.
///
/// Texts and fields with a default have a getter: a method with the name of the field.
#[proc_macro_derive(Message, attributes(field))]
pub fn message(input: TokenStream) -> TokenStream {
    expand(input, message::expand)
}

/// Derives a call from its request message.
///
/// - `#[route(POST, 2, "/mlflow/runs/create")]`: a route with its method, the major version of the API and the path. At
///   least one.
/// - `#[rpc(name = "artifacts.ListArtifacts")]`: the proto name without the leading `mlflow.`; default: the name of the
///   struct.
///
/// The response of `CreateRun` is `CreateRunResponse`, in the same module.
#[proc_macro_derive(Rpc, attributes(rpc, route))]
pub fn rpc(input: TokenStream) -> TokenStream {
    expand(input, rpc::expand)
}

/// Derives an enum. The names of the values in JSON are those of the variants: `LoggedModelReady` is
/// `LOGGED_MODEL_READY`. Their numbers are the discriminants, which every variant must have.
#[proc_macro_derive(Enum)]
pub fn variants(input: TokenStream) -> TokenStream {
    expand(input, variants::expand)
}

fn expand(input: TokenStream, derive: fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    syn::parse(input).and_then(|input| derive(&input)).unwrap_or_else(syn::Error::into_compile_error).into()
}
