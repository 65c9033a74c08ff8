"""Databases at any revision, made by the reference."""

import contextlib
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from chains import AUTH, NEWER, TRACKING, UpgradedDatabase
from sample import EVERY, is_in_sample, position
from support.postgres import DIALECTS
from support.selection import deselect

# Alembic tells every step, and the reference what it cut off; pytest would show it all with a failure.
logging.getLogger("alembic").setLevel(logging.ERROR)
logging.getLogger("alembic_75868b020152").setLevel(logging.ERROR)


#: Of a test without parameters.
NO_PARAMS = SimpleNamespace(params={})


def pytest_addoption(parser):
    help_ = f"of the upgrades from somewhere else each take every Nth; with --sample every {EVERY}th, and each in its turn"
    parser.addoption("--every", type=int, metavar="N", help=help_)


def pytest_collection_modifyitems(config, items):
    """Takes a sample where one is asked for. Tests that share what takes long to make run in one worker of pytest-xdist."""
    sample = config.getoption("sample")
    every = config.getoption("every") or (1 if sample is None else EVERY)
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    given = {item: getattr(item, "callspec", NO_PARAMS).params for item in ours}
    revisions = [item for item in ours if "revision" in given[item]]
    dropped = {item for at, item in enumerate(revisions) if not is_in_sample(at, sample, every)}
    # Which releases need an environment is known before anything is collected.
    dropped |= {
        item
        for item in ours
        if "release" in given[item] and not is_in_sample(position(given[item]["release"], given[item]["dialect"]), sample, every)
    }
    deselect(config, items, dropped)
    for item in items:
        if "catalogues" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(f"catalogues {item.callspec.params['dialect']}"))


@pytest.fixture(params=DIALECTS)
def dialect(request):
    return request.param


@pytest.fixture(scope="session")
def upgraded_databases(tmp_path_factory):
    """A function that returns the upgraded database of a chain on a dialect."""
    made = {}

    def upgraded(chain, dialect):
        if (chain.name, dialect) not in made:
            made[chain.name, dialect] = UpgradedDatabase(chain, dialect, tmp_path_factory.mktemp(chain.name))
        return made[chain.name, dialect]

    yield upgraded
    for upgraded in made.values():
        upgraded.close()


@pytest.fixture(scope="session")
def catalogues(upgraded_databases):
    """What the catalogue of a database holds at each revision of a chain."""
    made = {}

    def all_of(chain, dialect):
        if (chain.name, dialect) not in made:
            made[chain.name, dialect] = upgraded_databases(chain, dialect).catalogues()
        return made[chain.name, dialect]

    return all_of


@pytest.fixture
def tracking(upgraded_databases, dialect):
    """A function that gives a database of the tracking chain without rows at a revision."""
    yield from _at(upgraded_databases(TRACKING, dialect))


@pytest.fixture
def newer(upgraded_databases, dialect):
    """A function that gives a database of the newer release's tracking chain without rows at a revision."""
    yield from _at(upgraded_databases(NEWER, dialect))


@pytest.fixture
def auth(upgraded_databases, dialect):
    """A function that gives a database of the auth chain without rows at a revision."""
    yield from _at(upgraded_databases(AUTH, dialect))


def _at(upgraded):
    with contextlib.ExitStack() as stack:
        yield lambda revision: stack.enter_context(upgraded.at(revision))
