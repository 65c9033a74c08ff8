//! Fuzzing: no text makes the parser panic or return anything but an invalid-parameter error.
//! `../../src/syntax/work.rs` tests that the work is linear.

use ferroflow_model::{Error, ErrorCode};
use ferroflow_search::{
    PageToken, experiments, logged_models, model_versions, registered_models, runs, trace_metrics, traces,
};
use proptest::prelude::*;

fn parse_everywhere(text: &str) {
    let refused = |error: Error| assert_eq!(error.code, ErrorCode::InvalidParameterValue, "{text:?}: {error}");
    runs::parse_filter(text).err().map(refused);
    experiments::parse_filter(text).err().map(refused);
    logged_models::parse_filter(text).err().map(refused);
    registered_models::parse_filter(text).err().map(refused);
    model_versions::parse_filter(text).err().map(refused);
    traces::parse_filter(text).err().map(refused);
    trace_metrics::parse_filter(text).err().map(refused);
    traces::parse_order_by(&[text]).err().map(refused);
    runs::parse_order_by(&[text]).err().map(refused);
    experiments::parse_order_by(&[text]).err().map(refused);
    registered_models::parse_order_by(&[text]).err().map(refused);
    model_versions::parse_order_by(&[text]).err().map(refused);
    let clause =
        logged_models::OrderClause { field_name: text, ascending: true, dataset_name: None, dataset_digest: None };
    logged_models::parse_order_by(&[clause]).err().map(refused);
    PageToken::decode(text).err().map(refused);
    PageToken::decode_for_logged_models(text, &[], text, &serde_json::Value::Null).err().map(refused);
}

/// Fragments of the language, so that random texts are nearly valid.
fn sentence() -> impl Strategy<Value = String> {
    let words = [
        "metrics.a",
        "params.`b c`",
        "tags.\"d\"",
        "run_id",
        "name",
        "start_time",
        "span.attributes.`e`",
        "trace.text",
        "feedback.f",
        "trace.metadata.g",
        "RLIKE",
        "timestamp",
        ">",
        "=",
        "!=",
        "LIKE",
        "IN",
        "NOT IN",
        "NOT",
        "IS NULL",
        "IS",
        "'x'",
        "\"y\"",
        "('a', 'b')",
        "(",
        ")",
        "[",
        "]",
        "1",
        "-2.5",
        "1e9",
        "AND",
        "OR",
        "DESC",
        "ASC",
        ",",
        ";",
        ".",
        "--",
        "/*",
        "*/",
        "\n",
        "$$",
        "$t$",
        "'",
        "\"",
        "`",
        "\\",
        "CASE",
        "END",
        "WHERE",
        "BEGIN",
        "VALUES",
        "AS",
        "::",
        ":=",
        "->",
        "é",
        "\u{3000}",
        "٣",
        "%s",
        "?",
        "END IF",
        "AT TIME ZONE 'x'",
    ];
    proptest::collection::vec((proptest::sample::select(words.to_vec()), "[ ]{0,2}"), 0..12)
        .prop_map(|parts| parts.into_iter().flat_map(|(word, blank)| [word.to_owned(), blank]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_accepted_or_refused(text in any::<String>()) {
        parse_everywhere(&text);
    }

    #[test]
    fn nearly_valid_text_is_accepted_or_refused(text in sentence()) {
        parse_everywhere(&text);
    }

    #[test]
    fn a_quoted_text_keeps_its_content(key in "[a-z .é%_]{1,20}", value in "[^'\\\\]{0,30}") {
        let found = runs::parse_filter(&format!("tags.`{key}` = '{value}'")).unwrap();
        let test = ferroflow_search::PairTest::Value(ferroflow_search::TextTest::Equal(value));
        prop_assert_eq!(found, [runs::Condition::Tag { key, test }]);
    }

    #[test]
    fn a_number_keeps_its_value(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        let found = runs::parse_filter(&format!("metrics.a < {value:?}")).unwrap();
        let op = ferroflow_search::NumberOp::Less;
        prop_assert_eq!(found, [runs::Condition::Metric { key: "a".to_owned(), op, value }]);
    }

    #[test]
    fn a_token_is_read_back(values in proptest::collection::vec(any::<(i64, f64, String)>(), 0..5)) {
        let values = values.into_iter().flat_map(|(int, real, text)| {
            use ferroflow_search::KeyValue;
            [KeyValue::Int(int), KeyValue::Real(real), KeyValue::Text(text)]
        });
        let token = PageToken::Key(values.collect());
        prop_assert_eq!(PageToken::decode(&token.encode()), Ok(token));
    }
}

#[test]
fn huge_texts_are_accepted_or_refused() {
    let pieces = "(|)|[|((a|'|\"|`|´|''|\\'|a | |\n|a.|$|$a$|$a$$b$ |/*|*/|--|-- \n|# |1|1.|a|NOT |NOT IN |LEFT |LEFT OUTER |END |\
         ASC NULLS |BEGIN |BEGIN; |CASE |a = 1 AND |('a') |%(|é|;|a;|a::|a->|a:=|1+|a AS |WHERE |f(|\u{1f600}|{\"offset\":|\
         AT TIME ZONE |a IN ('|='|//";
    for piece in pieces.split('|') {
        parse_everywhere(&piece.repeat(100_000 / piece.len()));
    }
}

#[test]
fn a_long_text_behind_many_opening_marks_is_refused() {
    let rest = "x".repeat(4_000_000);
    for mark in ["/* ", "$a$", "'", "\"", "`", "´", "[", "(", "\\'"] {
        runs::parse_filter(&(mark.repeat(9_000) + &rest)).unwrap_err();
    }
}

#[test]
fn a_list_with_many_values_is_refused_like_any_text_with_too_many_tokens() {
    let list = |length: usize| {
        let items: Vec<String> = (0..length).map(|i| format!("'{i}'")).collect();
        format!("run_id IN ({})", items.join(","))
    };
    assert!(runs::parse_filter(&list(4_900)).is_ok());
    let error = runs::parse_filter(&list(5_100)).unwrap_err();
    assert!(error.message.starts_with("Error on parsing filter 'run_id IN ("), "{error}");
}

#[test]
fn numbers_beyond_64_bits_are_refused_for_times_but_not_for_metrics() {
    let huge = "9".repeat(30);
    let error = runs::parse_filter(&format!("start_time > {huge}")).unwrap_err();
    assert!(error.message.contains("64-bit"), "{error}");
    assert!(runs::parse_filter(&format!("metrics.a > {huge}")).is_ok());
}
