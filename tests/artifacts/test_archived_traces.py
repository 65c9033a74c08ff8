"""Traces whose spans the reference has archived: read as by its own server, and deleted with their experiment."""

import base64
import contextlib
import json
import os
import subprocess
import time
import uuid
from pathlib import Path

import pytest
import requests
from mlflow.entities import ExperimentTag, Span, TraceInfo, TraceLocation, TraceState
from mlflow.store.tracking.dbmodels.models import SqlSpan, SqlTraceMetadata
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracing.otel.otel_archival import spans_to_traces_data_pb
from mlflow.tracing.otel.translation import translate_loaded_span
from support import postgres, required, stores
from support.reference_app import reference_app
from support.servers import ferroflow, reference

pytestmark = pytest.mark.rotates(every=4)


def ids(number: int, size: int) -> str:
    return base64.b64encode(number.to_bytes(size, "big")).decode()


class Writer:
    """The reference's store on the database of a server: what it leaves is what is read."""

    def __init__(self, uri: str, archive: str):
        self._store = SqlAlchemyStore(uri.replace("postgresql://", "postgresql+psycopg2://"), "mlflow-artifacts:/")
        self._archive = archive

    def trace(self, *spans: dict, experiment: str = "0", began: float = 0.001, state: TraceState = TraceState.OK) -> str:
        """A trace with its spans in the database, long finished unless said otherwise; ``began`` is in seconds."""
        number = uuid.uuid4().int
        id = f"tr-{number:032x}"
        place = TraceLocation.from_experiment_id(experiment)
        filled = []
        for index, span in enumerate(spans):
            full = {
                "trace_id": ids(number, 16), "span_id": ids(index + 1, 8), "parent_span_id": ids(1, 8) if index else None,
                "name": f"span {index}", "start_time_unix_nano": int(began * 1e9) + index, "end_time_unix_nano": int(began * 1e9) + 100,
                "status": {"code": "STATUS_CODE_OK", "message": ""}, "events": [], "links": [],
            } | span  # fmt: skip
            full["attributes"] = {"mlflow.traceRequestId": json.dumps(id)} | full.get("attributes", {})
            filled.append(Span.from_dict(full))
        if filled:
            self._store.log_spans(experiment, filled)
        self._store.start_trace(TraceInfo(trace_id=id, trace_location=place, request_time=int(began * 1000), state=state))
        return id

    def archive(self) -> int:
        return self._store.archive_traces(resolved_trace_archival_location=self._archive, broader_retention="1m")

    def experiment(self, name: str, **tags) -> str:
        tags = [ExperimentTag(f"mlflow.trace.{key}", json.dumps(value)) for key, value in tags.items()]
        return self._store.create_experiment(name, tags=tags)

    def experiment_tags(self, id: str) -> set[str]:
        return set(self._store.get_experiment(id).tags)

    def contents(self, id: str) -> list[str]:
        with self._store.ManagedSessionMaker() as session:
            return [row[0] for row in session.query(SqlSpan.content).filter(SqlSpan.trace_id == id).order_by(SqlSpan.span_id)]

    def set_content(self, id: str, content: str) -> None:
        with self._store.ManagedSessionMaker() as session:
            session.query(SqlSpan).filter(SqlSpan.trace_id == id).update({SqlSpan.content: content})

    def spans(self, id: str) -> list[dict]:
        """As the reference reads them, wherever they are."""
        return [span.to_dict() for span in self._store.get_trace(id).data.spans]

    def tags(self, id: str) -> dict:
        return self._store.get_trace_info(id).tags

    def set_tag(self, id: str, key: str, value: str) -> None:
        self._store.set_trace_tag(id, key, value)

    def set_metadata(self, id: str, key: str, value: str) -> None:
        with self._store.ManagedSessionMaker(read_only=False) as session:
            session.merge(SqlTraceMetadata(request_id=id, key=key, value=value))


