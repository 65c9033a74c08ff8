"""Artifacts in Azure Blob Storage and in Google Cloud Storage."""

import base64
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qs

import clouds
import faults
import mlflow
import pytest
import requests
import services
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from mlflow import MlflowClient
from support import required, stores

pytestmark = pytest.mark.rotates(every=4)

API = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024


@pytest.fixture(params=clouds.KINDS)
def cloud(request, emulators):
    return emulators(request.param)


@pytest.fixture
def azure(emulators):
    return emulators("azure")


@pytest.fixture
def server(cloud, start):
    return start(cloud.location("pre"), cloud.env)


def listing(server, path: str) -> list[tuple]:
    answer = requests.get(server.url + API, params={"path": path})
    assert answer.status_code == 200, answer.text
    return [(file["path"], file["is_dir"], file.get("file_size")) for file in answer.json().get("files", [])]


@pytest.mark.parametrize("size", [0, 5, 16 * MIB, 20 * MIB + 3])
def test_a_file_comes_back_byte_for_byte(server, cloud, size):
    body = os.urandom(size)
    place = f"{server.url}{API}/0/größe 1.bin"
    assert requests.put(place, data=body).status_code == 200
    assert cloud.get("pre/0/größe 1.bin") == body
    answer = requests.get(place)
    assert answer.content == body
    if size > 10:
        part = requests.get(place, headers={"Range": "bytes=10-99"})
        assert (part.status_code, part.content) == (206, body[10:100])
        assert requests.get(place, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert requests.get(server.url + "/readyz").json()["artifact_store"] == cloud.location("pre")


def test_directories_are_listed_and_deleted(server, cloud):
    for key in ("pre/d/a", "pre/d/e/f/g", "pre/dx", "other/d"):
        cloud.put(key, b"xy")
    assert listing(server, "d") == [("a", False, 2), ("e", True, None)]
    assert listing(server, "") == [("d", True, None), ("dx", False, 2)]
    assert requests.delete(f"{server.url}{API}/d").status_code == 200
    assert cloud.keys() == ["other/d", "pre/dx"]
    assert requests.get(f"{server.url}{API}/d/a").status_code == 404


@pytest.mark.rotates(every=6)
def test_a_directory_of_many_pages_is_listed_and_deleted(cloud, start):
    # Google lists 1,000 names at a time, Azure 5,000; they are deleted by the thousand.
    count = 1_203
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: cloud.put(f"pre/d/e{number % 7}/file-{number:04}", b"x"), range(count)))
    cloud.put("pre/dx", b"x")
    server = start(cloud.location("pre"), cloud.env)
    assert [name for name, _, _ in listing(server, "d")] == [f"e{number}" for number in range(7)]
    assert sum(len(listing(server, f"d/e{number}")) for number in range(7)) == count
    assert requests.delete(f"{server.url}{API}/d").status_code == 200, server.logs
    assert cloud.keys() == ["pre/dx"]


def test_a_deletion_whose_connection_breaks_is_repeated(azure, start):
    for number in range(3):
        azure.put(f"pre/d/{number}", b"x")
    with faults.before(azure.url) as proxy:
        server = start(azure.location("pre"), replace(azure, url=proxy.url).env)
        proxy.cut_answer_after, proxy.only, proxy.times = 0, b"POST ", 1
        assert requests.delete(f"{server.url}{API}/d").status_code == 200, server.logs
        assert (proxy.struck, azure.keys()) == (1, [])


@pytest.mark.rotates(every=16)
def test_a_directory_of_several_pages_of_azure_is_listed(azure, start):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: azure.put(f"pre/d/file-{number:04}", b"x"), range(5_003)))
    server = start(azure.location("pre"), azure.env)
    assert [name for name, _, _ in listing(server, "d")] == [f"file-{number:04}" for number in range(5_003)]


def works(server) -> bool:
    place = f"{server.url}{API}/0/größe.txt"
    return requests.put(place, data=b"x" * 10_000).ok and requests.get(place).content == b"x" * 10_000


