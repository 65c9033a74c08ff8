"""Options of every suite: a sample of its tests, as a push takes it, and a share of them for one of several processes.

``--sample N`` takes a number that is made of the commit, so that what one push leaves out comes round with later ones.
Without it a suite runs everything it has. What a suite leaves out is said where it is left out:

==============  =================================================================================================
conformance     two of the six pairs of SDK and database (``pairs.py``), each story by one, a third of the ``heavy`` ones
migrations      every 18th of the upgrades (``sample.py``)
artifacts       s3s-fs, which is built for minutes, is not started (``conftest.py``); SeaweedFS always is
the others      of a test that is marked ``rotates``, all cases but one, or but every Nth, or but those of one value;
                of the tests without a mark in the suites of ``EVERY``, all but every Nth
==============  =================================================================================================

``rotates`` is for what takes long and is about the same in each case, such as on each database. A test without cases that
is marked ``rotates(every=N)`` is in one of N samples, by its name. ``rotates(by="dialect")`` takes all cases with one of the
values of that parameter.

``--recorded`` compares with what the reference answered when it was recorded, and does not start it; ``--record`` records
it again. Suites that do not compare with answers of the reference do the same with either.

``--shard I/N`` runs the I-th of N shares of the files of a suite. The shares of a suite take about the same time, by
``seconds.json``; a file that is not in it is in a share, too. ``--write-seconds`` writes it anew.
"""

import collections
import gc
import json
import zlib
from pathlib import Path

import pytest
from support import recordings, shards
from support.selection import deselect

# Importing the reference makes millions of objects that stay; collections of garbage would traverse them again and again.
gc.set_threshold(100_000, 50, 100)

FOLDER = Path(__file__).parent
SECONDS = FOLDER / "seconds.json"

#: Suites of which a sample has every Nth of the cases of each test that has no mark of its own.
EVERY = {"artifacts": 2, "auth": 2, "backup": 2, "chart": 2}

MODES = {
    "recorded": "compare with the recorded answers; the reference is not started",
    "record": "record the answers of the reference again",
}


def pytest_addoption(parser):
    parser.addoption("--sample", type=int, metavar="N", help="a sample of the tests; another N takes another one")
    parser.addoption("--shard", type=shards.parse, metavar="I/N", help="the I-th of N shares of the files")
    for mode, help_ in MODES.items():
        parser.addoption(f"--{mode}", dest="mode", action="store_const", const=mode, default="compare", help=help_)
    parser.addoption("--write-seconds", action="store_true", help="note in tests/seconds.json how long each file takes")


def pytest_configure(config):
    config.addinivalue_line("markers", "xdist_group(name): of pytest-xdist, which is not always there")
    config.addinivalue_line("markers", "rotates(together, every, by): a sample takes one of the cases, every Nth, or those of one value")
    if config.getoption("write_seconds"):
        config.pluginmanager.register(Clock(), "seconds of files")


def pytest_collection_finish():
    # All modules are imported: later collections leave their objects out.
    gc.freeze()


@pytest.fixture(scope="session")
def mode(request):
    """``compare``, or one of ``MODES``."""
    return request.config.getoption("mode")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leaves the files of other shares to other processes, and cases of tests that rotate to other samples."""
    if (sample := config.getoption("sample")) is not None:
        deselect(config, items, _other_cases(items, sample))
    if shard := config.getoption("shard"):
        found = {item.path.relative_to(FOLDER).as_posix() for item in items}
        mine = shards.share(found, json.loads(SECONDS.read_text()), *shard)
        deselect(config, items, (item for item in items if item.path.relative_to(FOLDER).as_posix() not in mine))


def _other_cases(items, sample: int) -> list:
    """The cases of tests that rotate which a sample leaves out. In one sample different tests take different cases, but
    those of a file whose cases are ``rotates(together=True)`` take the same, and those of a suite that are
    ``rotates(together=NAME)``: they share what takes long to make."""
    groups = collections.defaultdict(lambda: collections.defaultdict(list))
    intervals = {}
    for item in items:
        if (mark := _rotation(item)) is not None:
            test = item.nodeid.partition("[")[0]
            together = mark.get("together")
            group = together if isinstance(together, str) else test.partition("::")[0] if together else test
            groups[group][_case(item, mark.get("by"))].append(item)
            intervals.setdefault(group, mark.get("every"))
    others = []
    for name, cases in groups.items():
        every = intervals[name] or len(cases)
        turn = sample + zlib.crc32(name.encode())
        others += [item for place, items in enumerate(cases.values()) if (place - turn) % every for item in items]
    return others


def _rotation(item) -> dict | None:
    """How a test rotates: by its mark, or by its suite. ``None`` is in every sample."""
    if mark := item.get_closest_marker("rotates"):
        return mark.kwargs
    suite = item.path.relative_to(FOLDER).parts[0]
    return {"every": EVERY[suite]} if suite in EVERY else None


def _case(item, by: str | None) -> str:
    """The case of a test, or the value of one of its parameters."""
    if not hasattr(item, "callspec"):
        return ""
    return str(item.callspec.params[by]) if by else item.callspec.id


def pytest_sessionfinish(session, exitstatus):
    # What only some of the tests recorded is as old as the rest.
    if session.config.getoption("mode") == "record" and exitstatus == pytest.ExitCode.OK and not session.config.getoption("keyword"):
        for suite in {item.path.relative_to(FOLDER).parts[0] for item in session.items}:
            recordings.save_fingerprint(suite)


class Clock:
    """Sums up how long the tests of each file take, with what is set up for them."""

    def __init__(self):
        self.seconds = collections.Counter()

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        # Workers of pytest-xdist report to the one that started them.
        if not hasattr(session.config, "workerinput"):
            known = json.loads(SECONDS.read_text()) | {name: round(taken, 1) for name, taken in self.seconds.items()}
            there = {name: known[name] for name in sorted(known) if (FOLDER / name).exists()}
            SECONDS.write_text(json.dumps(there, indent=0) + "\n")
