"""The payload of a trace, which the UI asks for as a file: in the database, or where artifacts are."""

import json
import sqlite3
import uuid
from contextlib import closing

import psycopg2
import pytest
import requests
from support import postgres, stores
from support.servers import ferroflow

SPANS = b'{"spans":[{"name":"root"}]}'


class Place:
    """A server, its bucket, and its database to put traces into, as other releases of the reference left them."""

    def __init__(self, uri, store, server):
        self._uri, self._store, self._server = uri, store, server

    def trace(self, spans: list[tuple] = (), **tags) -> str:
        id = f"tr-{uuid.uuid4().hex}"
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            mark = "?" if self._uri.startswith("sqlite") else "%s"
            run = lambda sql, *values: cursor.execute(sql.replace("?", mark), values)  # noqa: E731
            run("INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES (?, 0, 1, 'OK')", id)
            for key, value in tags.items():
                run("INSERT INTO trace_tags (key, value, request_id) VALUES (?, ?, ?)", f"mlflow.{key.replace('__', '.')}", value, id)
            for span, parent, start, content in spans:
                run(
                    "INSERT INTO spans (trace_id, experiment_id, span_id, parent_span_id, status, start_time_unix_nano, content)"
                    " VALUES (?, 0, ?, ?, 'OK', ?, ?)",
                    id, span, parent, start, content,
                )
            connection.commit()
        return id

    def _connect(self):
        return sqlite3.connect(self._uri.removeprefix("sqlite:///")) if self._uri.startswith("sqlite") else psycopg2.connect(self._uri)

    def put(self, key: str, body: bytes) -> None:
        self._store.put(f"pre/{key}", body)

    def get(self, **query) -> requests.Response:
        return requests.get(f"{self._server.url}/ajax-api/3.0/mlflow/get-trace-artifact", params=query)


@pytest.fixture(params=postgres.DIALECTS)
def place(request, servers, tmp_path):
    store = servers("seaweed").with_bucket(stores.random_name("traces"))
    with postgres.database(request.param, tmp_path, "traces") as uri:
        with ferroflow(uri, f"s3://{store.bucket}/pre", env=store.env) as server:
            yield Place(uri, store, server)


def test_spans_are_read_from_the_artifacts_of_the_trace(place):
    id = place.trace(artifactLocation="mlflow-artifacts:/0/traces/x/artifacts")
    missing = place.get(request_id=id)
    assert (missing.status_code, missing.json()["error_code"]) == (404, "NOT_FOUND")
    assert missing.json()["message"] == "Trace data not found for path=traces.json"
    place.put("0/traces/x/artifacts/traces.json", SPANS)
    answer = place.get(request_id=id)
    assert (answer.status_code, answer.content) == (200, SPANS)
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["Content-Disposition"] == "attachment; filename=traces.json"


def test_spans_are_read_from_the_database(place):
    text = lambda name: json.dumps({"name": name, "größe": "模型"}, ensure_ascii=False)  # noqa: E731
    spans = [("c", "a", 3, text("c")), ("b", "a", 2, text("b")), ("a", None, 5, text("a")), ("d", "a", 1, "")]
    id = place.trace(spans, trace__spansLocation="TRACKING_STORE", artifactLocation="mlflow-artifacts:/0/x")
    answer = place.get(request_id=id)
    assert answer.status_code == 200
    assert [span["name"] for span in answer.json()["spans"]] == ["a", "b", "c"]
    assert json.loads(answer.content)["spans"][0]["größe"] == "模型"
    empty = place.trace(trace__spansLocation="TRACKING_STORE")
    assert place.get(request_id=empty).json() == {"spans": []}


def test_an_attachment_is_read_by_its_name_and_nothing_else_is(place):
    id = place.trace(trace__spansLocation="TRACKING_STORE", artifactLocation="mlflow-artifacts:/0/traces/y/artifacts")
    name = str(uuid.uuid4())
    place.put(f"0/traces/y/artifacts/attachments/{name}", b"\x00picture")
    place.put("0/traces/y/artifacts/secret", b"secret")
    answer = place.get(request_id=id, path=name)
    assert (answer.status_code, answer.content) == (200, b"\x00picture")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert place.get(request_id=id, path=str(uuid.uuid4())).status_code == 404
    for path in ("../secret", "..%2fsecret", name.upper(), name.replace("-", ""), f"{{{name}}}", f"{name}/..", "traces.json"):
        answer = place.get(request_id=id, path=path)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), path


def test_what_is_no_trace_or_has_no_place_is_told(place):
    assert place.get().status_code == 400
    assert place.get(request_id="nothing").status_code == 404
    assert place.get(request_id="nothing", path=str(uuid.uuid4())).status_code == 404
    nowhere = place.get(request_id=place.trace())
    assert (nowhere.status_code, nowhere.json()["error_code"]) == (500, "INVALID_STATE")
