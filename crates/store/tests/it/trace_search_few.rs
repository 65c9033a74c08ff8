//! Searches that start from the index of a condition, or read a part of the traces, find what they find without it, on
//! random traces.

use ferroflow_store::{Reach, Scope, Store, TraceSearch};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::support::{Here as _, on_each};

const TRACES: usize = 150;

/// Texts of which some are longer than what is in an index, and differ behind that.
fn texts() -> Vec<String> {
    let long = |end: &str| format!("{}{end}", "ä".repeat(199));
    ["alpha", "Alpha", "i t", ""].map(str::to_owned).into_iter().chain(["", "x", "xy", "xyz"].map(long)).collect()
}

/// The values of assessments as JSON, with their number.
const VALUES: [(&str, Option<f64>); 8] = [
    ("\"good\"", None),
    ("good", None),
    ("\"0.5\"", None),
    ("0.5", Some(0.5)),
    ("-3", Some(-3.0)),
    ("7", Some(7.0)),
    ("true", None),
    ("\"sch\\u00f6n\"", None),
];

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), |text| format!("'{text}'"))
}

/// The statements that insert the traces.
fn rows(random: &mut StdRng) -> String {
    let texts = texts();
    let mut sql = String::new();
    for number in 0..TRACES {
        let id = format!("tr-{number}");
        let experiment = [0, 0, 0, 7][random.random_range(0..4)];
        let time = random.random_range(0..1000);
        let lasted = [None, Some(random.random_range(-1..60))][random.random_range(0..2)];
        let lasted = lasted.map_or_else(|| "NULL".to_owned(), |lasted: i64| lasted.to_string());
        let status = ["OK", "ERROR", "IN_PROGRESS"][random.random_range(0..3)];
        let client = [None, Some("c1"), Some("c2")][random.random_range(0..3)];
        let name = if random.random_bool(0.2) { None } else { texts.choose(random).map(String::as_str) };
        let session = [None, Some("s1"), Some("s2"), Some("s3")][random.random_range(0..4)];
        sql += &format!(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, \
             client_request_id, trace_name, session_id) \
             VALUES ('{id}', {experiment}, {time}, {lasted}, '{status}', {}, {}, {});\n",
            quoted(client),
            quoted(name),
            quoted(session),
        );
        for (table, keys) in [
            ("trace_tags", ["env", "a b", "mlflow.artifactLocation"]),
            ("trace_request_metadata", ["user", "mlflow.sourceRun", "mlflow.traceInputs"]),
        ] {
            for key in keys {
                if random.random_bool(0.5) {
                    let value = texts.choose(random).unwrap();
                    sql +=
                        &format!("INSERT INTO {table} (request_id, key, value) VALUES ('{id}', '{key}', '{value}');\n");
                }
            }
        }
        for span in 0..random.random_range(0..4) {
            let name = texts.choose(random).unwrap();
            let kind = [None, Some("LLM"), Some("TOOL")][random.random_range(0..3)];
            let status = ["OK", "ERROR"][random.random_range(0..2)];
            sql += &format!(
                "INSERT INTO spans (trace_id, experiment_id, span_id, name, type, status, start_time_unix_nano, content) \
                 VALUES ('{id}', {experiment}, '{span}', '{name}', {}, '{status}', {time}000000, '{{}}');\n",
                quoted(kind),
            );
        }
        for judged in 0..random.random_range(0..3) {
            let (name, kind) =
                (["q", "r"][random.random_range(0..2)], ["feedback", "expectation"][random.random_range(0..2)]);
            let (value, number) = VALUES[random.random_range(0..VALUES.len())];
            let about = if random.random_bool(0.3) { Some("{\"mlflow.trace.session\": \"s\"}") } else { None };
            sql += &format!(
                "INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, \
                 last_updated_timestamp, source_type, valid, assessment_metadata, experiment_id, trace_timestamp_ms, \
                 aggregate_value, is_numeric_value) VALUES ('{id}-{judged}', '{id}', '{name}', '{kind}', '{value}', 1, 1, \
                 'HUMAN', {}, {}, {experiment}, {time}, {}, {});\n",
                random.random_bool(0.8),
                quoted(about),
                number.map_or_else(|| "NULL".to_owned(), |number| number.to_string()),
                number.is_some(),
            );
        }
    }
    sql
}

