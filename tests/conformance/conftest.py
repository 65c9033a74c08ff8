"""Turns every story of ``stories/`` into one test for each SDK and each database, or for those of a sample.

The stories run in the SDK's own Python: once for each SDK and database, all together, because importing
``mlflow`` is the slow part. Their outcomes are then reported here, one test each. With ``--pair`` each pair of an SDK and a database may be run by a process
of its own: ``python3 tests/conformance/pairs.py N`` lists those of ``--sample N``.
"""

import pairs
import pytest
import sdks

#: They belong to the inner run, which has an ``mlflow`` of its own.
collect_ignore = ["stories", "training.py"]


def pytest_addoption(parser):
    parser.addoption(
        "--against",
        default="ferroflow",
        choices=["ferroflow", "reference"],
        help="the server under test; the reference proves that a story itself is right",
    )
    parser.addoption("--pair", choices=list(map(str, pairs.ALL)), action="append", help="run this pair, instead of those of the sample")


def pytest_generate_tests(metafunc):
    if "story" in metafunc.fixturenames:
        sample, asked = metafunc.config.getoption("sample"), metafunc.config.getoption("pair")
        cases = [
            pytest.param(pair, story, id=f"{pair}-{story.name}")
            for pair in (pairs.ALL if asked else pairs.of(sample))
            if not asked or str(pair) in asked
            for story in sdks.stories()
            if pairs.is_told(pair, story, sample)
        ]
        metafunc.parametrize(("outcomes", "story"), cases, indirect=["outcomes"])


@pytest.fixture(scope="session")
def results() -> dict:
    """The outcomes of the runs so far."""
    return {}


@pytest.fixture
def outcomes(request, results, tmp_path_factory):
    """What became of each story of one SDK on one database. Only those asked for are run, all at once."""
    if request.param not in results:
        wanted = [
            item.callspec.params["story"]
            for item in request.session.items
            if getattr(item, "callspec", None) and item.callspec.params.get("outcomes") == request.param
        ]
        folder = tmp_path_factory.mktemp(str(request.param))
        # Kept before it runs: what fails to start fails once for each story, and is not tried again.
        results[request.param] = {}
        results[request.param] = sdks.run(request.param, wanted, folder, against=request.config.getoption("--against"))
    return results[request.param]
