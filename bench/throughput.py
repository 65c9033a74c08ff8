"""Requests a second against the 99th percentile, from one connection to 64, beside the reference with its best settings.

    cargo xtask bench --throughput                                 both databases
    cargo xtask bench --throughput -- --backend postgresql --connections 1 8 64
    cargo xtask bench --throughput -- --small --out /tmp/bench     little data, to see that it works

Each connection sends its next request when the last one is answered. The reference has as many workers as serve most
requests (`--workers`, two for each processor by default) and no job runner. The limit is as many plain connections that do the
same rows or statements. Databases are those of `side_by_side.py` with 20,000 runs.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import runs  # noqa: E402
from backends import BACKENDS  # noqa: E402
from measurement import load, path, settled_pss, tool  # noqa: E402
from side_by_side import machine, median, ms  # noqa: E402
from support import servers  # noqa: E402

RESULTS = ROOT / "bench" / "results"
CONNECTIONS = [1, 2, 4, 8, 16, 32, 64]
PAGE = "r.experiment_id = 0 AND r.lifecycle_stage = 'active' ORDER BY COALESCE(r.start_time, -9223372036854775807) DESC, r.run_uuid LIMIT 101"
ONE = f"{1000:032x}"


@dataclass(frozen=True)
class Request:
    """A request, and the same work by plain connections."""

    name: str
    path: str
    bodies: list[dict] | None
    #: Statements that read, or none where rows of metrics are written.
    statements: Callable[[], list[str]] | None


REQUESTS = [
    Request("log-metric", path("runs/log-metric"),
            [{"run_id": run, "key": "m", "value": "{n}", "timestamp": "{n}", "step": "{n}"} for run in runs.WRITERS], None),
    Request("runs/get", path("runs/get", run_id=ONE), None, lambda: [
        f"SELECT {runs.COLUMNS} FROM runs r WHERE r.run_uuid = '{ONE}'",
        *(statement.replace("{ids}", f"'{ONE}'") for statement in runs.CHILDREN)]),
    Request("runs/search", path("runs/search"), [runs.search_body()], lambda: [f"SELECT {runs.COLUMNS} FROM runs r WHERE {PAGE}", *runs.CHILDREN]),
]


def served(server, folder: Path, request: Request, connections: int, seconds: float) -> dict:
    try:
        return load(server, folder, request.path, request.bodies, method="POST" if request.bodies else "GET", connections=connections, seconds=seconds)
    except RuntimeError as error:
        return {"error": str(error)}


def plain(address: list[str], folder: Path, request: Request, connections: int, seconds: float) -> dict:
    """The figures of so many plain connections."""
    if request.statements is None:
        return tool("rows", *address, "--connections", connections, "--runs", ",".join(runs.WRITERS), "--seconds", seconds)
    file = folder / "statements"
    file.write_text("\n;\n".join(request.statements()))
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        one = lambda _: tool("sql", *address, "--statements", file, "--repeat", 10**9, "--seconds", seconds)  # noqa: E731
        seen = list(pool.map(one, range(connections)))
    return {"per_second": sum(figures["per_second"] for figures in seen), "p50_ms": median(seen)["p50_ms"], "p99_ms": max(figures["p99_ms"] for figures in seen)}


def middle(rounds: list[dict]) -> dict:
    return next((one for one in rounds if "error" in one), None) or median(rounds)


def measure(kind, folder: Path, options):
    folder.mkdir()
    backend = kind(folder, runs.dataset(2_000 if options.small else 20_000, 1_000).fill)
    workers = ["--workers", str(options.workers)]
    try:
        with contextlib.ExitStack() as stack:
            (ours, _), (theirs, _), (_, address) = (stack.enter_context(backend.copy()) for _ in range(3))
            ferroflow = stack.enter_context(servers.ferroflow(ours, folder / "ours"))
            reference = stack.enter_context(servers.reference(theirs, folder / "theirs", args=workers))
            for request in REQUESTS:
                if options.only and request.name not in options.only:
                    continue
                for connections in options.connections:
                    rounds = {"ferroflow": [], "reference": [], "limit": []}
                    for _ in range(options.rounds):
                        rounds["ferroflow"].append(served(ferroflow, folder, request, connections, options.seconds))
                        rounds["reference"].append(served(reference, folder, request, connections, options.seconds))
                        rounds["limit"].append(plain(address, folder, request, connections, options.seconds))
                    yield {"backend": backend.name, "request": request.name, "connections": connections, "workers": options.workers,
                           **{who: middle(seen) for who, seen in rounds.items()}}
            yield {"backend": backend.name, "request": "memory", "ferroflow": {"pss_mib": settled_pss(ferroflow.pid)},
                   "reference": {"pss_mib": settled_pss(reference.pid)}}
    finally:
        backend.drop()


def cell(figures: dict) -> str:
    return "failed" if "error" in figures else f"{figures['per_second']:,.0f}/s, p50 {ms(figures['p50_ms'])}, p99 {ms(figures['p99_ms'])}"


def row(result: dict) -> str:
    ours, theirs = result["ferroflow"], result["reference"]
    if result["request"] == "memory":
        return f"| memory afterwards ({result['backend']}) | | {ours['pss_mib']:.0f} MiB | {theirs['pss_mib']:.0f} MiB | {theirs['pss_mib'] / ours['pss_mib']:.0f}× | |"
    times = f"{ours['per_second'] / theirs['per_second']:.0f}×" if "error" not in theirs and "error" not in ours else ""
    return f"| {result['request']} ({result['backend']}) | {result['connections']} | {cell(ours)} | {cell(theirs)} | {times} | {cell(result['limit'])} |"


def key(result: dict) -> tuple:
    return result["backend"], result["request"], result.get("connections")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=[kind.name for kind in BACKENDS])
    parser.add_argument("--only", nargs="+", choices=[request.name for request in REQUESTS])
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    parser.add_argument("--workers", type=int, default=2 * (os.cpu_count() or 1), help="of the reference")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--small", action="store_true", help="little data: shows that it works, and its figures mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.small and options.out == RESULTS:
        parser.error("--small needs --out: its figures do not belong to the others")
    about = machine() | {"command": "cargo xtask bench --throughput " + " ".join(sys.argv[1:]), "rounds": options.rounds,
                         "reference": f"mlflow 3.17.2, {options.workers} workers, jobs off"}
    file = options.out / "throughput.json"
    known = {key(one): one for one in json.loads(file.read_text())["results"]} if file.exists() else {}
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
        for kind in BACKENDS:
            if options.backend not in (None, kind.name):
                continue
            for result in measure(kind, Path(folder) / kind.name, options):
                known[key(result)] = result
                print(row(result), flush=True)
                file.write_text(json.dumps({"machine": about, "results": list(known.values())}, indent=1) + "\n")
                head = ["# Requests a second against latency", "", *(f"- {name}: {value}" for name, value in about.items()), "",
                        "| request | connections | ferroflow | reference | ratio | limit |", "| --- | --- | --- | --- | --- | --- |"]
                (options.out / "throughput.md").write_text("\n".join([*head, *map(row, known.values())]) + "\n")


if __name__ == "__main__":
    main()
