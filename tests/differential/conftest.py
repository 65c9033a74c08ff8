"""The reference and ferroflow, side by side on fresh databases of the same kind.

``cargo xtask diff`` compares both, ``cargo xtask diff --recorded`` compares ferroflow with what the reference
answered when it was recorded, ``--record`` records it again, and ``--twice`` compares the reference with itself:
whatever differs then is an accident, and a mask is missing.
"""

import contextlib
from types import SimpleNamespace

import pytest
import table
from support import postgres, receiver, servers


def pytest_addoption(parser):
    help_ = "compare the reference with a second reference"
    parser.addoption("--twice", dest="mode", action="store_const", const="twice", default="compare", help=help_)


@pytest.fixture(scope="session", params=postgres.DIALECTS)
def pair(request, mode, tmp_path_factory):
    """URLs of the two servers; there is no reference where its recording is compared with."""
    folder = tmp_path_factory.mktemp(request.param)
    # Without a key the reference makes one up, which is gone with its process.
    env = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": receiver.KEY}
    with contextlib.ExitStack() as running:
        start = lambda server, name: running.enter_context(  # noqa: E731
            server(running.enter_context(postgres.database(request.param, folder, name)), folder / name, env=env)
        )
        ours = start(servers.reference if mode == "twice" else servers.ferroflow, "ours")
        theirs = None if mode == "recorded" else start(servers.reference, "theirs")
        yield SimpleNamespace(dialect=request.param, ferroflow=ours.url, reference=theirs and theirs.url)


def pytest_sessionfinish(session):
    if session.config.getoption("mode") == "record":
        table.PATH.write_text(table.text(), "utf-8")
