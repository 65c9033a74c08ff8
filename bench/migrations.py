"""The upgrade of a database with millions of metrics, by the reference and by ferroflow, from the same file.

    cargo xtask bench --migrations            5 million metrics, SQLite and PostgreSQL
    cargo xtask bench --migrations --metrics 100000

The reference makes the tables at an old revision, SQL fills them, and each upgrades a copy of its own: the command
line of each, one after the other, with the time from start to exit and the largest resident memory of the process.
Results go to ``bench/results/migrations.json`` and ``.md``.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/migrations")]

from chains import TRACKING, engine  # noqa: E402
from sqlalchemy import text  # noqa: E402
from support import introspect, postgres, required  # noqa: E402

#: A revision to start from, by what it stands for.
STARTS = {"MLflow 1.0": "90e64c465722", "MLflow 2.22": "0584bdc529eb"}

STEPS, KEYS = 100, 10

#: Numbers from 0 to n - 1.
SERIES = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) SELECT i FROM n",
    "postgresql": "SELECT i::bigint FROM generate_series(0, {count} - 1) AS s(i)",
}


def fill(uri: str, dialect: str, metrics: int, latest: bool) -> None:
    """Runs with ten metrics of a hundred steps each, and the latest of them where there is a table for it."""
    runs = max(1, metrics // (STEPS * KEYS))
    series = SERIES[dialect].format
    uuid = "substr('00000000000000000000000000000000' || {0}, -32)" if dialect == "sqlite" else "lpad(({0})::text, 32, '0')"
    nan = "is_nan" in columns(uri, "metrics")
    of_run, more, no = uuid.format("r"), (", is_nan" if nan else ""), (", false" if nan else "")
    statements = [
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES ('e', '/tmp/e', 'active')",
        f"""INSERT INTO runs (run_uuid, name, user_id, source_type, status, start_time, lifecycle_stage, experiment_id)
            SELECT {uuid.format("i")}, 'run', 'ada', 'LOCAL', 'FINISHED', 1500000000000 + i, 'active', 1
            FROM ({series(count=runs)}) AS n""",
        f"""INSERT INTO metrics (run_uuid, key, timestamp, step, value{more})
            SELECT {of_run}, 'metric_' || k, 1500000000 + s, s, s * 0.5{no}
            FROM (SELECT i / {STEPS * KEYS} AS r, i / {STEPS} % {KEYS} AS k, i % {STEPS} AS s
                  FROM ({series(count=runs * STEPS * KEYS)}) AS n) AS points""",
    ]
    if latest:
        statements.append(
            f"""INSERT INTO latest_metrics (run_uuid, key, timestamp, step, value, is_nan)
                SELECT run_uuid, key, timestamp, step, value, false FROM metrics WHERE step = {STEPS - 1}"""
        )
    with engine(uri) as used, used.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    if dialect == "postgresql":
        with contextlib.closing(postgres.connect(uri)) as connection:
            connection.cursor().execute("VACUUM ANALYZE")


def columns(uri: str, table: str) -> set[str]:
    from sqlalchemy import inspect

    with engine(uri) as used:
        return {column["name"] for column in inspect(used).get_columns(table)}


def measure(command: list[str], limit: float) -> dict:
    """Runs a command; its seconds and its peak of resident memory in MiB. At the limit it is stopped."""
    begun = time.monotonic()
    peak = 0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        # Not from the usage of the ended child: that begins with the pages of this process, from which it was forked.
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.01)
            if time.monotonic() - begun > limit:
                process.kill()
                process.wait()
                return {"seconds": limit, "peak_mib": round(peak / 1024, 1), "stopped": True}
        seconds = time.monotonic() - begun
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{command} failed:\n{output.read().decode()[-4000:]}")
    return {"seconds": round(seconds, 2), "peak_mib": round(peak / 1024, 1)}


def high_water(pid: int) -> int:
    """The largest resident size of a running process so far, in KiB."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) if found else 0
    return 0


def commands(uri: str) -> dict[str, list[str]]:
    driver = uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    return {
        "reference": [required("FERROFLOW_REFERENCE_PYTHON"), "-W", "ignore", "-m", "mlflow", "db", "upgrade", driver],
        "ferroflow": [required("FERROFLOW_BIN"), "db", "upgrade", uri, "--no-backup"],
    }


