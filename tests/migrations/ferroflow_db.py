"""``ferroflow db``, run the way an administrator does, and what must be true of a database afterwards."""

import contextlib
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator

from chains import TRACKING, Chain
from support import introspect, required
from support.postgres import connect

#: Seconds that a command may take. None of the databases here takes more than a few.
TIMEOUT = 120

#: Moments of the test run are not compared: `dc11669786a5` stamps the jobs that it cancels.
_START = int(time.time() * 1000)
_DAY = 86_400_000


def db(*arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess:
    """Runs ``ferroflow db …`` and asserts its exit code, unless any will do."""
    done = subprocess.run(
        [required("FERROFLOW_BIN"), "db", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=environment(),
    )
    assert expect in (None, done.returncode), f"ferroflow db {' '.join(arguments)} left with {done.returncode}:\n{report(done)}"
    return done


def upgrade(uri: str, *options: str, chain: Chain = TRACKING, backup: bool = False) -> subprocess.CompletedProcess:
    """``ferroflow db upgrade``; without a backup unless the test is about it."""
    return db("upgrade", uri, *chain.options, *([] if backup else ["--no-backup"]), *options)


def start_upgrade(uri: str, *options: str, chain: Chain = TRACKING) -> subprocess.Popen:
    """``ferroflow db upgrade`` in the background, whose lines are read as they come."""
    return subprocess.Popen(
        [required("FERROFLOW_BIN"), "db", "upgrade", uri, *chain.options, "--no-backup", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        env=environment(),
    )


def environment() -> dict[str, str]:
    """This process's, without what would change a command's output or its target."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "FERROFLOW_DB", "RUST_LOG"))}


def report(done: subprocess.CompletedProcess) -> str:
    return f"--- stdout\n{done.stdout}--- stderr\n{done.stderr}"


def steps(output: str) -> list[tuple[str, str]]:
    """The (from, to) of each line that announces a revision."""
    return re.findall(r"^upgrading (\S+) -> (\w+): \S", output, re.MULTILINE)


def committed(output: str) -> list[str]:
    """The revisions that an upgrade says it has committed."""
    return re.findall(r"^upgraded to (\w+) in ", output, re.MULTILINE)


def assert_same(expected: str, actual: str) -> None:
    """Two databases have the same schema and the same rows, and every key of the second one is in order."""
    found = introspect.differences(introspect.catalogue(expected), introspect.catalogue(actual))
    found += introspect.row_differences(timeless(introspect.rows(expected)), timeless(introspect.rows(actual)))
    found += introspect.differences(sequences(expected), sequences(actual))
    assert not found, f"{len(found)} differences:\n" + "\n".join(line[:400] for line in found[:40])
    assert_sound(actual)


def sequences(uri: str) -> dict[str, str]:
    """Where the sequences of PostgreSQL stand, from which the next rows are numbered."""
    if uri.startswith("sqlite:"):
        return {}
    with contextlib.closing(connect(uri)) as connection, connection.cursor() as cursor:
        # Those of the tables that a server of ours adds are its own.
        cursor.execute(
            "SELECT sequencename, last_value::text FROM pg_sequences "
            "WHERE schemaname = 'public' AND NOT starts_with(sequencename::text, 'ff_')"
        )
        return {f"sequence {name}": str(value) for name, value in cursor.fetchall()}


def assert_sound(uri: str) -> None:
    """SQLite finds no broken page, index or foreign key. PostgreSQL allows none."""
    if uri.startswith("sqlite:"):
        with sqlite(uri) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@contextlib.contextmanager
def sqlite(uri: str) -> Iterator[sqlite3.Connection]:
    """A connection to the file of a URI that begins no transaction by itself."""
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        yield connection


def timeless(rows: dict[str, list[tuple]]) -> dict[str, list[tuple]]:
    """The rows with every moment of this test run called the same."""

    def same(value):
        return "now" if isinstance(value, int) and _START <= value < _START + _DAY else value

    return {table: [tuple(map(same, row)) for row in content] for table, content in rows.items()}