SPANS = [
    {
        "attributes": {
            "mlflow.spanInputs": json.dumps({"größe": "模型 😀 \"q\" \x7f", "n": [1, -2, 1.5, 1e16, 1e-7, None, True], "e": {}}),
            "mlflow.spanOutputs": json.dumps([float("nan"), float("inf"), 2**62, "", []]),
            "mlflow.spanType": '"LLM"',
            "raw": "not json",
            "empty": "",
        },
        "status": {"code": "STATUS_CODE_ERROR", "message": "größer\n"},
        "events": [
            {"name": "exception", "time_unix_nano": 150, "attributes": {"a": "é", "b": 1, "c": 0.1, "d": [True, False], "e": {"f": None}}},
            {"name": "", "time_unix_nano": 0, "attributes": {}},
        ],
    },
    {"name": "later", "start_time_unix_nano": 2_000_000, "end_time_unix_nano": None},
    {"name": "", "start_time_unix_nano": 500_000, "status": {"code": "STATUS_CODE_UNSET", "message": "not told"}},
    {
        "links": [
            {"trace_id": "tr-" + "0" * 31 + "a", "span_id": "000000000000000b", "attributes": {"why": "retry", "n": 2}},
            {"trace_id": "c" * 32, "span_id": "d" * 16, "attributes": None},
        ],
    },
]  # fmt: skip


SPANS_OF = "/ajax-api/3.0/mlflow/get-trace-artifact"


def ask(reference, id: str):
    """What the reference's application answers."""
    return reference.get(SPANS_OF, query_string={"request_id": id})


class Place:
    """A server, its bucket, the reference's store on the same database, and an archive in the bucket."""

    def __init__(self, uri, store, server):
        self.uri, self.store, self.server = uri, store, server
        self.writer = Writer(uri, f"s3://{store.bucket}/archive")

    def get(self, id: str, server=None) -> requests.Response:
        return requests.get(f"{(server or self.server).url}{SPANS_OF}", params={"request_id": id})

    def archived(self, *spans: dict, experiment: str = "0") -> tuple[str, str]:
        """An archived trace, and the key of its payload."""
        id = self.writer.trace(*spans or [{}], experiment=experiment)
        assert self.writer.archive() == 1
        location = self.writer.tags(id)["mlflow.trace.archiveLocation"]
        return id, f"{location.removeprefix(f's3://{self.store.bucket}/')}/traces.pb"


@pytest.fixture(params=postgres.DIALECTS)
def place(request, servers, tmp_path, monkeypatch):
    store = servers("seaweed").with_bucket(stores.random_name("archive"))
    for name, value in store.env.items():
        monkeypatch.setenv(name, value)
    with postgres.database(request.param, tmp_path, "archive") as uri:
        with ferroflow(uri, f"s3://{store.bucket}/pre", env=store.env) as server:
            yield Place(uri, store, server)


def test_archived_spans_are_answered_byte_for_byte_as_by_the_reference(place, tmp_path):
    in_bucket, key = place.archived(*SPANS)
    assert place.store.get(key)
    folder = tmp_path / "archive folder"
    place.writer._archive = folder.as_uri()
    in_folder = place.writer.trace(*SPANS[::-1])
    assert place.writer.archive() == 1
    one_more = place.writer.trace({})
    with reference_app(place.uri, f"s3://{place.store.bucket}/pre") as other:
        for id in (in_bucket, in_folder, one_more):
            theirs, ours = ask(other, id), place.get(id)
            assert (ours.status_code, ours.content) == (theirs.status_code, theirs.data) and ours.ok
            assert ours.headers["Content-Type"].split(";")[0] == theirs.headers["Content-Type"].split(";")[0]
            assert ours.headers["Content-Disposition"] == theirs.headers["Content-Disposition"]
        assert [span["name"] for span in place.get(in_bucket).json()["spans"]] == ["span 0", "", "span 3", "later"]
        # What is gone has no spans, what is damaged is told, by both.
        for break_it, code in ((lambda: place.store.client.delete_object(Bucket=place.store.bucket, Key=key), None),
                               (lambda: place.store.put(key, b"{}"), "INVALID_STATE"),
                               (lambda: place.store.put(key, b""), "INVALID_STATE")):  # fmt: skip
            break_it()
            theirs, ours = ask(other, in_bucket), place.get(in_bucket)
            assert ours.status_code == theirs.status_code
            assert ours.json().get("error_code") == json.loads(theirs.data).get("error_code") == code
            if code is None:
                assert ours.content == theirs.data == b'{"spans":[]}'
            else:
                # The reference names a file of its own.
                assert ours.json()["message"] == "Trace data is corrupted for path=traces.pb"
        place.writer._store.delete_trace_tag(in_folder, "mlflow.trace.archiveLocation")
        theirs, ours = ask(other, in_folder), place.get(in_folder)
        assert ours.status_code == theirs.status_code
        assert ours.json() == json.loads(theirs.data)


