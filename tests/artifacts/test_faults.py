"""Clients that die, servers that are killed, and a way to the store that breaks."""

import contextlib
import hashlib
import os
import socket
import threading
import time
from urllib.parse import urlsplit

import faults
import psutil
import pytest
import requests
import urllib3

pytestmark = pytest.mark.rotates(every=4)

API = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024


@pytest.fixture
def proxied(store, start):
    """A server with a way to its bucket that can be broken."""
    with faults.before(store.endpoint) as proxy:
        yield start(f"s3://{store.bucket}/p", store.env | {"MLFLOW_S3_ENDPOINT_URL": proxy.url}), proxy


def test_a_client_that_dies_leaves_nothing(moto, start):
    server = start(f"s3://{moto.bucket}", moto.env)
    client = faults.half_an_upload(server.url, f"{API}/0/large.bin", 20 * MIB, 100 * MIB)
    faults.wait_until(lambda: moto.uploads() == ["0/large.bin"], "the upload to begin")
    client.close()
    faults.wait_until(lambda: moto.uploads() == [], "the upload to be aborted")
    small = faults.half_an_upload(server.url, f"{API}/0/small.bin", 1000, 2000)
    small.close()
    assert requests.put(f"{server.url}{API}/0/after.bin", data=b"x").status_code == 200
    assert moto.keys() == ["0/after.bin"]


def test_a_server_that_is_killed_leaves_no_object_and_its_upload_is_swept(moto, start):
    server = start(f"s3://{moto.bucket}/p", moto.env)
    client = faults.half_an_upload(server.url, f"{API}/0/large.bin", 20 * MIB, 100 * MIB)
    faults.wait_until(lambda: moto.uploads() == ["p/0/large.bin"], "the upload to begin")
    server.kill()
    client.close()
    assert moto.keys() == [] and moto.uploads() == ["p/0/large.bin"]
    # What is not ours stays, however old.
    moto.client.create_multipart_upload(Bucket=moto.bucket, Key="other/0/large.bin")
    env = moto.env | {"FERROFLOW_UPLOAD_SWEEP_AGE": "2s"}
    replicas = [start(f"s3://{moto.bucket}/p", env) for _ in range(2)]
    faults.wait_until(lambda: moto.uploads() == ["other/0/large.bin"], "the upload to be swept")
    for replica in replicas:
        assert "could not be aborted" not in replica.logs
        assert requests.get(replica.url + "/readyz").status_code == 200


def test_a_sweep_spares_what_is_running_and_in_a_shared_bucket_what_is_not_ours(moto, start):
    # moto says of every upload that it began years ago: only parts that arrive keep one.
    for key in ("backups/x", "x"):
        moto.client.create_multipart_upload(Bucket=moto.bucket, Key=key)
    slow = {"Bucket": moto.bucket, "Key": "1/slow"}
    slow["UploadId"] = moto.client.create_multipart_upload(**slow)["UploadId"]
    moto.client.upload_part(**slow, PartNumber=1, Body=b"x")
    stop = threading.Event()

    def send():
        client, number = moto.client, 1
        while not stop.wait(0.5):
            number += 1
            client.upload_part(**slow, PartNumber=number, Body=b"x")

    thread = threading.Thread(target=send)
    thread.start()
    try:
        server = start(f"s3://{moto.bucket}", moto.env | {"FERROFLOW_UPLOAD_SWEEP_AGE": "8s"})
        # Sweep after sweep, until the slow one is older than the age.
        begun = time.monotonic()
        while time.monotonic() - begun < 9:
            moto.client.create_multipart_upload(Bucket=moto.bucket, Key="0/run/x")
            faults.wait_until(lambda: "0/run/x" not in moto.uploads(), "the old upload to be swept")
            assert sorted(moto.uploads()) == ["1/slow", "backups/x", "x"], server.logs
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("size", [12 * MIB, 40 * MIB], ids=["in-one", "in-pieces"])
def test_a_download_goes_on_where_its_connection_broke(proxied, store, size):
    server, proxy = proxied
    body = os.urandom(size)
    store.put("p/0/large.bin", body)
    proxy.cut_answer_after, proxy.times = 3 * MIB, 2
    answer = requests.get(f"{server.url}{API}/0/large.bin")
    assert answer.content == body
    assert proxy.struck == 2


