"""What PostgreSQL tells about a large database: the plans of requests, and ferroflow's own indexes."""

import contextlib
import os
import re
import stat
import subprocess
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from grow_load import Target, upgrade
from grow_requests import Ask
from measurement import ask
from support import required, servers
from traces import postmaster

#: The options of `ferroflow db tune` for large databases.
EXTRAS = {"postgresql": ["--metrics", "--names", "--orders"], "sqlite": ["--metrics", "--orders"]}
ROLE, PASSWORD = "ferroflow_bench_plain", "bench"
#: Lines of a plan that are kept.
LINES = 60
PLAN = re.compile(r"LOG:  duration: ([\d.]+) ms  plan:\n((?:\t.*\n)+)")
#: The plan of every statement of a connection is logged with what was read.
EXPLAIN = {
    "session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0", "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on", "auto_explain.log_timing": "on",
}


def database(target: Target) -> str:
    return '"' + urlsplit(target.uri).path[1:] + '"'


def log_file() -> Path | None:
    """The file that PostgreSQL's standard error is, if it runs here and has one."""
    process = postmaster()
    with contextlib.suppress(OSError):
        file = Path(f"/proc/{process}/fd/2")
        if process and stat.S_ISREG(file.stat().st_mode):
            return Path(os.readlink(file))
    return None


def plans(target: Target, asked: list[Ask], folder: Path) -> dict[str, list[str]]:
    """The slowest statement of each request with its plan, as auto_explain logs it."""
    log = log_file()
    if log is None:
        print("no plans: PostgreSQL's log is not a file of this machine", flush=True)
        return {}
    for name, value in EXPLAIN.items():
        target.execute(f"ALTER DATABASE {database(target)} SET {name} = '{value}'")
    found = {}
    try:
        with servers.ferroflow(target.uri, folder / "plans") as server:
            for one in asked:
                body = one.bodies and one.bodies[0]
                try:
                    ask(server, one.path, body)
                    offset = log.stat().st_size
                    ask(server, one.path, body)
                except OSError as error:
                    print(f"no plan of {one.name}: {error}", flush=True)
                    continue
                with log.open("rb") as file:
                    file.seek(offset)
                    seen = PLAN.findall(file.read().decode(errors="replace"))
                if seen:
                    took, plan = max(seen, key=lambda entry: float(entry[0]))
                    lines = [line.removeprefix("\t") for line in plan.splitlines()]
                    found[one.name] = [f"{took} ms of {sum(float(entry[0]) for entry in seen):.1f} ms in {len(seen)} statements", *lines[:LINES]]
    finally:
        for name in EXPLAIN:
            target.execute(f"ALTER DATABASE {database(target)} RESET {name}")
    return found


def own_sizes(target: Target) -> list[dict]:
    """ferroflow's own indexes on the reference's tables, the largest first."""
    if target.name == "sqlite":
        found = target.execute(
            "SELECT m.name, m.tbl_name, (SELECT SUM(pgsize) FROM dbstat WHERE dbstat.name = m.name), "
            "(SELECT SUM(pgsize) FROM dbstat WHERE dbstat.name = m.tbl_name) FROM sqlite_master m "
            "WHERE m.type = 'index' AND m.name LIKE 'ff\\_%' ESCAPE '\\' AND m.tbl_name NOT LIKE 'ff\\_%' ESCAPE '\\' ORDER BY 3 DESC")
    else:
        found = target.execute(
            "SELECT c.relname, t.relname, pg_relation_size(c.oid), pg_table_size(t.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "JOIN pg_class t ON t.oid = i.indrelid WHERE starts_with(c.relname::text, 'ff_') AND NOT starts_with(t.relname::text, 'ff_') ORDER BY 3 DESC")
    return [{"name": name, "table": table, "bytes": size, "table_bytes": of} for name, table, size, of in found]


@contextlib.contextmanager
def plain_role(target: Target):
    """The URI by a role that reads and writes rows and owns nothing."""
    where = urlsplit(target.uri)
    name = f"{ROLE}_{os.getpid()}"
    target.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    try:
        target.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
        target.execute(f"GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {name}")
        yield urlunsplit(where._replace(netloc=f"{name}:{PASSWORD}@{where.netloc.rpartition('@')[2]}"))
    finally:
        target.execute(f"DROP OWNED BY {name}")
        target.execute(f"DROP ROLE {name}")


def drop_own_indexes(target: Target, keep: Collection[str] = ()) -> None:
    for one in own_sizes(target):
        if one["name"] not in keep:
            target.execute(f"DROP INDEX {one['name']}")


def tune(target: Target) -> None:
    """Creates the indexes that are only created on demand."""
    subprocess.run([required("FERROFLOW_BIN"), "db", "tune", target.uri, *EXTRAS[target.name]], check=True, stdout=subprocess.DEVNULL)


def create_own_indexes(target: Target) -> None:
    upgrade(target.uri)