TRACES = "/api/3.0/mlflow/traces"


def test_traces_with_spans_are_answered_as_by_the_reference(place):
    in_bucket, key = place.archived(*SPANS)
    in_database = place.writer.trace(*SPANS)
    many = place.writer.trace(*({"name": f"n{n}", "attributes": {"x": json.dumps("y" * 1000)}} for n in range(2500)))
    partial = place.writer.trace({"name": "the only one so far"})
    place.writer.set_metadata(partial, "mlflow.trace.sizeStats", '{"num_spans": 2}')
    with reference_app(place.uri, f"s3://{place.store.bucket}/pre") as other:
        for path, query in (
            *(("get", {"trace_id": id}) for id in (in_bucket, in_database, many, partial)),
            ("get", {"trace_id": partial, "allow_partial": "true"}),
            ("batchGet", {"trace_ids": [in_database, partial, in_bucket, "tr-nothing"]}),
            ("batchGet", {"trace_ids": [in_database, in_bucket], "experiment_ids": ["99999"]}),
            ("batchGet", {"trace_ids": [partial]}),
        ):
            theirs = other.get(f"{TRACES}/{path}", query_string=query)
            ours = requests.get(f"{place.server.url}{TRACES}/{path}", params=query)
            assert (ours.status_code, ours.json()) == (theirs.status_code, json.loads(theirs.data)), query
    spans = requests.get(f"{place.server.url}{TRACES}/get", params={"trace_id": many}).json()["trace"]["spans"]
    assert [span["name"] for span in spans] == [f"n{n}" for n in range(2500)]
    assert len(place.get(many).json()["spans"]) == 2500


def test_archived_traces_are_deleted_with_their_files(place):
    id, key = place.archived()
    kept, other_key = place.archived({"name": "kept"})
    place.writer.set_tag(kept, "mlflow.trace.archiveLocation", f"s3://{place.store.bucket}/archive")
    body = {"experiment_id": "0", "request_ids": [id, kept]}
    answer = requests.post(f"{place.server.url}{TRACES}/delete-traces", json=body)
    # The folder of the other one may be that of all traces.
    assert answer.json() == {"traces_deleted": 1}
    assert place.store.get(other_key)
    with pytest.raises(place.store.client.exceptions.NoSuchKey):
        place.store.get(key)
    statuses = [requests.get(f"{place.server.url}{TRACES}/{trace}").status_code for trace in (id, kept)]
    assert statuses == [404, 200]


def test_spans_in_the_file_of_a_client_are_read(place):
    id = place.writer.trace()
    old = {
        "name": "old", "context": {"trace_id": "0x" + "01" * 16, "span_id": "0x02"}, "parent_id": None, "start_time": 5,
        "end_time": 9, "status_code": "OK", "status_message": "", "events": [], "attributes": {"mlflow.traceRequestId": f'"{id}"'},
    }  # fmt: skip
    artifacts = f"{place.server.url}/api/2.0/mlflow-artifacts/artifacts/0/traces/{id}/artifacts"
    query = {"trace_id": id}
    assert requests.get(f"{place.server.url}{TRACES}/get", params=query).json()["error_code"] == "NOT_FOUND"
    assert requests.put(f"{artifacts}/traces.json", data=json.dumps({"spans": [old, {}]})).ok
    spans = requests.get(f"{place.server.url}{TRACES}/get", params=query).json()["trace"]["spans"]
    assert [(span["name"], span["start_time_unix_nano"]) for span in spans] == [("old", 5)]
    assert requests.put(f"{artifacts}/traces.json", data="{").ok
    assert requests.get(f"{place.server.url}{TRACES}/get", params=query).json()["error_code"] == "INVALID_STATE"


