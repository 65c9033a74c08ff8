//! Protobuf JSON without a protobuf runtime, the basis of the generated [`messages`](crate::messages).
//!
//! A message has a table of its fields ([`Field`]). Two parsers share that table:
//!
//! - the strict one ([`read`]) parses bytes into the struct and accepts what official clients send: proto names, each
//!   once, and values in their plain JSON form;
//! - the lenient one ([`crate::request`]) converts a JSON tree by the rules of Python's `ParseDict` to a normalised
//!   tree for the strict one.
//!
//! So an error of the strict parser is not necessarily an error of the client.

mod field;
pub mod read;
mod refs;
pub mod time;
mod value;
pub mod write;

use serde::{Serialize, de::MapAccess, ser::SerializeMap};

use crate::rules::{Rule, Validate};

pub use ferroflow_model_derive::{Enum, Message, Rpc};
pub use field::FieldType;
pub use refs::{Ref, RefKind, Reference};
pub use time::{Duration, FieldMask, Timestamp};
pub use value::ValueType;

/// A message of the API. Derived: see `ferroflow-model-derive`.
pub trait Message: Default + Serialize + Send + Sync + 'static {
    /// Its fields, in the order of the proto file; at most 64.
    const FIELDS: &'static [Field];

    /// Parses the value of field number `field` (an index into [`Self::FIELDS`]) from `map`. Returns false if it was
    /// null, which is the same as absent.
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<bool, A::Error>;

    /// Writes the fields that are set to `map`, in the order of the proto file.
    fn write_fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;

    /// Calls `visit` for each reference, in the order of the fields, those of nested messages too. Empty texts are left
    /// out; the same reference may come more than once.
    fn refs<'a>(&'a self, visit: &mut dyn FnMut(Ref<'a>));
}

/// The request message of a call.
pub trait Rpc: Message + Validate {
    /// The proto name without the leading `mlflow.`, such as `LogMetric` or `artifacts.ListArtifacts`.
    const NAME: &'static str;
    /// The routes of the call.
    const ROUTES: &'static [Route];
    /// The parameters of its paths that are references, such as `trace_id` or `assessment.trace_id`. They need not be
    /// fields of the message.
    const PATH_REFS: &'static [(&'static str, RefKind)];
    /// The response message.
    type Response: Message;

    /// Whether field number `field` is a string that is present and empty.
    fn is_blank(&self, field: usize) -> bool;
}

/// A route of a call, below `/api/{version}.0` and `/ajax-api/{version}.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method, in upper case.
    pub method: &'static str,
    /// The path, such as `/mlflow/runs/create`, with path parameters as `{run_id}`.
    pub path: &'static str,
    /// The major version of the API.
    pub version: u8,
}

/// A call's constants, for lists of all calls.
#[derive(Debug, Clone, Copy)]
pub struct RpcInfo {
    /// [`Rpc::NAME`].
    pub name: &'static str,
    /// [`Rpc::ROUTES`].
    pub routes: &'static [Route],
    /// [`Message::FIELDS`].
    pub fields: &'static [Field],
    /// [`Validate::RULES`].
    pub rules: &'static [Rule],
}

impl RpcInfo {
    /// The constants of `R`.
    #[must_use]
    pub const fn of<R: Rpc>() -> Self {
        Self { name: R::NAME, routes: R::ROUTES, fields: R::FIELDS, rules: R::RULES }
    }
}

/// The description of a field, for parsers.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The name in the proto file, which responses use.
    pub name: &'static str,
    /// The camel-case spelling, which requests may use instead.
    pub json_name: &'static str,
    /// The type of the value, or of each element.
    pub kind: Kind,
    /// Whether it is a list.
    pub repeated: bool,
    /// The number of its oneof, unique within the message; 0 is none.
    pub oneof: u8,
    /// What its texts refer to.
    pub refers_to: Option<RefKind>,
}

impl Field {
    /// A field whose type in the struct is `T`.
    #[must_use]
    pub const fn of<T: FieldType>(name: &'static str, json_name: &'static str) -> Self {
        Self { name, json_name, kind: T::KIND, repeated: T::IS_REPEATED, oneof: 0, refers_to: None }
    }

    /// Makes its texts base64.
    #[must_use]
    pub const fn bytes(self) -> Self {
        Self { kind: Kind::Bytes, ..self }
    }

    /// Makes the field a member of a oneof.
    #[must_use]
    pub const fn in_oneof(self, oneof: u8) -> Self {
        Self { oneof, ..self }
    }

    /// Makes its texts references.
    #[must_use]
    pub const fn refers_to(self, kind: RefKind) -> Self {
        Self { refers_to: Some(kind), ..self }
    }
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text.
    String,
    /// Base64 text.
    Bytes,
    /// `true` or `false`.
    Bool,
    /// A signed 32-bit integer.
    Int32,
    /// A signed 64-bit integer.
    Int64,
    /// An unsigned 32-bit integer.
    Uint32,
    /// An unsigned 64-bit integer.
    Uint64,
    /// A 32-bit float.
    Float,
    /// A 64-bit float.
    Double,
    /// One of a closed list of names.
    Enum(&'static [(&'static str, i32)]),
    /// Another message.
    Message(fn() -> &'static [Field]),
    /// An object with text keys and values of this type.
    Map(&'static Kind),
    /// Any JSON.
    Value,
    /// Any JSON object.
    Struct,
    /// Any JSON list.
    ListValue,
    /// A point in time, in RFC 3339 format.
    Timestamp,
    /// A duration, in the form `1.5s`.
    Duration,
    /// Field names, separated by commas.
    FieldMask,
}

/// The fields of `M`, as a function so that messages may contain each other.
#[must_use]
pub const fn fields<M: Message>() -> fn() -> &'static [Field] {
    || M::FIELDS
}

/// An enum of the API. Derived: see `ferroflow-model-derive`.
pub trait Enum: Copy + PartialEq + 'static {
    /// The names and numbers of all values.
    const VALUES: &'static [(&'static str, i32)];
    /// All values, in the order of [`Self::VALUES`].
    const ALL: &'static [Self];

    /// The name on the wire.
    #[must_use]
    fn name(self) -> &'static str {
        // ALL and VALUES are generated from the same list.
        Self::ALL.iter().zip(Self::VALUES).find(|(v, _)| **v == self).map_or("", |(_, (name, _))| name)
    }

    /// The number in the proto file.
    #[must_use]
    fn number(self) -> i32 {
        Self::ALL.iter().zip(Self::VALUES).find(|(v, _)| **v == self).map_or(0, |(_, (_, number))| *number)
    }

    /// The value with this name.
    #[must_use]
    fn from_name(name: &str) -> Option<Self> {
        Self::VALUES.iter().position(|(n, _)| *n == name).and_then(|i| Self::ALL.get(i).copied())
    }

    /// The value with this number.
    #[must_use]
    fn from_number(number: i32) -> Option<Self> {
        Self::VALUES.iter().position(|(_, n)| *n == number).and_then(|i| Self::ALL.get(i).copied())
    }
}
