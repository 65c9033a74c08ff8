//! The strict parser.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{Enum, Message};

/// A message and the set of fields that have a value other than null: bit `i` is field number `i`. Unlike in the
/// struct, an empty list is present.
#[derive(Debug)]
pub struct WithPresence<M> {
    /// The message.
    pub message: M,
    /// The present fields.
    pub fields: u64,
}

/// Parses one message from JSON text.
///
/// # Errors
/// The text is not in the strict form: a value has another JSON type than the field, a key is camel-case or repeated,
/// two fields belong to one oneof, or it is not JSON.
pub fn from_slice<M: Message>(json: &[u8]) -> Result<WithPresence<M>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let present = reader.deserialize_map(MessageVisitor(PhantomData))?;
    reader.end()?;
    Ok(present)
}

/// Parses one message from a JSON tree, moving its texts into the message.
///
/// # Errors
/// As [`from_slice`].
pub fn from_tree<M: Message>(tree: Map<String, Value>) -> Result<M, serde_json::Error> {
    message(Value::Object(tree))
}

/// The [`Deserialize`] of every message.
pub fn message<'de, M: Message, D: Deserializer<'de>>(deserializer: D) -> Result<M, D::Error> {
    deserializer.deserialize_map(MessageVisitor(PhantomData)).map(|present| present.message)
}

struct MessageVisitor<M>(PhantomData<M>);

impl<'de, M: Message> Visitor<'de> for MessageVisitor<M> {
    type Value = WithPresence<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut message = M::default();
        let (mut keys, mut fields, mut oneofs) = (0_u64, 0_u64, 0_u64);
        while let Some(key) = map.next_key_seed(KeySeed(M::FIELDS))? {
            let index = match key {
                Key::Field(index) => index,
                Key::Alias => return Err(A::Error::custom("camel-case field name")),
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if keys & (1 << index) != 0 {
                return Err(A::Error::custom("field given twice"));
            }
            keys |= 1 << index;
            if message.read_field(index, &mut map)? {
                fields |= 1 << index;
                let oneof = M::FIELDS[index].oneof;
                if oneof != 0 && oneofs & (1 << oneof) != 0 {
                    return Err(A::Error::custom("two fields of a oneof"));
                }
                oneofs |= 1 << oneof;
            }
        }
        Ok(WithPresence { message, fields })
    }
}

enum Key {
    Field(usize),
    Alias,
    Unknown,
}

struct KeySeed(&'static [super::Field]);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
        if let Some(index) = self.0.iter().position(|field| field.name == key) {
            return Ok(Key::Field(index));
        }
        Ok(if self.0.iter().any(|field| field.json_name == key) { Key::Alias } else { Key::Unknown })
    }
}

/// Skips the value of a field that the message does not have.
pub fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<bool, A::Error> {
    map.next_value::<IgnoredAny>().map(|_| false)
}

/// A double, as a JSON number or as one of the strings for NaN and the infinities.
pub(super) struct Double(pub(super) f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DoubleVisitor).map(Self)
    }
}

struct DoubleVisitor;

impl Visitor<'_> for DoubleVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    #[expect(clippy::cast_precision_loss, reason = "a double of the protocol may be written without a fraction")]
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "a double of the protocol may be written without a fraction")]
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<f64, E> {
        match word {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }
}

/// The [`Deserialize`] of every enum: a name or a number.
pub fn variant<'de, E: Enum, D: Deserializer<'de>>(deserializer: D) -> Result<E, D::Error> {
    deserializer.deserialize_any(EnumVisitor(PhantomData))
}

struct EnumVisitor<E>(PhantomData<E>);

impl<E: Enum> Visitor<'_> for EnumVisitor<E> {
    type Value = E;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or number of the enum")
    }

    fn visit_str<Er: de::Error>(self, name: &str) -> Result<E, Er> {
        E::from_name(name).ok_or_else(|| Er::invalid_value(de::Unexpected::Str(name), &self))
    }

    fn visit_i64<Er: de::Error>(self, number: i64) -> Result<E, Er> {
        i32::try_from(number)
            .ok()
            .and_then(E::from_number)
            .ok_or_else(|| Er::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<Er: de::Error>(self, number: u64) -> Result<E, Er> {
        i32::try_from(number)
            .ok()
            .and_then(E::from_number)
            .ok_or_else(|| Er::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}
