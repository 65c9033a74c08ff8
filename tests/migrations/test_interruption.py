"""An upgrade that is killed, doubled or kept waiting does no harm, and the same command finishes it."""

import contextlib
import random
import time

import ferroflow_db
import psycopg2
import pytest
import rows
from chains import TRACKING
from support import introspect
from support.postgres import connect, copy_of

pytestmark = pytest.mark.rotates(every=4)

#: Seconds that a condition may take to come true.
PATIENCE = 60

#: A table that a revision locks, often after it has changed others, by the revision.
LOCKED = {
    "181f10493468": "metrics",
    "89d4b8295536": "runs",
    "cfd24bdc0731": "runs",
    "0584bdc529eb": "datasets",
    "1b5f0d9ad7c1": "jobs",
    "6f8d9c3b2a1e": "trace_info",
    "75868b020152": "span_metrics",
    "dc11669786a5": "jobs",
}


@pytest.fixture
def filled(tracking, tmp_path):
    """A function that gives two databases with the same rows at a revision: one upgraded without a pause, one not yet."""
    with contextlib.ExitStack() as stack:

        def make(revision):
            expected = tracking(revision)
            rows.fill(expected)
            actual = stack.enter_context(copy_of(expected, tmp_path))
            ferroflow_db.upgrade(expected)
            return expected, actual

        yield make


def test_killed_whenever_it_begins_a_revision(filled, catalogues, dialect):
    expected, actual = filled(None)
    kills = 0
    while TRACKING.current(actual) != TRACKING.head:
        # The second line says that the first revision is committed, so each round gets further.
        kills += kill_at_line(actual, 2) is not None
        assert_whole(actual, catalogues(TRACKING, dialect))
    assert kills >= 10
    ferroflow_db.assert_same(expected, actual)


def test_killed_at_random_moments(filled, catalogues, dialect):
    expected, actual = filled(None)
    moments = random.Random(20_260)
    lost = 0
    while TRACKING.current(actual) != TRACKING.head:
        began = kill_at_line(actual, moments.randint(1, 4), moments.uniform(0, 0.02))
        assert_whole(actual, catalogues(TRACKING, dialect))
        lost += began is not None and TRACKING.current(actual) == began
    assert lost, "no kill met a revision that was not committed yet"
    ferroflow_db.assert_same(expected, actual)


@pytest.mark.parametrize("revision", LOCKED)
@pytest.mark.parametrize("dialect", ["postgresql"])
def test_killed_inside_a_revision(filled, revision):
    before = TRACKING.revisions[TRACKING.revisions.index(revision) - 1]
    expected, actual = filled(before)
    state = introspect.catalogue(actual), introspect.rows(actual)
    # Whatever more than reading the revision does with the table has to wait.
    with busy(actual, LOCKED[revision], "SHARE ROW EXCLUSIVE"), ferroflow_db.start_upgrade(actual) as process:
        wait_until(lambda: waits_for(actual, LOCKED[revision]), "the upgrade waits for the table")
        process.kill()
    # PostgreSQL notices that its client is gone when it has got the lock.
    wait_until(lambda: not sessions(actual), "the session of the killed upgrade ends")
    assert TRACKING.current(actual) == before
    assert (introspect.catalogue(actual), introspect.rows(actual)) == state
    ferroflow_db.upgrade(actual)
    ferroflow_db.assert_same(expected, actual)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_killed_while_another_program_uses_the_file(filled):
    before = "2b4d017a5e9b"
    expected, actual = filled(before)
    state = introspect.catalogue(actual), introspect.rows(actual)
    with busy_file(actual), ferroflow_db.start_upgrade(actual) as process:
        for line in process.stdout:
            if line.startswith("waiting for"):
                break
        process.kill()
    assert TRACKING.current(actual) == before
    assert (introspect.catalogue(actual), introspect.rows(actual)) == state
    ferroflow_db.upgrade(actual)
    ferroflow_db.assert_same(expected, actual)


