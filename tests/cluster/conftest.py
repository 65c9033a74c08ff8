"""A database for the tests of several servers."""

import pytest
from support import postgres
from support.figures import figures, pytest_terminal_summary  # noqa: F401


@pytest.fixture
def database():
    """The URI of an empty database."""
    with postgres.database("postgresql", None, "cluster") as uri:
        yield uri


@pytest.fixture
def is_short(request) -> bool:
    """Whether this is a sample, as a push runs it."""
    return request.config.getoption("sample") is not None
