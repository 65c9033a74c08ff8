"""Servers that have only one half: artifacts alone, or everything but them. Compared with the reference."""

import json
from pathlib import Path

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from support.servers import MAKERS, ferroflow

#: What the reference answers, by mode and call.
RECORDED = Path(__file__).parent / "recorded" / "modes.json"

#: Method, path and body of calls to artifacts, which one mode leaves, and to the rest, which the other leaves.
OF_ARTIFACTS = [
    ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=x", None),
    ("GET", "/ajax-api/2.0/mlflow-artifacts/artifacts?path=x", None),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/a/b.txt", None),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/a/b.txt", b"x"),
    ("GET", "/ajax-api/2.0/mlflow-artifacts/artifacts/a/b.txt", None),
    ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/a/b.txt", None),
    ("POST", "/api/2.0/mlflow-artifacts/mpu/create/a", {"path": "x", "num_parts": 1}),
    ("POST", "/api/2.0/mlflow-artifacts/mpu/complete/a", {"path": "x", "upload_id": "u", "parts": []}),
    ("POST", "/api/2.0/mlflow-artifacts/mpu/abort/a", {"path": "x", "upload_id": "u"}),
    ("GET", "/api/2.0/mlflow-artifacts/presigned/a/b.txt", None),
]
OF_TRACKING = [
    ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=nobody", None),
    ("POST", "/ajax-api/2.0/mlflow/runs/search", {"experiment_ids": ["0"]}),
    ("GET", "/api/2.0/mlflow/artifacts/list?run_id=x", None),
    ("GET", "/get-artifact?run_id=x&path=y", None),
    ("GET", "/model-versions/get-artifact?name=x&version=1&path=y", None),
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=x&path=y", b"x"),
    ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=x&metric_key=y", None),
    ("GET", "/api/2.0/mlflow/registered-models/get?name=x", None),
    ("GET", "/api/2.0/mlflow/logged-models/m-1", None),
    ("GET", "/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/files?artifact_file_path=x", None),
    ("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url", {"run_id": "x", "path": "y"}),
    ("GET", "/api/2.0/mlflow/webhooks", None),
]
OF_BOTH = [("GET", "/api/3.0/mlflow/server-info", None), ("GET", "/version", None), ("GET", "/health", None)]


def answers(maker, half: str, folder) -> dict[str, list]:
    """What a server with one half says to every call: status, type and body."""
    folder.mkdir()
    uri = "" if half == "--artifacts-only" else f"sqlite:///{folder}/mlflow.db"
    # There is no AI gateway yet, and ferroflow says so.
    env = {"MLFLOW_ENABLE_AI_GATEWAY": "false"}
    said = {}
    with maker(uri, folder / "artifacts", args=[half], env=env, cwd=folder) as server:
        for method, path, body in OF_ARTIFACTS + OF_TRACKING + OF_BOTH:
            data = {"data": body} if isinstance(body, bytes) else {"json": body} if body else {}
            answer = requests.request(method, server.url + path, **data)
            kind = answer.headers.get("Content-Type", "").split(";")[0]
            is_json = kind == "application/json" and answer.content
            said[f"{method} {path}"] = [answer.status_code, kind, answer.json() if is_json else answer.text]
    return said


@pytest.mark.parametrize("half", ["--artifacts-only", "--no-serve-artifacts"])
def test_half_a_server_answers_as_the_reference_does(half, mode, tmp_path):
    recorded = json.loads(RECORDED.read_text("utf-8"))
    theirs = recorded[half] if mode == "recorded" else answers(MAKERS["reference"], half, tmp_path / "reference")
    off = OF_TRACKING if half == "--artifacts-only" else OF_ARTIFACTS
    assert {theirs[f"{method} {path}"][0] for method, path, _ in off} == {503}
    ours = answers(MAKERS["ferroflow"], half, tmp_path / "ferroflow")
    for call, expected in theirs.items():
        assert ours[call] == expected, call
    assert ours.keys() == theirs.keys()
    if mode == "record":
        RECORDED.write_text(json.dumps(recorded | {half: theirs}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    else:
        assert recorded[half] == theirs, "the reference answers otherwise than it was recorded: `cargo xtask artifacts -- --record`"


def test_without_artifacts_the_sdk_goes_to_the_location_itself(store, tmp_path, monkeypatch):
    for name, value in store.env.items():
        monkeypatch.setenv(name, value)
    args = ["--no-serve-artifacts", "--default-artifact-root", f"s3://{store.bucket}/root"]
    with ferroflow(f"sqlite:///{tmp_path}/mlflow.db", args=args, env=store.env, cwd=tmp_path) as server:
        client = MlflowClient(server.url)
        mlflow.set_tracking_uri(server.url)
        run = client.create_run(client.create_experiment("direct")).info
        client.log_text(run.run_id, "hello", "a/b.txt")
        assert len(store.keys("root/")) == 1
        assert [file.path for file in client.list_artifacts(run.run_id, "a")] == ["a/b.txt"]
        # The server reads it for its UI.
        query = {"run_id": run.run_id, "path": "a/b.txt"}
        assert requests.get(f"{server.url}/get-artifact", params=query).text == "hello"


def test_without_artifacts_and_a_root_they_are_where_the_server_was_started(tmp_path):
    with ferroflow(f"sqlite:///{tmp_path}/mlflow.db", args=["--no-serve-artifacts"], cwd=tmp_path) as server:
        client = MlflowClient(server.url)
        mlflow.set_tracking_uri(server.url)
        run = client.create_run("0").info
        assert run.artifact_uri == f"{tmp_path}/mlruns/0/{run.run_id}/artifacts"
        client.log_text(run.run_id, "hello", "b.txt")
        assert (tmp_path / "mlruns/0" / run.run_id / "artifacts/b.txt").read_text() == "hello"


def test_a_server_of_artifacts_alone_serves_the_sdk_of_another_server(store, start, tmp_path):
    with ferroflow("", f"s3://{store.bucket}/p", args=["--artifacts-only"], env=store.env, cwd=tmp_path) as files:
        root = files.url.replace("http:", "mlflow-artifacts:")
        tracking = start(tmp_path / "unused", {}, args=["--default-artifact-root", f"{root}/x", "--no-serve-artifacts"])
        mlflow.set_tracking_uri(tracking.url)
        client = MlflowClient(tracking.url)
        run = client.create_run(client.create_experiment("e")).info.run_id
        client.log_text(run, "hello", "a/b.txt")
        assert [key.startswith("p/x/") for key in store.keys()] == [True]
        (target := tmp_path / "target").mkdir()
        assert open(client.download_artifacts(run, "a/b.txt", str(target))).read() == "hello"
        assert requests.get(f"{files.url}/readyz").status_code == 200
