"""Traces whose spans the reference has archived: read as by its own server, and deleted with their experiment."""

import base64
import json
import os
import subprocess
import uuid
from pathlib import Path

import pytest
import requests
from mlflow.entities import Span, TraceInfo, TraceLocation, TraceState
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from support import postgres, required, stores
from support.servers import ferroflow, reference


def ids(number: int, size: int) -> str:
    return base64.b64encode(number.to_bytes(size, "big")).decode()


class Writer:
    """The reference's store on the database of a server: what it leaves is what is read."""

    def __init__(self, uri: str, archive: str):
        self._store = SqlAlchemyStore(uri.replace("postgresql://", "postgresql+psycopg2://"), "mlflow-artifacts:/")
        self._archive = archive

    def trace(self, *spans: dict, experiment: str = "0") -> str:
        """A finished trace with its spans in the database."""
        number = uuid.uuid4().int
        id = f"tr-{number:032x}"
        place = TraceLocation.from_experiment_id(experiment)
        self._store.start_trace(TraceInfo(trace_id=id, trace_location=place, request_time=1, state=TraceState.OK))
        filled = []
        for index, span in enumerate(spans):
            full = {
                "trace_id": ids(number, 16), "span_id": ids(index + 1, 8), "parent_span_id": ids(1, 8) if index else None,
                "name": f"span {index}", "start_time_unix_nano": 100 + index, "end_time_unix_nano": 200,
                "status": {"code": "STATUS_CODE_OK", "message": ""}, "events": [], "links": [],
            } | span  # fmt: skip
            full["attributes"] = {"mlflow.traceRequestId": json.dumps(id)} | full.get("attributes", {})
            filled.append(Span.from_dict(full))
        self._store.log_spans(experiment, filled)
        return id

    def archive(self) -> int:
        return self._store.archive_traces(resolved_trace_archival_location=self._archive, broader_retention="1m")

    def experiment(self, name: str) -> str:
        return self._store.create_experiment(name)

    def tags(self, id: str) -> dict:
        return self._store.get_trace_info(id).tags

    def set_tag(self, id: str, key: str, value: str) -> None:
        self._store.set_trace_tag(id, key, value)


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
    {"name": "later", "start_time_unix_nano": 190, "end_time_unix_nano": None},
    {"name": "", "start_time_unix_nano": 50, "status": {"code": "STATUS_CODE_UNSET", "message": "not told"}},
    {
        "links": [
            {"trace_id": "tr-" + "0" * 31 + "a", "span_id": "000000000000000b", "attributes": {"why": "retry", "n": 2}},
            {"trace_id": "c" * 32, "span_id": "d" * 16, "attributes": None},
        ],
    },
]  # fmt: skip


class Place:
    """A server, its bucket, the reference's store on the same database, and an archive in the bucket."""

    def __init__(self, uri, store, server):
        self.uri, self.store, self.server = uri, store, server
        self.writer = Writer(uri, f"s3://{store.bucket}/archive")

    def get(self, id: str, server=None) -> requests.Response:
        url = f"{(server or self.server).url}/ajax-api/3.0/mlflow/get-trace-artifact"
        return requests.get(url, params={"request_id": id})

    def archived(self, *spans: dict, experiment: str = "0") -> tuple[str, str]:
        """An archived trace, and the key of its payload."""
        id = self.writer.trace(*spans or [{}], experiment=experiment)
        assert self.writer.archive() == 1
        location = self.writer.tags(id)["mlflow.trace.archiveLocation"]
        return id, f"{location.removeprefix(f's3://{self.store.bucket}/')}/traces.pb"


@pytest.fixture(params=postgres.DIALECTS)
def place(request, servers, tmp_path, monkeypatch):
    store = servers("s3s").with_bucket(stores.random_name("archive"))
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
    with reference(place.uri, f"s3://{place.store.bucket}/pre", env=place.store.env) as other:
        for id in (in_bucket, in_folder, one_more):
            theirs, ours = place.get(id, other), place.get(id)
            assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content) and ours.ok
            assert ours.headers["Content-Type"].split(";")[0] == theirs.headers["Content-Type"].split(";")[0]
            assert ours.headers["Content-Disposition"] == theirs.headers["Content-Disposition"]
        assert [span["name"] for span in place.get(in_bucket).json()["spans"]] == ["span 0", "", "span 3", "later"]
        # What is gone has no spans, what is damaged is told, by both.
        for break_it, code in ((lambda: place.store.client.delete_object(Bucket=place.store.bucket, Key=key), None),
                               (lambda: place.store.put(key, b"{}"), "INVALID_STATE"),
                               (lambda: place.store.put(key, b""), "INVALID_STATE")):  # fmt: skip
            break_it()
            theirs, ours = place.get(in_bucket, other), place.get(in_bucket)
            assert ours.status_code == theirs.status_code
            assert ours.json().get("error_code") == theirs.json().get("error_code") == code
            if code is None:
                assert ours.content == theirs.content == b'{"spans":[]}'
            else:
                # The reference names a file of its own.
                assert ours.json()["message"] == "Trace data is corrupted for path=traces.pb"
        place.writer._store.delete_trace_tag(in_folder, "mlflow.trace.archiveLocation")
        theirs, ours = place.get(in_folder, other), place.get(in_folder)
        assert ours.status_code == theirs.status_code
        assert ours.json() == theirs.json()


def test_spans_that_are_archived_meanwhile_are_found(place):
    # What a reader sees that looked at the tag before it was changed, and at the spans after.
    id, _ = place.archived({"name": "moved"})
    assert place.get(id).json()["spans"][0]["name"] == "moved"
    place.writer.set_tag(id, "mlflow.trace.spansLocation", "TRACKING_STORE")
    assert place.get(id).json() == {"spans": []}


def test_a_payload_is_cut_off_or_too_large(place):
    id, key = place.archived({"attributes": {"x": json.dumps("y" * 3_000_000)}})
    whole = place.store.get(key)
    assert place.get(id).json()["spans"][0]["attributes"]["x"] == json.dumps("y" * 3_000_000)
    place.store.put(key, whole[:-1])
    assert place.get(id).json()["message"] == "Trace data is corrupted for path=traces.pb"
    place.store.put(key, bytes(129 * 1024 * 1024))
    answer = place.get(id)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json()["message"] == "The archived spans of the trace take 129 MiB. This server reads up to 128 MiB."


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


GOOD = "trace_archival:\n  enabled: true\n  location: s3://bucket/archive\n  retention: 30d\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "can not be read: No such file"),
        ("trace_archival: [", "is not YAML"),
        ("", "can not be used: it is no mapping"),
        ("other: 1", "the mapping 'trace_archival' is missing"),
        (GOOD.replace("  enabled: true\n", ""), "'trace_archival.enabled' is missing"),
        (GOOD.replace("true", "'true'"), "'trace_archival.enabled' must be true or false"),
        (GOOD.replace("  location: s3://bucket/archive\n", ""), "'trace_archival.location' is missing"),
        (GOOD.replace("s3://bucket/archive", "/srv/archive"), "'trace_archival.location' must be a URI"),
        (GOOD.replace("s3://bucket/archive", "mlflow-artifacts:/a"), "can not be an mlflow-artifacts: location"),
        (GOOD.replace("s3://bucket/archive", "dbfs:/a"), "dbfs: is not supported by this version"),
        (GOOD.replace("s3://bucket/archive", "file://other/a"), "is not a valid remote uri"),
        (GOOD.replace("30d", "30"), "'trace_archival.retention' must be a duration"),
        (GOOD + "  interval_seconds: 86401\n", "'trace_archival.interval_seconds' must be 86400 at most"),
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
