//! Tests of `json.rs`.

use proptest::prelude::*;

use super::*;

fn dumped(text: &str) -> Option<String> {
    let mut out = String::new();
    Json::parse(text)?.dump(true, &mut out);
    Some(out)
}

#[test]
fn json_is_read_and_written_as_by_python() {
    for (text, written) in [
        (" null ", "null"),
        ("-0", "0"),
        ("9223372036854775807", "9223372036854775807"),
        ("1.0", "1.0"),
        ("-1e5", "-100000.0"),
        ("1E-2", "0.01"),
        ("-Infinity", "-Infinity"),
        ("[ ]", "[]"),
        ("[1 ,\n2]", "[1, 2]"),
        ("1E5", "100000.0"),
        ("1e999", "Infinity"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (r#""\u00e9\n\/\ud83d\ude00é""#, r#""\u00e9\n/\ud83d\ude00\u00e9""#),
        (r#""\ud800x\udc00""#, r#""?x?""#),
        (r#""\ud800\ud83d\ude00""#, r#""?\ud83d\ude00""#),
        (r#"{"b":{},"a" : [true,NaN], "b":false}"#, r#"{"b": false, "a": [true, NaN]}"#),
    ] {
        assert_eq!(dumped(text).as_deref(), Some(written), "{text}");
    }
    for text in [
        "",
        " ",
        "nul",
        "tru",
        "nan",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "--1",
        "[1,]",
        "[,1]",
        "[1",
        "{1: 2}",
        "{\"a\"}",
        "{\"a\":1,}",
        "\"a",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "1 2",
        "'a'",
        "\u{feff}1",
        "\u{a0}1",
    ] {
        assert_eq!(Json::parse(text), None, "{text:?}");
        assert_eq!(shape(text), None, "{text:?}");
    }
}

#[test]
fn the_shape_of_a_text_is_known_without_a_tree() {
    for (text, expected) in [
        ("\"\"", Some(Shape::Empty)),
        (" {} ", Some(Shape::Empty)),
        ("[ ]", Some(Shape::Empty)),
        ("\"\\n\"", Some(Shape::Full)),
        ("[0]", Some(Shape::Full)),
        ("{\"a\": [1, {\"b\": null}]}", Some(Shape::Full)),
        ("1", None),
        ("true", None),
        ("{\"a\": }", None),
        ("{} x", None),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(shape(&nested(MAX_CHECKED)), Some(Shape::Full));
    assert_eq!(shape(&nested(MAX_CHECKED + 1)), None);
    assert_eq!(shape(&"[".repeat(1_000_000)), None);
    assert!(Json::parse(&nested(MAX_DEPTH)).is_some());
    assert!(Json::parse(&nested(MAX_DEPTH + 1)).is_none());
    assert!(Json::stored(&nested(MAX_STORED)).is_ok());
    assert_eq!(Json::stored(&"[".repeat(MAX_STORED + 1)), Err(Refusal::TooDeep));
}

#[test]
fn values_are_counted_and_surrogates_refused_on_request() {
    assert_eq!(Json::request("[1, 2]", 2), Err(Refusal::TooMany));
    assert!(Json::request("[1, 2]", 3).is_ok());
    assert_eq!(Json::request(r#""\ud800""#, 9), Err(Refusal::NotJson));
    assert!(Json::request(r#""\ud83d\ude00""#, 9).is_ok());
}

#[test]
fn objects_with_many_names_are_written_in_linear_time() {
    let names: Vec<String> = (0..200_000).map(|name| format!("\"{name}\": 1")).collect();
    let text = format!("{{{}}}", names.join(", "));
    assert_eq!(dumped(&text).as_deref(), Some(text.as_str()));
}

proptest! {
    #[test]
    fn json_is_read_as_by_others(text in "\\PC{0,20}", number in any::<i64>(), float in any::<f64>()) {
        prop_assume!(float.is_finite());
        let dumped = serde_json::json!({"text": text, "number": number, "float": float}).to_string();
        let read = Json::parse(&dumped).unwrap();
        prop_assert_eq!(read.get("text"), Some(&Json::Text(text.into())));
        prop_assert_eq!(read.get("number").and_then(Json::int), Some(number));
        prop_assert_eq!(read.get("float").and_then(Json::float), Some(float));
    }

    #[test]
    fn any_text_is_read_or_refused(text in r#"[\{\}\[\]":,\\uda80NIe.E+é \-]{0,40}"#) {
        let tree = Json::parse(&text);
        // The check without a tree agrees with the parser.
        let is_structure = matches!(tree, Some(Json::Text(_) | Json::Array(_) | Json::Object(_)));
        prop_assert_eq!(shape(&text).is_some(), is_structure);
    }
}
