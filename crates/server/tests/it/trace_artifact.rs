//! `get-trace-artifact`: the entity tag of spans.

use serde_json::json;

use crate::span_log::{Answer, JSON, export, request, send, serve, span};

fn etag(answer: &Answer) -> String {
    let found = answer.head.lines().find_map(|line| line.strip_prefix("etag: "));
    found.unwrap_or_else(|| panic!("{}", answer.head)).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_client_has_are_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    let get = async |trace: u64, headers: &[(&str, &str)]| {
        let head = format!("GET /ajax-api/3.0/mlflow/get-trace-artifact?request_id=tr-{trace:032x}");
        send(server, &head, headers, b"").await
    };
    for trace in [1, 2] {
        assert_eq!(export(server, &[JSON], &request(&[span(trace, &json!({}))])).await.status, 200);
    }
    let first = get(1, &[]).await;
    let tag = etag(&first);
    assert!(first.head.contains("cache-control: no-cache"), "{}", first.head);
    assert_ne!(etag(&get(2, &[]).await), tag, "another trace");
    for known in [&*tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
        let again = get(1, &[("If-None-Match", known)]).await;
        assert_eq!((again.status, again.body.len(), etag(&again)), (304, 0, tag.clone()), "{known}");
    }
    let other = get(1, &[("If-None-Match", "\"x\"")]).await;
    assert_eq!((other.status, &other.body), (200, &first.body));

    // A later version of the same span.
    let later = span(1, &json!({"name": "later", "endTimeUnixNano": "1760000000009000000"}));
    assert_eq!(export(server, &[JSON], &request(&[later])).await.status, 200);
    let changed = get(1, &[("If-None-Match", &tag)]).await;
    assert_eq!(changed.status, 200);
    assert_ne!(etag(&changed), tag);
    assert_eq!(changed.json()["spans"][0]["name"], "later");
    assert_eq!(get(3, &[("If-None-Match", "*")]).await.status, 404, "no such trace");
}
