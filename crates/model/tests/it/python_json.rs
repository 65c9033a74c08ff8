//! JSON is read and written as Python does it, as recorded by `../fixtures/record_python_json.py`.

use ferroflow_model::{
    evaluation::dataset_records,
    python_json::{Json, Refusal, Text, end_of_value, update},
};
use serde_json::Value;

#[test]
fn texts_are_read_and_written_as_python_does() {
    let cases: Vec<Vec<Value>> = serde_json::from_str(include_str!("../fixtures/python_json.json")).unwrap();
    assert!(cases.len() > 200, "the recording is nearly empty");
    for case in &cases {
        let text = case[0].as_str().unwrap();
        let found = Json::parse(text, 1000);
        let [_, dumped, sorted, shown, truthy, hash] = case.as_slice() else {
            assert_eq!(found, Err(Refusal::NotJson), "{text}");
            continue;
        };
        let found = found.unwrap_or_else(|refusal| panic!("{text} is refused: {refusal:?}"));
        assert_eq!(found.dumps(), dumped.as_str().unwrap(), "{text}");
        assert_eq!(found.dumps_sorted(), sorted.as_str().unwrap(), "{text}");
        assert_eq!(found.to_str().as_deref(), shown.as_str(), "{text}");
        assert_eq!(found.is_truthy(), truthy.as_bool().unwrap(), "{text}");
        let start = text.len() - text.trim_start().len();
        assert_eq!(end_of_value(&text[start..]), Some(text.trim().len()), "{text}");
        if found.object().is_some() {
            let records = dataset_records::parse(&format!("[{{\"inputs\": {text}}}]")).unwrap();
            assert_eq!(records.records[0].input_hash, hash.as_str().unwrap(), "{text}");
        }
    }
}

#[test]
fn a_text_may_be_refused_for_its_size() {
    assert_eq!(Json::parse("[1, 2, 3]", 3), Err(Refusal::TooMany));
    assert_eq!(Json::parse(&"[".repeat(100_000), usize::MAX), Err(Refusal::TooDeep));
    assert_eq!(Json::parse(&"1".repeat(4301), 1), Err(Refusal::NotJson));
    let mut count = 0;
    let outcome = Json::each_item("[[1], [2], [1, 2, 3]]", 3, |_| {
        count += 1;
        Ok::<_, Refusal>(())
    });
    assert_eq!((outcome, count), (Err(Refusal::TooMany), 2));
}

#[test]
fn an_object_is_updated_in_the_order_of_first_appearance() {
    let pairs = |text: &str| Json::parse(text, 100).unwrap().object().unwrap().to_vec();
    let mut found = pairs(r#"{"a": 1, "b": 2}"#);
    update(&mut found, &pairs(r#"{"c": 3, "a": 4}"#));
    assert_eq!(Json::Object(found).dumps(), r#"{"a": 4, "b": 2, "c": 3}"#);
    assert!(Text::new("\u{ffff}") < Text::new("\u{10000}"), "by code points, not by code units");
}
