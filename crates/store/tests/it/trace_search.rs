//! Searches for traces: what each condition finds, orders, pages, and query plans for many rows.

use ferroflow_model::{Error, ErrorCode};
use ferroflow_store::{Scope, Store, TraceCounts, TraceSearch, Visible};

use crate::support::{Here as _, on_each};

/// Experiment 0 has tr-1 to tr-4, experiment 7 has tr-5.
pub(crate) async fn fill(store: &Store) {
    let content = |model: &str, text: &str| {
        format!(r#"{{"name": "x", "attributes": {{"model": "\"{model}\"", "n": "5", "text": "\"{text}\""}}}}"#)
    };
    let (gpt, claude, tool) = (content("gpt-4", "Straße 100%"), content("claude", "hello"), content("none", "hello"));
    let sql = format!(
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active'); \
         INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, client_request_id, \
         trace_name, session_id, input_tokens, output_tokens, total_tokens, input_cost) VALUES \
         ('tr-1', 0, 1000, 100, 'OK', 'c1', 'alpha', 's1', 10, 5, 15, 0.25), \
         ('tr-2', 0, 2000, 50, 'ERROR', NULL, 'beta', 's1', 20, NULL, NULL, NULL), \
         ('tr-3', 0, 3000, NULL, 'IN_PROGRESS', NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
         ('tr-4', 0, 3000, 10, 'OK', NULL, 'Alpha2', NULL, NULL, NULL, NULL, NULL), \
         ('tr-5', 7, 4000, 10, 'OK', NULL, 'alpha', 's1', 1, 1, 2, NULL); \
         INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-1', 'env', 'prod'), ('tr-2', 'env', 'dev'), \
         ('tr-4', 'a b', 'x'), ('tr-5', 'env', 'prod'); \
         INSERT INTO trace_request_metadata (request_id, key, value) VALUES ('tr-1', 'mlflow.sourceRun', 'run-a'), \
         ('tr-1', 'mlflow.modelId', 'm-1'), ('tr-2', 'user', 'ann'); \
         INSERT INTO entity_associations (association_id, source_type, source_id, destination_type, destination_id) VALUES \
         ('1', 'trace', 'tr-4', 'run', 'run-a'), ('2', 'trace', 'tr-2', 'prompt_version', 'p/1'), \
         ('3', 'run', 'tr-3', 'run', 'run-a'); \
         INSERT INTO spans (trace_id, experiment_id, span_id, name, type, status, start_time_unix_nano, \
         end_time_unix_nano, content, total_cost, model_name) VALUES \
         ('tr-1', 0, 'a', 'agent', 'AGENT', 'OK', 1000000000, 1100000000, '{gpt}', NULL, NULL), \
         ('tr-1', 0, 'b', 'call', 'LLM', 'ERROR', 1050000000, 1080000000, '{{}}', 0.5, 'gpt-4'), \
         ('tr-2', 0, 'a', 'call', 'LLM', 'OK', 2000000000, 2050000000, '{claude}', 1.5, 'claude'), \
         ('tr-4', 0, 'a', 'tool', 'TOOL', 'OK', 3000000000, NULL, '{tool}', NULL, NULL), \
         ('tr-5', 7, 'a', 'call', 'LLM', 'OK', 4000000000, 4010000000, '{gpt}', 2.5, 'gpt-4'); \
         INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, \
         last_updated_timestamp, source_type, valid, assessment_metadata, experiment_id, trace_timestamp_ms, \
         aggregate_value, is_numeric_value) VALUES \
         ('a1', 'tr-1', 'quality', 'feedback', '\"good\"', 1, 1, 'HUMAN', TRUE, NULL, 0, 1000, NULL, FALSE), \
         ('a2', 'tr-2', 'quality', 'feedback', '0.5', 1, 1, 'HUMAN', TRUE, NULL, 0, 2000, 0.5, TRUE), \
         ('a3', 'tr-2', 'answer', 'expectation', '\"42\"', 1, 1, 'HUMAN', TRUE, NULL, 0, 2000, NULL, FALSE), \
         ('a4', 'tr-3', 'quality', 'feedback', '\"bad\"', 1, 1, 'HUMAN', FALSE, NULL, 0, 3000, NULL, FALSE), \
         ('a5', 'tr-1', 'whole', 'feedback', 'true', 1, 1, 'HUMAN', TRUE, '{{\"mlflow.trace.session\": \"s1\"}}', 0, 1000, \
         1, FALSE), \
         ('a6', 'tr-4', 'i-1', 'issue', 'null', 1, 1, 'HUMAN', TRUE, NULL, 0, 3000, NULL, FALSE), \
         ('a7', 'tr-5', 'quality', 'feedback', '\"ja, sch\\u00f6n\"', 1, 1, 'HUMAN', TRUE, NULL, 7, 4000, NULL, FALSE)"
    );
    store.db().batch(sql).await.unwrap();
}

fn search(filter: &str, order: &[&str]) -> TraceSearch {
    TraceSearch {
        experiment_ids: vec!["0".into(), "7".into()],
        filter: filter.into(),
        max_results: 100,
        order_by: order.iter().map(|clause| (*clause).to_owned()).collect(),
        page_token: None,
    }
}

async fn find(store: &Store, search: &TraceSearch) -> Result<Vec<String>, Error> {
    let (found, _) = store.here().search_traces(&Scope::everything(), search).await?;
    Ok(found.into_iter().map(|info| info.trace_id.unwrap()).collect())
}

/// The numbers of the traces, oldest first.
async fn numbers(store: &Store, filter: &str) -> String {
    let found = find(store, &search(filter, &["timestamp ASC"])).await;
    let found = found.unwrap_or_else(|error| panic!("{filter}: {error}"));
    found.iter().map(|id| id.trim_start_matches("tr-")).collect()
}

on_each!(each_condition_finds_its_traces);
async fn each_condition_finds_its_traces(store: &Store) {
    fill(store).await;
    for (filter, expected) in [
        ("", "12345"),
        ("request_id = 'tr-2'", "2"),
        ("request_id IN ('tr-2', 'tr-3')", "23"),
        ("trace.request_id NOT IN ('tr-2', 'tr-3')", "145"),
        ("status = 'OK'", "145"),
        ("status != 'OK'", "23"),
        ("attributes.status LIKE '%R%'", "23"),
        ("status ILIKE '%pro%'", "3"),
        ("client_request_id = 'c1'", "1"),
        ("client_request_id != 'c2'", "1"),
        ("timestamp > 2000", "345"),
        ("timestamp_ms >= 2000 AND attributes.timestamp < 4000", "234"),
        ("timestamp_ms = '3000'", "34"),
        ("attributes.timestamp > 2000.5", "345"),
        ("execution_time >= 50", "12"),
        ("execution_time != 50", "145"),
        ("end_time_ms = 3000", "3"),
        ("end_time > 3005", "45"),
        ("name = 'alpha'", "15"),
        ("tags.mlflow.traceName != 'alpha'", "24"),
        ("name ILIKE 'alpha%'", "145"),
        ("name RLIKE '^[aA]lpha.$'", "4"),
        ("tags.name IS NULL", "3"),
        ("tags.`mlflow.traceName` IS NOT NULL", "1245"),
        ("tags.env = 'prod'", "15"),
        ("tags.env != 'prod'", "2"),
        ("tags.env LIKE 'p%'", "15"),
        ("tags.env RLIKE 'd$'", "15"),
        ("tags.env RLIKE 'de'", "2"),
        ("tags.env IS NULL", "34"),
        ("tags.env IS NOT NULL AND tags.`a b` IS NULL", "125"),
        ("metadata.user = 'ann'", "2"),
        ("request_metadata.\"mlflow.modelId\" = 'm-1'", "1"),
        ("metadata.user IS NULL", "1345"),
        ("metadata.mlflow.trace.session = 's1'", "125"),
        ("metadata.mlflow.trace.session IS NULL", "34"),
        ("metadata.mlflow.trace.session RLIKE '1'", "125"),
        ("metadata.mlflow.trace.tokenUsage IS NULL", "34"),
        ("metadata.mlflow.trace.tokenUsage IS NOT NULL", "125"),
        ("metadata.mlflow.trace.tokenUsage = '{\"input_tokens\": 20}'", "2"),
        ("metadata.mlflow.trace.tokenUsage != '{\"input_tokens\": 20}'", "15"),
        ("metadata.mlflow.trace.tokenUsage = '{\"input_tokens\":20}'", ""),
        ("metadata.mlflow.trace.cost = '{\"input_cost\": 0.25}'", "1"),
        ("run_id = 'run-a'", "14"),
        ("metadata.`mlflow.sourceRun` = 'run-a' AND run_id = 'run-b'", ""),
        ("run_id != 'run-b'", "1"),
        ("prompt = 'p/1'", "2"),
        ("prompt = 'p/2'", ""),
        ("issue.id = 'i-1'", "4"),
        ("span.name = 'call'", "125"),
        ("span.type = 'LLM'", "125"),
        ("span.type IN ('TOOL', 'AGENT')", "14"),
        ("span.type NOT IN ('TOOL', 'LLM')", "1"),
        ("span.status = 'ERROR'", "1"),
        ("span.name = 'call' AND span.status = 'OK'", "25"),
        ("span.name = 'agent' AND span.status = 'ERROR'", ""),
        ("span.name RLIKE '^a.*t$'", "1"),
        ("span.content LIKE '%claude%'", "2"),
        ("trace.text ILIKE '%HELLO%'", "24"),
        ("trace.text LIKE '%Straße%'", "15"),
        ("trace.text LIKE '%HELLO%'", ""),
        ("span.attributes.model = 'gpt-4'", "15"),
        ("span.attributes.model != 'gpt-4'", "24"),
        ("span.attributes.model IN ('gpt-4', 'claude')", "125"),
        ("span.attributes.model NOT IN ('gpt-4', 'claude')", "4"),
        ("span.attributes.n = '5'", "1245"),
        ("span.attributes.n = '50'", ""),
        ("span.attributes.model LIKE '%gpt%'", "15"),
        ("span.attributes.model ILIKE '%GPT%'", "15"),
        ("span.attributes.model RLIKE '^gpt-[0-9]'", "15"),
        ("span.attributes.model RLIKE '^claude$'", "2"),
        ("span.attributes.model RLIKE '^pt'", ""),
        ("span.attributes.other LIKE '%gpt%'", ""),
        ("span.name = 'call' AND timestamp > 1500", "25"),
        ("feedback.quality = 'good'", "1"),
        ("feedback.quality != 'good'", "25"),
        ("feedback.quality = '0.5'", "2"),
        ("feedback.quality = 'ja, schön'", "5"),
        ("feedback.quality LIKE '%oo%'", "1"),
        ("feedback.quality RLIKE '^.go'", "1"),
        ("feedback.quality = 'bad'", ""),
        ("feedback.quality > 0.4", "2"),
        ("feedback.quality <= 0.4", ""),
        ("feedback.quality IS NOT NULL", "125"),
        ("feedback.quality IS NULL", "34"),
        ("feedback.whole = 'true'", "125"),
        ("feedback.whole IS NULL", "34"),
        ("expectation.answer = '42'", "2"),
        ("expectation.quality IS NOT NULL", ""),
        ("feedback.answer IS NOT NULL", ""),
    ] {
        assert_eq!(numbers(store, filter).await, expected, "{filter}");
    }
    // A session is looked for in the experiments of the search.
    let other = TraceSearch { experiment_ids: vec!["7".into()], ..search("feedback.whole = 'true'", &[]) };
    assert_eq!(find(store, &other).await.unwrap(), Vec::<String>::new());
}

on_each!(traces_come_in_the_requested_order);
async fn traces_come_in_the_requested_order(store: &Store) {
    fill(store).await;
    let cases: [(&[&str], &str); 14] = [
        (&[], "53421"),
        (&["timestamp ASC"], "12345"),
        (&["attributes.timestamp_ms DESC", "request_id DESC"], "54321"),
        (&["request_id"], "12345"),
        (&["execution_time"], "54213"),
        (&["execution_time DESC"], "12543"),
        (&["end_time"], "12345"),
        (&["status", "request_id"], "23145"),
        (&["experiment_id DESC"], "53421"),
        (&["tags.env"], "25134"),
        (&["tags.env DESC", "timestamp"], "15234"),
        (&["metadata.user"], "25341"),
        (&["request_metadata.mlflow.trace.session", "request_id"], "12534"),
        (&["run_id"], "15342"),
    ];
    for (order, expected) in cases {
        let found = find(store, &search("", order)).await.unwrap();
        let found: String = found.iter().map(|id| id.trim_start_matches("tr-")).collect();
        assert_eq!(found, expected, "{order:?}");
    }
}

on_each!(pages_follow_each_other_and_belong_to_their_search);
async fn pages_follow_each_other_and_belong_to_their_search(store: &Store) {
    fill(store).await;
    let orders: [&[&str]; 5] = [&[], &["execution_time DESC"], &["tags.env"], &["name DESC"], &["status"]];
    for order in orders {
        let whole = find(store, &search("", order)).await.unwrap();
        let mut pages = Vec::new();
        let mut page = TraceSearch { max_results: 2, ..search("", order) };
        loop {
            let (found, next) = store.here().search_traces(&Scope::everything(), &page).await.unwrap();
            pages.extend(found.into_iter().map(|info| info.trace_id.unwrap()));
            page.page_token = next;
            if page.page_token.is_none() {
                break;
            }
        }
        assert_eq!(pages, whole, "{order:?}");
    }
    let first = TraceSearch { max_results: 2, ..search("", &[]) };
    let (_, token) = store.here().search_traces(&Scope::everything(), &first).await.unwrap();
    assert!(token.is_some());
    for other in [
        search("status = 'OK'", &[]),
        search("", &["timestamp DESC"]),
        TraceSearch { experiment_ids: vec!["0".into()], ..search("", &[]) },
    ] {
        let error = find(store, &TraceSearch { page_token: token.clone(), ..other }).await.unwrap_err();
        assert!(error.message.contains("belongs to a search with another filter"), "{error}");
        assert_eq!(error.code, ErrorCode::InvalidParameterValue);
    }
    // One of the reference holds an offset.
    let offset = TraceSearch { page_token: Some("eyJvZmZzZXQiOiAzfQ==".into()), ..search("", &[]) };
    assert_eq!(find(store, &offset).await.unwrap(), ["tr-2", "tr-1"]);
}

on_each!(a_caller_finds_what_it_may_see);
async fn a_caller_finds_what_it_may_see(store: &Store) {
    fill(store).await;
    let scope = Scope { experiments: Visible::Only(vec!["7".into()]), ..Scope::everything() };
    let (found, _) = store.here().search_traces(&scope, &search("", &[])).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(store.here().search_traces(&Scope::nothing(), &search("", &[])).await.unwrap().0, []);
    let nothing = TraceSearch { experiment_ids: Vec::new(), ..search("", &[]) };
    assert_eq!(find(store, &nothing).await.unwrap(), Vec::<String>::new());
}

on_each!(an_invalid_search_is_refused);
async fn an_invalid_search_is_refused(store: &Store) {
    let long = format!("tags.a RLIKE '{}'", "a".repeat(1001));
    for (search, message) in [
        (search("tags.a RLIKE '('", &[]), "Invalid regular expression"),
        (search("span.attributes.a RLIKE '[z'", &[]), "Invalid regular expression"),
        (search(&long, &[]), "1001 characters in a pattern of RLIKE"),
        (search("trace.timestamp > 'x'", &[]), "Expected numeric value type"),
        (TraceSearch { max_results: 0, ..search("", &[]) }, "Invalid value 0 for parameter 'max_results'"),
        (TraceSearch { experiment_ids: vec!["x".into()], ..search("", &[]) }, "Invalid experiment ID 'x'"),
        (TraceSearch { experiment_ids: vec!["main.t".into()], ..search("", &[]) }, "Locations must be a list"),
    ] {
        fill_one_tag(store).await;
        let error = find(store, &search).await.unwrap_err();
        assert!(error.message.contains(message), "{search:?}: {error}");
        assert_eq!(error.code, ErrorCode::InvalidParameterValue, "{error}");
    }
}

/// A row that a regular expression is compared with: the database reads it then.
async fn fill_one_tag(store: &Store) {
    let sql = "DELETE FROM spans; DELETE FROM trace_tags; DELETE FROM trace_info; \
               INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('tr-1', 0, 1, 'OK'); \
               INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-1', 'a', 'x'); \
               INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) \
               VALUES ('tr-1', 0, 'a', 'OK', 1, '{}')";
    store.db().batch(sql.to_owned()).await.unwrap();
}

on_each!(filters_are_correlated);
async fn filters_are_correlated(store: &Store) {
    fill(store).await;
    let ids = ["0".to_owned(), "7".to_owned()];
    let counts = async |filters, base| store.here().correlate_traces(&Scope::everything(), &ids, filters, base).await;
    let all = counts(["status = 'OK'", "span.type = 'LLM'"], None).await.unwrap();
    assert_eq!(all, TraceCounts { total: 5, first: 3, second: 3, both: 2 });
    let some = counts(["status = 'OK'", "feedback.quality IS NOT NULL"], Some("timestamp < 3500")).await.unwrap();
    assert_eq!(some, TraceCounts { total: 4, first: 2, second: 2, both: 1 });
    let error = counts(["status = 'OK'", "nope"], Some("timestamp < 3500")).await.unwrap_err();
    assert_eq!(error.message, "Invalid clause(s) in filter string: 'nope'");
}

on_each!(a_search_reads_few_rows_of_many);
async fn a_search_reads_few_rows_of_many(store: &Store) {
    // The other experiment has more.
    let rows = |experiment: u32, from: u32, count: u32| {
        format!(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, session_id, execution_time_ms, \
             trace_name) \
             WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {from} + {count}) \
             SELECT 'tr-' || i, {experiment}, i, 'OK', 's' || (i / 10), 5, 'all' FROM n; \
             INSERT INTO spans (trace_id, experiment_id, span_id, name, type, status, start_time_unix_nano, content) \
             WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {from} + {count}) \
             SELECT 'tr-' || i, {experiment}, 'a', 'n' || i, 'LLM', 'OK', CAST(i AS BIGINT) * 1000000, 'content ' || i FROM n; \
             INSERT INTO trace_tags (request_id, key, value) \
             WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {from} + {count}) \
             SELECT 'tr-' || i, 'env', 'v' || (i % 7) FROM n; "
        )
    };
    // Many traces have a feedback `a`, few have `b`, a tag `flag`, metadata `m`, and a span that failed.
    let assess = |name: &str, count: u32| {
        format!(
            "INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, \
             last_updated_timestamp, source_type, valid, experiment_id, is_numeric_value, aggregate_value) \
             WITH RECURSIVE n(i) AS (SELECT 100000 UNION ALL SELECT i + 1 FROM n WHERE i < 100000 + {count}) \
             SELECT '{name}' || i, 'tr-' || i, '{name}', 'feedback', '2', 1, 1, 'HUMAN', TRUE, 0, TRUE, 2 FROM n; "
        )
    };
    let sql = format!(
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'seven', 'active'); {}{}{}{} \
         INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-100007', 'flag', 'x'), ('tr-7', 'flag', 'x'); \
         INSERT INTO trace_request_metadata (request_id, key, value) VALUES ('tr-100007', 'm', 'x'); \
         INSERT INTO trace_request_metadata (request_id, key, value) VALUES ('tr-100009', 'mlflow.sourceRun', 'x'); \
         UPDATE trace_tags SET value = 'rare' WHERE key = 'env' AND request_id = 'tr-100007'; \
         UPDATE assessments SET value = '\"rare\"' WHERE assessment_id = 'a100007'; \
         UPDATE assessments SET aggregate_value = 9 WHERE assessment_id = 'a100007'; \
         UPDATE trace_info SET status = 'ERROR', execution_time_ms = 70, trace_name = 'rare', client_request_id = 'c' \
         WHERE request_id = 'tr-100007'; \
         UPDATE spans SET status = 'ERROR' WHERE trace_id = 'tr-100007'",
        rows(7, 0, 20_000),
        rows(0, 100_000, 5_000),
        assess("a", 4_500),
        assess("b", 10),
    );
    store.db().batch(sql).await.unwrap();
    let one = |filter: &str| TraceSearch { experiment_ids: vec!["0".into()], ..search(filter, &[]) };
    let dialect = store.db().dialect();
    let (_, token) = store.here().search_traces(&Scope::everything(), &one("")).await.unwrap();
    let by_time = dialect.pick(
        "Index Scan Backward using index_trace_info_experiment_id_timestamp_ms",
        "USING INDEX index_trace_info_experiment_id_timestamp_ms (experiment_id=?",
    );
    let by_id = dialect.pick("trace_info_pk", "sqlite_autoindex_trace_info_1 (request_id=?");
    let two = |filter: &str| search(filter, &[]);
    let cases: [(TraceSearch, &[&str]); 41] = [
        (one(""), &[by_time]),
        (TraceSearch { page_token: token, ..one("") }, &[by_time]),
        (one("timestamp > 100500 AND timestamp < 101000"), &["index_trace_info_experiment_id_timestamp_ms"]),
        (one("status = 'ERROR'"), &["ff_trace_info_status"]),
        (one("status = 'ERROR' AND timestamp > 1"), &["ff_trace_info_status"]),
        (one("status != 'OK'"), &["ff_trace_info_status", by_id]),
        (one("status IN ('ERROR', 'IN_PROGRESS')"), &["ff_trace_info_status", by_id]),
        (one("tags.flag != 'y'"), &["ff_trace_tags_value", by_id]),
        (one("metadata.m != 'y'"), &["ff_trace_request_metadata_value", by_id]),
        (one("name = 'rare'"), &["ff_trace_info_name"]),
        (one("client_request_id = 'c'"), &["ff_trace_info_client_request_id"]),
        (one("execution_time_ms > 60.5"), &["ff_trace_info_execution_time", by_id]),
        (one("execution_time_ms < 60"), &["ff_trace_info_execution_time", by_time]),
        (one("tags.env = 'v1'"), &["ff_trace_tags_value", by_id]),
        (one("tags.env = 'rare'"), &["ff_trace_tags_value", by_id]),
        (one("tags.env LIKE 'v%'"), &["trace_tag_pk", by_time]),
        (one("trace.text ILIKE '%104%'"), &[by_time]),
        (one("span.name = 'n100004' AND timestamp > 100000"), &["ff_spans_name", by_id]),
        (one("span.name IN ('n100004', 'n100005')"), &["ff_spans_name", by_id]),
        (one("metadata.mlflow.trace.session = 's10003'"), &["index_trace_info_experiment_id_session_id"]),
        (
            one("metadata.mlflow.trace.session = 's10003' AND timestamp > 1"),
            &["index_trace_info_experiment_id_session_id"],
        ),
        (one("run_id = 'x'"), &["ff_trace_request_metadata_value", by_id]),
        (one("request_id IN ('tr-100004', 'tr-100005')"), &[by_id]),
        (one("feedback.a > 1"), &["ff_assessments_number", by_time]),
        (one("feedback.a > 8"), &["ff_assessments_number", by_id]),
        (one("feedback.a = '2'"), &["ff_assessments_value", by_time]),
        (one("feedback.a = 'rare'"), &["ff_assessments_value", by_id]),
        (one("feedback.b > 1"), &["ff_assessments_number", by_id]),
        (one("feedback.b IS NOT NULL"), &[by_id]),
        (one("tags.flag LIKE 'x%'"), &[by_id]),
        (one("metadata.m = 'x' AND timestamp > 1"), &["ff_trace_request_metadata_value", by_id]),
        (one("span.status = 'ERROR'"), &["index_spans_experiment_id_status_type", by_id]),
        (one("tags.nothing = 'x'"), &[by_id]),
        (one("span.type IN ('LLM')"), &["index_spans_experiment_id_type_status", by_time]),
        (one("tags.env LIKE 'r%'"), &["ff_trace_tags_value", by_id]),
        (one("metadata.m ILIKE 'X'"), &["ff_trace_request_metadata_value", by_id]),
        (two(""), &["index_trace_info_experiment_id_timestamp_ms"]),
        (two("status IN ('ERROR')"), &["ff_trace_info_status", by_id]),
        (two("span.status = 'ERROR'"), &["index_spans_experiment_id_status_type", by_id]),
        (two("span.name = 'n100004'"), &["ff_spans_name", by_id]),
        (two("feedback.a = 'rare'"), &["ff_assessments_value", by_id]),
    ];
    assert_plans(store, &cases).await;
    // With statistics, the database may know that an index does not tell traces apart.
    store.db().batch("ANALYZE".to_owned()).await.unwrap();
    let last = cases.map(|(search, parts)| (search, &parts[parts.len() - 1..]));
    assert_plans(store, &last).await;
    let ids = async |filter: &str| find(store, &one(filter)).await.unwrap();
    let rare = [
        "tags.flag = 'x'",
        "tags.env = 'rare'",
        "metadata.m = 'x'",
        "span.status = 'ERROR'",
        "status = 'ERROR'",
        "name = 'rare'",
        "client_request_id = 'c'",
        "execution_time_ms > 60",
        "feedback.a = 'rare'",
        "feedback.a > 8",
    ];
    for filter in rare {
        assert_eq!(ids(filter).await, ["tr-100007"], "{filter}");
    }
    assert_eq!(ids("tags.flag = 'y'").await, Vec::<String>::new());
    let beyond = TraceSearch { experiment_ids: vec!["4294967297".into()], ..one("span.status = 'ERROR'") };
    assert_eq!(find(store, &beyond).await.unwrap(), Vec::<String>::new());
    assert_eq!(ids("tags.nothing IS NULL AND request_id = 'tr-100007'").await, ["tr-100007"]);
    assert_eq!(ids("feedback.b > 1 AND timestamp > 100008").await, ["tr-100010", "tr-100009"]);
}