def test_azure_takes_a_key_or_a_signature(azure, start):
    endpoint = f"{azure.url}/{clouds.ACCOUNT}"
    token = generate_account_sas(
        account_name=clouds.ACCOUNT,
        account_key=clouds.ACCOUNT_KEY,
        resource_types=ResourceTypes(container=True, object=True),
        permission=AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )
    place = f"BlobEndpoint={endpoint}"
    for env in [
        {"AZURE_STORAGE_ACCESS_KEY": clouds.ACCOUNT_KEY, "AZURE_STORAGE_CONNECTION_STRING": place},
        {"AZURE_STORAGE_SAS_TOKEN": token, "AZURE_STORAGE_CONNECTION_STRING": place},
        {"AZURE_STORAGE_SAS_TOKEN": f"?{token}", "AZURE_STORAGE_CONNECTION_STRING": place},
        {"AZURE_STORAGE_CONNECTION_STRING": f"{place};SharedAccessSignature={token}"},
    ]:
        server = start(azure.location("pre"), env)
        assert works(server), (env, server.logs)
        # A signature signs no others: clients go through the server.
        upload = requests.post(f"{server.url}/api/2.0/mlflow-artifacts/mpu/create/a", json={"path": "x", "num_parts": 1})
        assert upload.status_code == (200 if "AZURE_STORAGE_ACCESS_KEY" in env else 501), (env, upload.text)


EMPTY = b'<?xml version="1.0"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>'


@pytest.mark.parametrize("kind", ["secret", "workload"])
def test_azure_takes_an_application(start, tmp_path, kind):
    (tmp_path / "token").write_text("a token of the cluster")

    def answer(request):
        if request.path == "/tenant/oauth2/v2.0/token":
            form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
            proof = {"secret": form.get("client_secret") == "of-the-application"}
            proof["workload"] = form.get("client_assertion") == "a token of the cluster"
            assert form["client_id"] == "application" and form["scope"] == "https://storage.azure.com/.default"
            body = json.dumps({"token_type": "Bearer", "expires_in": 3600, "access_token": "granted"}).encode()
            return services.Answer(200 if proof[kind] else 401, body, {"Content-Type": "application/json"})
        allowed = request.headers.get("authorization") == "Bearer granted"
        return services.Answer(200, EMPTY) if allowed else services.Answer(403)

    with services.running(answer) as azure:
        env = {
            "AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint={azure.url}/account",
            "AZURE_AUTHORITY_HOST": azure.url,
            "AZURE_CLIENT_ID": "application",
            "AZURE_TENANT_ID": "tenant",
        }
        env |= {"secret": {"AZURE_CLIENT_SECRET": "of-the-application"}, "workload": {"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token")}}[kind]
        server = start("wasbs://container@account.blob.core.windows.net/pre", env)
        assert requests.get(f"{server.url}/readyz").status_code == 200, server.logs
        wrong = {"secret": {"AZURE_CLIENT_SECRET": "hunter2"}, "workload": {"AZURE_FEDERATED_TOKEN_FILE": "/nonexistent"}}[kind]
        server = start("wasbs://container@account.blob.core.windows.net/pre", env | wrong)
        is_told(server, "wasbs://container@account.blob.core.windows.net/pre: ")


def is_told(server, expected: str) -> None:
    """One line of what is wrong, at start and for probes, that tells nothing secret."""
    answer = requests.get(f"{server.url}/readyz")
    assert answer.status_code == 503
    said = answer.json()["artifacts"]
    assert said.startswith(expected) and "\n" not in said and len(said) < 400, said
    server.wait_logged("the artifact storage cannot be used")
    assert sum("the artifact storage cannot be used" in line for line in server.logs.splitlines()) == 1
    assert "hunter2" not in server.logs + said


def test_a_wrong_key_of_azure_is_one_line(azure, start):
    wrong = base64.b64encode(b"hunter2").decode()
    server = start(azure.location("pre"), {"AZURE_STORAGE_CONNECTION_STRING": azure.connection.replace(clouds.ACCOUNT_KEY, wrong)})
    is_told(server, f"{azure.location('pre')}: AuthorizationFailure: Server failed to authenticate the request. ")
    assert wrong not in server.logs


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_of_google_are_one_line(start, key_file, status):
    error = {"code": status, "message": "signer@project.example does not have storage.objects.list access."}
    body = json.dumps({"error": error | {"errors": [error]}}).encode()
    with services.running(lambda request: services.Answer(status, body, {"Content-Type": "application/json"})) as google:
        env = {"STORAGE_EMULATOR_HOST": google.url, "GOOGLE_APPLICATION_CREDENTIALS": key_file}
        is_told(start("gs://bucket/pre", env), f"gs://bucket/pre: {status}: signer@project.example does not have")


