//! The types that a field of a message has in the struct.

use std::collections::BTreeMap;

use serde::{de::MapAccess, ser::SerializeMap};

use super::{Kind, Ref, ValueType};

/// The type of a field in the struct: `Option<T>` for a single value, `Vec<T>` for a repeated field, `BTreeMap<String, T>`
/// for a map.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can not be a field of a message",
    note = "a field is an `Option<T>`, a `Vec<T>` or a `BTreeMap<String, T>`, and `T` a `ValueType`"
)]
pub trait FieldType {
    /// The type of the value, or of each element of a list.
    const KIND: Kind;
    /// Whether it is a list.
    const IS_REPEATED: bool;

    /// Parses the value of the field from `map`. Returns false if it was null, which is the same as absent.
    ///
    /// # Errors
    /// The value has another type, or it is not JSON.
    fn read<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<bool, A::Error>;

    /// Writes the field to `map`, unless it is not set or empty.
    ///
    /// # Errors
    /// The serializer's.
    fn write<M: SerializeMap>(&self, map: &mut M, name: &'static str) -> Result<(), M::Error>;

    /// [`Message::refs`](super::Message::refs) of the messages in it.
    fn refs<'a>(&'a self, visit: &mut dyn FnMut(Ref<'a>));
}

impl<T: ValueType> FieldType for Option<T> {
    const KIND: Kind = T::KIND;
    const IS_REPEATED: bool = false;

    fn read<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<bool, A::Error> {
        *self = T::read(map)?;
        Ok(self.is_some())
    }

    fn write<M: SerializeMap>(&self, map: &mut M, name: &'static str) -> Result<(), M::Error> {
        self.as_ref().map_or(Ok(()), |value| value.write(map, name))
    }

    fn refs<'a>(&'a self, visit: &mut dyn FnMut(Ref<'a>)) {
        if let Some(value) = self {
            value.refs(visit);
        }
    }
}

impl<T: ValueType> FieldType for Vec<T> {
    const KIND: Kind = T::KIND;
    const IS_REPEATED: bool = true;

    fn read<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<bool, A::Error> {
        let list = T::read_list(map)?;
        let is_present = list.is_some();
        *self = list.unwrap_or_default();
        Ok(is_present)
    }

    fn write<M: SerializeMap>(&self, map: &mut M, name: &'static str) -> Result<(), M::Error> {
        if self.is_empty() { Ok(()) } else { T::write_list(self, map, name) }
    }

    fn refs<'a>(&'a self, visit: &mut dyn FnMut(Ref<'a>)) {
        for value in self {
            value.refs(visit);
        }
    }
}

impl<T: ValueType> FieldType for BTreeMap<String, T> {
    const KIND: Kind = Kind::Map(&T::KIND);
    const IS_REPEATED: bool = false;

    fn read<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<bool, A::Error> {
        let entries = T::read_map(map)?;
        let is_present = entries.is_some();
        *self = entries.unwrap_or_default();
        Ok(is_present)
    }

    fn write<M: SerializeMap>(&self, map: &mut M, name: &'static str) -> Result<(), M::Error> {
        if self.is_empty() { Ok(()) } else { T::write_map(self, map, name) }
    }

    fn refs<'a>(&'a self, visit: &mut dyn FnMut(Ref<'a>)) {
        for value in self.values() {
            value.refs(visit);
        }
    }
}
