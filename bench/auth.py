"""What users cost: a run is read with basic-auth on and off, by the same server on copies of the same database.

    cargo xtask bench --auth
    cargo xtask bench --auth -- --rounds 1

The caller is no administrator: the experiment is granted to her. Rounds of both servers take turns, so that what else
runs on the machine meets both.
"""

import argparse
import base64
import contextlib
import json
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import runs  # noqa: E402
from backends import BACKENDS  # noqa: E402
from measurement import load, path  # noqa: E402
from side_by_side import machine, median, ms  # noqa: E402
from support import postgres, servers  # noqa: E402

ADMIN, READER, PASSWORD = "admin", "reader", "a password that is long"
#: With auth on, the median may be so many times that of off.
TARGET = 1.15


def basic(username: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{username}:{PASSWORD}".encode()).decode()


def post(server, call: str, body: dict) -> None:
    name, _, value = basic(ADMIN).partition(": ")
    request = urllib.request.Request(f"{server.url}/api/{call}", json.dumps(body).encode(), {"Content-Type": "application/json", name: value})
    urllib.request.urlopen(request, timeout=120).close()


@contextlib.contextmanager
def administered(uri: str, folder: Path):
    """A server with users, of whom the administrator alone exists."""
    users = postgres.create("users") if uri.startswith("postgresql") else f"sqlite:///{folder}/users.db"
    ini = folder / "auth.ini"
    ini.write_text(f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {users}\nadmin_username = {ADMIN}\n")
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD, "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret of the benchmark"}
    try:
        with servers.ferroflow(uri, folder / "artifacts", args=["--app-name", "basic-auth"], env=env) as server:
            yield server
    finally:
        if users.startswith("postgresql"):
            postgres.drop(users)


@contextlib.contextmanager
def guarded(uri: str, folder: Path):
    """A server with users, one of whom may read the experiments."""
    with administered(uri, folder) as server:
        post(server, "2.0/mlflow/users/create", {"username": READER, "password": PASSWORD})
        for experiment in ("0", "77"):
            grant = {"username": READER, "resource_type": "experiment", "resource_id": experiment, "permission": "READ"}
            post(server, "3.0/mlflow/users/permissions/grant", grant)
        yield server


def measure(kind, folder: Path, rounds: int, count: int):
    folder.mkdir()
    backend = kind(folder, runs.dataset(count, 1_000).fill)
    run = {"runs/get": path("runs/get", run_id=f"{1000:032x}"), "metrics/get-history": path("metrics/get-history", run_id=runs.LONG, metric_key="loss")}
    with contextlib.ExitStack() as stack:
        plain, with_users = (stack.enter_context(backend.copy())[0] for _ in range(2))
        off = stack.enter_context(servers.ferroflow(plain, folder / "artifacts"))
        on = stack.enter_context(guarded(with_users, folder))
        for name, address in run.items():
            seen = {"off": [], "on": []}
            for _ in range(rounds):
                seen["off"].append(load(off, folder, address, method="GET"))
                seen["on"].append(load(on, folder, address, method="GET", headers=[basic(READER)]))
            yield {"backend": backend.name, "name": name} | {which: median(figures) for which, figures in seen.items()}
    backend.drop()


def row(result: dict) -> str:
    off, on = result["off"], result["on"]
    times = on["p50_ms"] / off["p50_ms"]
    verdict = "reached" if times <= TARGET else "**not reached**"
    figures = " | ".join(f"{ms(f['p50_ms'])}, {ms(f['cpu_ms'])} CPU" for f in (off, on))
    return f"| {result['name']} ({result['backend']}) | {figures} | {times:.2f}× | ≤ {TARGET}× | {verdict} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    about = machine() | {"command": "cargo xtask bench --auth", "rounds": options.rounds}
    del about["reference"]
    results = []
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
        for kind in BACKENDS:
            for result in measure(kind, Path(folder) / kind.name, options.rounds, options.runs):
                print(row(result), flush=True)
                results.append(result)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "auth.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    head = ["# What users cost", "", *(f"- {key}: {value}" for key, value in about.items()), "",
            "| call | without users | by a user with a grant | | target | |", "| --- | --- | --- | --- | --- | --- |"]
    (options.out / "auth.md").write_text("\n".join([*head, *map(row, results)]) + "\n")


if __name__ == "__main__":
    main()