def compare(dialect: str, start: str, metrics: int, folder: Path, limit: float) -> dict:
    """One database, two upgrades; the results must be equal."""
    with postgres.database(dialect, folder, "bench") as uri:
        with engine(uri) as used:
            TRACKING.base(used)
        TRACKING.upgrade(uri, start)
        fill(uri, dialect, metrics, "latest_metrics" in tables(uri))
        found = {}
        with postgres.copy_of(uri, folder) as other:
            targets = {"reference": other, "ferroflow": uri}
            for who in ("ferroflow", "reference"):
                found[who] = measure(commands(targets[who])[who], limit)
                print(f"  {who:<10} {found[who]['seconds']:>8.2f} s {found[who]['peak_mib']:>8.1f} MiB", flush=True)
            if "stopped" in found["reference"]:
                return found
            differences = introspect.differences(introspect.catalogue(other), introspect.catalogue(uri))
            if differences or counts(other) != counts(uri):
                raise RuntimeError(f"the results differ: {differences or (counts(other), counts(uri))}")
    return found


def tables(uri: str) -> list[str]:
    from sqlalchemy import inspect

    with engine(uri) as used:
        return inspect(used).get_table_names()


def counts(uri: str) -> dict:
    """Rows, and sums of what was copied."""
    with engine(uri) as used, used.connect() as connection:
        return {
            table: tuple(connection.execute(text(f"SELECT count(*), sum(value), sum(step) FROM {table}")).one())
            for table in ("metrics", "latest_metrics")
        }


def table(results: dict) -> str:
    lines = [
        "# Upgrades",
        "",
        f"A database with {results['metrics']:,} metrics, from an old revision to the head of 3.17.2, each by its own",
        f"command line. {results['machine']}; {results['date']}. Memory is the largest resident size of the process.",
        "",
        "| database | from | reference | ferroflow | times faster | reference, MiB | ferroflow, MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results["runs"]:
        reference, ferroflow = row["reference"], row["ferroflow"]
        ratio = reference["seconds"] / ferroflow["seconds"]
        # It was not done when it was stopped.
        stopped = "> " if "stopped" in reference else ""
        lines.append(
            f"| {row['database']} | {row['from']} (`{row['revision']}`) | {stopped}{reference['seconds']:.1f} s "
            f"| {ferroflow['seconds']:.1f} s | {stopped}{ratio:.1f} | {reference['peak_mib']:.0f} | {ferroflow['peak_mib']:.0f} |"
        )
    if results["small"]:
        lines += ["", f"ferroflow's memory with {results['small']['metrics']:,} metrics, for comparison:", ""]
        lines += [f"- {row['database']}, {row['from']}: {row['peak_mib']:.0f} MiB" for row in results["small"]["runs"]]
    return "\n".join(lines) + "\n"


def machine() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} processors, {platform.system()}"


def merged(kept: list[dict], measured: list[dict]) -> list[dict]:
    rows = {(row["database"], row["from"]): row for row in [*kept, *measured]}
    return [rows[key] for key in sorted(rows, reverse=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", type=int, default=5_000_000)
    parser.add_argument("--dialect", choices=postgres.DIALECTS, action="append")
    parser.add_argument("--start", choices=STARTS, action="append", help="what the database was made by; all of them unless given")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds after which an upgrade is stopped")
    parser.add_argument("--results", type=Path, default=ROOT / "bench/results")
    options = parser.parse_args()
    file = options.results / "migrations.json"
    before = json.loads(file.read_text()) if file.exists() else {"metrics": 0}
    # What is not measured now stays, if it is of the same size.
    kept = before["runs"] if before["metrics"] == options.metrics else []
    kept_small = before["small"]["runs"] if kept else []
    results = {"metrics": options.metrics, "machine": machine(), "date": time.strftime("%Y-%m-%d"), "runs": [], "small": {}}
    few = options.metrics // 50
    small = {"metrics": few, "runs": []}
    folder = Path(tempfile.mkdtemp(prefix="ferroflow-bench-"))
    try:
        for dialect in options.dialect or postgres.DIALECTS:
            for name in options.start or STARTS:
                start = STARTS[name]
                row = {"database": dialect, "from": name, "revision": start}
                for metrics in (few, options.metrics):
                    print(f"{dialect}, {name} ({start}), {metrics:,} metrics", flush=True)
                    found = compare(dialect, start, metrics, folder, options.limit)
                    if metrics == few:
                        small["runs"].append(row | {"peak_mib": found["ferroflow"]["peak_mib"]})
                results["runs"].append(row | found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results["runs"] = merged(kept, results["runs"])
    small["runs"] = merged(kept_small, small["runs"])
    results["small"] = small
    options.results.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n")
    (options.results / "migrations.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