def test_spans_that_are_archived_meanwhile_are_found(place):
    # What a reader sees that looked at the tag before it was changed, and at the spans after.
    id, _ = place.archived({"name": "moved"})
    assert place.get(id).json()["spans"][0]["name"] == "moved"
    place.writer.set_tag(id, "mlflow.trace.spansLocation", "TRACKING_STORE")
    assert place.get(id).json() == {"spans": []}


@pytest.mark.rotates
def test_a_payload_is_cut_off_or_too_large(place):
    id, key = place.archived({"attributes": {"x": json.dumps("y" * 3_000_000)}})
    whole = place.store.get(key)
    assert place.get(id).json()["spans"][0]["attributes"]["x"] == json.dumps("y" * 3_000_000)
    place.store.put(key, whole[:-1])
    assert place.get(id).json()["message"] == "Trace data is corrupted for path=traces.pb"
    place.store.put(key, bytes(129 * 1024 * 1024))
    answer = place.get(id)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json()["message"] == "The spans of the trace take 129 MiB in memory. This server reads at most 128 MiB."


def test_a_location_leads_nowhere_else(place, tmp_path):
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    id, key = place.archived()
    (secret / "traces.pb").write_bytes(place.store.get(key))
    # As one that others can reach, it reads below what it was told of alone.
    config = tmp_path / "archive.yaml"
    allowed = tmp_path / "allowed"
    config.write_text(f"trace_archival: {{enabled: false, location: '{allowed.as_uri()}', retention: 30d}}")
    args = ["--allowed-local-artifact-roots", str(tmp_path / "others"), "--trace-archival-config", str(config)]
    with ferroflow(place.uri, f"s3://{place.store.bucket}/pre", args=args, env=place.store.env) as server:
        for location in (str(secret), secret.as_uri(), f"{allowed.as_uri()}/../elsewhere", f"{allowed.as_uri()}/%2e%2e/elsewhere"):
            place.writer.set_tag(id, "mlflow.trace.archiveLocation", location)
            answer = place.get(id, server)
            assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED"), location
        allowed.mkdir()
        (allowed / "traces.pb").write_bytes(place.store.get(key))
        place.writer.set_tag(id, "mlflow.trace.archiveLocation", allowed.as_uri())
        assert len(place.get(id, server).json()["spans"]) == 1
        for location, status in (("mlflow-artifacts:/../x", 400), ("weird:/x", 400), ("hdfs://host/x", 501), ("http://host/x", 400)):
            place.writer.set_tag(id, "mlflow.trace.archiveLocation", location)
            assert place.get(id, server).status_code == status, location