def test_two_started_together_apply_each_revision_once(filled):
    expected, actual = filled(None)
    both = [ferroflow_db.start_upgrade(actual) for _ in range(2)]
    outputs = [process.communicate(timeout=ferroflow_db.TIMEOUT)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(outputs)
    applied = [to for output in outputs for to in ferroflow_db.committed(output)]
    assert sorted(applied) == sorted(TRACKING.after(None))
    ferroflow_db.assert_same(expected, actual)


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_writers_behind_it_are_not_frozen(filled):
    expected, actual = filled("2b4d017a5e9b")
    with busy(actual, "runs"), ferroflow_db.start_upgrade(actual) as process:
        for _ in range(3):
            wait_until(lambda: waits_for(actual, "runs"), "the upgrade waits for the table")
            with contextlib.closing(connect(actual)) as writer, writer.cursor() as cursor:
                cursor.execute("SET lock_timeout = '10s'")
                begun = time.monotonic()
                cursor.execute("UPDATE runs SET name = name")
                assert time.monotonic() - begun < 5, "a writer waited for the upgrade, and that for a reader"
        assert process.poll() is None, process.stdout.read()
        assert TRACKING.current(actual) == "2b4d017a5e9b"
        release(actual)
        output = process.communicate(timeout=ferroflow_db.TIMEOUT)[0]
        assert process.returncode == 0, output
    ferroflow_db.assert_same(expected, actual)


def test_it_gives_up_after_the_time_that_it_is_given(filled, dialect):
    _, actual = filled("2b4d017a5e9b")
    state = introspect.catalogue(actual), introspect.rows(actual)
    with busy(actual, "runs") if dialect == "postgresql" else busy_file(actual):
        refused = ferroflow_db.db("upgrade", actual, "--no-backup", "--lock-timeout", "1", expect=1)
    assert "lock" in refused.stderr
    assert "2b4d017a5e9b" in refused.stderr
    assert (introspect.catalogue(actual), introspect.rows(actual)) == state


def kill_at_line(uri: str, number: int, later: float = 0) -> str | None:
    """Starts an upgrade and kills it when it announces the n-th revision, or a moment later.

    Returns the revision that it was at according to that line, ``None`` when it was done before.
    """
    with ferroflow_db.start_upgrade(uri) as process:
        for line in process.stdout:
            number -= line.startswith("upgrading ")
            if number == 0:
                time.sleep(later)  # The moment of the kill is what is tried, not a condition that is waited for.
                process.kill()
                began = ferroflow_db.steps(line)[0][0]
                return began
        assert process.wait() == 0
    return None


def assert_whole(uri: str, catalogues: dict) -> None:
    """The tables are exactly those of the revision that the database says it has."""
    current = TRACKING.current(uri)
    ferroflow_db.assert_sound(uri)
    if current:
        found = introspect.differences(catalogues[current], introspect.catalogue(uri))
        assert not found, f"killed at {current}:\n" + "\n".join(found)


@contextlib.contextmanager
def busy(url: str, table: str, mode: str = "ACCESS SHARE"):
    """Another program reads a table in a transaction that stays open, or does more with it."""
    with contextlib.closing(psycopg2.connect(url, application_name="busy")) as connection:
        connection.cursor().execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield
        with contextlib.suppress(psycopg2.Error):
            connection.rollback()


def release(url: str) -> None:
    """Ends the program of :func:`busy`."""
    ask(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'busy'")


@contextlib.contextmanager
def busy_file(uri: str):
    """Another program writes to a SQLite file in a transaction that stays open."""
    with ferroflow_db.sqlite(uri) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()


def waits_for(url: str, table: str) -> bool:
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation' AND relation = %s::regclass"
    return bool(ask(url, waiting, table))


def sessions(url: str) -> list:
    return ask(
        url, "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def ask(url: str, query: str, *values) -> list:
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"this does not come true: {what}"
        time.sleep(0.02)
