"""Finds the stories and has an SDK's Python run them against a server of its own.

Beside SQLite the server keeps artifacts in a directory, beside PostgreSQL in a bucket: what every SDK does with
artifacts it does with both.
"""

import ast
import contextlib
import json
import os
import subprocess
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pairs import DEFAULT, TEAM, Pair
from support import ports, postgres, receiver, required, servers, stores

_FOLDER = Path(__file__).parent
_STORIES = _FOLDER / "stories"
_TESTS = _FOLDER.parent

#: A run takes a minute on an idle machine; one that hangs must not hang the suite.
_RUN_SECONDS = 900


#: The workspaces in which a story with a mark can run; `None` is a server without workspaces.
_WORKSPACES = {"without_workspaces": (None,), "default_workspace": (None, DEFAULT), "workspaces": (TEAM,)}


@dataclass(frozen=True)
class Story:
    """A test function of ``stories/``; SDKs older than ``since``, as in ``(3, 17)``, lack what it needs."""

    module: str
    name: str
    since: tuple[int, ...]
    workspaces: tuple[str | None, ...]
    #: Takes long, and what it is about is the SDK: nothing of it depends on the database.
    heavy: bool

    @property
    def node(self) -> str:
        """Its address for pytest."""
        return f"{_STORIES / self.module}.py::{self.name}"


@cache
def stories() -> tuple[Story, ...]:
    """All of them, read from the source: importing it here would import one SDK for all."""
    found = []
    for path in sorted(_STORIES.glob("test_*.py")):
        module = ast.parse(path.read_text()).body
        given = [node.value for node in module if ast.unparse(node).startswith("pytestmark =")]
        all_have = [mark for value in given for mark in (value.elts if isinstance(value, ast.List) else [value])]
        for node in module:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = [*all_have, *node.decorator_list]
                heavy = any(ast.unparse(mark) == "pytest.mark.heavy" for mark in marks)
                found.append(Story(path.stem, node.name, _since(marks), _workspaces(marks), heavy))
    names = [story.name for story in found]
    assert len(names) == len(set(names)), "two stories have the same name"
    return tuple(found)


def _since(marks: Iterable[ast.expr]) -> tuple[int, ...]:
    """The arguments of ``pytest.mark.since(3, 17)`` among the marks of a function or of a module, else none."""
    found = (m for m in marks if isinstance(m, ast.Call) and ast.unparse(m.func) == "pytest.mark.since")
    return max((tuple(map(ast.literal_eval, mark.args)) for mark in found), default=())


def _workspaces(marks: Iterable[ast.expr]) -> tuple[str | None, ...]:
    """Where a function with marks can run."""
    names = {ast.unparse(mark).removeprefix("pytest.mark.") for mark in marks}
    return next((workspaces for name, workspaces in _WORKSPACES.items() if name in names), (None, DEFAULT, TEAM))


def run(pair: Pair, wanted: Iterable[Story], folder: Path, *, against: str) -> dict[str, str | None]:
    """Runs stories with an SDK. For each that was run: nothing when it passed, else what went wrong."""
    sdk, dialect = pair.sdk, pair.dialect
    start = {"ferroflow": servers.ferroflow, "reference": servers.reference}[against]
    report = folder / "report.xml"
    # Which the reference does not serve.
    grpc_port = ports.free_port() if against == "ferroflow" else None
    args = [f"--otlp-grpc-port={grpc_port}"] if grpc_port else []
    args += ["--enable-workspaces"] if pair.workspace else []
    # Stories about webhooks have receivers on this machine, one about a secret needs a key.
    settings = receiver.SETTINGS | {"MLFLOW_WEBHOOK_CACHE_TTL": "0"}
    with (
        postgres.database(dialect, folder) as database,
        artifacts(dialect, folder) as (destination, env),
        start(database, destination, args=args, env=settings | env) as server,
        contextlib.ExitStack() as more,
    ):
        command = [required(sdk.variable), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--config-file", str(_TESTS / "pytest.ini"), "--rootdir", str(_STORIES)]
        command += ["--confcutdir", str(_STORIES), "--basetemp", str(folder / "stories")]
        command += ["--junit-xml", str(report), "-o", "junit_logging=all", "--tracking-uri", server.url]
        if any(story.module == "test_users" for story in wanted):
            # Their server has users, in the database of everything else or, on SQLite, in one of their own.
            place = more.enter_context(postgres.database(dialect, folder, "users"))
            users = f"sqlite:///{folder}/basic_auth.db" if dialect == "sqlite" else place
            ini = folder / "auth.ini"
            ini.write_text(f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {users}\nadmin_username = admin\n")
            env = {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_AUTH_ADMIN_PASSWORD": "the admin's password"}
            env["MLFLOW_FLASK_SERVER_SECRET_KEY"] = "secret"
            login = ["--app-name", "basic-auth"]
            guarded = more.enter_context(start(place, folder / "guarded", args=login, env=settings | env))
            command += ["--users-uri", guarded.url]
        if grpc_port:
            command += ["--grpc-endpoint", f"http://127.0.0.1:{grpc_port}"]
        command += ["--sdk", sdk.version, *(story.node for story in wanted)]
        foreign = ("MLFLOW_", "_MLFLOW_", "PYTEST_")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        # What stories share with the other suites.
        environment["PYTHONPATH"] = str(_TESTS)
        if pair.workspace == TEAM:
            _create_workspace(server.url, TEAM)
            environment["MLFLOW_WORKSPACE"] = TEAM
        inner = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_RUN_SECONDS,
        )
        # 1 is "some tests failed", which each of them tells itself.
        assert inner.returncode in (0, 1), f"pytest left with {inner.returncode}:\n{inner.stdout}\n{server.logs}"
    return _outcomes(report)


def _create_workspace(url: str, name: str) -> None:
    request = urllib.request.Request(f"{url}/api/3.0/mlflow/workspaces", json.dumps({"name": name}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201


@contextlib.contextmanager
def artifacts(dialect: str, folder: Path) -> Iterator[tuple[Path | str, dict[str, str]]]:
    """Where a server keeps artifacts, and what it needs to get there."""
    if dialect == "sqlite":
        yield folder / "artifacts", {}
        return
    with stores.running("moto", folder) as store:
        store = store.with_bucket("artifacts")
        yield f"s3://{store.bucket}/mlflow", store.env


def _outcomes(report: Path) -> dict[str, str | None]:
    """The verdicts of a JUnit report. A story that was skipped did not pass."""
    outcomes: dict[str, str | None] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        troubles = [child for child in case if child.tag in ("failure", "error", "skipped")]
        text = "\n".join(f"{child.tag}: {child.text or child.get('message')}" for child in troubles)
        # A story with parameters passed when it passed with each of them.
        name = case.attrib["name"].partition("[")[0]
        outcomes[name] = "\n".join(filter(None, (outcomes.get(name), text))) or None
    return outcomes