@pytest.mark.parametrize("content", [None, "not JSON hunter2", "{}"])
def test_credentials_of_google_that_can_not_be_read_stop_the_start(content, tmp_path):
    file = tmp_path / "account.json"
    if content is not None:
        file.write_text(content)
    command = [required("FERROFLOW_BIN"), "server", "--port", "0", "--artifacts-destination", "gs://bucket/pre"]
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}
    outcome = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("Error: ") and outcome.stderr.count("\n") == 1, outcome.stderr
    assert "hunter2" not in outcome.stderr


@pytest.fixture
def sdk(monkeypatch):
    """An SDK that sends files of 6 MiB and more in parts, and what it has asked of the server."""
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(6 * MIB))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 * MIB))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

    def connect(server):
        mlflow.set_tracking_uri(server.url)
        return MlflowClient(server.url)

    return connect


def calls(server, call: str) -> int:
    """How often a call was answered with 200."""
    lines = requests.get(server.url + "/metrics").text.splitlines()
    found = [line for line in lines if f'/mlflow-artifacts/{call}/{{*artifact_path}}"' in line and 'status="200"' in line]
    return sum(int(float(line.split()[-1])) for line in found if "_total" in line.split("{")[0])


def round_trip(client, folder: Path, name: str) -> bytes:
    run = client.create_run("0").info.run_id
    source = folder / name
    source.write_bytes(os.urandom(13 * MIB))
    client.log_artifact(run, str(source), "model")
    (target := folder / "target").mkdir(exist_ok=True)
    assert Path(client.download_artifacts(run, f"model/{name}", str(target))).read_bytes() == source.read_bytes()
    return source.read_bytes()


def test_the_sdk_sends_blocks_past_the_server(azure, start, sdk, tmp_path):
    server = start(azure.location("pre"), azure.env)
    info = requests.get(server.url + "/api/3.0/mlflow/server-info").json()
    # Only uploads, as the reference: an SDK that was promised addresses for downloads would insist on them.
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (True, False)
    body = round_trip(sdk(server), tmp_path, "large.bin")
    assert (calls(server, "mpu/create"), calls(server, "mpu/complete")) == (1, 1)
    assert [azure.get(key) for key in azure.keys()] == [body]
    # A name that an address spells otherwise goes through the server.
    round_trip(sdk(server), tmp_path, "größe 1.bin")
    assert (calls(server, "mpu/create"), calls(server, "mpu/complete")) == (1, 1)


def test_blocks_make_a_blob_only_as_they_were_begun(azure, start):
    server = start(azure.location("pre"), azure.env)
    azure.put("pre/a/x.bin", b"before")
    base = f"{server.url}/api/2.0/mlflow-artifacts/mpu"
    upload = requests.post(f"{base}/create/a", json={"path": "x.bin", "num_parts": 2}).json()
    urls = [part["url"] for part in upload["credentials"]]
    for url, body in zip(urls, (b"first ", b"second")):
        assert requests.put(url, data=body).status_code == 201
    # The signature is for this blob alone.
    assert requests.put(urls[0].replace("x.bin", "y.bin"), data=b"z").status_code == 403
    parts = [{"part_number": number, "etag": "", "url": url} for number, url in enumerate(urls, 1)]
    for id, sent in [("0" * 26, parts), ("../x", parts), (upload["upload_id"], [*parts, {"part_number": 3, "etag": ""}])]:
        answer = requests.post(f"{base}/complete/a", json={"path": "x.bin", "upload_id": id, "parts": sent})
        assert answer.status_code in (400, 404), (id, answer.text)
        assert azure.get("pre/a/x.bin") == b"before"
    body = {"path": "x.bin", "upload_id": upload["upload_id"], "parts": parts}
    assert requests.post(f"{base}/complete/a", json=body).status_code == 200
    assert azure.get("pre/a/x.bin") == b"first second"
    assert requests.post(f"{base}/abort/a", json=body).status_code == 200


