"""Stores, buckets in them, and a server that keeps its artifacts there."""

import contextlib

import pytest
from support import stores
from support.servers import ferroflow


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Running S3 servers by their kind, each started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        started = {}

        def get(kind: str) -> stores.Store:
            if kind not in started:
                started[kind] = stack.enter_context(stores.running(kind, tmp_path_factory.mktemp(kind)))
            return started[kind]

        yield get


@pytest.fixture(params=stores.KINDS)
def store(request, servers) -> stores.Store:
    """An empty bucket in a store of each kind."""
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
