//! Converts a JSON tree to the strict form of a message, by the rules of `google.protobuf.json_format.ParseDict` with
//! `ignore_unknown_fields`.

use std::fmt;

use serde_json::{Map, Value};

use crate::{
    Error, Result, number,
    wire::{Duration, Field, FieldMask, Kind, Timestamp},
};

/// The location and the reason of a conversion failure.
#[derive(Debug)]
pub(super) struct Failure {
    path: String,
    reason: &'static str,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Invalid value for parameter '{}': {}. See the API docs for more information about request parameters.",
            self.path, self.reason
        )
    }
}

type ConvertResult<T> = std::result::Result<T, Failure>;

fn fail<T>(path: &str, reason: &'static str) -> ConvertResult<T> {
    Err(Failure { path: path.to_owned(), reason })
}

/// Refuses an object that has a field under both spellings: validation and execution could use different ones.
pub(super) fn reject_conflicting_aliases(request: &Map<String, Value>, fields: &[Field]) -> Result<()> {
    for field in fields {
        let (snake, camel) = (request.get(field.name), request.get(field.json_name));
        if field.name != field.json_name && snake.is_some() && camel.is_some() {
            return Err(Error::invalid(format!(
                "Request specifies both '{}' and '{}'; provide only one of them.",
                field.name, field.json_name
            )));
        }
        let Kind::Message(nested) = field.kind else { continue };
        match snake.or(camel) {
            Some(Value::Object(object)) => reject_conflicting_aliases(object, nested())?,
            Some(Value::Array(items)) => {
                for object in items.iter().filter_map(Value::as_object) {
                    reject_conflicting_aliases(object, nested())?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Converts an object: proto names, no unknown fields, no nulls, each value in its plain JSON form.
pub(super) fn message(object: &Map<String, Value>, fields: &[Field], path: &str) -> ConvertResult<Map<String, Value>> {
    let mut plain = Map::new();
    let mut oneofs = 0_u64;
    for (name, given) in object {
        let by_json_name = fields.iter().find(|field| field.json_name == name);
        let Some(field) = by_json_name.or_else(|| fields.iter().find(|field| field.name == name)) else { continue };
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if given.is_null() && (field.repeated || !matches!(field.kind, Kind::Value)) {
            continue;
        }
        if !field.repeated && is_absent(given, field.kind) {
            continue;
        }
        if field.oneof != 0 && oneofs & (1 << field.oneof) != 0 {
            return fail(&path, "it excludes another field that is set too");
        }
        oneofs |= 1 << field.oneof;
        plain.insert(field.name.to_owned(), value(given, field, &path)?);
    }
    Ok(plain)
}

/// Whether an enum's name is treated as absent: an empty one, from a form that is not filled in, and an unknown view
/// type (`all` in lower case), for which clients have always got the default. All other unknown names are refused: if
/// they were dropped, the change would silently not be made.
fn is_absent(given: &Value, kind: Kind) -> bool {
    let (Kind::Enum(values), Value::String(name)) = (kind, given) else { return false };
    let is_view_type = values.iter().any(|(known, _)| *known == "ACTIVE_ONLY");
    name.is_empty()
        || is_view_type && number::parse_int(name).is_none() && !values.iter().any(|(known, _)| known == name)
}

/// Converts the value of a field.
fn value(given: &Value, field: &Field, path: &str) -> ConvertResult<Value> {
    if !field.repeated {
        return single(given, field.kind, path);
    }
    let Value::Array(items) = given else { return fail(path, "expected a list") };
    let mut list = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if item.is_null() && !matches!(field.kind, Kind::Value) {
            return fail(&path, "null cannot be an element of a list");
        }
        list.push(single(item, field.kind, &path)?);
    }
    Ok(Value::Array(list))
}

fn single(given: &Value, kind: Kind, path: &str) -> ConvertResult<Value> {
    let text = given.as_str();
    let is_good = match kind {
        Kind::String | Kind::Bytes => text.is_some(),
        Kind::Bool => given.is_boolean(),
        Kind::Value => true,
        Kind::Struct => given.is_object(),
        Kind::ListValue => given.is_array(),
        Kind::Timestamp => text.is_some_and(|text| Timestamp::parse(text).is_some()),
        Kind::Duration => text.is_some_and(|text| Duration::parse(text).is_some()),
        Kind::FieldMask => text.is_some_and(|text| FieldMask::parse(text).is_some()),
        Kind::Int32 => return integer(given, i32::MIN.into(), i32::MAX.into(), path),
        Kind::Int64 => return integer(given, i64::MIN.into(), i64::MAX.into(), path),
        Kind::Uint32 => return integer(given, 0, u32::MAX.into(), path),
        Kind::Uint64 => return integer(given, 0, u64::MAX.into(), path),
        Kind::Float => return float(given, f32::MAX.into(), path),
        Kind::Double => return float(given, f64::INFINITY, path),
        Kind::Enum(values) => return variant(given, values, path),
        Kind::Message(fields) => {
            let Value::Object(object) = given else { return fail(path, "expected an object") };
            return message(object, fields(), path).map(Value::Object);
        }
        Kind::Map(of) => {
            let Value::Object(object) = given else { return fail(path, "expected an object") };
            let mut plain = Map::new();
            for (key, given) in object {
                plain.insert(key.clone(), single(given, *of, &format!("{path}[{key}]"))?);
            }
            return Ok(Value::Object(plain));
        }
    };
    if is_good { Ok(given.clone()) } else { fail(path, expected(kind)) }
}

const fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "expected a string",
        Kind::Bytes => "expected a base64 string",
        Kind::Bool => "expected true or false",
        Kind::ListValue => "expected a list",
        Kind::Timestamp => "expected a timestamp such as \"1972-01-01T10:00:20.021Z\"",
        Kind::Duration => "expected a duration such as \"1.5s\"",
        Kind::FieldMask => "expected names of fields in camel case",
        _ => "expected an object",
    }
}

fn integer(given: &Value, least: i128, most: i128, path: &str) -> ConvertResult<Value> {
    let number = match given {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| number.as_f64().and_then(integral)),
        Value::String(text) if text.contains(' ') => None,
        Value::String(text) => number::parse_int(text).or_else(|| number::parse_float(text).and_then(integral)),
        _ => None,
    };
    match number {
        None => fail(path, "expected an integer"),
        Some(number) if number < least || number > most => fail(path, "the integer is out of range"),
        // The range is within that of 64 bits.
        Some(number) => Ok(i64::try_from(number)
            .map(Value::from)
            .or_else(|_| u64::try_from(number).map(Value::from))
            .unwrap_or(Value::Null)),
    }
}

/// A float without a fraction as an integer.
#[expect(clippy::cast_possible_truncation, reason = "a float beyond 128 bits is out of every range anyway")]
fn integral(float: f64) -> Option<i128> {
    (float.is_finite() && float.fract() == 0.0).then_some(float as i128)
}

fn float(given: &Value, most: f64, path: &str) -> ConvertResult<Value> {
    let number = match given {
        Value::Number(number) => number.as_f64(),
        Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
        Value::String(text) if text == "nan" => None,
        Value::String(text) => number::parse_float(text),
        _ => None,
    };
    match number {
        None => fail(path, "expected a number"),
        Some(number) if given.is_number() && number.abs() > most => fail(path, "the number is too large"),
        Some(number) if number.is_nan() => Ok("NaN".into()),
        Some(number) if number.is_infinite() => Ok(if number > 0.0 { "Infinity" } else { "-Infinity" }.into()),
        Some(number) => Ok(number.into()),
    }
}

fn variant(given: &Value, values: &[(&str, i32)], path: &str) -> ConvertResult<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "Python's int() cuts the fraction too")]
    let number = match given {
        Value::String(name) if values.iter().any(|(known, _)| known == name) => return Ok(given.clone()),
        Value::String(text) => match number::parse_int(text) {
            Some(number) => number,
            None => return fail(path, "the enum has no such name"),
        },
        Value::Number(number) => {
            number.as_i64().map_or_else(|| number.as_f64().unwrap_or_default() as i128, i128::from)
        }
        Value::Bool(bool) => i128::from(*bool),
        _ => return fail(path, "expected a name or number of the enum"),
    };
    match values.iter().find(|(_, known)| i128::from(*known) == number) {
        Some((name, _)) => Ok((*name).into()),
        None => fail(path, "the enum has no such number"),
    }
}
