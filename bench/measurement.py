"""What a measurement is, and how a server is loaded and watched."""

import contextlib
import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends import Fill

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measurement:
    """A request, and the same work by plain connections."""

    name: str
    #: Loads a server; the folder takes what the load generator reads. Returns its figures and the CPU per request.
    load: Callable[[object, Path], dict]
    #: Arguments of the load generator for a database (how it is addressed), or statements whose first one gives `{ids}`.
    limit: Callable[[list[str]], list] | list[str]
    #: What is compared with the limit: `rate` (at least this share of it) or `p50` (at most so many times as long).
    kind: str
    #: The CPU of the reference for a request is at least so many times that of ferroflow.
    cpu: float
    share: float
    #: Whether the statements write: they are one transaction, committed before the next.
    commit: bool = False


@dataclass(frozen=True)
class Dataset:
    """A database and what is measured on it."""

    name: str
    fill: Fill
    measurements: list[Measurement]


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


# --- load ---------------------------------------------------------------------------------------------------------


def tool(*arguments) -> dict:
    output = subprocess.run([os.environ["FERROFLOW_BENCH"], *map(str, arguments)], capture_output=True, text=True)
    if output.returncode:
        raise RuntimeError(output.stderr.strip()[:400])
    return json.loads(output.stdout)


def load(server, folder: Path, path: str, bodies=None, method="POST", connections=1, requests=10**9, seconds=3.0,
         headers=()) -> dict:
    arguments = ["http", "--address", server.url.removeprefix("http://"), "--path", path, "--method", method,
                 "--connections", connections, "--requests", requests, "--seconds", seconds]
    for header in headers:
        arguments += ["--header", header]
    if bodies:
        file = folder / "bodies"
        file.write_text("\n".join(json.dumps(body).replace('"{n}"', "{n}") for body in bodies))
        arguments += ["--bodies", file]
    before = cpu_seconds(server.pid)
    figures = tool(*arguments)
    figures["cpu_ms"] = (cpu_seconds(server.pid) - before) * 1000 / max(figures["count"], 1)
    return figures


def path(call: str, **query) -> str:
    """The path of a call of the API with its parameters."""
    return f"/api/2.0/mlflow/{call}" + (f"?{urllib.parse.urlencode(query)}" if query else "")


def ask(server, path: str, body: dict | None = None) -> dict:
    """One answer, for what a load needs to know before it begins."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=120))


def limit(measurement: Measurement, copy: list[str], folder: Path) -> dict:
    """The figures of the same work by plain connections."""
    if callable(measurement.limit):
        return tool(*measurement.limit(copy))
    file = folder / "statements"
    ilike = "ILIKE" if "--postgres" in copy else "LIKE"
    file.write_text("\n;\n".join(measurement.limit).replace("{ilike}", ilike))
    commit = ["--commit"] if measurement.commit else []
    return tool("sql", *copy, "--statements", file, "--repeat", 1000, "--seconds", 2, *commit)
