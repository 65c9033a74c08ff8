"""A mix of reads and writes by users for a long time: errors, latencies by kind, memory, files, WAL and disk by the minute.

    cargo xtask soak                              30 minutes on each database
    cargo xtask soak --hours 24 -- --backend postgresql
    cargo xtask soak --hours 0.01 -- --out /tmp/bench

Of 100 requests 70 read (searches, runs, histories, models, traces) and 30 write (metrics, batches, tags, runs, spans, models),
over 32 connections at a steady rate, by four users with grants. The first third of the time, at most ten minutes, is the
warm-up: figures by kind and the straight lines through memory and open files are of the rest.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import registry  # noqa: E402
import runs  # noqa: E402
from auth import ADMIN, PASSWORD, administered, basic, post  # noqa: E402
from backends import BACKENDS  # noqa: E402
from measurement import cpu_seconds, path, pss_mib  # noqa: E402
from plots import Plot, Series, svg  # noqa: E402
from side_by_side import machine, ms  # noqa: E402
from support import postgres  # noqa: E402

CONNECTIONS, USERS = 32, ["first", "second", "third", "fourth"]
#: Requests a second: less than half of what two processors answer, load generator and database included.
RATES = {"sqlite": 200, "postgresql": 200}
#: The 99th percentile of a kind may be so many times its median.
TAIL = 10
#: Kinds whose latencies are drawn.
DRAWN = ("search_runs", "get_run", "log_metric", "spans")
#: Growth along the fitted line: memory by a tenth, or by so many MiB if that is more; open files by so many.
MEMORY, MEMORY_MIB, FILES = 0.10, 8, 5
#: Seconds between two looks at the server.
EVERY = 10
#: PostgreSQL keeps the write-ahead log below `max_wal_size` and what one checkpoint interval adds; SQLite below some checkpoints.
WAL_MIB = {"sqlite": 256}
RUNS, MODELS, POINTS = 5_000, 500, 10_000
EXPERIMENTS = ("0", "77")


def fill(execute, many) -> None:
    runs.fill(execute, many, RUNS, POINTS)
    registry.fill(many, MODELS)


# --- the mix ------------------------------------------------------------------------------------------------------


def kind(name: str, weight: int, method: str, *requests: tuple[str, object], **rest) -> dict:
    """A kind of request. A string of `{n}` alone becomes a number."""
    written = [{"path": place, "body": "" if body is None else json.dumps(body).replace('"{n}"', "{n}")} for place, body in requests]
    return {"name": name, "weight": weight, "method": method, "requests": written, **rest}


def reads() -> list[dict]:
    search = lambda **rest: (path("runs/search"), {"experiment_ids": ["0"], "max_results": 50, **rest})  # noqa: E731
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "77"}}
    traces = {"locations": [location], "max_results": 20, "order_by": ["timestamp DESC"]}
    return [
        kind("search_runs", 14, "POST", search(), (path("runs/search"), {"experiment_ids": ["77"], "max_results": 50})),
        kind("search_runs_filtered", 6, "POST", search(filter=runs.FILTER), search(filter="tags.`tag-1` = 'value-7'")),
        kind("search_runs_by_metric", 5, "POST", search(order_by=["metrics.`metric-3` DESC"])),
        kind("get_run", 16, "GET", *((path("runs/get", run_id=f"{number + 1000:032x}"), None) for number in range(0, RUNS, 97))),
        kind("history", 8, "GET", *((path("metrics/get-history", run_id=run, metric_key="m0", max_results=500), None) for run in runs.WRITERS[:16])),
        kind("history_sampled", 6, "GET", (path("metrics/get-history-bulk-interval", run_ids=runs.LONG, metric_key="loss", max_results=320), None)),
        kind("search_experiments", 3, "POST", (path("experiments/search"), {"max_results": 50})),
        kind("search_models", 3, "GET", (path("registered-models/search", max_results=50), None)),
        kind("get_version", 4, "GET", *((path("model-versions/get", name=registry.name("model", number), version=1), None) for number in range(16))),
        kind("search_traces", 5, "POST", ("/api/3.0/mlflow/traces/search", traces)),
    ]


def spans() -> dict:
    made = [{"traceId": "{hex}", "spanId": f"{number:016x}", "name": f"step {number}", "startTimeUnixNano": f"{{n}}00{number}", "endTimeUnixNano": "{n}999",
             "attributes": [{"key": "mlflow.spanInputs", "value": {"stringValue": json.dumps({"question": "word " * 60})}}]}
            | ({"parentSpanId": f"{1:016x}"} if number > 1 else {}) for number in range(1, 6)]
    return {"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}


def writes() -> list[dict]:
    point = lambda key: {"key": key, "value": "{n}", "timestamp": "{n}", "step": "{n}"}  # noqa: E731
    writers = runs.WRITERS[:CONNECTIONS]
    created = {"name": "finish_run", "method": "POST", "path": path("runs/update"), "id": "/run/info/run_id",
               "body": '{"run_id": "{id}", "status": "FINISHED", "end_time": {n}}'}
    return [
        kind("log_metric", 12, "POST", *((path("runs/log-metric"), {"run_id": run, **point("m0")}) for run in writers)),
        kind("log_batch", 5, "POST", *((path("runs/log-batch"), {"run_id": run, "metrics": [point(f"m{key}") for key in range(10)]}) for run in writers)),
        kind("set_tag", 4, "POST", *((path("runs/set-tag"), {"run_id": run, "key": "state", "value": "{n} "}) for run in writers)),
        kind("create_run", 3, "POST", (path("runs/create"), {"experiment_id": "77", "run_name": "new {n}", "start_time": "{n}"}), then=created),
        kind("spans", 4, "POST", ("/v1/traces", spans()), headers={"x-mlflow-experiment-id": "77"}),
        kind("create_model", 1, "POST", (path("logged-models"), {"experiment_id": "77", "name": "model-{n}"})),
        kind("create_version", 1, "POST", *((path("model-versions/create"), {
            "name": registry.name("model", number), "source": "mlflow-artifacts:/77/model", "run_id": runs.WRITERS[number]}) for number in range(8))),
    ]


# --- the server with users ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def guarded(uri: str, folder: Path):
    """A server with users who may edit what the mix uses, and nothing else."""
    with administered(uri, folder) as server:
        for user in USERS:
            post(server, "2.0/mlflow/users/create", {"username": user, "password": PASSWORD})
            granted = [("experiment", experiment) for experiment in EXPERIMENTS]
            granted += [("registered_model", registry.name("model", number)) for number in range(16)]
            for resource, name in granted:
                grant = {"username": user, "resource_type": resource, "resource_id": name, "permission": "EDIT"}
                post(server, "3.0/mlflow/users/permissions/grant", grant)
        yield server


class Watch:
    """What a server and its database take at a moment."""

    def __init__(self, server, uri: str):
        self.server, self.uri = server, uri

    def look(self, seconds: float) -> dict:
        pid = self.server.pid
        found = {"seconds": seconds, "memory_mib": round(pss_mib(pid), 2), "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
                 "threads": len(list(Path(f"/proc/{pid}/task").iterdir())), "cpu_s": cpu_seconds(pid)}
        return found | {name: round(size / 2**20, 1) for name, size in self.sizes().items()}

    def sizes(self) -> dict:
        if self.uri.startswith("sqlite"):
            file = self.uri.removeprefix("sqlite:///")
            size = lambda name: os.stat(name).st_size if os.path.exists(name) else 0  # noqa: E731
            return {"disk_mib": size(file), "wal_mib": size(file + "-wal")}
        with contextlib.closing(postgres.connect(self.uri)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database()), (SELECT SUM(size) FROM pg_ls_waldir())::bigint")
            return dict(zip(("disk_mib", "wal_mib"), cursor.fetchone()))

    def wal_limit(self) -> float:
        """The MiB that the write-ahead log may take."""
        if self.uri.startswith("sqlite"):
            return WAL_MIB["sqlite"]
        with contextlib.closing(postgres.connect(self.uri)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT setting::bigint FROM pg_settings WHERE name = 'max_wal_size'")
            # It is a soft limit.
            return cursor.fetchone()[0] * 1.5


def measure(kind_of, folder: Path, options) -> dict:
    backend = kind_of(folder, fill)
    uri = backend.original if backend.name == "postgresql" else f"sqlite:///{backend.original}"
    plan, rate, seconds = folder / "plan.json", options.rate or RATES[backend.name], options.minutes * 60
    plan.write_text(json.dumps([*reads(), *writes()]))
    try:
        with guarded(uri, folder) as server:
            for number in range(4):
                first_spans(server, number)
            watch = Watch(server, uri)
            samples, total, wal = [watch.look(0)], {}, watch.wal_limit()
            command = [os.environ["FERROFLOW_BENCH"], "mix", "--address", server.url.removeprefix("http://"), "--plan", str(plan),
                       "--connections", str(CONNECTIONS), "--seconds", str(seconds), "--per-second", str(rate),
                       "--every", str(min(EVERY, seconds / 12)), "--warm-up", str(warm_up(seconds))]
            for user in USERS:
                command += ["--authorization", basic(user).partition(": ")[2]]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
                for line in load.stdout:
                    figures = json.loads(line)
                    if "total" in figures:
                        total = figures
                    else:
                        drawn = {name: {which: seen[which] for which in ("p50_ms", "p99_ms")} for name, seen in figures["kinds"].items() if name in DRAWN}
                        samples.append(watch.look(figures["seconds"]) | {"kinds": drawn})
            if load.returncode or not total:
                raise SystemExit("the load failed")
    finally:
        backend.drop()
    return {"backend": backend.name, "minutes": options.minutes, "asked_per_second": rate, "connections": CONNECTIONS, "errors": total["errors"],
            "messages": total["messages"], "kinds": total["total"], "wal_limit_mib": wal, "samples": samples}


def first_spans(server, number: int) -> None:
    """A trace before the load begins, so that no search finds an experiment without one."""
    body = json.dumps(spans()).replace("{hex}", f"{number + 1:032x}").replace("{n}", "1700000000000000").encode()
    name, _, value = basic(ADMIN).partition(": ")
    headers = {"Content-Type": "application/json", "x-mlflow-experiment-id": "77", name: value}
    urllib.request.urlopen(urllib.request.Request(server.url + "/v1/traces", body, headers), timeout=60).close()


def warm_up(seconds: float) -> float:
    return min(seconds / 3, 600)


# --- judging ------------------------------------------------------------------------------------------------------


def grown(result: dict, name: str) -> tuple[float, float]:
    """The first value of the fitted line, and how much it has risen at the end."""
    samples = result["samples"]
    end = samples[-1]["seconds"]
    rest = [sample for sample in samples if sample["seconds"] >= warm_up(end)]
    x, y = [sample["seconds"] for sample in rest], [sample[name] for sample in rest]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((one - middle_x) ** 2 for one in x)
    slope = sum((one - middle_x) * (other - middle_y) for one, other in zip(x, y)) / spread if spread else 0.0
    return middle_y - slope * (middle_x - x[0]), slope * (x[-1] - x[0])


def verdicts(result: dict) -> list[tuple[str, str, str, bool]]:
    """What is demanded: its name, what was seen, the target, and whether it is reached."""
    first, memory = grown(result, "memory_mib")
    allowed = max(first * MEMORY, MEMORY_MIB)
    files, wal = grown(result, "files")[1], max(sample["wal_mib"] for sample in result["samples"])
    tail, name = max((figures["p99_ms"] / figures["p50_ms"], name) for name, figures in result["kinds"].items())
    count = sum(figures["count"] for figures in result["kinds"].values())
    return [
        ("errors", f"{result['errors']} of {count:,} requests", "0", result["errors"] == 0),
        ("p99 of the worst kind", f"{tail:.1f} × its median ({name})", f"≤ {TAIL} ×", tail <= TAIL),
        ("memory along the line", f"{memory:+.1f} MiB from {first:.0f} MiB", f"≤ {allowed:.0f} MiB", memory <= allowed),
        ("open files along the line", f"{files:+.1f}", f"≤ {FILES}", files <= FILES),
        ("write-ahead log at most", f"{wal:,.0f} MiB", f"≤ {result['wal_limit_mib']:,.0f} MiB", wal <= result["wal_limit_mib"]),
    ]


def text(about: dict, results: list[dict]) -> str:
    lines = ["# A long run of reads and writes", "", *(f"- {key}: {value}" for key, value in about.items() if key != "reference"), "",
             f"70 % reads and 30 % writes over {CONNECTIONS} connections by {len(USERS)} users with grants. Figures by kind and fitted lines are of what follows the warm-up: a third of the time, at most ten minutes.", "",
             "![memory and latencies](long_run.svg)"]
    for result in results:
        lines += ["", f"## {result['backend']}, {result['minutes']:g} minutes, {result['asked_per_second']:g} requests/s", "",
                  "| | seen | target | |", "| --- | --- | --- | --- |"]
        lines += [f"| {name} | {seen} | {target} | {'reached' if ok else '**not reached**'} |" for name, seen, target, ok in verdicts(result)]
        lines += [f"- `{message}`" for message in result["messages"]]
        lines += ["", "| request | count | p50 | p99 | p99 / p50 |", "| --- | --- | --- | --- | --- |"]
        lines += [f"| {name} | {seen['count']:,} | {ms(seen['p50_ms'])} | {ms(seen['p99_ms'])} | {seen['p99_ms'] / seen['p50_ms']:.1f} |"
                  for name, seen in result["kinds"].items()]
        lines += ["", "| minute | memory | open files | threads | CPU | database | WAL |", "| --- | --- | --- | --- | --- | --- | --- |"]
        step = max(len(result["samples"]) // 30, 1)
        lines += [f"| {one['seconds'] / 60:.1f} | {one['memory_mib']:.1f} MiB | {one['files']} | {one['threads']} | {one['cpu_s']:.0f} s | "
                  f"{one['disk_mib']:,.0f} MiB | {one['wal_mib']:,.0f} MiB |" for one in result["samples"][::step]]
    return "\n".join(lines) + "\n"


def drawing(results: list[dict]) -> str:
    memory = Plot("Memory of the server", "minutes", "MiB, proportional set size")
    plots = [memory]
    for number, result in enumerate(results):
        minutes = lambda name, samples=result["samples"]: [(one["seconds"] / 60, one[name]) for one in samples]  # noqa: E731
        memory.series.append(Series(result["backend"], minutes("memory_mib"), number))
        latency = Plot(f"Latencies on {result['backend']}", "minutes", "ms", log_y=True)
        for colour, name in enumerate(DRAWN):
            for which in ("p50_ms", "p99_ms"):
                points = [(one["seconds"] / 60, one["kinds"][name][which]) for one in result["samples"] if name in one.get("kinds", {})]
                if points:
                    latency.series.append(Series(f"{name}, {which[:3]}", points, colour, is_dashed=which == "p99_ms"))
        plots.append(latency)
    return svg(plots)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=postgres.DIALECTS)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--hours", type=float, help="in place of minutes")
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    about = machine() | {"command": "cargo xtask soak " + " ".join(sys.argv[1:])}
    options.minutes = options.hours * 60 if options.hours else options.minutes
    file = options.out / "long_run.json"
    options.out.mkdir(parents=True, exist_ok=True)
    known = {one["backend"]: one for one in json.loads(file.read_text())["results"]} if file.exists() else {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
        for kind_of in BACKENDS:
            if options.backend not in (None, kind_of.name):
                continue
            (Path(folder) / kind_of.name).mkdir()
            result = known[kind_of.name] = measure(kind_of, Path(folder) / kind_of.name, options)
            for name, seen, target, ok in verdicts(result):
                print(f"{kind_of.name}: {name}: {seen}; {target}: {'reached' if ok else 'not reached'}", flush=True)
            failed |= result["errors"] > 0
            results = [known[name] for name in postgres.DIALECTS if name in known]
            file.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
            (options.out / "long_run.md").write_text(text(about, results))
            (options.out / "long_run.svg").write_text(drawing(results))
    if failed:
        raise SystemExit("some requests failed")


if __name__ == "__main__":
    main()
