"""ferroflow beside the reference: the same work on copies of the same data, one after the other.

    cargo xtask bench                      everything
    cargo xtask bench -- --only log_metric --backend sqlite

The compiled `ferroflow-bench` makes the load and does the same rows by plain connections (the limit).
This script starts the servers, reads their CPU time and memory from /proc, and writes JSON and Markdown
to `bench/results/`. The reference runs lean: one worker, no job runner.
"""

import argparse
import base64
import contextlib
import datetime
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import postgres, servers  # noqa: E402

RUNS, PER_RUN_METRICS, PER_RUN_PARAMS, PER_RUN_TAGS, HISTORY = 20_000, 10, 10, 5, 100_000
TICK = os.sysconf("SC_CLK_TCK")
WRITERS = [f"{number:032x}" for number in range(1, 65)]
WIDE, LONG = "f" * 32, "e" * 32


# --- data ---------------------------------------------------------------------------------------------------------


def fill(execute, many):
    """Rows by plain SQL: 20,000 runs in experiment 0, runs to write to, one wide and one long run."""
    run = ("INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, "
           "source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES "
           "({0}, {0}, 'LOCAL', '', '', 'bench', 'FINISHED', {0}, '', 'active', 'mlflow-artifacts:/0', 0)")
    runs = [(f"{number + 1000:032x}", f"run-{number}", number) for number in range(RUNS)]
    writers = [(run_id, "writer", -1) for run_id in [*WRITERS, WIDE, LONG]]
    execute("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, "
            "workspace) VALUES (77, 'writers', 'mlflow-artifacts:/77', 'active', 1, 1, 'default')")
    many(run, runs)
    many(run.replace("'mlflow-artifacts:/0', 0)", "'mlflow-artifacts:/77', 77)"), writers)
    value = lambda number, metric: ((number * 7919 + metric * 104729) % 1_000_003) / 1_000_003  # noqa: E731
    metrics = [(f"metric-{metric}", value(number, metric), number, run_id, 1) for number, (run_id, _, _) in enumerate(runs)
               for metric in range(PER_RUN_METRICS)]
    wide = [(f"metric-{metric}", metric / 7, 1, WIDE, 1) for metric in range(1000)]
    latest = "INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ({0}, {0}, {0}, {0}, {0}, FALSE)"
    point = latest.replace("latest_metrics", "metrics")
    many(latest, metrics + wide)
    many(point, metrics + wide)
    many(point, [("loss", 1 / (step + 1), step, LONG, step) for step in range(HISTORY)])
    many("INSERT INTO params (key, value, run_uuid) VALUES ({0}, {0}, {0})",
         [(f"param-{param}", f"value-{(number + param) % 50}", run_id) for number, (run_id, _, _) in enumerate(runs)
          for param in range(PER_RUN_PARAMS)])
    many("INSERT INTO tags (key, value, run_uuid) VALUES ({0}, {0}, {0})",
         [(f"tag-{tag}", f"value-{number % 20}", run_id) for number, (run_id, _, _) in enumerate(runs) for tag in range(PER_RUN_TAGS)])


class Sqlite:
    name = "sqlite"

    def __init__(self, folder: Path):
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


class Postgres:
    name = "postgresql"

    def __init__(self, folder: Path):
        from psycopg2.extras import execute_values

        self.original = postgres.create("bench")
        with servers.ferroflow(self.original, folder / "artifacts"):
            pass
        with contextlib.closing(postgres.connect(self.original)) as connection, connection.cursor() as cursor:
            # Without the wait for the disk every number of writing would be a fiction.
            for setting in ("fsync", "synchronous_commit"):
                cursor.execute(f"SHOW {setting}")
                if cursor.fetchone()[0] != "on":
                    raise SystemExit(f"{setting} is off: measure on a PostgreSQL that keeps what it acknowledges")

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


# --- a server as /proc sees it ------------------------------------------------------------------------------------


