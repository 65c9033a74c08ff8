"""How much memory and disk transfers take: the more clients and the larger the files, the less it may depend on them."""

import contextlib
import hashlib
import os
import resource
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faults
import psutil
import pytest
import requests
from mlflow import MlflowClient
from support import postgres, required, stores
from support.ports import free_port

API = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024
LARGE = 300 * MIB

#: MiB that a transfer may take, and all uploads together.
ONE, ALL = 64, 128


def put(url: str, path: str, body) -> requests.Response:
    return requests.put(f"{url}{API}/{path}", data=body)


def upload_by_ui(url: str, run: str, path: str, body) -> requests.Response:
    place = f"{url}/ajax-api/2.0/mlflow/upload-artifact"
    return requests.post(place, params={"run_uuid": run, "path": path}, data=body)


def pieces(size: int, piece: bytes = os.urandom(MIB)):
    """A body of a size that is never in memory as a whole."""
    for _ in range(size // MIB):
        yield piece


@pytest.mark.rotates
@pytest.mark.parametrize("place", ["directory", "bucket"])
def test_a_large_file_needs_no_memory_and_no_other_disk(servers, start, tmp_path, place):
    if place == "bucket":
        store = servers("seaweed").with_bucket(stores.random_name("large"))
        server = start(f"s3://{store.bucket}", store.env | {"TMPDIR": "/nonexistent"})
    else:
        server = start(tmp_path / "artifacts", {"TMPDIR": "/nonexistent"})
    process = psutil.Process(server.pid)
    idle = peak = process.memory_info().rss

    def watched(chunks):
        nonlocal peak
        for chunk in chunks:
            peak = max(peak, process.memory_info().rss)
            yield chunk

    assert put(server.url, "large.bin", watched(pieces(LARGE))).status_code == 200
    digest, expected = hashlib.sha256(), hashlib.sha256()
    for piece in pieces(LARGE):
        expected.update(piece)
    with requests.get(f"{server.url}{API}/large.bin", stream=True) as answer:
        for chunk in watched(answer.iter_content(MIB)):
            digest.update(chunk)
    assert digest.hexdigest() == expected.hexdigest()
    assert (peak - idle) / MIB < ONE
    names = [Path(file.path).name for file in process.open_files()]
    assert not [name for name in names if "large" in name or "mlflow-tmp" in name]


@pytest.mark.rotates
@pytest.mark.parametrize("way", ["sdk", "ui"])
def test_uploads_that_come_together_share_the_memory(servers, start, way):
    store = servers("seaweed").with_bucket(stores.random_name("many"))
    with faults.before(store.endpoint) as proxy:
        server = start(f"s3://{store.bucket}", store.env | {"MLFLOW_S3_ENDPOINT_URL": proxy.url})
        process = psutil.Process(server.pid)
        idle = process.memory_info().rss
        body = os.urandom(10 * MIB)
        run = MlflowClient(server.url).create_run("0").info.run_id

        def upload(number: int) -> requests.Response:
            path = f"{number}.bin"
            return put(server.url, f"0/{run}/artifacts/{path}", body) if way == "sdk" else upload_by_ui(server.url, run, path, body)

        with ThreadPoolExecutor(40) as pool:
            # The store takes nothing for now: each of them keeps what it may.
            proxy.hold()
            uploads = [pool.submit(upload, number) for number in range(40)]
            faults.wait_until(lambda: process.memory_info().rss - idle > 64 * MIB, "the uploads to be read")
            faults.wait_until(lambda: process.cpu_percent(0.5) < 5, "the server to have nothing more to do", 20)
            held = (process.memory_info().rss - idle) / MIB
            proxy.release()
            answers = [upload.result() for upload in uploads]
        assert [answer.status_code for answer in answers] == [200] * 40
        assert held < ALL + ONE
        # What goes on afterwards stays within it, too.
        assert (process.memory_info().rss - idle) / MIB < ALL + ONE
        assert {len(store.get(f"0/{run}/artifacts/{number}.bin")) for number in range(40)} == {len(body)}


def test_the_ui_uploads_no_more_than_it_may_and_leaves_nothing_of_more(servers, start):
    store = servers("seaweed").with_bucket(stores.random_name("ui"))
    server = start(f"s3://{store.bucket}", store.env)
    run = MlflowClient(server.url).create_run("0").info.run_id
    most = bytes(10 * MIB)
    too_large = "Artifact size is too large. Max size is 10MB."
    for body, status, message in [
        (most, 200, None),
        (iter([most]), 200, None),
        (most + b"x", 400, too_large),
        (iter([most, b"x"]), 400, too_large),
        (b"", 400, "Request must specify data."),
        (iter([b""]), 400, "Request must specify data."),
    ]:
        answer = upload_by_ui(server.url, run, "file.bin", body)
        assert answer.status_code == status, answer.text
        assert message is None or answer.json()["message"] == message
        keys = [f"0/{run}/artifacts/file.bin"] if status == 200 else []
        assert store.keys() == keys
        store.client.delete_object(Bucket=store.bucket, Key=f"0/{run}/artifacts/file.bin")
    half = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=half.bin"
    with faults.half_an_upload(server.url, half, 1000, 2000, "POST"):
        pass
    assert upload_by_ui(server.url, run, "after.bin", b"x").status_code == 200
    assert store.keys() == [f"0/{run}/artifacts/after.bin"]


def test_small_uploads_pass_while_large_ones_wait_for_their_clients(servers, start):
    store = servers("seaweed").with_bucket(stores.random_name("slow"))
    server = start(f"s3://{store.bucket}", store.env)
    with contextlib.ExitStack() as stack:
        # Clients that have begun a large upload and send nothing more.
        for number in range(20):
            stack.enter_context(faults.half_an_upload(server.url, f"{API}/0/{number}.bin", 1000, 100 * MIB))
        assert put(server.url, "0/small.bin", b"x").status_code == 200


def test_nobody_keeps_the_memory_that_others_wait_for_by_sending_nothing(servers, start):
    store = servers("seaweed").with_bucket(stores.random_name("silent"))
    server = start(f"s3://{store.bucket}", store.env)
    body = os.urandom(20 * MIB)
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(faults.half_an_upload(server.url, f"{API}/0/{number}.bin", 1000, MIB))
            for number in range(ALL)
        ]
        faults.wait_until(lambda: put(server.url, "0/large.bin", body).status_code == 200, "an upload to be taken")
        # They had all of it.
        assert any(b"503" in client.recv(100) for client in silent)
    assert store.get("0/large.bin") == body


