//! What the recorded texts do not cover: the columns that make an order total, and round trips of tokens.

use ferroflow_search::{
    KeyValue, OrderBy, PageToken, experiments, logged_models, model_versions, registered_models, runs,
};
use serde_json::json;

const NONE: [&str; 0] = [];

fn shown<C: std::fmt::Debug>(order: Vec<OrderBy<C>>) -> Vec<String> {
    order.into_iter().map(|o| format!("{:?} {}", o.column, if o.ascending { "asc" } else { "desc" })).collect()
}

#[test]
fn runs_without_an_order_come_newest_first() {
    assert_eq!(shown(runs::parse_order_by(&NONE).unwrap()), ["Time(StartTime) desc", "Text(RunId) asc"]);
}

#[test]
fn an_explicit_order_by_start_time_or_id_is_kept() {
    let order = runs::parse_order_by(&["Created ASC", "metrics.`a b`"]).unwrap();
    assert_eq!(shown(order), ["Time(StartTime) asc", "Metric(\"a b\") asc", "Text(RunId) asc"]);
    let order = runs::parse_order_by(&["run_id DESC"]).unwrap();
    assert_eq!(shown(order), ["Text(RunId) desc", "Time(StartTime) desc"]);
}

#[test]
fn a_tag_named_like_an_alias_keeps_its_name() {
    let order = runs::parse_order_by(&["tags.created"]).unwrap();
    assert_eq!(order[0].column, runs::Column::Tag("created".to_owned()));
}

#[test]
fn experiments_without_an_order_come_newest_first_and_then_by_id() {
    assert_eq!(shown(experiments::parse_order_by(&NONE).unwrap()), ["Time(CreationTime) desc", "Id asc"]);
}

#[test]
fn an_order_of_experiments_ends_with_the_highest_id_and_may_repeat_a_column() {
    let order = experiments::parse_order_by(&["name", "name DESC"]).unwrap();
    assert_eq!(shown(order), ["Name asc", "Id desc"]);
}

#[test]
fn registered_models_end_with_the_name() {
    let order = registered_models::parse_order_by(&["timestamp DESC"]).unwrap();
    assert_eq!(shown(order), ["LastUpdatedTime desc", "Name asc"]);
    assert_eq!(shown(registered_models::parse_order_by(&NONE).unwrap()), ["Name asc"]);
}

#[test]
fn model_versions_end_with_the_name_and_the_highest_version() {
    let order = model_versions::parse_order_by(&NONE).unwrap();
    assert_eq!(shown(order), ["LastUpdatedTime desc", "Name asc", "Version desc"]);
    let order = model_versions::parse_order_by(&["creation_timestamp"]).unwrap();
    assert_eq!(shown(order), ["CreationTime asc", "Name asc", "Version desc"]);
}

#[test]
fn logged_models_are_ordered_by_a_metric_on_a_dataset() {
    let clause = logged_models::OrderClause {
        field_name: "metrics.loss.val",
        ascending: false,
        dataset_name: Some("d"),
        dataset_digest: Some(""),
    };
    let order = logged_models::parse_order_by(&[clause]).unwrap();
    assert_eq!(
        shown(order),
        [
            "Metric { key: \"loss.val\", dataset_name: Some(\"d\"), dataset_digest: None } desc",
            "Attribute(CreationTimestamp) desc",
            "Attribute(ModelId) asc",
        ]
    );
}

#[test]
fn a_key_token_comes_back_as_it_was() {
    let values = vec![
        KeyValue::Null,
        KeyValue::Int(i64::MIN),
        KeyValue::Real(0.1 + 0.2),
        KeyValue::Real(5e-324),
        KeyValue::Real(f64::NEG_INFINITY),
        KeyValue::Text("é\"\n\u{0}".to_owned()),
    ];
    let token = PageToken::Key(values);
    assert_eq!(PageToken::decode(&token.encode()), Ok(token));
    let nan = PageToken::Key(vec![KeyValue::Real(f64::NAN)]).encode();
    assert!(
        matches!(&PageToken::decode(&nan).unwrap(), PageToken::Key(v) if matches!(v[0], KeyValue::Real(r) if r.is_nan()))
    );
}

#[test]
fn an_offset_token_is_written_as_the_reference_writes_it() {
    assert_eq!(PageToken::Offset(5).encode(), "eyJvZmZzZXQiOiA1fQ==");
}

#[test]
fn a_key_token_of_another_version_is_refused() {
    // {"v":2,"k":[]}
    let error = PageToken::decode("eyJ2IjoyLCJrIjpbXX0").unwrap_err();
    assert_eq!(error.message, "Invalid page token, it was created by another version of this server or was modified");
}

/// Made by `SearchLoggedModelsPaginationToken(["1"], "name = 'a'", order_by, 3).encode()` of the reference.
const LOGGED_MODELS_TOKEN: &str = "eyJleHBlcmltZW50X2lkcyI6IFsiMSJdLCAiZmlsdGVyX3N0cmluZyI6ICJuYW1lID0gJ2EnIiwgIm9yZGVyX2J5IjogW3siZmllbGRfbmFtZSI6ICJuYW1lIiwgImFzY2VuZGluZyI6IHRydWUsICJkYXRhc2V0X25hbWUiOiBudWxsLCAiZGF0YXNldF9kaWdlc3QiOiBudWxsfV0sICJvZmZzZXQiOiAzfQ==";

#[test]
fn a_logged_models_token_of_the_reference_belongs_to_one_search() {
    let order = json!([{ "field_name": "name", "ascending": true, "dataset_name": null, "dataset_digest": null }]);
    let decode = |experiment: &str, filter: &str| {
        PageToken::decode_for_logged_models(LOGGED_MODELS_TOKEN, &[experiment.to_owned()], filter, &order)
    };
    assert_eq!(decode("1", "name = 'a'"), Ok(PageToken::Offset(3)));
    assert_eq!(
        decode("2", "name = 'a'").unwrap_err().message,
        "Experiment IDs in the page token do not match the requested experiment IDs. Expected: ['2']. Found: ['1']"
    );
    assert_eq!(
        decode("1", "").unwrap_err().message,
        "Filter string in the page token does not match the requested filter string. Expected: None. Found: name = 'a'"
    );
}