def test_an_address_for_a_direct_upload_and_download(cloud, start, tmp_path, key_file):
    env = cloud.env | ({"GOOGLE_APPLICATION_CREDENTIALS": key_file} if "STORAGE_EMULATOR_HOST" in cloud.env else {})
    server = start(tmp_path / "local", env)
    client = MlflowClient(server.url)
    run = client.create_run(client.create_experiment("e", artifact_location=cloud.location("direct"))).info
    api = f"{server.url}/api/2.0/mlflow/artifacts"
    upload = requests.post(f"{api}/presigned-upload-url", json={"run_id": run.run_id, "path": "a/b.json"}).json()
    assert requests.put(upload["presigned_url"], data=b"{}", headers=upload["headers"]).ok
    assert cloud.get(f"direct/{run.run_id}/artifacts/a/b.json") == b"{}"
    download = requests.post(f"{api}/presigned-download-url", json={"run_id": run.run_id, "path": "a/b.json"}).json()
    assert download["file_size"] == 2
    assert requests.get(download["presigned_url"]).content == b"{}"


def test_what_can_not_be_signed_goes_through_the_server(emulators, start, sdk, tmp_path):
    # An emulator without a key to sign with.
    store = emulators("gcs")
    server = start(store.location("pre"), store.env)
    body = round_trip(sdk(server), tmp_path, "large.bin")
    assert calls(server, "mpu/complete") == 0
    assert [store.get(key) for key in store.keys()] == [body]
    answer = requests.get(f"{server.url}/api/2.0/mlflow-artifacts/presigned/{store.keys()[0][4:]}")
    assert answer.status_code == 501


def test_parts_of_an_upload_in_google_s_xml(servers, start, key_file):
    # No emulator of Google's has uploads in parts. moto has: the messages are those of S3.
    store = servers("moto").with_bucket(stores.random_name("xml").replace("-", ""))
    env = {"STORAGE_EMULATOR_HOST": store.endpoint, "GOOGLE_APPLICATION_CREDENTIALS": key_file}
    server = start(f"gs://{store.bucket}/pre", env)
    base = f"{server.url}/api/2.0/mlflow-artifacts/mpu"
    upload = requests.post(f"{base}/create/a", json={"path": "größe 1.bin", "num_parts": 2}).json()
    sent = [os.urandom(5 * MIB), b"rest"]
    parts = []
    for part, body in zip(upload["credentials"], sent):
        assert "X-Goog-Signature=" in part["url"]
        tag = requests.put(part["url"], data=body).headers["ETag"]
        parts.append({"part_number": part["part_number"], "etag": tag})
    body = {"path": "größe 1.bin", "upload_id": upload["upload_id"], "parts": parts}
    assert requests.post(f"{base}/complete/a", json=body).status_code == 200
    assert store.get("pre/a/größe 1.bin") == b"".join(sent)
    # What nobody completes is swept.
    requests.post(f"{base}/create/a", json={"path": "y.bin", "num_parts": 1})
    assert store.uploads() == ["pre/a/y.bin"]
    start(f"gs://{store.bucket}/pre", env | {"FERROFLOW_UPLOAD_SWEEP_AGE": "2s"})
    faults.wait_until(lambda: store.uploads() == [], "the upload to be swept")


def test_the_sdk_sends_parts_to_google(servers, start, sdk, key_file, tmp_path):
    store = servers("moto").with_bucket(stores.random_name("sdk").replace("-", ""))
    server = start(f"gs://{store.bucket}/pre", {"STORAGE_EMULATOR_HOST": store.endpoint, "GOOGLE_APPLICATION_CREDENTIALS": key_file})
    body = round_trip(sdk(server), tmp_path, "größe 1.bin")
    assert (calls(server, "mpu/create"), calls(server, "mpu/complete")) == (1, 1)
    assert [store.get(key) for key in store.keys()] == [body]


def test_an_upload_to_google_goes_on_where_its_connection_broke(emulators, start):
    store = emulators("gcs")
    with faults.before(store.url) as proxy:
        server = start(store.location(), {"STORAGE_EMULATOR_HOST": proxy.url})
        body = os.urandom(30 * MIB)
        proxy.cut_request_after, proxy.times = 3 * MIB, 2
        assert requests.put(f"{server.url}{API}/0/large.bin", data=body).status_code == 200
        assert proxy.struck == 2
        assert store.get("0/large.bin") == body


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


def test_a_bucket_that_is_not_there_is_one_line(cloud, start):
    server = start(cloud.location("pre").replace(cloud.bucket, "no-such-bucket"), cloud.env)
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
