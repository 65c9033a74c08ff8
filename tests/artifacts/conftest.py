"""Stores, buckets in them, and a server that keeps its artifacts there."""

import contextlib
import functools
import json
import os
import subprocess
import sys

import clouds
import mlflow
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from mlflow import MlflowClient
from support import certificates, stores
from support.ports import free_port
from support.selection import deselect
from support.servers import ferroflow

MIB = 1024 * 1024


@contextlib.contextmanager
def started_once(running, tmp_path_factory):
    """A function that gives what runs of a kind, which ``running(kind, folder)`` starts when it is first asked for."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda kind: stack.enter_context(running(kind, tmp_path_factory.mktemp(kind))))


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Running S3 servers by their kind."""
    with started_once(stores.running, tmp_path_factory) as get:
        yield get


@pytest.fixture(scope="session")
def emulators(tmp_path_factory):
    """New buckets in running emulators of a kind."""
    with started_once(clouds.running, tmp_path_factory) as get:
        yield lambda kind: clouds.with_bucket(kind, get(kind))


def pytest_configure(config):
    config.addinivalue_line("markers", "built: needs a store that has to be built, which a sample does not have")


def pytest_collection_modifyitems(config, items):
    if config.getoption("sample") is not None:
        deselect(config, items, (item for item in items if item.get_closest_marker("built")))


def pytest_generate_tests(metafunc):
    if "store" in metafunc.fixturenames:
        left_out = stores.BUILT if metafunc.config.getoption("sample") is not None else set()
        metafunc.parametrize("store", [kind for kind in stores.KINDS if kind not in left_out], indirect=True)


@pytest.fixture
def store(request, servers) -> stores.Store:
    """An empty bucket in a store of each kind; in a sample not in those that have to be built."""
    return servers(request.param).with_bucket(stores.random_name("artifacts"))


@pytest.fixture
def moto(servers) -> stores.Store:
    """An empty bucket in moto, for what no other server can do."""
    return servers("moto").with_bucket(stores.random_name("artifacts"))


@pytest.fixture
def start(tmp_path):
    """Starts a server with a new database; all of them are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def run(artifacts, env, args=()):
            uri = f"sqlite:///{tmp_path}/{stores.random_name('db')}.db"
            return stack.enter_context(ferroflow(uri, artifacts, env=env, args=args))

        yield run


@pytest.fixture
def server(store, start):
    """A server whose artifacts are in the bucket, below a prefix."""
    return start(f"s3://{store.bucket}/pre fix", store.env)


@pytest.fixture(scope="session")
def tls_store(tmp_path_factory):
    """A store that is reached by TLS, with a certificate of an authority that nobody knows."""
    folder = tmp_path_factory.mktemp("tls")
    authority = certificates.issue("an authority of its own")
    certificate = certificates.issue("localhost", ["localhost", "127.0.0.1"], authority)
    (folder / "ca.pem").write_text(authority.pem)
    cert_file, key_file = certificate.write(folder / "cert.pem", folder / "key.pem")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port), "--ssl"]
    command += ["--ssl-cert", str(cert_file), "--ssl-key", str(key_file)]
    log = folder / "moto.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        stores.wait_for_port(port, process, log)
        yield f"https://localhost:{port}", folder / "ca.pem"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def tls_bucket(tls_store, monkeypatch) -> str:
    """An empty bucket in it."""
    endpoint, authority = tls_store
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    name = stores.random_name("tls")
    stores.Store("moto", endpoint, "").client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def key_file(tmp_path):
    """A service account of Google's with a key to sign with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {"type": "service_account", "client_email": "signer@project.example", "private_key_id": "1"}
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account | {"private_key": key.private_bytes(*form).decode()}))
    return str(path)


@pytest.fixture
def small_parts(monkeypatch):
    """SDKs send everything of 6 MiB and more in parts, and have no way to the bucket of their own."""
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(6 * MIB))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 * MIB))
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", str(3 * MIB))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def sdk(small_parts):
    """Such an SDK at a server, and a run."""

    def connect(server):
        mlflow.set_tracking_uri(server.url)
        client = MlflowClient(server.url)
        return client, client.create_run("0").info.run_id

    return connect
