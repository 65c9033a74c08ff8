"""One database made by the reference and one made by ferroflow, on each dialect."""

import contextlib
from dataclasses import dataclass

import pytest
from support import introspect
from support.postgres import DIALECTS, database
from support.servers import MAKERS


def pytest_collection_modifyitems(items):
    """Tests of the same two databases run in one worker of pytest-xdist, which makes them once."""
    for item in items:
        if "made" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(f"made {item.callspec.params['made']}"))


@dataclass(frozen=True)
class CreatedDatabase:
    """A database as its maker left it after the first start on an empty one."""

    uri: str
    artifacts: str
    schema: introspect.Schema
    rows: dict[str, list[tuple]]


@pytest.fixture(scope="session", params=DIALECTS)
def made(request, tmp_path_factory):
    """``made["reference"]`` and ``made["ferroflow"]`` on the same dialect."""
    with contextlib.ExitStack() as stack:
        result = {}
        for maker, server in MAKERS.items():
            folder = tmp_path_factory.mktemp(maker)
            uri = stack.enter_context(database(request.param, folder, maker))
            artifacts = str(folder / "artifacts")
            with server(uri, artifacts):
                result[maker] = CreatedDatabase(uri, artifacts, introspect.schema(uri), introspect.rows(uri))
        yield result