/// A condition that an index may answer.
fn condition(random: &mut StdRng) -> String {
    let texts = texts();
    let text = texts.choose(random).unwrap();
    let other = texts.choose(random).unwrap();
    let number = random.random_range(-2..60);
    let comparison = ["<", "<=", ">", ">=", "=", "!="][random.random_range(0..6)];
    let order = ["<", "<=", ">", ">="][random.random_range(0..4)];
    let kind = ["feedback", "expectation"][random.random_range(0..2)];
    let value = ["good", "0.5", "7", "true", "schön", "none"][random.random_range(0..6)];
    match random.random_range(0..21) {
        0 => format!("tags.env = '{text}'"),
        1 => format!("tags.`a b` = '{text}'"),
        2 => format!("tags.mlflow.artifactLocation = '{text}'"),
        3 => format!("{} != '{text}'", ["tags.env", "metadata.user"][random.random_range(0..2)]),
        4 => format!("metadata.user = '{text}'"),
        5 => format!("metadata.mlflow.traceInputs = '{text}'"),
        6 => format!("run_id = '{text}'"),
        7 => format!("name = '{text}'"),
        8 => format!("client_request_id IN ('c1', 'c{number}')"),
        9 => format!("execution_time_ms {comparison} {number}"),
        10 => format!("execution_time_ms {comparison} {number}.5"),
        11 => format!("span.name = '{text}'"),
        12 => format!("span.name IN ('{text}', '{other}')"),
        13 => "span.type IN ('TOOL', 'AGENT') AND span.status = 'ERROR'".to_owned(),
        14 => format!("{kind}.q = '{value}'"),
        15 => format!("{kind}.r {order} {}", [-3.0, 0.5, 7.0, 6.5][random.random_range(0..4)]),
        16 => format!("{kind}.q IS NOT NULL"),
        17 => format!("tags.env {} '{}'", ["LIKE", "ILIKE"][random.random_range(0..2)], pattern(random)),
        18 => format!("metadata.user {} '{}'", ["LIKE", "ILIKE"][random.random_range(0..2)], pattern(random)),
        19 => format!("timestamp {order} {}", random.random_range(0..1000)),
        _ => [
            "status = 'ERROR'",
            "tags.env IS NOT NULL",
            "timestamp > 500",
            "status != 'OK'",
            "status IN ('OK', 'ERROR')",
        ][random.random_range(0..5)]
        .to_owned(),
    }
}

fn pattern(random: &mut StdRng) -> String {
    ["al%", "AL%", "%a", "i_t", "%xyz", "%", "none%", ""]
        .choose(random)
        .map(|text| (*text).to_owned())
        .unwrap_or_default()
}

on_each!(what_an_index_answers_is_what_is_found_without_it);
async fn what_an_index_answers_is_what_is_found_without_it(store: &Store) {
    let mut random = StdRng::seed_from_u64(17);
    let sql = "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active');\n";
    store.db().batch(sql.to_owned() + &rows(&mut random)).await.unwrap();
    let all: Vec<String> = (0..TRACES).map(|number| format!("'tr-{number}'")).collect();
    // A search by ids asks no other index.
    let by_id = format!("request_id IN ({})", all.join(", "));
    let (mut found, mut most) = (0, 0);
    // A page ends in any attempt, or in none.
    let reaches = [Reach { rows: 3, traces: 2 }, Reach { rows: 12, traces: 10 }, Reach { rows: 40, traces: 40 }];
    for round in 0..400 {
        let filter = (0..random.random_range(1..4)).map(|_| condition(&mut random)).collect::<Vec<_>>().join(" AND ");
        let ids = [vec!["0".to_owned()], vec!["0".to_owned(), "7".to_owned()]][round % 2].clone();
        let order_by: Vec<String> =
            [&[][..], &["timestamp ASC"], &["execution_time DESC"], &["timestamp DESC", "request_id"]][round / 2 % 4]
                .iter()
                .map(|clause| (*clause).to_owned())
                .collect();
        let find = async |filter: String, max_results: i64| {
            let mut search = TraceSearch {
                experiment_ids: ids.clone(),
                filter,
                max_results,
                order_by: order_by.clone(),
                ..TraceSearch::default()
            };
            let mut all = Vec::new();
            loop {
                let found = store.here().search_traces_reaching(&Scope::everything(), &search, &reaches).await;
                let (found, next) = found.unwrap();
                all.extend(found.into_iter().map(|info| info.trace_id.unwrap()));
                search.page_token = next;
                if search.page_token.is_none() {
                    return all;
                }
            }
        };
        let with = find(filter.clone(), [1000, 7, 2][round % 3]).await;
        let without = find(format!("{filter} AND {by_id}"), 1000).await;
        assert_eq!(with, without, "{filter} {order_by:?}");
        found += usize::from(!with.is_empty());
        most = most.max(with.len());
    }
    assert!(found > 100 && most > 20, "{found} filters find traces, at most {most}");
}
