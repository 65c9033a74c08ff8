//! The fields of a message: their types and attributes.

use proc_macro2::{Ident, Span};
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, Fields, GenericArgument, LitInt, PathArguments, Result, Type,
    ext::IdentExt, meta::ParseNestedMeta, spanned::Spanned as _,
};

use crate::names;

/// Types of values that contain no message.
const SCALARS: [&str; 8] = ["String", "bool", "i32", "i64", "u32", "u64", "f32", "f64"];

/// Maximum number of fields: a set of them is 64 bits.
const MOST_FIELDS: usize = 64;

/// A field of a message.
pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    /// The name in the proto file.
    pub(crate) name: String,
    pub(crate) ty: &'a Type,
    pub(crate) container: Container,
    /// The type of a value.
    pub(crate) of: &'a Type,
    pub(crate) oneof: Option<u8>,
    pub(crate) default: Option<Expr>,
    pub(crate) is_bytes: bool,
    /// The variant of `wire::RefKind`.
    pub(crate) reference: Option<Ident>,
}

/// What a field has of its type of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    One,
    List,
    Map,
}

impl Field<'_> {
    /// Whether it is a single text, base64 or not.
    pub(crate) fn is_text(&self) -> bool {
        self.container == Container::One && is(self.of, &["String"])
    }

    /// Whether its values may contain references.
    pub(crate) fn may_contain_message(&self) -> bool {
        !is(self.of, &SCALARS)
    }
}

/// The fields of a struct, in their order.
///
/// # Errors
/// It is no message, or an attribute is wrong.
pub(crate) fn of(input: &DeriveInput) -> Result<Vec<Field<'_>>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "a message is a struct"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a message has no type parameters"));
    }
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&input.ident, "a message has named fields, or `{}`"));
    };
    if fields.named.len() > MOST_FIELDS {
        return Err(Error::new_spanned(&input.ident, format!("a message has at most {MOST_FIELDS} fields")));
    }
    // Only a call has a route.
    let is_call = input.attrs.iter().any(|attribute| attribute.path().is_ident("route"));
    let reference = if is_call { names::reference_of_call } else { names::reference };
    fields.named.iter().map(|named| field(named, reference)).collect()
}

fn field(field: &syn::Field, reference: fn(&str) -> Option<&'static str>) -> Result<Field<'_>> {
    let ident = field.ident.as_ref().ok_or_else(|| Error::new(field.span(), "a field has a name"))?;
    let (container, of) = parts(&field.ty).ok_or_else(|| {
        Error::new_spanned(&field.ty, "a field of a message is an `Option`, a `Vec` or a `BTreeMap<String, _>`")
    })?;
    let name = ident.unraw().to_string();
    let found = Attributes::of(&field.attrs)?;
    let is_string = is(of, &["String"]);
    if let Some(span) = found.bytes
        && !is_string
    {
        return Err(Error::new(span, "`bytes` is for a text: `Option<String>` or `Vec<String>`"));
    }
    if let Some(default) = &found.default
        && (container != Container::One || is_string)
    {
        return Err(Error::new_spanned(default, "a default is for an `Option` of a number, a `bool` or an enum"));
    }
    let may_refer = is_string && container != Container::Map && found.bytes.is_none();
    let reference = match found.refers_to {
        Some((kind, _)) if may_refer => kind,
        Some((_, span)) => return Err(Error::new(span, "a reference is a text: `Option<String>` or `Vec<String>`")),
        None => reference(&name).filter(|_| may_refer).map(|kind| Ident::new(kind, Span::call_site())),
    };
    Ok(Field {
        ident,
        name,
        ty: &field.ty,
        container,
        of,
        oneof: found.oneof,
        default: found.default,
        is_bytes: found.bytes.is_some(),
        reference,
    })
}

/// The container of a field's type, and the type in it.
fn parts(ty: &Type) -> Option<(Container, &Type)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let container = match last.ident.to_string().as_str() {
        "Option" => Container::One,
        "Vec" => Container::List,
        "BTreeMap" => Container::Map,
        _ => return None,
    };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.last()? {
        GenericArgument::Type(of) => Some((container, of)),
        _ => None,
    }
}

fn is(ty: &Type, names: &[&str]) -> bool {
    matches!(ty, Type::Path(path) if names.iter().any(|name| path.path.is_ident(name)))
}

/// The attributes of a field.
#[derive(Default)]
struct Attributes {
    oneof: Option<u8>,
    default: Option<Expr>,
    bytes: Option<Span>,
    /// The kind, or `None` for `refers_to_nothing`.
    refers_to: Option<(Option<Ident>, Span)>,
}

impl Attributes {
    fn of(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("field")) {
            attribute.parse_nested_meta(|meta| found.add(&meta))?;
        }
        Ok(found)
    }

    fn add(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.require_ident()?.to_string();
        let is_repeated = match name.as_str() {
            "oneof" => {
                let number: LitInt = meta.value()?.parse()?;
                let oneof = number.base10_parse::<u8>().ok().filter(|oneof| (1..64).contains(oneof));
                let oneof = oneof.ok_or_else(|| Error::new_spanned(&number, "a oneof has a number from 1 to 63"))?;
                self.oneof.replace(oneof).is_some()
            }
            "default" => self.default.replace(meta.value()?.parse()?).is_some(),
            "bytes" => self.bytes.replace(meta.path.span()).is_some(),
            "refers_to" => self.refers_to.replace((Some(meta.value()?.parse()?), meta.path.span())).is_some(),
            "refers_to_nothing" => self.refers_to.replace((None, meta.path.span())).is_some(),
            _ => {
                return Err(meta.error(
                    "unknown attribute: a field has `oneof`, `default`, `bytes`, `refers_to` and `refers_to_nothing`",
                ));
            }
        };
        if is_repeated { Err(meta.error(format!("`{name}` is given twice"))) } else { Ok(()) }
    }
}
