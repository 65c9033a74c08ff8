"""From every single revision of the tracking chain to the head: what the reference makes of the same rows."""

import ferroflow_db
import pytest
import rows
from chains import TRACKING
from support import introspect
from support.postgres import copy_of

#: The revision before `75868b020152`, which back-fills in pages.
BEFORE_BACKFILL = "b7e2c1a4d9f3"

REVISIONS = [None, *TRACKING.revisions]


def test_the_chain_is_the_one_that_was_written_for():
    assert len(TRACKING.revisions) == 67
    assert TRACKING.head == "dc11669786a5"
    assert BEFORE_BACKFILL in TRACKING.revisions


@pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: revision or "base")
def test_a_filled_database_comes_to_head(tracking, revision, tmp_path):
    expected = tracking(revision)
    rows.fill(expected, many=revision == BEFORE_BACKFILL)
    with copy_of(expected, tmp_path) as actual:
        assert_filled(expected)
        TRACKING.upgrade(expected)
        done = ferroflow_db.upgrade(actual)
        assert [to for _, to in ferroflow_db.steps(done.stdout + done.stderr)] == TRACKING.after(revision)
        ferroflow_db.assert_same(expected, actual)
        ferroflow_db.db("check", actual)


@pytest.mark.rotates
def test_each_step_leaves_what_the_reference_s_leaves(tracking, catalogues, dialect):
    uri = tracking(None)
    for revision, catalogue in catalogues(TRACKING, dialect).items():
        ferroflow_db.upgrade(uri, "--to", revision)
        assert TRACKING.current(uri) == revision
        found = introspect.differences(catalogue, introspect.catalogue(uri))
        assert not found, f"after {revision}:\n" + "\n".join(found)


def assert_filled(uri):
    """No table is left out: a table without rows proves nothing."""
    tables = {name.removeprefix("clauses of ") for name in introspect.catalogue(uri) if name.startswith("clauses of ")}
    tables |= {
        name.removeprefix("relation ")
        for name, kind in introspect.catalogue(uri).items()
        if name.startswith("relation ") and kind.startswith("r ")
    }
    assert tables
    assert tables - introspect.rows(uri).keys() == set()
