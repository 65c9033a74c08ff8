"""Turns every story of ``stories/`` into one test for each SDK and each database.

The stories run in the SDK's own Python: once for each SDK and database, all together, because importing
``mlflow`` is the slow part. Their outcomes are then told here, one test each.
"""

import pytest
import sdks
from support.postgres import DIALECTS

#: They belong to the inner run, which has an ``mlflow`` of its own.
collect_ignore = ["stories", "training.py"]


def pytest_addoption(parser):
    parser.addoption(
        "--against",
        default="ferroflow",
        choices=["ferroflow", "reference"],
        help="the server under test; the reference proves that a story itself is right",
    )


def pytest_generate_tests(metafunc):
    if "story" in metafunc.fixturenames:
        cases = [
            pytest.param((sdk, dialect), story, id=f"{sdk.version}-{dialect}-{story.name}")
            for sdk in sdks.SDKS
            for dialect in DIALECTS
            for story in sdks.stories()
            if story.since <= sdk.release
        ]
        metafunc.parametrize(("outcomes", "story"), cases, indirect=["outcomes"])


@pytest.fixture(scope="session")
def told() -> dict:
    """The outcomes of the runs so far."""
    return {}


@pytest.fixture
def outcomes(request, told, tmp_path_factory):
    """What became of each story of one SDK on one database. Only those asked for are run, all at once."""
    if request.param not in told:
        sdk, dialect = request.param
        wanted = [
            item.callspec.params["story"]
            for item in request.session.items
            if getattr(item, "callspec", None) and item.callspec.params.get("outcomes") == request.param
        ]
        folder = tmp_path_factory.mktemp(f"{sdk.version}-{dialect}")
        # Kept before it runs: what fails to start fails once for each story, and is not tried again.
        told[request.param] = {}
        told[request.param] = sdks.run(sdk, dialect, wanted, folder, against=request.config.getoption("--against"))
    return told[request.param]
