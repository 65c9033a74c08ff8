"""The databases of the benchmark: filled once by plain SQL, then copied for every server and every limit."""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from support import postgres, servers

#: Takes what runs one statement, and what runs one with `{0}` in the place of each value for many rows.
Fill = Callable[[Callable, Callable], None]


class Sqlite:
    name = "sqlite"

    def __init__(self, folder: Path, fill: Fill):
        self.folder, self.original = folder, folder / "original.db"
        with servers.ferroflow(f"sqlite:///{self.original}", folder / "artifacts"):
            pass
        with contextlib.closing(sqlite3.connect(self.original)) as connection:
            fill(lambda sql: connection.execute(sql),
                 lambda sql, rows: connection.executemany(sql.replace("{0}", "?"), rows))
            connection.commit()

    @contextlib.contextmanager
    def copy(self):
        target = self.folder / f"copy-{time.monotonic_ns()}.db"
        shutil.copy(self.original, target)
        try:
            yield f"sqlite:///{target}", ["--sqlite", str(target)]
        finally:
            for file in self.folder.glob(f"{target.name}*"):
                file.unlink()

    def drop(self):
        self.original.unlink()


class Postgres:
    name = "postgresql"

    def __init__(self, folder: Path, fill: Fill):
        from psycopg2.extras import execute_values

        self.original = postgres.create("bench")
        with servers.ferroflow(self.original, folder / "artifacts"):
            pass
        with contextlib.closing(postgres.connect(self.original)) as connection, connection.cursor() as cursor:
            # Without the wait for the disk every number of writing would be a fiction.
            for setting in ("fsync", "synchronous_commit"):
                cursor.execute(f"SHOW {setting}")
                if cursor.fetchone()[0] != "on":
                    raise SystemExit(f"{setting} is off: measure on a PostgreSQL that flushes commits to disk")

            def many(sql, rows):
                head, _, tail = sql.partition(" VALUES ")
                execute_values(cursor, f"{head} VALUES %s", rows, template=tail.replace("{0}", "%s"), page_size=2000)

            fill(cursor.execute, many)
            cursor.execute("VACUUM ANALYZE")

    @contextlib.contextmanager
    def copy(self):
        name = f"copy_{time.monotonic_ns()}"
        source = self.original.rpartition("/")[2]
        postgres._administer(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        url = f"{self.original.rpartition('/')[0]}/{name}"
        try:
            yield url, ["--postgres", url]
        finally:
            postgres.drop(url)

    def drop(self):
        postgres.drop(self.original)


BACKENDS = (Sqlite, Postgres)
