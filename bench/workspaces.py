"""A thousand workspaces beside one: the same requests to a workspace that is alone and to one of many.

    cargo xtask bench --workspaces                        1,000 experiments in each workspace, on both databases
    cargo xtask bench --workspaces -- --backend sqlite --only runs_newest
    cargo xtask bench --workspaces -- --small --out /tmp/bench

Three servers take turns: one without workspaces and one with them, both on the database with one workspace, and one on the
database with many. What the second takes longer than the first is the cost of workspaces, what the third takes longer than the
second is their number.
"""

import argparse
import contextlib
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

from backends import BACKENDS  # noqa: E402
from measurement import load, path  # noqa: E402
from side_by_side import machine, ms  # noqa: E402
from support import servers  # noqa: E402
from workspaces_data import Data, workspace  # noqa: E402

WORKSPACES, EXPERIMENTS, PAGE, ROUNDS = 1_000, 1_000, 100, 5
#: A workspace among many may take so many times as long as one that is alone.
MANY = 2
#: A server with workspaces may take so many times as long as one without.
ON = 1.05
HEADER = "X-MLFLOW-WORKSPACE"


@dataclass(frozen=True)
class Place:
    """A server, and the workspace of its database that is asked."""

    server: object
    data: Data
    #: The number of the workspace.
    number: int
    #: Whether the server has workspaces.
    on: bool

    @property
    def headers(self) -> list[str]:
        return [f"{HEADER}: {workspace(self.number)}"] if self.on else []

    def experiments(self, count: int = 1) -> list[str]:
        return [str(self.data.experiment(self.number, number)) for number in range(count)]

    def location(self) -> list[dict]:
        return [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": self.experiments()[0]}}]


def get(call: Callable[[Place], str]):
    return lambda place, folder: load(place.server, folder, call(place), method="GET", requests=300, seconds=5.0, headers=place.headers)


def post(address: str, body: Callable[[Place], dict]):
    return lambda place, folder: load(place.server, folder, address, [body(place)], requests=300, seconds=5.0, headers=place.headers)


def runs(experiments: int = 1, **rest):
    return post(path("runs/search"), lambda place: {"experiment_ids": place.experiments(experiments), "max_results": PAGE, **rest})


def traces(**rest):
    return post("/api/3.0/mlflow/traces/search", lambda place: {"locations": place.location(), "max_results": PAGE, **rest})


def switch(place: Place, _folder: Path) -> dict:
    """Each request is the first one in its workspace for a while: what a server remembers of a workspace is a second old."""
    found, body = [], json.dumps({"max_results": PAGE})
    connection = http.client.HTTPConnection(place.server.url.removeprefix("http://"))
    for number in range(min(300, max(place.data.workspaces, 100))):
        headers = {"Content-Type": "application/json"} | ({HEADER: workspace(number % place.data.workspaces)} if place.on else {})
        start = time.monotonic()
        connection.request("POST", path("experiments/search"), body, headers)
        answer = connection.getresponse()
        answer.read()
        found.append((time.monotonic() - start) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} in {headers}")
    connection.close()
    return {"p50_ms": statistics.median(found)}


#: What is measured; `workspaces` are listed by servers that have them.
MEASUREMENTS = {
    "workspaces": get(lambda _: "/api/3.0/mlflow/workspaces"),
    "switch": switch,
    "experiments": post(path("experiments/search"), lambda _: {"max_results": PAGE}),
    "experiments_by_name": post(path("experiments/search"), lambda _: {"max_results": PAGE, "filter": "name LIKE 'experiment-7%'"}),
    "experiments_by_tag": post(path("experiments/search"), lambda _: {"max_results": PAGE, "filter": "tags.stage = 'stage-3'"}),
    "experiment_of_name": get(lambda _: path("experiments/get-by-name", experiment_name="experiment-7")),
    "run": get(lambda place: path("runs/get", run_id=place.data.run(place.number, 0))),
    "runs_newest": runs(),
    "runs_newest_of_100": runs(100),
    "runs_by_metric": runs(order_by=["metrics.`metric-1` DESC"]),
    "runs_filter_metric": runs(filter="metrics.`metric-1` > 0.9"),
    "runs_filter_param": runs(filter="params.`param-1` = 'value-8'"),
    "runs_filter_tag": runs(filter="tags.`tag-1` = 'value-8'"),
    "logged_models": post(path("logged-models/search"), lambda place: {"experiment_ids": place.experiments(), "max_results": 50}),
    "registered_models": get(lambda _: path("registered-models/search", max_results=PAGE)),
    "registered_models_by_tag": get(lambda _: path("registered-models/search", max_results=PAGE, filter="tags.tier = 'tier-3'")),
    "model_versions": get(lambda _: path("model-versions/search", max_results=PAGE)),
    "traces_newest": traces(order_by=["timestamp DESC"]),
    "traces_by_tag": traces(order_by=["timestamp DESC"], filter="tags.env = 'dev'"),
    "log_metric": post(path("runs/log-metric"), lambda place: {
        "run_id": place.data.run(place.number, 1), "key": "m", "value": "{n}", "timestamp": "{n}", "step": "{n}"}),
}
#: Their answers have a row for each workspace, so their time grows with them.
GROWS = {"workspaces"}


def measure(kind, folder: Path, options):
    """Figures of each measurement on one kind of database."""
    number, experiments = (20, 50) if options.small else (options.workspaces, options.experiments)
    data = {"one": Data(kind.name, 1, experiments), "many": Data(kind.name, number, experiments)}
    with contextlib.ExitStack() as stack:
        uris = {}
        for name, each in data.items():
            (folder / name).mkdir(parents=True)
            begun = time.monotonic()
            backend = kind(folder / name, each.fill)
            stack.callback(backend.drop)
            print(f"{kind.name}: {each.workspaces:,} workspaces in {time.monotonic() - begun:.0f} s", flush=True)
            uris[name] = f"sqlite:///{backend.original}" if kind.name == "sqlite" else backend.original
        places = {
            who: Place(stack.enter_context(servers.ferroflow(uris[name], folder / who, args=args)), data[name], at, bool(args))
            for who, name, at, args in [("off", "one", 0, ()), ("on", "one", 0, ("--enable-workspaces",)),
                                        ("many", "many", number // 2, ("--enable-workspaces",))]
        }
        for name, ask in MEASUREMENTS.items():
            if options.only and not name.startswith(tuple(options.only)):
                continue
            # The workspaces are not listed by a server that has none.
            rounds = {who: [] for who in places if who != "off" or name not in GROWS}
            for _ in range(options.rounds):
                for who, found in rounds.items():
                    found.append(ask(places[who], folder)["p50_ms"])
            yield {"backend": kind.name, "name": name, "workspaces": number, "experiments": experiments,
                   **{f"{who}_ms": statistics.median(found) for who, found in rounds.items()}}


def row(result: dict) -> str:
    many = result["many_ms"] / result["on_ms"]
    cells, reached = [result["name"] + f" ({result['backend']})"], True
    if "off_ms" in result:
        on = result["on_ms"] / result["off_ms"]
        reached = many <= MANY and on <= ON
        cells += [ms(result["off_ms"]), ms(result["on_ms"]), ms(result["many_ms"]), f"{on:.2f} of ≤ {ON}, {many:.2f} of ≤ {MANY}"]
    else:
        cells += ["", ms(result["on_ms"]), ms(result["many_ms"]), f"{result['workspaces']:,} times the rows"]
    return f"| {' | '.join(cells)} | {'reached' if reached else '**not reached**'} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="measurements whose names begin so")
    parser.add_argument("--backend", choices=[kind.name for kind in BACKENDS])
    parser.add_argument("--workspaces", type=int, default=WORKSPACES)
    parser.add_argument("--experiments", type=int, default=EXPERIMENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--small", action="store_true", help="little data: shows that it works, and its figures mean nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    if (options.small or options.only) and options.out == ROOT / "bench" / "results":
        parser.error("--small and --only need --out: their figures do not belong to the others")
    about = machine() | {"command": "cargo xtask bench --workspaces " + " ".join(sys.argv[1:])}
    about.pop("reference")
    results = []
    head = ["# A workspace alone and among many", "", *(f"- {key}: {value}" for key, value in about.items()), "",
            "Medians of a request: one workspace on a server without workspaces and on one with them, and a workspace among many.", "",
            "| measurement | off | one | many | on/off, many/one | |", "| --- | --- | --- | --- | --- | --- |"]
    options.out.mkdir(parents=True, exist_ok=True)
    for kind in BACKENDS:
        if options.backend not in (None, kind.name):
            continue
        with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
            for result in measure(kind, Path(folder) / kind.name, options):
                results.append(result)
                print(row(result), flush=True)
                (options.out / "workspaces.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
                (options.out / "workspaces.md").write_text("\n".join([*head, *map(row, results)]) + "\n")


if __name__ == "__main__":
    main()