@contextlib.contextmanager
def without_a_disk(uri: str, destination: str, env: dict):
    """A server that is killed as soon as it makes a file grow, as on a root file system that is read-only."""
    port = free_port()
    command = [required("FERROFLOW_BIN"), "server", "--port", str(port), "--backend-store-uri", uri]
    process = subprocess.Popen(
        [*command, "--artifacts-destination", destination],
        env=env | {"FERROFLOW_UI_DIR": os.environ.get("FERROFLOW_UI_DIR", ""), "HOME": "/nonexistent"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    url = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        assert process.poll() is None, f"the server left with {process.returncode}"
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{url}/readyz").status_code == 200
        return False

    try:
        faults.wait_until(healthy, "the server to be ready")
        yield url
        assert process.poll() is None, f"the server left with {process.returncode}"
    finally:
        process.kill()
        process.wait()


def test_nothing_is_written_to_the_disk_on_the_way_to_a_bucket(servers, tmp_path):
    store = servers("seaweed").with_bucket(stores.random_name("disk"))
    with postgres.database("postgresql", tmp_path, "disk") as uri:
        with without_a_disk(uri, f"s3://{store.bucket}/pre", store.env) as url:
            body = os.urandom(30 * MIB)
            assert put(url, "0/large.bin", iter([body])).status_code == 200
            assert put(url, "0/small.bin", b"x").status_code == 200
            assert requests.get(f"{url}{API}/0/large.bin").content == body
            assert store.get("pre/0/large.bin") == body
            assert len(requests.get(url + API, params={"path": "0"}).json()["files"]) == 2
            assert requests.delete(f"{url}{API}/0").status_code == 200
            assert store.keys() == []