@pytest.mark.rotates
def test_a_download_of_what_is_replaced_meanwhile_is_never_a_mixture(proxied, store):
    server, _ = proxied
    store.put("p/0/large.bin", b"1" * (100 * MIB))
    with requests.get(f"{server.url}{API}/0/large.bin", stream=True) as answer:
        assert answer.raw.read(MIB) == b"1" * MIB
        store.put("p/0/large.bin", b"2" * (100 * MIB))
        rest = bytearray()
        with contextlib.suppress(urllib3.exceptions.ProtocolError):
            while chunk := answer.raw.read(MIB):
                rest += chunk
    assert set(rest) <= {ord("1")}
    assert len(rest) < 99 * MIB, "it was downloaded before it could be replaced"


def test_an_upload_goes_on_when_a_connection_breaks(proxied, store):
    server, proxy = proxied
    body = os.urandom(20 * MIB)
    proxy.cut_request_after, proxy.times = 2 * MIB, 2
    assert requests.put(f"{server.url}{API}/0/large.bin", data=body).status_code == 200
    assert hashlib.sha256(store.get("p/0/large.bin")).digest() == hashlib.sha256(body).digest()
    assert proxy.struck == 2


@pytest.mark.built
def test_a_damaged_upload_is_not_stored_as_it_is(servers, start):
    # The digest of every request is signed, and only this server checks it.
    store = servers("s3s").with_bucket(f"damaged-{os.urandom(4).hex()}")
    with faults.before(store.endpoint) as proxy:
        server = start(f"s3://{store.bucket}", store.env | {"MLFLOW_S3_ENDPOINT_URL": proxy.url})
        body = os.urandom(MIB)
        proxy.damage_request_at, proxy.times = 500_000, 1
        outcome = requests.put(f"{server.url}{API}/0/file.bin", data=body)
        assert proxy.struck == 1
        if outcome.status_code == 200:
            assert store.get("0/file.bin") == body
        else:
            assert outcome.status_code == 503 and store.keys() == []


def test_a_store_that_is_gone_is_told_and_comes_back(proxied, store):
    server, proxy = proxied
    store.put("p/0/a", b"a")
    proxy.cut_answer_after = proxy.cut_request_after = 0
    proxy.times = 10**6
    for call in (requests.get, requests.delete):
        answer = call(f"{server.url}{API}/0/a")
        assert answer.status_code == 503
        assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert answer.headers["Retry-After"]
    assert requests.put(f"{server.url}{API}/0/b", data=b"b").status_code == 503
    proxy.times, proxy.cut_answer_after, proxy.cut_request_after = 0, None, None
    assert requests.get(f"{server.url}{API}/0/a").content == b"a"


def test_a_deletion_whose_connection_breaks_is_repeated(proxied, store):
    server, proxy = proxied
    store.put_many([f"p/0/{number}" for number in range(3)])
    proxy.cut_answer_after, proxy.only, proxy.times = 0, b"POST ", 1
    assert requests.delete(f"{server.url}{API}/0").status_code == 200, server.logs
    assert (proxy.struck, store.keys("p/")) == (1, [])


def test_a_store_that_is_slow_holds_up_nobody_else(proxied, store):
    server, proxy = proxied
    store.put("p/0/a", b"a")
    proxy.hold()
    held = threading.Thread(target=lambda: requests.get(f"{server.url}{API}/0/a"))
    held.start()
    for _ in range(20):
        answer = requests.get(server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=5)
        assert answer.status_code == 200
    assert held.is_alive()
    proxy.release()
    held.join(30)
    assert not held.is_alive()


def test_a_slow_client_holds_no_more_than_it_has_read(servers, start):
    store = servers("seaweed").with_bucket(f"slow-{os.urandom(4).hex()}")
    server = start(f"s3://{store.bucket}", store.env)
    store.put("0/large.bin", bytes(100 * MIB))
    requests.get(f"{server.url}{API}/0/large.bin", headers={"Range": "bytes=0-9"})
    process = psutil.Process(server.pid)
    idle = process.memory_info().rss
    parts = urlsplit(server.url)
    clients = []
    for _ in range(10):
        client = socket.create_connection((parts.hostname, parts.port))
        client.sendall(f"GET {API}/0/large.bin HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        clients.append(client)
    # They read nothing more, and the server has nothing more to do.
    faults.wait_until(lambda: process.cpu_percent(0.5) < 1, "the server to be idle")
    assert (process.memory_info().rss - idle) / MIB < 64
    for client in clients:
        client.close()
