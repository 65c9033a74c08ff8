"""The reference and ferroflow with ``--app-name basic-auth``, side by side.

``cargo xtask auth`` compares both, ``cargo xtask auth --recorded`` compares ferroflow with what the reference answered
when it was recorded, and ``--record`` records it again. On SQLite the users have a database of their own, on PostgreSQL
they are in the tracking database.
"""

import contextlib
from types import SimpleNamespace

import pytest
from people import ADMIN, settings
from support import postgres, servers


@contextlib.contextmanager
def running(maker, dialect, folder, name, args=(), **ini):
    """A server with users."""
    folder = folder / name
    folder.mkdir()
    with postgres.database(dialect, folder, name) as backend:
        users = f"sqlite:///{folder}/users.db" if dialect == "sqlite" else backend
        env = settings(folder, users, **ini)
        with maker(backend, folder / "artifacts", args=["--app-name", "basic-auth", *args], env=env) as server:
            yield SimpleNamespace(url=server.url, users=users, server=server, env=env, backend=backend)


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def pair(request, mode, tmp_path_factory):
    """URLs of the two servers; there is no reference where its recording is compared with."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        start = lambda maker, name: stack.enter_context(running(maker, request.param, folder, name)).url  # noqa: E731
        ours = start(servers.ferroflow, "ours")
        theirs = None if mode == "recorded" else start(servers.reference, "theirs")
        yield SimpleNamespace(dialect=request.param, ferroflow=ours, reference=theirs)


@pytest.fixture
def admin():
    return ADMIN
