"""Databases of both kinds for the durability tests."""

import pytest
from support import postgres


@pytest.fixture(params=postgres.DIALECTS)
def backend(request, tmp_path):
    with postgres.database(request.param, tmp_path, "durability") as uri:
        yield uri
