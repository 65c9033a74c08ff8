"""Records of an evaluation dataset beside the reference: upserts of 1,000, and pages of 1,000 from the first to the last.

    cargo xtask bench --evaluation                        a million records on PostgreSQL, a tenth on SQLite
    cargo xtask bench --evaluation -- --small --out /tmp/bench

ferroflow stores them all by the API; the reference gets `REFERENCE` requests, because each takes it seconds.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

from measurement import ask, cpu_seconds, pss_mib  # noqa: E402
from side_by_side import machine, ms  # noqa: E402
from support import postgres, servers  # noqa: E402

BATCH = 1_000
#: Requests that the reference gets.
REFERENCE = 5
#: What the issue demands: the CPU of the reference for an upsert is at least so many times that of ferroflow.
CPU = 10
#: The last page may take so many times as long as the first.
FLAT = 2


def batch(number: int) -> str:
    records = [
        {"inputs": {"question": f"What does record {number * BATCH + at} say?", "locale": {"lang": "en", "tags": ["a", "b"]}},
         "expectations": {"answer": f"It says {at}.", "score": at / 7}, "tags": {"split": "test" if at % 5 else "train"}}
        for at in range(BATCH)
    ]
    return json.dumps(records)


class Dataset:
    """A dataset on a server."""

    def __init__(self, server):
        made = ask(server, "/api/3.0/mlflow/datasets/create", {"name": "bench", "experiment_ids": ["0"]})
        self.server, self.path = server, f"/api/3.0/mlflow/datasets/{made['dataset']['dataset_id']}/records"

    def upsert(self, number: int) -> dict:
        """The figures of one request."""
        body, before, start = {"records": batch(number)}, cpu_seconds(self.server.pid), time.monotonic()
        ask(self.server, self.path, body)
        return {"ms": (time.monotonic() - start) * 1000, "cpu_ms": (cpu_seconds(self.server.pid) - before) * 1000}

    def page(self, token: str | None) -> tuple[float, str | None]:
        start = time.monotonic()
        answer = ask(self.server, f"{self.path}?max_results={BATCH}" + (f"&page_token={token}" if token else ""))
        return (time.monotonic() - start) * 1000, answer.get("next_page_token")

    def pages(self) -> list[float]:
        """The milliseconds of each page."""
        found, token = [], None
        while True:
            took, token = self.page(token)
            found.append(took)
            if not token:
                return found


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def measure(backend: str, folder: Path, count: int) -> dict:
    """Figures of one backend. The first and the last tenth of the requests are compared."""
    with contextlib.ExitStack() as stack:
        mine, theirs = (stack.enter_context(postgres.database(backend, folder, name)) for name in ("ours", "theirs"))
        with servers.reference(theirs, folder / "theirs") as server:
            dataset = Dataset(server)
            dataset.upsert(10**6)
            reference = [dataset.upsert(number) for number in range(REFERENCE)]
            reference_page = middle([dataset.page(None)[0] for _ in range(3)])
        with servers.ferroflow(mine, folder / "ours") as server:
            dataset = Dataset(server)
            dataset.upsert(10**6)
            idle = pss_mib(server.pid)
            seen = [dataset.upsert(number) for number in range(count // BATCH)]
            filled, pages = pss_mib(server.pid), dataset.pages()
            tenth = max(len(seen) // 10, 1)
            return {
                "backend": backend, "records": count,
                "upsert_first_ms": middle([f["ms"] for f in seen[:tenth]]), "upsert_last_ms": middle([f["ms"] for f in seen[-tenth:]]),
                "upsert_cpu_ms": sum(f["cpu_ms"] for f in seen) / len(seen),
                "reference_ms": middle([f["ms"] for f in reference]), "reference_cpu_ms": sum(f["cpu_ms"] for f in reference) / len(reference),
                "page_first_ms": middle(pages[:tenth]), "page_last_ms": middle(pages[-tenth:]), "page_slowest_ms": max(pages),
                "reference_page_ms": reference_page, "idle_mib": idle, "filled_mib": filled, "read_mib": pss_mib(server.pid),
            }


def rows(result: dict) -> list[str]:
    name = f"{result['backend']}, {result['records']:,} records"
    cpu = result["reference_cpu_ms"] / max(result["upsert_cpu_ms"], 0.1)
    flat = result["page_last_ms"] / result["page_first_ms"]
    verdict = lambda reached: "reached" if reached else "**not reached**"  # noqa: E731
    return [
        f"| upsert of {BATCH:,} ({name}) | {ms(result['upsert_first_ms'])} first, {ms(result['upsert_last_ms'])} last, "
        f"{ms(result['upsert_cpu_ms'])} CPU | {ms(result['reference_ms'])}, {ms(result['reference_cpu_ms'])} CPU | CPU 1/{cpu:.0f} | "
        f"CPU ≤ 1/{CPU} | {verdict(cpu >= CPU)} |",
        f"| page of {BATCH:,} ({name}) | {ms(result['page_first_ms'])} first, {ms(result['page_last_ms'])} last | "
        f"{ms(result['reference_page_ms'])} first | last/first {flat:.1f} | ≤ {FLAT} | {verdict(flat <= FLAT)} |",
        f"| memory ({name}) | {result['idle_mib']:.0f} MiB idle, {result['filled_mib']:.0f} filled, {result['read_mib']:.0f} read | | | | |",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=postgres.DIALECTS)
    parser.add_argument("--small", action="store_true", help="little data: shows that it works, and its figures mean nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    if options.small and options.out == ROOT / "bench" / "results":
        parser.error("--small needs --out: its figures do not belong to the others")
    about = machine() | {"command": "cargo xtask bench --evaluation " + " ".join(sys.argv[1:])}
    results = []
    for backend, count in zip(postgres.DIALECTS, (100_000, 1_000_000), strict=True):
        if options.backend in (None, backend):
            with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
                results.append(measure(backend, Path(folder), 5 * BATCH if options.small else count))
            print(*rows(results[-1]), sep="\n", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "evaluation.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    head = ["# Evaluation data beside the reference", "", *(f"- {key}: {value}" for key, value in about.items()), "",
            "| measurement | ferroflow | reference | ratio | target | |", "| --- | --- | --- | --- | --- | --- |"]
    (options.out / "evaluation.md").write_text("\n".join([*head, *(row for result in results for row in rows(result))]) + "\n")


if __name__ == "__main__":
    main()
