"""Makes a database with the rows of ``grow_data.py``. A load that was interrupted continues where it stopped.

The table ``bench_done`` has the chunks that are complete, each committed with its rows, and ``bench_later`` the indexes and
constraints that are created again after the rows. `ferroflow db upgrade` creates the schema.
"""

import concurrent.futures
import contextlib
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import grow_data
import psycopg2.errors
import traces_data
from support import postgres, required

#: Constraints of the large tables: foreign keys, also of other tables to them, then the rest.
CONSTRAINTS = """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE (conrelid = ANY(%s::regclass[]) AND contype IN ('p', 'u', 'f')) OR (confrelid = ANY(%s::regclass[]) AND contype = 'f')
ORDER BY contype <> 'f', conname"""
INDEXES = """SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = ANY(%s::regclass[]) AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid) ORDER BY 1"""


def upgrade(uri: str) -> None:
    subprocess.run([required("FERROFLOW_BIN"), "db", "upgrade", "--no-backup", uri], check=True, stdout=subprocess.DEVNULL)


class Target:
    """A database to fill. ``uri`` is kept if it is given, else a new one is dropped at the end."""

    name: str
    jobs: int

    def __init__(self, scale: float, seed: int, parts: list[str]):
        self.data, self.parts, self.local = grow_data.Data(self.name, scale, seed), parts, threading.local()

    def connection(self):
        """The connection of this thread."""
        if not hasattr(self.local, "connection"):
            self.local.connection = self.connect()
        return self.local.connection

    def execute(self, sql: str, parameters=()) -> list:
        raise NotImplementedError

    def load(self) -> float:
        """Loads what is missing; returns the seconds it took."""
        start = time.monotonic()
        if not self.has_begun():
            upgrade(self.uri)
        self.execute("CREATE TABLE IF NOT EXISTS bench_done (name VARCHAR(100) PRIMARY KEY, value VARCHAR(100))")
        self.execute("CREATE TABLE IF NOT EXISTS bench_later (place INTEGER PRIMARY KEY, statement TEXT)")
        made = f"scale {self.data.scale}, seed {self.data.seed}"
        before = self.note("made", made)
        if before != made:
            raise SystemExit(f"{self.uri} has other rows: {before}")
        traces = traces_data.Data(self.name, self.data.traces)
        traces.end = int(self.note("end", str(traces.end)))
        traces.start = traces.end - traces_data.DAYS * traces_data.DAY_MS
        done = {name for name, in self.execute("SELECT name FROM bench_done")}
        chunks = [chunk for chunk in self.chunks(traces) if chunk[0] not in done]
        if chunks:
            self.drop_indexes()
            print(f"{self.name}: {len(chunks)} chunks of scale {self.data.scale:g}", flush=True)
            with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
                try:
                    for number, _ in enumerate(pool.map(lambda chunk: self.write(*chunk), chunks), 1):
                        if number % 50 == 0:
                            print(f"  {number} chunks, {time.monotonic() - start:.0f} s", flush=True)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        later = self.execute("SELECT place, statement FROM bench_later ORDER BY place")
        for place, statement in later:
            begin = time.monotonic()
            self.in_transaction(lambda run, many, place=place, statement=statement: (
                run(statement), run(f"DELETE FROM bench_later WHERE place = {place}")))
            if time.monotonic() - begin > 10:
                print(f"  {time.monotonic() - begin:.0f} s: {statement[:100]}", flush=True)
        if chunks or later:
            self.finish()
        # Own indexes of a newer version.
        upgrade(self.uri)
        return time.monotonic() - start

    def has_begun(self) -> bool:
        raise NotImplementedError

    def note(self, name: str, value: str) -> str:
        """The value that was noted first."""
        for old, in self.execute(f"SELECT value FROM bench_done WHERE name = '{name}'"):
            return old
        self.execute(f"INSERT INTO bench_done (name, value) VALUES ('{name}', '{value}')")
        return value

    def chunks(self, traces: traces_data.Data):
        """The name of each chunk, and what writes it."""
        if "runs" in self.parts:
            for bulk in self.data.bulks():
                for name, sql in bulk.chunks():
                    yield name, lambda execute, _, sql=sql: execute(sql)
        if "registry" in self.parts:
            yield "registry", self.data.fill_registry
        if "traces" in self.parts:
            statements: list[str] = []
            traces.fill(statements.append, None)
            for number, sql in enumerate(statements):
                yield f"traces/{number}", lambda execute, _, sql=sql: execute(sql)

    def write(self, name: str, fill: Callable) -> None:
        self.in_transaction(lambda execute, many: (fill(execute, many), execute(f"INSERT INTO bench_done (name) VALUES ('{name}')")))

    def in_transaction(self, work: Callable) -> None:
        raise NotImplementedError

    def drop_indexes(self) -> None:
        """Notes the indexes and constraints of the large tables and drops them, unless they were dropped before."""
        if self.execute("SELECT 1 FROM bench_later LIMIT 1"):
            return
        drops, creates = self.definitions()

        def work(execute, many):
            for statement in drops:
                execute(statement)
            many("INSERT INTO bench_later (place, statement) VALUES ({0}, {0})", list(enumerate(creates)))

        self.in_transaction(work)


