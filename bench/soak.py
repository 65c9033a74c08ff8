"""Spans by OTLP for a long time at a steady rate: errors, latencies from the time a request was due, and memory by the minute.

    cargo xtask bench --soak                               ten minutes on each database, at half of the rate that `--traces` measured
    cargo xtask bench --soak -- --minutes 1 --rate 200

The rate is in requests of five spans of 2 KB, which are one trace each, over 16 connections.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

from measurement import pss_mib, tool  # noqa: E402
from side_by_side import machine, ms  # noqa: E402
from support import postgres, servers  # noqa: E402
from traces import export  # noqa: E402

CONNECTIONS = 16
#: The 99th percentile may be so many times the median.
TAIL = 10
#: Requests a second: half of what 16 connections reach as fast as they can, on two cores.
RATES = {"sqlite": 650, "postgresql": 1_000}


def measure(backend: str, folder: Path, rate: float, minutes: float) -> dict:
    template = folder / "template"
    template.write_bytes(export())
    with postgres.database(backend, folder, "soak") as uri, servers.ferroflow(uri, folder / "artifacts") as server:
        figures, memory, start = {}, [pss_mib(server.pid)], time.monotonic()

        def load():
            figures.update(tool(
                "http", "--address", server.url.removeprefix("http://"), "--path", "/v1/traces", "--template", template, "--content-type",
                "application/x-protobuf", "--header", "x-mlflow-experiment-id: 0", "--connections", CONNECTIONS, "--requests", 10**9,
                "--seconds", minutes * 60, "--per-second", rate, "--parts", 10))

        loading = threading.Thread(target=load)
        loading.start()
        while loading.is_alive():
            loading.join(timeout=max(60 * len(memory) - (time.monotonic() - start), 1))
            if time.monotonic() - start >= 60 * len(memory):
                memory.append(pss_mib(server.pid))
        if not figures:
            raise SystemExit("the load failed")
        files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        return {"backend": backend, "minutes": minutes, "asked_per_second": rate, "memory_mib": [round(value, 1) for value in memory],
                "open_files": files, **figures}


def row(result: dict) -> str:
    tail = result["p99_ms"] / result["p50_ms"]
    memory = result["memory_mib"]
    return (f"| {result['backend']}, {result['minutes']:g} minutes | {result['count']:,} requests, {result['per_second'] * 5:.0f} spans/s, no error | "
            f"{ms(result['p50_ms'])} | {ms(result['p99_ms'])}, {tail:.1f}× | {', '.join(f'{value:.0f}' for value in memory)} | {result['open_files']} | "
            f"{'reached' if tail <= TAIL else '**not reached**'} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=postgres.DIALECTS)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    about = machine() | {"command": "cargo xtask bench --soak " + " ".join(sys.argv[1:])}
    results = []
    for backend in postgres.DIALECTS:
        if options.backend in (None, backend):
            with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
                results.append(measure(backend, Path(folder), options.rate or RATES[backend], options.minutes))
            print(row(results[-1]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "soak.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    head = ["# Spans at a steady rate", "", *(f"- {key}: {value}" for key, value in about.items() if key != "reference"), "",
            f"The 99th percentile is at most {TAIL} times the median. Memory is the proportional set size after each minute.", "",
            "| database | load | p50 | p99 | MiB by the minute | open files | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    (options.out / "soak.md").write_text("\n".join([*head, *map(row, results)]) + "\n")


if __name__ == "__main__":
    main()
