//! The types of values, and their form in JSON.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned, de::MapAccess, ser::SerializeMap};
use serde_json::{Map, Value};

use super::{
    Duration, FieldMask, Kind, Ref, Timestamp,
    read::Double,
    write::{Float, Number},
};

/// The type of a value of a field. Most have in JSON the form of their [`Serialize`]; the others have methods of their own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can not be the value of a field",
    note = "a value is a text, a number, a `bool`, a well-known type of `wire`, or derives `Message` or `Enum`"
)]
pub trait ValueType: Serialize + DeserializeOwned {
    /// Its description for parsers.
    const KIND: Kind;

    /// Parses a value; `None` is null.
    ///
    /// # Errors
    /// The value has another type, or it is not JSON.
    fn read<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
        map.next_value()
    }

    /// Parses a list; `None` is null.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_list<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Vec<Self>>, A::Error> {
        map.next_value()
    }

    /// Parses a map; `None` is null.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_map<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<BTreeMap<String, Self>>, A::Error> {
        map.next_value()
    }

    /// Writes a value.
    ///
    /// # Errors
    /// The serializer's.
    fn write<M: SerializeMap>(&self, map: &mut M, name: &'static str) -> Result<(), M::Error> {
        map.serialize_entry(name, self)
    }

    /// Writes a list.
    ///
    /// # Errors
    /// The serializer's.
    fn write_list<M: SerializeMap>(list: &[Self], map: &mut M, name: &'static str) -> Result<(), M::Error> {
        map.serialize_entry(name, list)
    }

    /// Writes a map.
    ///
    /// # Errors
    /// The serializer's.
    fn write_map<M: SerializeMap>(
        entries: &BTreeMap<String, Self>,
        map: &mut M,
        name: &'static str,
    ) -> Result<(), M::Error> {
        map.serialize_entry(name, entries)
    }

    /// [`Message::refs`](super::Message::refs) of a message; other values have none.
    fn refs<'a>(&'a self, _visit: &mut dyn FnMut(Ref<'a>)) {}
}

impl ValueType for String {
    const KIND: Kind = Kind::String;
}

impl ValueType for bool {
    const KIND: Kind = Kind::Bool;
}

impl ValueType for i32 {
    const KIND: Kind = Kind::Int32;
}

impl ValueType for i64 {
    const KIND: Kind = Kind::Int64;
}

impl ValueType for u32 {
    const KIND: Kind = Kind::Uint32;
}

impl ValueType for u64 {
    const KIND: Kind = Kind::Uint64;
}

impl ValueType for Timestamp {
    const KIND: Kind = Kind::Timestamp;
}

impl ValueType for Duration {
    const KIND: Kind = Kind::Duration;
}

impl ValueType for FieldMask {
    const KIND: Kind = Kind::FieldMask;
}

impl ValueType for Map<String, Value> {
    const KIND: Kind = Kind::Struct;
}

impl ValueType for Vec<Value> {
    const KIND: Kind = Kind::ListValue;
}

impl ValueType for Value {
    const KIND: Kind = Kind::Value;

    /// Null is a value too.
    fn read<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
        map.next_value().map(Some)
    }
}

/// Numbers for which JSON has strings too: each is parsed by way of a [`Double`] and written by way of `$wire`.
macro_rules! floating {
    ($type:ty, $kind:expr, $parse:expr, $wire:expr) => {
        impl ValueType for $type {
            const KIND: Kind = $kind;

            fn read<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
                Ok(map.next_value::<Option<Double>>()?.map($parse))
            }

            fn read_list<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Vec<Self>>, A::Error> {
                let list: Option<Vec<Double>> = map.next_value()?;
                Ok(list.map(|list| list.into_iter().map($parse).collect()))
            }

            fn read_map<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<BTreeMap<String, Self>>, A::Error> {
                let entries: Option<BTreeMap<String, Double>> = map.next_value()?;
                Ok(entries.map(|entries| entries.into_iter().map(|(key, number)| (key, $parse(number))).collect()))
            }

            fn write<M: SerializeMap>(&self, map: &mut M, name: &'static str) -> Result<(), M::Error> {
                map.serialize_entry(name, &$wire(*self))
            }

            fn write_list<M: SerializeMap>(list: &[Self], map: &mut M, name: &'static str) -> Result<(), M::Error> {
                map.serialize_entry(name, &list.iter().copied().map($wire).collect::<Vec<_>>())
            }

            fn write_map<M: SerializeMap>(
                entries: &BTreeMap<String, Self>,
                map: &mut M,
                name: &'static str,
            ) -> Result<(), M::Error> {
                let entries: BTreeMap<_, _> = entries.iter().map(|(key, number)| (key, $wire(*number))).collect();
                map.serialize_entry(name, &entries)
            }
        }
    };
}

floating!(f64, Kind::Double, double, Number);
floating!(f32, Kind::Float, float, Float);

fn double(Double(number): Double) -> f64 {
    number
}

#[expect(clippy::cast_possible_truncation, reason = "the field holds 32 bits")]
fn float(Double(number): Double) -> f32 {
    number as f32
}
