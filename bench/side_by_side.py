"""ferroflow beside the reference: the same work on copies of the same data, one after the other.

    cargo xtask bench                                              everything
    cargo xtask bench --only search_models get_by_alias            what begins so
    cargo xtask bench --backend sqlite --rounds 1
    cargo xtask bench --small --out /tmp/bench                     little data, to see that it works

The compiled `ferroflow-bench` makes the load and does the same work by plain connections (the limit).
This script starts the servers, reads their CPU time and memory from /proc, and writes JSON and Markdown
to `bench/results/`; what is not measured this time stays there as it was. The reference runs lean: one
worker, no job runner.
"""

import argparse
import contextlib
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import registry  # noqa: E402
import runs  # noqa: E402
from backends import BACKENDS  # noqa: E402
from measurement import Dataset, cpu_seconds, limit, settled_pss  # noqa: E402
from support import servers  # noqa: E402

RESULTS = ROOT / "bench" / "results"
#: Measured beside those of the datasets, on the first of them.
START, TRAIN = "start", "training"


def datasets(small: bool) -> list[Dataset]:
    if small:
        return [runs.dataset(2_000, 1_000), registry.dataset(2_000), registry.dataset(4_000)]
    return [runs.dataset(20_000, 100_000), registry.dataset(5_000), registry.dataset(50_000)]


# --- measurements -------------------------------------------------------------------------------------------------


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


def start_figures(start, uri, folder) -> dict:
    begin = time.monotonic()
    with start(uri, folder / "artifacts") as server:
        answered = time.monotonic() - begin
        return {"start_s": answered, "pss_mib": settled_pss(server.pid), "start_cpu_s": cpu_seconds(server.pid)}


def median(rounds: list[dict]) -> dict:
    return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}


def measure(kind, dataset: Dataset, extra: list[str], folder: Path, options) -> Iterator[dict]:
    """The figures of what is wanted of a dataset on one kind of database."""
    extra = [name for name in extra if wanted(name, options)]
    measurements = [measurement for measurement in dataset.measurements if wanted(measurement.name, options)]
    if not extra and not measurements:
        return
    folder.mkdir()
    backend = kind(folder, dataset.fill)
    if START in extra:
        with backend.copy() as (uri, _):
            figures = {"ferroflow": start_figures(servers.ferroflow, uri, folder)}
        with backend.copy() as (uri, _):
            figures["reference"] = start_figures(servers.reference, uri, folder)
        yield {"backend": backend.name, "name": START, **figures}
    with contextlib.ExitStack() as stack:
        ours, _ = stack.enter_context(backend.copy())
        theirs, _ = stack.enter_context(backend.copy())
        ferroflow = stack.enter_context(servers.ferroflow(ours, folder / "ours"))
        reference = stack.enter_context(servers.reference(theirs, folder / "theirs"))
        if TRAIN in extra:
            yield {"backend": backend.name, "name": TRAIN, "ferroflow": training(ferroflow), "reference": training(reference)}
        for measurement in measurements:
            rounds = {"ferroflow": [], "reference": [], "limit": []}
            for _ in range(options.rounds):
                rounds["ferroflow"].append(measurement.load(ferroflow, folder))
                rounds["reference"].append(measurement.load(reference, folder))
                with backend.copy() as (_, plain):
                    rounds["limit"].append(limit(measurement, plain, folder))
            yield {"backend": backend.name, "name": measurement.name} | {who: median(figures) for who, figures in rounds.items()}
    backend.drop()


def wanted(name: str, options) -> bool:
    return not options.only or name.startswith(tuple(options.only))


# --- the report ---------------------------------------------------------------------------------------------------


def row(result: dict, measurements: dict, commit: str) -> str:
    """A line of the table. What was measured at another commit than the newest says so."""
    reached, cells = judge(result, measurements)
    verdict = "reached" if reached else "**not reached**"
    if result["commit"] != commit:
        verdict += f" at {result['commit']}"
    return f"| {result['name']} ({result['backend']}) | {' | '.join(cells)} | {verdict} |"