def tree(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for process in found:
        found += children.get(process, [])
    return found


def cpu_seconds(pid: int) -> float:
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def pss_mib(pid: int) -> float:
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def settled_pss(pid: int) -> float:
    last = pss_mib(pid)
    while True:
        time.sleep(1)
        now = pss_mib(pid)
        if abs(now - last) < 0.5:
            return now
        last = now


# --- measurements -------------------------------------------------------------------------------------------------


def tool(*arguments) -> dict:
    output = subprocess.run([os.environ["FERROFLOW_BENCH"], *map(str, arguments)], capture_output=True, text=True)
    if output.returncode:
        raise RuntimeError(output.stderr.strip()[-400:])
    return json.loads(output.stdout)


def load(server, folder: Path, path: str, bodies=None, method="POST", connections=1, requests=10**9, seconds=3.0) -> dict:
    arguments = ["http", "--address", server.url.removeprefix("http://"), "--path", path, "--method", method,
                 "--connections", connections, "--requests", requests, "--seconds", seconds]
    if bodies:
        file = folder / "bodies"
        file.write_text("\n".join(json.dumps(body).replace('"{n}"', "{n}") for body in bodies))
        arguments += ["--bodies", file]
    before = cpu_seconds(server.pid)
    figures = tool(*arguments)
    figures["cpu_ms"] = (cpu_seconds(server.pid) - before) * 1000 / max(figures["count"], 1)
    return figures


def search_body(**rest) -> dict:
    return {"experiment_ids": ["0"], "max_results": 100, **rest}


def ask(server, path: str, body: dict) -> dict:
    request = urllib.request.Request(f"{server.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=120))


CHILDREN = ["SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid IN ({ids})",
            "SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({ids})", "SELECT run_uuid, key, value FROM tags WHERE run_uuid IN ({ids})"]
COLUMNS = "r.run_uuid, r.name, r.experiment_id, r.user_id, r.status, r.start_time, r.end_time, r.lifecycle_stage, r.artifact_uri"
BY_METRIC = f"""SELECT {COLUMNS} FROM runs r LEFT JOIN latest_metrics m ON m.key = 'metric-3' AND m.run_uuid = r.run_uuid
WHERE r.experiment_id = 0 AND r.lifecycle_stage = 'active'
ORDER BY CASE WHEN m.is_nan THEN 1 WHEN m.value IS NULL THEN 2 ELSE 0 END, m.value DESC, r.start_time DESC, r.run_uuid LIMIT 101"""
FILTERED = f"""SELECT {COLUMNS} FROM runs r WHERE r.experiment_id = 0 AND r.lifecycle_stage = 'active'
AND r.run_uuid IN (SELECT run_uuid FROM latest_metrics WHERE key = 'metric-3' AND value > 0.5 AND NOT is_nan)
AND r.run_uuid IN (SELECT run_uuid FROM params WHERE key = 'param-2' AND value = 'value-7')
ORDER BY r.start_time DESC, r.run_uuid LIMIT 101"""
FILTER = "metrics.`metric-3` > 0.5 AND params.`param-2` = 'value-7'"


def log_metric(server, folder, connections, seconds=3.0):
    bodies = [{"run_id": run, "key": "m", "value": "{n}", "timestamp": "{n}", "step": "{n}"} for run in WRITERS[:connections]]
    return load(server, folder, "/api/2.0/mlflow/runs/log-metric", bodies, connections=connections, seconds=seconds)


def log_batch(server, folder, size, seconds=3.0):
    bodies = [{"run_id": run, "metrics": [{"key": f"m{i}", "value": "{n}", "timestamp": "{n}", "step": "{n}"} for i in range(size)]}
              for run in WRITERS[:4]]
    return load(server, folder, "/api/2.0/mlflow/runs/log-batch", bodies, connections=4, seconds=seconds)


def page_20(server) -> str:
    token = None
    for _ in range(19):
        # The reference counts rows, and a walk takes it minutes.
        if token and "offset" in json.loads(base64.urlsafe_b64decode(token + "==")):
            return base64.b64encode(b'{"offset": 1900}').decode()
        body = search_body(order_by=["metrics.`metric-3` DESC"])
        token = ask(server, "runs/search", body | ({"page_token": token} if token else {}))["next_page_token"]
    return token


def search(server, folder, body, requests=30):
    return load(server, folder, "/api/2.0/mlflow/runs/search", [body], requests=requests, seconds=20.0)


MEASUREMENTS = {
    # name: (of a server, limit by plain connections, what is compared with the limit, targets: CPU ratio and limit)
    "log_metric_1": (lambda s, f: log_metric(s, f, 1), lambda c: ["rows", *c, "--connections", 1], "rate", 20, 0.8),
    "log_metric_16": (lambda s, f: log_metric(s, f, 16), lambda c: ["rows", *c, "--connections", 16], "rate", 20, 1.0),
    "log_metric_64": (lambda s, f: log_metric(s, f, 64), lambda c: ["rows", *c, "--connections", 64], "rate", 20, 1.0),
    "log_batch_100": (lambda s, f: log_batch(s, f, 100), lambda c: ["rows", *c, "--connections", 4, "--metrics", 100], "rate", 15, 0.6),
    "log_batch_1000": (lambda s, f: log_batch(s, f, 1000), lambda c: ["rows", *c, "--connections", 4, "--metrics", 1000], "rate", 15, 0.6),
    "search_by_metric": (lambda s, f: search(s, f, search_body(order_by=["metrics.`metric-3` DESC"])), [BY_METRIC, *CHILDREN], "p50", 20, 2.0),
    "search_page_20": (lambda s, f: search(s, f, search_body(order_by=["metrics.`metric-3` DESC"], page_token=page_20(s))),
                       [BY_METRIC + " OFFSET 1900", *CHILDREN], "p50", 20, 2.0),
    "search_filtered": (lambda s, f: search(s, f, search_body(filter=FILTER)), [FILTERED, *CHILDREN], "p50", 20, 2.0),
    "get_run_1000_metrics": (lambda s, f: load(s, f, f"/api/2.0/mlflow/runs/get?run_id={WIDE}", method="GET", requests=300),
                             [f"SELECT key, value, timestamp, step, is_nan FROM latest_metrics WHERE run_uuid = '{WIDE}'"], "p50", 20, 2.0),
    "history_100000": (lambda s, f: load(s, f, f"/api/2.0/mlflow/metrics/get-history?run_id={LONG}&metric_key=loss", method="GET", requests=20, seconds=15.0),
                       [f"SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = '{LONG}' AND key = 'loss' ORDER BY timestamp, step, value"], "p50", 20, 2.0),
}

TRAINING = """
import sys, time, mlflow
mlflow.set_tracking_uri(sys.argv[1]); mlflow.set_experiment("training"); start = time.time()
for _ in range(5):
    with mlflow.start_run():
        for i in range(20): mlflow.log_param(f"p{i}", i)
        for step in range(100): mlflow.log_metrics({f"m{i}": step / (i + 1) for i in range(5)}, step=step)
        mlflow.log_text("done", "note.txt")
print((time.time() - start) / 5)
"""


def training(server) -> dict:
    before = cpu_seconds(server.pid)
    output = subprocess.run([os.environ["FERROFLOW_REFERENCE_PYTHON"], "-c", TRAINING, server.url], capture_output=True, text=True, check=True)
    return {"p50_ms": float(output.stdout.split()[-1]) * 1000, "cpu_ms": (cpu_seconds(server.pid) - before) * 1000 / 5}


def limit(name: str, copy: list[str], folder: Path) -> dict:
    _, plain, _, _, _ = MEASUREMENTS[name]
    if callable(plain):
        return tool(*plain(copy), "--runs", ",".join(WRITERS), "--seconds", 3)
    file = folder / "statements"
    file.write_text("\n;\n".join(plain))
    return tool("sql", *copy, "--statements", file, "--repeat", 10)


def start_figures(start, uri, folder) -> dict:
    begin = time.monotonic()
    with start(uri, folder / "artifacts") as server:
        answered = time.monotonic() - begin
        return {"start_s": answered, "pss_mib": settled_pss(server.pid), "start_cpu_s": cpu_seconds(server.pid)}


def median(rounds: list[dict]) -> dict:
    return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}


def measure(backend, folder: Path, options) -> Iterator[dict]:
    names = [name for name in MEASUREMENTS if not options.only or name.startswith(options.only)]
    if not options.only or options.only == "start":
        with backend.copy() as (uri, _):
            figures = {"ferroflow": start_figures(servers.ferroflow, uri, folder)}
        with backend.copy() as (uri, _):
            figures["reference"] = start_figures(servers.reference, uri, folder)
        yield {"backend": backend.name, "name": "start", **figures}
    with contextlib.ExitStack() as stack:
        ours, our_copy = stack.enter_context(backend.copy())
        theirs, _ = stack.enter_context(backend.copy())
        ferroflow = stack.enter_context(servers.ferroflow(ours, folder / "ours"))
        reference = stack.enter_context(servers.reference(theirs, folder / "theirs"))
        if not options.only or options.only == "training":
            yield {"backend": backend.name, "name": "training", "ferroflow": training(ferroflow), "reference": training(reference)}
        for name in names:
            workload = MEASUREMENTS[name][0]
            rounds = {"ferroflow": [], "reference": [], "limit": []}
            for _ in range(options.rounds):
                rounds["ferroflow"].append(workload(ferroflow, folder))
                rounds["reference"].append(workload(reference, folder))
                with backend.copy() as (_, plain):
                    rounds["limit"].append(limit(name, plain, folder))
            yield {"backend": backend.name, "name": name} | {who: median(figures) for who, figures in rounds.items()}


# --- the report ---------------------------------------------------------------------------------------------------


def row(result: dict) -> str:
    ours, theirs, name = result["ferroflow"], result["reference"], f"{result['name']} ({result['backend']})"
    if result["name"] == "start":
        return (f"| {name} | {ours['start_s'] * 1000:.0f} ms, {ours['pss_mib']:.1f} MiB | {theirs['start_s']:.1f} s, {theirs['pss_mib']:.0f} MiB | "
                f"{theirs['start_s'] / ours['start_s']:.0f}× faster, 1/{theirs['pss_mib'] / ours['pss_mib']:.1f} of the memory | | ≥ 50×, ≤ 1/12 | "
                f"{verdict(theirs['start_s'] / ours['start_s'] >= 50 and theirs['pss_mib'] / ours['pss_mib'] >= 12)} |")
    cpu = theirs["cpu_ms"] / max(ours["cpu_ms"], 1e-3)
    if result["name"] == "training":
        wall = theirs["p50_ms"] / ours["p50_ms"]
        return (f"| {name} | {ours['p50_ms']:.0f} ms, {ours['cpu_ms']:.0f} ms CPU | {theirs['p50_ms']:.0f} ms, {theirs['cpu_ms']:.0f} ms CPU | "
                f"wall 1/{wall:.1f}, CPU 1/{cpu:.0f} | | wall ≤ 1/2, CPU ≤ 1/20 | {verdict(wall >= 2 and cpu >= 20)} |")
    _, _, kind, cpu_target, limit_target = MEASUREMENTS[result["name"]]
    plain = result["limit"]
    if kind == "rate":
        share = ours["per_second"] / plain["per_second"]
        return (f"| {name} | {ours['per_second']:.0f}/s, {ours['cpu_ms']:.3f} ms CPU | {theirs['per_second']:.0f}/s, {theirs['cpu_ms']:.1f} ms CPU | "
                f"CPU 1/{cpu:.0f} | {plain['per_second']:.0f}/s, {share:.0%} of it | ≥ {limit_target:.0%}, CPU ≤ 1/{cpu_target} | "
                f"{verdict(share >= limit_target and cpu >= cpu_target)} |")
    share = ours["p50_ms"] / plain["p50_ms"]
    return (f"| {name} | {ours['p50_ms']:.1f} ms, {ours['cpu_ms']:.1f} ms CPU | {theirs['p50_ms']:.0f} ms, {theirs['cpu_ms']:.0f} ms CPU | CPU 1/{cpu:.0f} | "
            f"{plain['p50_ms']:.1f} ms, {share:.2f}× | ≤ {limit_target:.0f}×, CPU ≤ 1/{cpu_target} | {verdict(share <= limit_target and cpu >= cpu_target)} |")


def verdict(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def machine() -> dict:
    cpu = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {"date": datetime.date.today().isoformat(), "commit": commit, "cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(),
            "reference": "mlflow 3.17.2, one worker, jobs off", "command": "cargo xtask bench " + " ".join(sys.argv[1:])}


def chart(results: list[dict]) -> str:
    """Bars of the CPU time of the reference for one of ferroflow's, on a logarithmic scale."""
    bars = [(f"{r['name']} ({r['backend']})", r["reference"]["cpu_ms"] / max(r["ferroflow"]["cpu_ms"], 1e-3)) for r in results if "cpu_ms" in r["ferroflow"]]
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{40 + 22 * len(bars)}" font-family="sans-serif" font-size="12">',
             '<text x="8" y="20" font-weight="bold">Server CPU per request: the reference as a multiple of ferroflow</text>']
    for index, (name, ratio) in enumerate(bars):
        y, width = 34 + 22 * index, max(2.0, 110 * __import__("math").log10(max(ratio, 1.01)))
        lines.append(f'<text x="8" y="{y + 13}">{name}</text><rect x="230" y="{y}" width="{width:.0f}" height="17" fill="#b7410e"/>'
                     f'<text x="{236 + width:.0f}" y="{y + 13}">{ratio:.0f}×</text>')
    return "\n".join([*lines, "</svg>"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="measurements whose names begin so, or start, or training")
    parser.add_argument("--backend", choices=("sqlite", "postgresql"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
        for kind in (Sqlite, Postgres):
            if options.backend in (None, kind.name):
                work = Path(folder) / kind.name
                work.mkdir()
                for result in measure(kind(work), work, options):
                    print(row(result), flush=True)
                    results.append(result)
                    report(results, options)


def report(results: list[dict], options):
    """Written after each measurement: a run that is cut short leaves what it saw."""
    about = machine() | {"rounds": options.rounds}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    head = ["# ferroflow beside the reference", "", *(f"- {key}: {value}" for key, value in about.items()), "", "![CPU](cpu.svg)", "",
            "| measurement | ferroflow | reference | ratio | limit | target | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    (options.out / "results.md").write_text("\n".join([*head, *map(row, results)]) + "\n")
    (options.out / "cpu.svg").write_text(chart(results) + "\n")


if __name__ == "__main__":
    main()
