//! The derives of messages and enums, on types that no message of the reference has.

use std::collections::BTreeMap;

use ferroflow_model::wire::{Enum, Message, read};
use serde_json::{Value, json};

#[derive(Debug, Clone, Default, PartialEq, Message)]
struct Sample {
    doubles: Vec<f64>,
    #[field(default = 0.5)]
    float: Option<f32>,
    floats: BTreeMap<String, f32>,
    any: Option<Value>,
    #[field(bytes)]
    raw_bytes: Option<String>,
    #[field(default = Level::VeryHigh)]
    r#type: Option<Level>,
    levels: BTreeMap<String, Level>,
    parts: Vec<Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
enum Level {
    Low = -1,
    VeryHigh = 7,
}

#[derive(Debug, Clone, Default, PartialEq, Message)]
struct Nothing {}

#[test]
fn every_type_has_its_form_in_json() {
    let json = json!({
        "doubles": [1.0, "NaN", "-Infinity", 2.5],
        "float": 0.1_f32,
        "floats": { "a": "Infinity", "b": 0.25 },
        "any": null,
        "raw_bytes": "AA==",
        "type": "VERY_HIGH",
        "levels": { "a": "LOW" },
        "parts": [{ "float": "NaN" }],
    });
    let sample: Sample = serde_json::from_value(json.clone()).unwrap();
    assert!(sample.doubles[1].is_nan());
    assert_eq!((sample.doubles[2], sample.floats["a"], sample.floats["b"]), (f64::NEG_INFINITY, f32::INFINITY, 0.25));
    assert_eq!((&sample.any, sample.levels["a"]), (&Some(Value::Null), Level::Low));
    // The fewest digits that parse to the same 32 bits: not 0.10000000149011612.
    let text = serde_json::to_string(&sample).unwrap();
    assert!(text.contains(r#""float":0.1,"#), "{text}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["doubles"],
        json!([1.0, "NaN", "-Infinity", 2.5]),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["parts"], json["parts"]);
}

#[test]
fn getters_give_defaults() {
    let sample = Sample::default();
    assert_eq!((sample.raw_bytes(), sample.r#type()), ("", Level::VeryHigh));
    assert_eq!(sample.float().to_bits(), 0.5_f32.to_bits());
    let sample = Sample { raw_bytes: Some("AA==".into()), r#type: Some(Level::Low), ..sample };
    assert_eq!((sample.raw_bytes(), sample.r#type()), ("AA==", Level::Low));
}

#[test]
fn a_value_has_its_name_and_number() {
    assert_eq!(Level::VALUES, [("LOW", -1), ("VERY_HIGH", 7)]);
    assert_eq!((Level::VeryHigh.name(), Level::Low.number()), ("VERY_HIGH", -1));
    assert_eq!((Level::from_number(7), Level::from_name("HIGH")), (Some(Level::VeryHigh), None));
}

#[test]
fn a_message_without_fields_is_an_object() {
    assert_eq!(serde_json::to_string(&Nothing {}).unwrap(), "{}");
    assert_eq!(read::from_slice::<Nothing>(br#"{"new":[1]}"#).unwrap().fields, 0);
    assert!(serde_json::from_str::<Nothing>("[]").is_err());
}
