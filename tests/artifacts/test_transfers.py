"""Transfers between clients and the bucket past the server: the official SDK, and what it must not be able to do."""

import os
from pathlib import Path

import requests
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

MIB = 1024 * 1024
ARTIFACTS = "/api/2.0/mlflow-artifacts"


def routes(server) -> dict[str, int]:
    """How often each call was answered with 200."""
    counts = {}
    for line in requests.get(server.url + "/metrics").text.splitlines():
        if "mlflow-artifacts" in line and 'status="200"' in line and "_total" in line.split("{")[0]:
            route = line.split('route="')[1].split('"')[0].split("/mlflow-artifacts/")[1]
            counts[route] = counts.get(route, 0) + int(float(line.split()[-1]))
    return counts


def test_the_sdk_sends_a_large_file_past_the_server(sdk, server, store, tmp_path):
    info = requests.get(server.url + "/api/3.0/mlflow/server-info").json()
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (True, True)
    client, run = sdk(server)
    source = tmp_path / "größe 1.bin"
    source.write_bytes(os.urandom(17 * MIB))
    client.log_artifact(run, str(source), "model/v1")
    assert store.get(f"pre fix/0/{run}/artifacts/model/v1/größe 1.bin") == source.read_bytes()
    (target := tmp_path / "target").mkdir()
    assert Path(client.download_artifacts(run, "model/v1", str(target)), source.name).read_bytes() == source.read_bytes()
    counts = routes(server)
    assert counts["mpu/create/{*artifact_path}"] == counts["mpu/complete/{*artifact_path}"] == 1
    assert counts["presigned/{*artifact_path}"] >= 1
    assert "artifacts/{*artifact_path}" not in counts, "no byte went through the server"


def test_the_sdk_goes_through_the_server_where_presigning_is_off(sdk, store, start, tmp_path):
    server = start(f"s3://{store.bucket}", store.env | {"FERROFLOW_PRESIGNED_TRANSFERS": "false"})
    client, run = sdk(server)
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(17 * MIB))
    client.log_artifact(run, str(source))
    (target := tmp_path / "target").mkdir()
    assert Path(client.download_artifacts(run, "large.bin", str(target))).read_bytes() == source.read_bytes()
    assert set(routes(server)) >= {"artifacts/{*artifact_path}"}
    for call in ("mpu/create", "mpu/complete", "mpu/abort"):
        answer = requests.post(
            f"{server.url}{ARTIFACTS}/{call}/x",
            json={"path": "a", "upload_id": "u", "num_parts": 1, "parts": [{"part_number": 1, "etag": "e"}]},
        )
        assert answer.status_code == 501
        # How SDKs know that they have to go through the server.
        assert answer.json()["message"].startswith("Multipart upload is not supported for the current artifact repository")


def test_the_sdk_falls_back_when_it_was_told_to_insist(sdk, store, start, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    server = start(f"s3://{store.bucket}", store.env | {"FERROFLOW_PRESIGNED_TRANSFERS": "false"})
    client, run = sdk(server)
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(8 * MIB))
    client.log_artifact(run, str(source))
    (target := tmp_path / "target").mkdir()
    assert Path(client.download_artifacts(run, "large.bin", str(target))).read_bytes() == source.read_bytes()


def test_addresses_are_those_that_clients_know(store, start):
    public = "http://artifacts.example:9000"
    server = start(f"s3://{store.bucket}/p", store.env | {"FERROFLOW_S3_PUBLIC_ENDPOINT_URL": public})
    store.put("p/a/file.txt", b"x")
    answer = requests.get(f"{server.url}{ARTIFACTS}/presigned/a/file.txt").json()
    assert answer["url"].startswith(f"{public}/{store.bucket}/p/a/file.txt?")
    assert answer["file_size"] == 1
    created = requests.post(f"{server.url}{ARTIFACTS}/mpu/create/a", json={"path": "b", "num_parts": 2}).json()
    urls = [part["url"] for part in created["credentials"]]
    assert [url.startswith(f"{public}/{store.bucket}/p/a/b?") for url in urls] == [True, True]
    # The server itself still takes the other way.
    assert requests.get(f"{server.url}{ARTIFACTS}/artifacts/a/file.txt").content == b"x"


def test_a_presigned_address_gives_the_file_as_an_attachment(server, store):
    store.put("pre fix/d/größe 1.txt", b"0123456789")
    answer = requests.get(f"{server.url}{ARTIFACTS}/presigned/d/größe 1.txt").json()
    download = requests.get(answer["url"], headers={"Range": "bytes=2-4"})
    assert (download.status_code, download.content) == (206, b"234")
    assert download.headers["Content-Disposition"].startswith("attachment")
    assert requests.get(f"{server.url}{ARTIFACTS}/presigned/nothing").status_code == 404
    assert requests.get(f"{server.url}{ARTIFACTS}/presigned/%2e%2e/x").status_code == 400


