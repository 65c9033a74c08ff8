"""Artifacts in Azure Blob Storage, and what is read from Google Cloud Storage."""

import os
import subprocess
from pathlib import Path

import clouds
import mlflow
import pytest
import requests
from mlflow import MlflowClient
from support import required

API = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024


@pytest.fixture(params=clouds.KINDS)
def cloud(request, tmp_path):
    with clouds.running(request.param, tmp_path) as store:
        yield store


@pytest.fixture
def azure(tmp_path):
    with clouds.running("azure", tmp_path) as store:
        yield store


@pytest.fixture
def server(azure, start):
    return start(azure.location("pre"), azure.env)


def listing(server, path: str) -> list[tuple]:
    answer = requests.get(server.url + API, params={"path": path})
    assert answer.status_code == 200, answer.text
    return [(file["path"], file["is_dir"], file.get("file_size")) for file in answer.json().get("files", [])]


@pytest.mark.parametrize("size", [0, 5, 20 * MIB + 3])
def test_a_file_comes_back_byte_for_byte(server, azure, size):
    body = os.urandom(size)
    place = f"{server.url}{API}/0/größe 1.bin"
    assert requests.put(place, data=body).status_code == 200
    assert azure.get("pre/0/größe 1.bin") == body
    answer = requests.get(place)
    assert answer.content == body
    if size > 10:
        part = requests.get(place, headers={"Range": "bytes=10-99"})
        assert (part.status_code, part.content) == (206, body[10:100])
        assert requests.get(place, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert requests.get(server.url + "/readyz").json()["artifact_store"] == azure.location("pre")


def test_directories_are_listed_and_deleted(server, azure):
    for key in ("pre/d/a", "pre/d/e/f/g", "pre/dx", "other/d"):
        azure.put(key, b"xy")
    assert listing(server, "d") == [("a", False, 2), ("e", True, None)]
    assert listing(server, "") == [("d", True, None), ("dx", False, 2)]
    assert requests.delete(f"{server.url}{API}/d").status_code == 200
    assert azure.keys() == ["other/d", "pre/dx"]
    assert requests.get(f"{server.url}{API}/d/a").status_code == 404


def test_the_sdk_goes_through_the_server(server, azure, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(6 * MIB))
    info = requests.get(server.url + "/api/3.0/mlflow/server-info").json()
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (False, False)
    mlflow.set_tracking_uri(server.url)
    client = MlflowClient(server.url)
    run = client.create_run("0").info.run_id
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(9 * MIB))
    client.log_artifact(run, str(source), "model")
    (target := tmp_path / "target").mkdir()
    assert Path(client.download_artifacts(run, "model/large.bin", str(target))).read_bytes() == source.read_bytes()
    assert azure.get(f"pre/0/{run}/artifacts/model/large.bin") == source.read_bytes()


def test_a_location_in_the_cloud_is_read_for_the_ui(cloud, start, tmp_path):
    server = start(tmp_path / "local", cloud.env)
    client = MlflowClient(server.url)
    run = client.create_run(client.create_experiment("e", artifact_location=cloud.location("direct"))).info
    cloud.put(f"direct/{run.run_id}/artifacts/a/b.txt", b"hello")
    page = f"{server.url}/ajax-api/2.0/mlflow/artifacts/list"
    assert requests.get(page, params={"run_id": run.run_id, "path": "a"}).json()["files"] == [
        {"path": "a/b.txt", "is_dir": False, "file_size": 5}
    ]
    answer = requests.get(f"{server.url}/get-artifact", params={"run_id": run.run_id, "path": "a/b.txt"})
    assert answer.text == "hello"
    client.delete_run(run.run_id)
    uri = server_database(server)
    command = [required("FERROFLOW_BIN"), "gc", "--backend-store-uri", uri]
    outcome = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=120)
    assert outcome.stdout.endswith("1 deleted, 0 kept.\n"), outcome.stdout + outcome.stderr
    assert cloud.keys() == []


def server_database(server) -> str:
    return server.process.args[server.process.args.index("--backend-store-uri") + 1]


def test_what_is_not_proven_is_refused(start, tmp_path):
    with clouds.running("gcs", tmp_path) as store:
        command = [required("FERROFLOW_BIN"), "server", "--port", "0", "--artifacts-destination", store.location()]
        outcome = subprocess.run(command, env=store.env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert outcome.returncode == 1 and "gs: is not supported by this version" in outcome.stderr
        server = start(tmp_path / "local", store.env)
        client = MlflowClient(server.url)
        run = client.create_run(client.create_experiment("e", artifact_location=store.location("x"))).info.run_id
        answer = requests.post(
            f"{server.url}/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": run, "path": "a"}, data="x"
        )
        assert answer.status_code == 501


def test_a_bucket_that_is_not_there_is_one_line(azure, start):
    server = start(azure.location("pre").replace(azure.bucket, "no-such-bucket"), azure.env)
    answer = requests.get(server.url + "/readyz")
    assert answer.status_code == 503
    assert "no-such-bucket" in answer.json()["artifacts"]


def test_no_location_leads_to_another_host(cloud, start, tmp_path):
    server = start(tmp_path / "local", cloud.env)
    client = MlflowClient(server.url)
    for number, location in enumerate(
        ["wasbs://c@evil.example/x", "wasbs://c@a.blob.core.evil.example/x", "gs://evil@host/x", "gs://a..b/x"]
    ):
        run = client.create_run(client.create_experiment(f"bad {number}", artifact_location=location)).info
        answer = requests.get(f"{server.url}/ajax-api/2.0/mlflow/artifacts/list", params={"run_id": run.run_id})
        assert answer.status_code == 400, (location, answer.text)