def test_a_store_that_does_not_answer_is_no_empty_trace(place):
    id, _ = place.archived()
    broken = place.store.env | {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"}
    with ferroflow(place.uri, f"s3://{place.store.bucket}/pre", env=broken) as server:
        assert place.get(id, server).status_code == 503


def test_gc_deletes_what_was_archived_and_nothing_beside_it(place, tmp_path):
    experiment = place.writer.experiment("old")
    in_bucket, key = place.archived(experiment=experiment)
    folder = tmp_path / "folder"
    place.writer._archive = folder.as_uri()
    place.archived(experiment=experiment)
    missing, _ = place.archived(experiment=experiment)
    payloads = sorted(folder.rglob("traces.pb"))
    assert len(payloads) == 2
    next(path for path in payloads if missing in str(path)).unlink()
    not_its_own, _ = place.archived(experiment=experiment)
    place.writer.set_tag(not_its_own, "mlflow.trace.archiveLocation", folder.as_uri())
    beside = key.replace("traces.pb", "attachments/x")
    place.store.put(beside, b"x")
    artifacts = f"pre/{experiment}/traces/{in_bucket}/artifacts/attachments/y"
    place.store.put(artifacts, b"y")
    kept, kept_key = None, None
    place.writer._archive = f"s3://{place.store.bucket}/archive"
    kept, kept_key = place.archived()
    place.writer._store.delete_experiment(experiment)

    def gc(code: int) -> str:
        command = [required("FERROFLOW_BIN"), "gc", "--backend-store-uri", place.uri, "--experiment-ids", experiment]
        command += ["--artifacts-destination", f"s3://{place.store.bucket}/pre"]
        outcome = subprocess.run(command, env=os.environ | place.store.env, capture_output=True, text=True, timeout=120)
        assert outcome.returncode == code, outcome.stdout + outcome.stderr
        return outcome.stdout + outcome.stderr

    told = gc(1)
    assert f"Trace with ID {not_its_own} is kept: the location of its artifacts, {folder.as_uri()}, is not its own" in told
    assert place.store.keys() == sorted([beside, kept_key])
    assert [path.parts[-3] for path in folder.rglob("traces.pb")] == [not_its_own]
    place.writer.set_tag(not_its_own, "mlflow.trace.archiveLocation", f"{folder.as_uri()}/{experiment}/traces/{not_its_own}/artifacts")
    assert f"Experiment with ID {experiment} has been permanently deleted." in gc(0)
    assert not list(folder.rglob("traces.pb"))
    assert len(place.get(kept).json()["spans"]) == 1


@contextlib.contextmanager
def archiving(place, folder: Path, location: str | None = None, env=(), **settings):
    """A server that archives every second what is older than a day."""
    config = folder / f"{stores.random_name('archive')}.yaml"
    settings = {"location": location or f"s3://{place.store.bucket}/archive", "retention": "1d", "interval_seconds": 1} | settings
    config.write_text(json.dumps({"trace_archival": {"enabled": True} | settings}))
    args = ["--trace-archival-config", str(config)]
    with ferroflow(place.uri, f"s3://{place.store.bucket}/pre", args=args, env=place.store.env | dict(env)) as server:
        yield server


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_archived(place, id: str) -> bool:
    return place.writer.tags(id).get("mlflow.trace.spansLocation") == "ARCHIVE_REPO"


def test_the_server_archives_what_is_old_as_the_reference_does(place, tmp_path):
    now = time.time()
    old = place.writer.trace(*SPANS)
    of_others = place.writer.trace({"attributes": {"openinference.span.kind": '"RETRIEVER"', "mlflow.spanType": '"UNKNOWN"'}})
    young = place.writer.trace({}, began=now)
    running = place.writer.trace({}, state=TraceState.IN_PROGRESS)
    malformed = place.writer.trace({})
    place.writer.set_content(malformed, "{}")
    kept_longer = place.writer.experiment("longer", archivalRetention={"type": "duration", "value": "3650000d"})
    not_allowed = place.writer.experiment("not allowed", archivalRetention={"type": "duration", "value": "3650000d"})
    shorter = place.writer.experiment("shorter", archivalRetention={"type": "duration", "value": "1m"})
    stays, goes = place.writer.trace({}, experiment=kept_longer), place.writer.trace({}, experiment=not_allowed)
    hour_old = place.writer.trace({}, experiment=shorter, began=now - 3600)
    before = {id: place.writer.spans(id) for id in (old, of_others, goes, hour_old)}
    payloads = {
        id: spans_to_traces_data_pb([Span.from_dict(translate_loaded_span(json.loads(text))) for text in place.writer.contents(id)])
        for id in before
    }
    with archiving(place, tmp_path, long_retention_allowlist=[int(kept_longer)]) as server:
        wait_until(lambda: all(is_archived(place, id) for id in before), "what is old is archived")
        wait_until(lambda: "mlflow.trace.archivalFailure" in place.writer.tags(malformed), "what can not be is marked")
        for id, spans in before.items():
            experiment = place.writer._store.get_trace_info(id).experiment_id
            location = f"s3://{place.store.bucket}/archive/{experiment}/traces/{id}/artifacts"
            assert place.writer.tags(id)["mlflow.trace.archiveLocation"] == location
            assert place.store.get(f"archive/{experiment}/traces/{id}/artifacts/traces.pb") == payloads[id]
            assert set(place.writer.contents(id)) == {""}
            assert place.writer.spans(id) == place.get(id, server).json()["spans"]
        assert [span["span_id"] for span in place.writer.spans(old)] == [span["span_id"] for span in before[old]]
        for id in (young, running, malformed, stays):
            assert not is_archived(place, id) and "" not in place.writer.contents(id)
        assert place.writer.tags(malformed)["mlflow.trace.archivalFailure"] == "MALFORMED_TRACE"
        metrics = requests.get(f"{server.url}/metrics").text
        assert 'ferroflow_traces_archived_total{outcome="archived"} 4' in metrics
    assert len(place.store.keys("archive/")) == 4


def test_what_is_to_be_archived_at_once_is_and_then_the_request_ends(place, tmp_path):
    now = time.time()
    at_once = place.writer.experiment("at once", archiveNow={})
    older = place.writer.experiment("older", archiveNow={"older_than": "1h"})
    young = place.writer.trace({}, experiment=at_once, began=now)
    malformed = place.writer.trace({}, experiment=at_once, began=now)
    place.writer.set_content(malformed, "no json")
    two_hours, new = (place.writer.trace({}, experiment=older, began=now - age) for age in (7200, 10))
    waits = place.writer.experiment("waits", archiveNow={})
    running = place.writer.trace({}, experiment=waits, began=now, state=TraceState.IN_PROGRESS)
    with archiving(place, tmp_path):
        for experiment in (at_once, older):
            wait_until(lambda: "mlflow.trace.archiveNow" not in place.writer.experiment_tags(experiment), "the request ends")
        assert is_archived(place, young) and is_archived(place, two_hours)
        assert not is_archived(place, new) and not is_archived(place, running) and not is_archived(place, malformed)
        assert "mlflow.trace.archiveNow" in place.writer.experiment_tags(waits)


@pytest.mark.rotates
def test_servers_that_are_killed_lose_nothing(place, tmp_path):
    traces = [place.writer.trace(*SPANS) for _ in range(40)]
    before = {id: place.writer.spans(id)[0]["attributes"]["mlflow.spanInputs"] for id in traces}
    count = lambda: len(place.store.keys("archive/"))  # noqa: E731
    for _ in range(2):
        with archiving(place, tmp_path) as other, archiving(place, tmp_path) as server:
            seen = count()
            # On a busy machine the first servers may get through all before they are killed.
            wait_until(lambda: count() > min(seen + 2, len(traces) - 1), "something is archived")
            server.kill()
            other.kill()
        for id in traces:
            assert is_archived(place, id) == (place.writer.contents(id)[0] == "")
            assert json.loads(place.get(id).json()["spans"][0]["attributes"]["mlflow.spanInputs"]) == json.loads(before[id])
    with archiving(place, tmp_path), archiving(place, tmp_path):
        wait_until(lambda: all(is_archived(place, id) for id in traces), "all are archived")
    assert count() == len(traces)
    for id in traces:
        assert len(place.get(id).json()["spans"]) == len(SPANS)


def test_an_archive_that_does_not_answer_leaves_everything_as_it_was(place, tmp_path):
    ids = [place.writer.trace(*SPANS) for _ in range(3)]
    id = ids[0]
    before = place.writer.contents(id)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    with archiving(place, tmp_path, location=blocked.as_uri()) as server:
        server.wait_logged("traces are not archived now")
        [line] = [line for line in server.logs.splitlines() if "not archived now" in line]
        assert "traces=3 " in line and any(f'first="{id}"' in line for id in ids) and "error=" in line
        assert requests.get(f"{server.url}/health").ok
    assert place.writer.contents(id) == before and not is_archived(place, id)
    assert "mlflow.trace.archivalFailure" not in place.writer.tags(id)


def test_a_server_without_jobs_archives_nothing_and_says_so(place, tmp_path):
    id = place.writer.trace({})
    with archiving(place, tmp_path, env={"MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS": "false"}) as server:
        server.wait_logged("this server archives no traces")
        with archiving(place, tmp_path):
            wait_until(lambda: is_archived(place, id), "another one does")


def test_what_is_told_of_archival_is_what_the_reference_tells(place, tmp_path, mode):
    allowed = place.writer.experiment("allowed", archivalRetention={"type": "duration", "value": "60d"})
    place.writer.experiment("not allowed", archivalRetention={"type": "duration", "value": "60d"})
    place.writer.experiment("less", archivalRetention={"type": "duration", "value": "12h"})
    config = tmp_path / "archive.yaml"
    config.write_text(GOOD + f"  long_retention_allowlist: ['{allowed}']\n  interval_seconds: 86400\n")
    args = ["--trace-archival-config", str(config)]

    def told(server) -> list:
        experiments = requests.post(f"{server.url}/api/2.0/mlflow/experiments/search", json={"max_results": 9}).json()["experiments"]
        by_name = requests.get(f"{server.url}/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": "less"}).json()
        one = requests.get(f"{server.url}/api/2.0/mlflow/experiments/get", params={"experiment_id": allowed}).json()
        keys = lambda found: (found["name"], found["effective_trace_archival_retention"])  # noqa: E731
        info = requests.get(f"{server.url}/api/3.0/mlflow/server-info").json()
        found = sorted(map(keys, experiments)) + [keys(by_name["experiment"]), keys(one["experiment"])]
        return [*found, info["trace_archival_enabled"]]

    with ferroflow(place.uri, f"s3://{place.store.bucket}/pre", args=args, env=place.store.env) as server:
        ours = told(server)
    by_name = {"Default": "30d", "allowed": "60d", "less": "12h", "not allowed": "30d"}
    assert ours == [*sorted(by_name.items()), ("less", "12h"), ("allowed", "60d"), True]
    if mode != "recorded":
        with reference(place.uri, f"s3://{place.store.bucket}/pre", args=args, env=place.store.env) as server:
            assert told(server) == ours
    without = requests.get(f"{place.server.url}/api/2.0/mlflow/experiments/get", params={"experiment_id": allowed}).json()
    assert "effective_trace_archival_retention" not in without["experiment"]


