//! Serialises messages: proto names, unset fields omitted, integers as numbers.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};

/// Writes a field with a single value.
pub fn value<T: Serialize, M: SerializeMap>(map: &mut M, name: &'static str, slot: Option<&T>) -> Result<(), M::Error> {
    match slot {
        Some(value) => map.serialize_entry(name, value),
        None => Ok(()),
    }
}

/// Writes a repeated field.
pub fn list<T: Serialize, M: SerializeMap>(map: &mut M, name: &'static str, slot: &[T]) -> Result<(), M::Error> {
    if slot.is_empty() { Ok(()) } else { map.serialize_entry(name, slot) }
}

/// Writes a map field.
pub fn map<T: Serialize, M: SerializeMap>(
    map: &mut M,
    name: &'static str,
    slot: &BTreeMap<String, T>,
) -> Result<(), M::Error> {
    if slot.is_empty() { Ok(()) } else { map.serialize_entry(name, slot) }
}

/// Writes a double field.
pub fn double<M: SerializeMap>(map: &mut M, name: &'static str, slot: Option<f64>) -> Result<(), M::Error> {
    match slot {
        Some(number) => map.serialize_entry(name, &Number(number)),
        None => Ok(()),
    }
}

/// Writes a float field, with the fewest digits that parse to the same 32 bits.
pub fn float<M: SerializeMap>(map: &mut M, name: &'static str, slot: Option<f32>) -> Result<(), M::Error> {
    match slot {
        Some(number) if number.is_finite() => map.serialize_entry(name, &number),
        other => double(map, name, other.map(f64::from)),
    }
}

/// Writes a map of doubles.
pub fn double_map<M: SerializeMap>(
    map: &mut M,
    name: &'static str,
    slot: &BTreeMap<String, f64>,
) -> Result<(), M::Error> {
    if slot.is_empty() {
        return Ok(());
    }
    map.serialize_entry(name, &slot.iter().map(|(key, number)| (key, Number(*number))).collect::<BTreeMap<_, _>>())
}

/// A double in protobuf JSON, which has strings for NaN and the infinities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else if self.0.is_nan() {
            serializer.serialize_str("NaN")
        } else if self.0 > 0.0 {
            serializer.serialize_str("Infinity")
        } else {
            serializer.serialize_str("-Infinity")
        }
    }
}