/// Each search reads the indexes that are named, and neither all traces nor all spans.
async fn assert_plans(store: &Store, cases: &[(TraceSearch, &[&str])]) {
    for (search, parts) in cases {
        let plan = store.here().explain_trace_search(&Scope::everything(), search).await.unwrap().join("\n");
        for part in *parts {
            let autoindex = store.db().dialect().pick("-", "sqlite_autoindex_trace_tags_1");
            let is_there = plan.contains(part) || (*part == "trace_tag_pk" && plan.contains(autoindex));
            assert!(is_there, "{part}: {search:?}\n{plan}");
        }
        for whole in ["Seq Scan", "SCAN s\n", "SCAN t\n", "SCAN trace_info", "SCAN trace_tags", "SCAN spans"] {
            assert!(!plan.contains(whole), "{search:?}\n{plan}");
        }
        if search.filter.contains("span.") || search.filter.contains("trace.text") {
            let by_trace = ["spans_pk", "sqlite_autoindex_spans_1", "idx_spans_cost_trace"];
            assert!(by_trace.iter().any(|index| plan.contains(index)), "{plan}");
        }
        if search.filter.contains("feedback.a") {
            assert!(plan.contains("index_assessments_trace_id_created_timestamp"), "{plan}");
            assert!(plan.contains("index_trace_info_experiment_id_session_id"), "{plan}");
        }
    }
}