def test_an_upload_in_parts_stays_where_it_was_begun(server, store):
    create = f"{server.url}{ARTIFACTS}/mpu/create"
    store.put("secret", b"s")
    for directory, name in [("a/%2e%2e/%2e%2e", "x"), ("a", ".."), ("a", ""), ("a", "x/"), ("%252e%252e", "x"), ("a%5c..", "x")]:
        answer = requests.post(f"{create}/{directory}", json={"path": name, "num_parts": 1})
        assert answer.status_code == 400, (directory, name, answer.text)
    for number in (0, -1, 10_001, 10**12):
        assert requests.post(f"{create}/a", json={"path": "x", "num_parts": number}).status_code == 400
    # The name of the file on the client's side, of which only the last part counts.
    for path in ("/home/me/x.bin", "C:\\Users\\me\\x.bin", "x.bin"):
        upload = requests.post(f"{create}/a", json={"path": path, "num_parts": 1}).json()
        part = requests.put(upload["credentials"][0]["url"], data=b"part")
        parts = [{"part_number": 1, "etag": part.headers["ETag"]}]
        complete = f"{server.url}{ARTIFACTS}/mpu/complete/a"
        for wrong in ([{"part_number": 2, "etag": "e"}], [{"part_number": 1, "etag": ""}], [{"part_number": 1, "etag": "</ETag>"}]):
            body = {"path": path, "upload_id": upload["upload_id"], "parts": wrong}
            assert requests.post(complete, json=body).status_code == 400
        body = {"path": path, "upload_id": upload["upload_id"], "parts": parts}
        assert requests.post(complete, json=body).status_code == 200
    assert store.keys() == ["pre fix/a/x.bin", "secret"]
    assert store.get("pre fix/a/x.bin") == b"part"


def test_an_upload_is_taken_back(moto, start):
    server = start(f"s3://{moto.bucket}", moto.env)
    upload = requests.post(f"{server.url}{ARTIFACTS}/mpu/create/a", json={"path": "x", "num_parts": 3}).json()
    assert len(upload["credentials"]) == 3
    assert moto.uploads() == ["a/x"]
    body = {"path": "x", "upload_id": upload["upload_id"]}
    wrong = body | {"parts": [{"part_number": 1, "etag": "e"}]}
    answer = requests.post(f"{server.url}{ARTIFACTS}/mpu/complete/a", json=wrong)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    for _ in range(2):
        assert requests.post(f"{server.url}{ARTIFACTS}/mpu/abort/a", json=body).status_code == 200
        assert moto.uploads() == []


def test_presigned_addresses_of_a_run_in_a_bucket(store, start, tmp_path):
    server = start(tmp_path / "local", store.env, args=["--default-artifact-root", f"s3://{store.bucket}/r"])
    client = MlflowClient(server.url)
    run = client.create_run(client.create_experiment("e")).info
    model = client.create_logged_model(run.experiment_id, "m")
    api = f"{server.url}/api/2.0/mlflow/artifacts"
    for owner, base in [({"run_id": run.run_id}, run.artifact_uri), ({"model_id": model.model_id}, model.artifact_location)]:
        answer = requests.post(f"{api}/presigned-upload-url", json=owner | {"path": "a/b.json"})
        assert answer.status_code == 200, answer.text
        upload = answer.json()
        assert upload["headers"] == {"Content-Type": "application/json"}
        assert requests.put(upload["presigned_url"], data=b"{}", headers=upload["headers"]).status_code == 200
        assert store.get(base.split("/", 3)[3] + "/a/b.json") == b"{}"
    download = requests.post(f"{api}/presigned-download-url", json={"run_id": run.run_id, "path": "a/b.json"}).json()
    assert download["file_size"] == 2
    assert requests.get(download["presigned_url"]).content == b"{}"
    for call, body, status in [
        ("upload", {"run_id": run.run_id, "path": "../x"}, 400),
        ("upload", {"run_id": run.run_id, "model_id": "m", "path": "x"}, 400),
        ("upload", {"path": "x"}, 400),
        ("upload", {"run_id": run.run_id, "path": "x", "expiration": 0}, 400),
        ("download", {"run_id": run.run_id, "path": "x", "expiration": 604_801}, 400),
        ("download", {"run_id": run.run_id, "path": "%2e%2e/x"}, 400),
        ("download", {"run_id": run.run_id, "path": "nothing"}, 404),
        ("download", {"run_id": "nobody", "path": "x"}, 404),
    ]:
        answer = requests.post(f"{api}/presigned-{call}-url", json=body)
        assert answer.status_code == status, (call, body, answer.text)


def test_a_proxied_run_has_no_address_in_a_bucket(server):
    run = MlflowClient(server.url).create_run("0").info.run_id
    for call in ("upload", "download"):
        answer = requests.post(
            f"{server.url}/api/2.0/mlflow/artifacts/presigned-{call}-url", json={"run_id": run, "path": "x"}
        )
        assert answer.status_code == 400
        assert "(artifact URI scheme: mlflow-artifacts)" in answer.json()["message"]


def test_the_sdk_s_repository_deletes_and_lists(sdk, server, store, tmp_path):
    client, run = sdk(server)
    client.log_text(run, "x", "a/b.txt")
    client.log_text(run, "x", "a/c.txt")
    repository = get_artifact_repository(client.get_run(run).info.artifact_uri)
    assert [file.path for file in repository.list_artifacts("a")] == ["a/b.txt", "a/c.txt"]
    repository.delete_artifacts("a/b.txt")
    assert store.keys() == [f"pre fix/0/{run}/artifacts/a/c.txt"]
