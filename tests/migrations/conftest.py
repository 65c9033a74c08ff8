"""Databases at any revision, made by the reference."""

import contextlib
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from chains import AUTH, TRACKING, Ladder
from sample import EVERY, place, takes
from support.postgres import DIALECTS
from support.selection import leave_out

# Alembic tells every step, and the reference what it cut off; pytest would show it all with a failure.
logging.getLogger("alembic").setLevel(logging.ERROR)
logging.getLogger("alembic_75868b020152").setLevel(logging.ERROR)


#: Of a test without parameters.
NOTHING = SimpleNamespace(params={})


def pytest_addoption(parser):
    help_ = f"of the upgrades from somewhere else each take every Nth; with --sample every {EVERY}th, and each in its turn"
    parser.addoption("--every", type=int, metavar="N", help=help_)


def pytest_collection_modifyitems(config, items):
    """Takes a sample where one is asked for. Tests that share what takes long to make run in one worker of pytest-xdist."""
    sample = config.getoption("sample")
    every = config.getoption("every") or (1 if sample is None else EVERY)
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    given = {item: getattr(item, "callspec", NOTHING).params for item in ours}
    revisions = [item for item in ours if "revision" in given[item]]
    dropped = {item for at, item in enumerate(revisions) if not takes(at, sample, every)}
    # Which releases need an environment is known before anything is collected.
    dropped |= {
        item
        for item in ours
        if "release" in given[item] and not takes(place(given[item]["release"], given[item]["dialect"]), sample, every)
    }
    leave_out(config, items, dropped)
    for item in items:
        if "catalogues" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(f"catalogues {item.callspec.params['dialect']}"))


@pytest.fixture(params=DIALECTS)
def dialect(request):
    return request.param


@pytest.fixture(scope="session")
def ladders(tmp_path_factory):
    """The ladder of a chain on a dialect."""
    made = {}

    def ladder(chain, dialect):
        if (chain.name, dialect) not in made:
            made[chain.name, dialect] = Ladder(chain, dialect, tmp_path_factory.mktemp(chain.name))
        return made[chain.name, dialect]

    yield ladder
    for ladder in made.values():
        ladder.close()


@pytest.fixture(scope="session")
def catalogues(ladders):
    """What the catalogue of a database holds at each revision of a chain."""
    made = {}

    def all_of(chain, dialect):
        if (chain.name, dialect) not in made:
            made[chain.name, dialect] = ladders(chain, dialect).catalogues()
        return made[chain.name, dialect]

    return all_of


@pytest.fixture
def tracking(ladders, dialect):
    """A function that gives a database of the tracking chain without rows at a revision."""
    yield from _at(ladders(TRACKING, dialect))


@pytest.fixture
def auth(ladders, dialect):
    """A function that gives a database of the auth chain without rows at a revision."""
    yield from _at(ladders(AUTH, dialect))


def _at(ladder):
    with contextlib.ExitStack() as stack:
        yield lambda revision: stack.enter_context(ladder.at(revision))
