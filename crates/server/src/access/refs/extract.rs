//! A serializer that extracts the ids and names of a message, without building a tree of a long one.

use std::fmt::Display;

use ferroflow_model::prompts::IS_PROMPT_TAG;
use serde::{
    Serialize, Serializer,
    ser::{Error as _, Impossible, SerializeMap, SerializeSeq},
};
use serde_json::{Error, Map, Value};

/// Maximum bytes of a text that may be an id or a name; none is this long.
const MAX_TEXT: usize = 16 * 1024;

/// The fields of a message that may name something: texts, numbers and lists of them. Of messages in lists, the logged
/// model that they refer to and the tag that distinguishes prompts from models.
pub(super) fn refs<T: Serialize>(message: &T) -> Map<String, Value> {
    match message.serialize(Part::Message) {
        Ok(Some(Value::Object(fields))) => fields,
        // A message is always an object.
        _ => Map::new(),
    }
}

/// The position of a value in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Message,
    Field,
    Element,
}

type Extracted = Result<Option<Value>, Error>;

/// The elements of a list that were extracted.
struct Elements(Vec<Value>);

/// The fields of an object that were extracted.
struct Fields {
    part: Part,
    key: String,
    fields: Map<String, Value>,
}

impl SerializeSeq for Elements {
    type Ok = Option<Value>;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Error> {
        self.0.extend(element.serialize(Part::Element)?);
        Ok(())
    }

    fn end(self) -> Extracted {
        Ok(Some(Value::Array(self.0)))
    }
}

impl SerializeMap for Fields {
    type Ok = Option<Value>;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = match key.serialize(Part::Field)? {
            Some(Value::String(key)) => key,
            _ => String::new(),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let is_ref = match self.part {
            Part::Message => true,
            Part::Field => false,
            Part::Element => matches!(self.key.as_str(), "model_id" | "key" | "value"),
        };
        if is_ref && let Some(value) = value.serialize(Part::Field)? {
            self.fields.insert(std::mem::take(&mut self.key), value);
        }
        Ok(())
    }

    fn end(mut self) -> Extracted {
        if self.part == Part::Element && self.fields.get("key").and_then(Value::as_str) != Some(IS_PROMPT_TAG) {
            self.fields.remove("key");
            self.fields.remove("value");
        }
        let is_empty = self.part != Part::Message && self.fields.is_empty();
        Ok((!is_empty).then_some(Value::Object(self.fields)))
    }
}

type Unsupported = Impossible<Option<Value>, Error>;

fn unsupported<T>(what: impl Display) -> Result<T, Error> {
    Err(Error::custom(format!("a message has no {what}")))
}

impl Serializer for Part {
    type Ok = Option<Value>;
    type Error = Error;
    type SerializeSeq = Elements;
    type SerializeMap = Fields;
    type SerializeTuple = Unsupported;
    type SerializeTupleStruct = Unsupported;
    type SerializeTupleVariant = Unsupported;
    type SerializeStruct = Unsupported;
    type SerializeStructVariant = Unsupported;

    fn serialize_bool(self, value: bool) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_i8(self, value: i8) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_i16(self, value: i16) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_i32(self, value: i32) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_i64(self, value: i64) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_u8(self, value: u8) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_u16(self, value: u16) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_u32(self, value: u32) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_u64(self, value: u64) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_f32(self, value: f32) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Extracted {
        Ok(Some(value.into()))
    }

    fn serialize_char(self, value: char) -> Extracted {
        Ok(Some(value.to_string().into()))
    }

    fn serialize_str(self, text: &str) -> Extracted {
        Ok((text.len() <= MAX_TEXT).then(|| text.into()))
    }

    fn serialize_bytes(self, _: &[u8]) -> Extracted {
        Ok(None)
    }

    fn serialize_none(self) -> Extracted {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Extracted {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Extracted {
        Ok(None)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Extracted {
        Ok(None)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Extracted {
        Ok(Some(variant.into()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Extracted {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Extracted {
        Ok(None)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements, Error> {
        Ok(Elements(Vec::new()))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields, Error> {
        Ok(Fields { part: self, key: String::new(), fields: Map::new() })
    }

    fn serialize_tuple(self, _: usize) -> Result<Unsupported, Error> {
        unsupported("tuples")
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Unsupported, Error> {
        unsupported(name)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Unsupported, Error> {
        unsupported(name)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Unsupported, Error> {
        unsupported(name)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Unsupported, Error> {
        unsupported(name)
    }
}

#[cfg(test)]
mod tests {
    use ferroflow_model::{
        messages::{
            model_registry::CreateModelVersion,
            service::{LogInputs, SearchRuns},
        },
        request,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_and_names_are_extracted_and_long_texts_are_not() {
        let long = "x".repeat(MAX_TEXT + 1);
        let inputs: LogInputs = request::parse_json(
            json!({
                "run_id": "r",
                "datasets": [{ "tags": [{ "key": "k", "value": "v" }], "dataset": { "name": "d", "profile": long } }],
                "models": [{ "model_id": "m-1" }, { "model_id": "m-2" }],
            })
            .to_string(),
        )
        .unwrap();
        let expected =
            json!({ "run_id": "r", "datasets": [], "models": [{ "model_id": "m-1" }, { "model_id": "m-2" }] });
        assert_eq!(Value::Object(refs(&inputs)), expected);
        let version: CreateModelVersion = request::parse_json(
            json!({
                "name": "n",
                "source": "s",
                "description": long,
                "tags": [{ "key": "a", "value": "b" }, { "key": IS_PROMPT_TAG, "value": "true" }],
            })
            .to_string(),
        )
        .unwrap();
        let expected = json!({ "name": "n", "source": "s", "tags": [{ "key": IS_PROMPT_TAG, "value": "true" }] });
        assert_eq!(Value::Object(refs(&version)), expected);
        let search: SearchRuns =
            request::parse_json(json!({ "experiment_ids": ["1", "2"], "max_results": 5 }).to_string()).unwrap();
        let found = Value::Object(refs(&search));
        assert_eq!((&found["experiment_ids"], &found["max_results"]), (&json!(["1", "2"]), &json!(5)));
    }
}