class Sqlite(Target):
    name, jobs = "sqlite", 1

    def __init__(self, folder: Path, scale: float, seed: int, parts: list[str], keep: str | None = None):
        super().__init__(scale, seed, parts)
        self.path, self.is_kept = Path(keep.removeprefix("sqlite:///") if keep else folder / f"grow-{scale:g}.db"), bool(keep)
        self.uri = f"sqlite:///{self.path}"

    def connect(self):
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.create_function("md5", 1, lambda text: grow_data.hashlib.md5(text.encode()).hexdigest(), deterministic=True)
        # A killed load loses nothing: the operating system has what was written.
        connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000; PRAGMA temp_store = MEMORY;")
        return connection

    def execute(self, sql, parameters=()):
        return self.connection().execute(sql, parameters).fetchall()

    def has_begun(self):
        return bool(self.execute("SELECT 1 FROM sqlite_master WHERE name = 'bench_later'"))

    def in_transaction(self, work):
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            work(connection.execute, lambda sql, rows: connection.executemany(sql.replace("{0}", "?"), rows))
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def definitions(self):
        names = ", ".join(f"'{table}'" for table in grow_data.TABLES)
        found = self.execute(f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({names})")
        return [f"DROP INDEX {name}" for name, _ in found], [sql for _, sql in found]

    def finish(self):
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection().close()
        del self.local.connection

    def size(self) -> int:
        return self.path.stat().st_size

    def tables(self) -> dict[str, dict]:
        """Rows and bytes of the large tables, indexes included."""
        sizes = self.execute("SELECT m.tbl_name, SUM(d.pgsize) FROM dbstat d JOIN sqlite_master m ON m.name = d.name WHERE d.aggregate = 1 GROUP BY 1")
        return {table: {"rows": self.execute(f"SELECT COUNT(*) FROM {table}")[0][0], "bytes": size}
                for table, size in sizes if table in grow_data.MEASURED}

    def drop(self):
        if not self.is_kept:
            for file in self.path.parent.glob(f"{self.path.name}*"):
                file.unlink()


class Postgres(Target):
    name, jobs = "postgresql", max(os.cpu_count() or 1, 2)

    def __init__(self, folder: Path, scale: float, seed: int, parts: list[str], keep: str | None = None):
        super().__init__(scale, seed, parts)
        self.is_kept = bool(keep)
        self.uri = keep or postgres.create("grow")
        if keep:
            # The server makes nothing that exists.
            with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
                postgres._administer(f'CREATE DATABASE "{urlsplit(keep).path[1:]}" TEMPLATE template0')

    def connect(self):
        connection = postgres.connect(self.uri)
        with connection.cursor() as cursor:
            # A chunk and its note are lost together.
            cursor.execute("SET synchronous_commit = off; SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'")
        return connection

    def execute(self, sql, parameters=()):
        with self.connection().cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def has_begun(self):
        return self.execute("SELECT to_regclass('bench_later') IS NOT NULL")[0][0]

    def in_transaction(self, work):
        from psycopg2.extras import execute_values

        with self.connection().cursor() as cursor:

            def many(sql, rows):
                head, _, tail = sql.partition(" VALUES ")
                execute_values(cursor, f"{head} VALUES %s", rows, template=tail.replace("{0}", "%s"), page_size=2000)

            cursor.execute("BEGIN")
            try:
                work(cursor.execute, many)
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def definitions(self):
        tables = list(grow_data.TABLES)
        constraints = self.execute(CONSTRAINTS, (tables, tables))
        indexes = self.execute(INDEXES, (tables,))
        drops = [f'ALTER TABLE {table} DROP CONSTRAINT "{name}"' for table, name, _ in constraints] + [f"DROP INDEX {name}" for name, _ in indexes]
        creates = [f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {text}' for table, name, text in constraints]
        # What a foreign key refers to is there before it.
        creates.sort(key=lambda statement: " FOREIGN KEY " in statement)
        foreign = [statement for statement in creates if " FOREIGN KEY " in statement]
        return drops, [*creates[:len(creates) - len(foreign)], *(text for _, text in indexes), *foreign]

    def finish(self):
        self.execute("SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), (SELECT MAX(experiment_id) FROM experiments))")
        self.execute("VACUUM ANALYZE")
        self.execute("CHECKPOINT")

    def size(self) -> int:
        return self.execute("SELECT pg_database_size(current_database())")[0][0]

    def is_durable(self) -> bool:
        # Without the wait for the disk every number of writing would be a fiction.
        off = "SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes') AND reset_val = 'off'"
        return not self.execute(off)

    def tables(self):
        found = self.execute("SELECT relname, reltuples::bigint, pg_total_relation_size(oid) FROM pg_class WHERE oid = ANY(%s::regclass[])",
                             (list(grow_data.MEASURED),))
        return {table: {"rows": rows, "bytes": size} for table, rows, size in found}

    def drop(self):
        if not self.is_kept:
            postgres.drop(self.uri)


TARGETS = {target.name: target for target in (Sqlite, Postgres)}
