"""The reference and ferroflow, side by side on fresh databases of the same kind.

A scenario names its servers in ``SERVERS``, if they need more than a database: `ARGUMENTS` has what they are started with.

``cargo xtask diff`` compares both, ``cargo xtask diff --recorded`` compares ferroflow with what the reference
answered when it was recorded, ``--record`` records it again, and ``--twice`` compares the reference with itself:
whatever differs then is an accident, and a mask is missing.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pytest
import table
from support import postgres, receiver, servers

#: What both servers of a scenario are started with. `{workspaces}` is an empty database, of each server its own.
ARGUMENTS = {
    "plain": (),
    "workspaces": ("--enable-workspaces",),
    "workspaces apart": ("--enable-workspaces", "--workspace-store-uri", "{workspaces}"),
}


def pytest_addoption(parser):
    help_ = "compare the reference with a second reference"
    parser.addoption("--twice", dest="mode", action="store_const", const="twice", default="compare", help=help_)


@dataclass(frozen=True)
class Urls:
    """The addresses of two servers; there is no reference where its recording is compared with."""

    ferroflow: str
    reference: str | None


class Pairs:
    """Pairs of servers on one kind of database, each started when the first scenario asks for it."""

    def __init__(self, dialect: str, mode: str, folder: Path, running: contextlib.ExitStack):
        self.dialect = dialect
        self._mode = mode
        self._folder = folder
        self._running = running
        self._started: dict[str, Urls] = {}

    def __getitem__(self, kind: str) -> Urls:
        if kind not in self._started:
            ours = self._start(servers.reference if self._mode == "twice" else servers.ferroflow, kind, "ours")
            theirs = None if self._mode == "recorded" else self._start(servers.reference, kind, "theirs")
            self._started[kind] = Urls(ours, theirs)
        return self._started[kind]

    def _start(self, server, kind: str, side: str) -> str:
        # Without a key the reference makes one up, which is gone with its process.
        env = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": receiver.KEY}
        name = f"{kind.replace(' ', '_')}_{side}"
        database = self._running.enter_context(postgres.database(self.dialect, self._folder, name))
        args = ARGUMENTS[kind]
        if "{workspaces}" in args:
            other = self._running.enter_context(postgres.database(self.dialect, self._folder, f"{name}_rows"))
            # As `servers.reference` names its database.
            other = other.replace("postgresql://", "postgresql+psycopg2://", 1)
            args = [other if arg == "{workspaces}" else arg for arg in args]
        started = server(database, self._folder / name, args=args, env=env)
        return self._running.enter_context(started).url


@pytest.fixture(scope="session", params=postgres.DIALECTS)
def pairs(request, mode, tmp_path_factory):
    """The servers of a kind of database, by the name that a scenario gives as ``SERVERS``."""
    with contextlib.ExitStack() as running:
        yield Pairs(request.param, mode, tmp_path_factory.mktemp(request.param), running)


def pytest_sessionfinish(session):
    if session.config.getoption("mode") == "record":
        table.PATH.write_text(table.text(), "utf-8")