GOOD = "trace_archival:\n  enabled: true\n  location: s3://bucket/archive\n  retention: 30d\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file"),
        ("trace_archival: [", "is not YAML"),
        ("", "it is not a mapping"),
        ("other: 1", "the mapping 'trace_archival' is missing"),
        (GOOD.replace("  enabled: true\n", ""), "'trace_archival.enabled' is missing"),
        (GOOD.replace("true", "'true'"), "'trace_archival.enabled' must be true or false"),
        (GOOD.replace("  location: s3://bucket/archive\n", ""), "'trace_archival.location' is missing"),
        (GOOD.replace("s3://bucket/archive", "/srv/archive"), "'trace_archival.location' must be a URI"),
        (GOOD.replace("s3://bucket/archive", "mlflow-artifacts:/a"), "cannot be an mlflow-artifacts: location"),
        (GOOD.replace("s3://bucket/archive", "dbfs:/a"), "dbfs: is not supported by this version"),
        (GOOD.replace("s3://bucket/archive", "file://other/a"), "is not a valid remote uri"),
        (GOOD.replace("30d", "30"), "'trace_archival.retention' must be a duration"),
        (GOOD + "  interval_seconds: 86401\n", "'trace_archival.interval_seconds' must be at most 86400"),
        (GOOD + "  max_traces_per_pass: 0\n", "'trace_archival.max_traces_per_pass' must be a whole number above 0"),
        (GOOD + "  long_retention_allowlist: 1\n", "'trace_archival.long_retention_allowlist' must be a list"),
    ],
)
def test_settings_that_can_not_be_used_are_told_in_one_line(tmp_path, text, words):
    config = tmp_path / "archive.yaml"
    if text is not None:
        config.write_text(text)
    lines = refused(tmp_path, ["--trace-archival-config", str(config)])
    assert len(lines) == 1 and words in lines[0] and str(config) in lines[0], lines
    # And the reference refuses the same, unless it reads it and this version does not.
    if text is not None and "dbfs" not in text and "other/a" not in text:
        from mlflow.exceptions import MlflowException
        from mlflow.tracing.trace_archival_config import load_trace_archival_server_config

        with pytest.raises(MlflowException):
            load_trace_archival_server_config(config)


def test_settings_and_artifacts_only_do_not_go_together(tmp_path):
    config = tmp_path / "archive.yaml"
    config.write_text(GOOD)
    lines = refused(tmp_path, ["--trace-archival-config", str(config), "--artifacts-only"])
    assert len(lines) == 1 and "--artifacts-only" in lines[0] and "--trace-archival-config" in lines[0]


def refused(folder: Path, args: list[str]) -> list[str]:
    command = [required("FERROFLOW_BIN"), "server", "--port", "0", *args]
    outcome = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=60)
    assert outcome.returncode != 0
    return (outcome.stdout + outcome.stderr).splitlines()