def judge(result: dict, measurements: dict) -> tuple[bool, list[str]]:
    """Whether the target is reached; ferroflow, the reference, their ratio, the limit and the target as text."""
    ours, theirs = result["ferroflow"], result["reference"]
    if result["name"] == START:
        faster, memory = theirs["start_s"] / ours["start_s"], theirs["pss_mib"] / ours["pss_mib"]
        return faster >= 50 and memory >= 12, [
            f"{ms(ours['start_s'] * 1000)}, {ours['pss_mib']:.1f} MiB", f"{theirs['start_s']:.1f} s, {theirs['pss_mib']:.0f} MiB",
            f"{faster:.0f}× faster, 1/{memory:.1f} of the memory", "", "≥ 50×, ≤ 1/12"]
    cpu = theirs["cpu_ms"] / max(ours["cpu_ms"], 1e-3)
    if result["name"] == TRAIN:
        wall = theirs["p50_ms"] / ours["p50_ms"]
        return wall >= 2 and cpu >= 20, [
            *(f"{ms(figures['p50_ms'])}, {ms(figures['cpu_ms'])} CPU" for figures in (ours, theirs)),
            f"wall 1/{wall:.1f}, CPU 1/{cpu:.0f}", "", "wall ≤ 1/2, CPU ≤ 1/20"]
    plain, target = result["limit"], measurements[result["name"]]
    if target.kind == "rate":
        share = ours["per_second"] / plain["per_second"]
        return share >= target.share and cpu >= target.cpu, [
            *(f"{figures['per_second']:.0f}/s, {ms(figures['cpu_ms'])} CPU" for figures in (ours, theirs)),
            f"CPU 1/{cpu:.0f}", f"{plain['per_second']:.0f}/s, {share:.0%} of it", f"≥ {target.share:.0%}, CPU ≤ 1/{target.cpu}"]
    times = ours["p50_ms"] / plain["p50_ms"]
    return times <= target.share and cpu >= target.cpu, [
        *(f"{ms(figures['p50_ms'])}, {ms(figures['cpu_ms'])} CPU" for figures in (ours, theirs)),
        f"CPU 1/{cpu:.0f}", f"{ms(plain['p50_ms'])}, {times:.2f}×", f"≤ {target.share:.0f}×, CPU ≤ 1/{target.cpu}"]


def ms(value: float) -> str:
    """Milliseconds to three figures."""
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def machine() -> dict:
    cpu = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {"date": datetime.date.today().isoformat(), "commit": commit, "cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(),
            "reference": "mlflow 3.17.2, one worker, jobs off", "command": "cargo xtask bench " + " ".join(sys.argv[1:])}


def chart(results: list[dict]) -> str:
    """Bars of the CPU time of the reference for one of ferroflow's, on a logarithmic scale."""
    bars = [(f"{r['name']} ({r['backend']})", r["reference"]["cpu_ms"] / max(r["ferroflow"]["cpu_ms"], 1e-3)) for r in results if "cpu_ms" in r["ferroflow"]]
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="810" height="{40 + 22 * len(bars)}" font-family="sans-serif" font-size="12">',
             '<text x="8" y="20" font-weight="bold">Server CPU per request: the reference as a multiple of ferroflow</text>']
    for index, (name, ratio) in enumerate(bars):
        y, width = 34 + 22 * index, max(2.0, 110 * math.log10(max(ratio, 1.01)))
        lines.append(f'<text x="8" y="{y + 13}">{name}</text><rect x="280" y="{y}" width="{width:.0f}" height="17" fill="#b7410e"/>'
                     f'<text x="{286 + width:.0f}" y="{y + 13}">{ratio:.0f}×</text>')
    return "\n".join([*lines, "</svg>"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="measurements whose names begin so; start and training are two of them")
    parser.add_argument("--backend", choices=[kind.name for kind in BACKENDS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="little data: shows that it works, and its figures mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.small and options.out == RESULTS:
        parser.error("--small needs --out: its figures do not belong to the others")
    about = machine() | {"rounds": options.rounds}
    data = datasets(options.small)
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
        for kind in BACKENDS:
            if options.backend not in (None, kind.name):
                continue
            for dataset in data:
                extra = [START, TRAIN] if dataset is data[0] else []
                for result in measure(kind, dataset, extra, Path(folder) / f"{kind.name}-{dataset.name}", options):
                    report(result, data, about, options.out)


def report(result: dict, data: list[Dataset], about: dict, out: Path):
    """Written after each measurement: a run that is cut short leaves what it saw, and what it did not come to stays."""
    result = result | {"commit": about["commit"]}
    measurements = {measurement.name: measurement for dataset in data for measurement in dataset.measurements}
    print(row(result, measurements, about["commit"]), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.json"
    before = json.loads(file.read_text()) if file.exists() else {"results": []}
    known = {(old["backend"], old["name"]): {"commit": before["machine"]["commit"]} | old for old in before["results"]}
    known[result["backend"], result["name"]] = result
    order = [(kind.name, name) for kind in BACKENDS for name in (START, TRAIN, *measurements)]
    results = [known[key] for key in order if key in known]
    file.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    head = ["# ferroflow beside the reference", "", *(f"- {key}: {value}" for key, value in about.items()), "", "![CPU](cpu.svg)", "",
            "| measurement | ferroflow | reference | ratio | limit | target | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    (out / "results.md").write_text("\n".join([*head, *(row(old, measurements, about["commit"]) for old in results)]) + "\n")
    (out / "cpu.svg").write_text(chart(results) + "\n")


if __name__ == "__main__":
    main()
