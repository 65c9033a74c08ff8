"""What is signed: every header that AWS wants signed, and the address that a client really uses."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import faults
import mlflow
import pytest
import requests
from mlflow import MlflowClient
from support import stores

ARTIFACTS = "/api/2.0/mlflow-artifacts"
OWNER = "123456789012"
MIB = 1024 * 1024


def headers(head: str) -> dict[str, str]:
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in head.splitlines()[1:-1])}


def signed(head: str) -> set[str]:
    """The headers that the signature of a request covers."""
    found = re.search(r"SignedHeaders=([^,\s]+)", headers(head).get("authorization", ""))
    query = parse_qs(urlsplit(head.split(" ")[1]).query).get("X-Amz-SignedHeaders", [""])[0]
    return set(found[1].split(";") if found else query.split(";"))


@pytest.fixture
def watched(moto):
    with faults.before(moto.endpoint) as proxy:
        yield moto, proxy


def use(server, store) -> None:
    """Everything that the server does with a bucket."""
    place = f"{server.url}{ARTIFACTS}/artifacts"
    assert requests.get(f"{server.url}/readyz").status_code == 200
    assert requests.put(f"{place}/1/a b.txt", data=b"small").status_code == 200
    assert requests.put(f"{place}/1/large.bin", data=bytes(9 * MIB)).status_code == 200
    assert requests.get(f"{place}/1/a b.txt").content == b"small"
    assert requests.get(f"{place}/1/a b.txt", headers={"Range": "bytes=1-2"}).content == b"ma"
    assert len(requests.get(place, params={"path": "1"}).json()["files"]) == 2
    base = f"{server.url}{ARTIFACTS}/mpu"
    for end in ("complete", "abort"):
        upload = requests.post(f"{base}/create/1", json={"path": "p", "num_parts": 1}).json()
        tag = requests.put(upload["credentials"][0]["url"], data=b"part").headers["ETag"]
        body = {"path": "p", "upload_id": upload["upload_id"], "parts": [{"part_number": 1, "etag": tag}]}
        assert requests.post(f"{base}/{end}/1", json=body).status_code == 200
    store.put("1/marker/", b"")
    assert requests.delete(f"{place}/1").status_code == 200
    assert store.keys() == []


def test_every_header_that_aws_wants_signed_is_signed(watched, start):
    store, proxy = watched
    store.client.create_multipart_upload(Bucket=store.bucket, Key="1/nobody-finishes")
    env = store.env | {
        "MLFLOW_S3_ENDPOINT_URL": proxy.url,
        "MLFLOW_S3_EXPECTED_BUCKET_OWNER": OWNER,
        "MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"ACL": "bucket-owner-full-control", "ServerSideEncryption": "AES256"}',
        "AWS_SESSION_TOKEN": "of-a-role",
    }
    use(start(f"s3://{store.bucket}", env), store)
    # A server that sweeps after a second would take back uploads that are under way, too.
    start(f"s3://{store.bucket}", env | {"FERROFLOW_UPLOAD_SWEEP_AGE": "1s"})
    faults.wait_until(lambda: store.uploads() == [], "the upload to be swept")
    heads = proxy.heads()
    lines = [head.splitlines()[0] for head in heads]
    for kind in ("GET .*list-type=2", "POST .*[?]delete", "POST .*[?]uploads", "GET .*[?]uploads", "DELETE .*uploadId=", "HEAD "):
        assert any(re.match(kind, line) for line in lines), (kind, lines)
    for head in heads:
        unsigned = {name for name in headers(head) if name.startswith("x-amz-")} - signed(head)
        assert not unsigned, (head.splitlines()[0], unsigned)
        # Clients are sent to a bucket that was asked with its owner a moment before.
        by_client = "X-Amz-Signature" in head.splitlines()[0]
        assert by_client or headers(head).get("x-amz-expected-bucket-owner") == OWNER, head


def test_a_client_that_uploads_is_told_to_name_the_owner(moto, start, tmp_path):
    env = moto.env | {"MLFLOW_S3_EXPECTED_BUCKET_OWNER": OWNER}
    server = start(tmp_path / "local", env, args=["--default-artifact-root", f"s3://{moto.bucket}/r"])
    client = MlflowClient(server.url)
    run = client.create_run(client.create_experiment("e")).info.run_id
    ask = {"run_id": run, "path": "a.json"}
    upload = requests.post(f"{server.url}/api/2.0/mlflow/artifacts/presigned-upload-url", json=ask).json()
    assert upload["headers"] == {"Content-Type": "application/json", "x-amz-expected-bucket-owner": OWNER}
    assert "x-amz-expected-bucket-owner" in upload["presigned_url"]
    assert requests.put(upload["presigned_url"], data=b"{}", headers=upload["headers"]).status_code == 200


def test_clients_reach_the_store_by_an_address_of_their_own(servers, start, small_parts, tmp_path):
    # This store checks the host that a signature is for.
    store = servers("seaweed").with_bucket(stores.random_name("public"))
    with faults.before(store.endpoint) as public, faults.before(store.endpoint) as private:
        env = store.env | {"MLFLOW_S3_ENDPOINT_URL": private.url, "FERROFLOW_S3_PUBLIC_ENDPOINT_URL": public.url}
        server = start(f"s3://{store.bucket}/p", env, args=["--default-artifact-root", f"s3://{store.bucket}/direct"])
        mlflow.set_tracking_uri(server.url)
        client = MlflowClient(server.url)
        # In parts, up and down, by the SDK.
        proxied = client.create_experiment("proxied", artifact_location="mlflow-artifacts:/1")
        run = client.create_run(proxied).info.run_id
        source = tmp_path / "größe 1.bin"
        source.write_bytes(os.urandom(13 * MIB))
        client.log_artifact(run, str(source))
        (target := tmp_path / "target").mkdir()
        assert Path(client.download_artifacts(run, source.name, str(target))).read_bytes() == source.read_bytes()
        assert store.get(f"p/1/{run}/artifacts/{source.name}") == source.read_bytes()
        # A single file, up and down.
        run = client.create_run(client.create_experiment("direct")).info.run_id
        api, ask = f"{server.url}/api/2.0/mlflow/artifacts", {"run_id": run, "path": "a.json"}
        upload = requests.post(f"{api}/presigned-upload-url", json=ask).json()
        assert requests.put(upload["presigned_url"], data=b"{}", headers=upload["headers"]).status_code == 200
        download = requests.post(f"{api}/presigned-download-url", json=ask).json()
        assert requests.get(download["presigned_url"]).content == b"{}"
        # The signature is for one address only: the test would see a wrong one.
        wrong = download["presigned_url"].replace(public.url, private.url)
        assert requests.get(wrong).status_code == 403
        by_clients = [head.splitlines()[0].split(" ")[0] for head in public.heads()]
        assert by_clients.count("PUT") >= 4 and by_clients.count("GET") >= 5
        by_server = [head for head in private.heads() if "X-Amz-Signature" in head.splitlines()[0]]
        assert by_server == [by_server[0]] and "a.json" in by_server[0], "only the wrong one"
