"""What the clients do, at random, on few objects, so that they meet; and what must be true at the end."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import timeline
from checker import Violation, check, each_once
from client import Answer, Client
from history import OK, History

RUNS, MODELS, VERSIONS, NAMES = 3, 2, 8, 3

#: Where a history that is wrong is drawn.
DRAWINGS = Path(__file__).parents[2] / "target" / "cluster"

#: Seconds in which what a test waits for must have happened.
PATIENCE = 180


class Load:
    """Clients that work until they are told to stop."""

    def __init__(self, address: tuple[str, int], clients: int = 12):
        self.address, self.history = address, History()
        self.stopping = threading.Event()
        self.errors: list[BaseException] = []
        self._steps = itertools.count(1)
        self._names = itertools.count(1)
        self._began = time.monotonic()
        self.runs: list[str] = []
        self._prepare()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(1, clients + 1)]

    def _prepare(self) -> None:
        client = Client(0, self.address, self.history)
        must = lambda *request: _ok(client.send(*request))  # noqa: E731
        for _ in range(RUNS):
            created = must("POST", "runs/create", {"experiment_id": "0", "start_time": 1})
            self.runs.append(created["run"]["info"]["run_id"])
        for model in range(MODELS):
            must("POST", "registered-models/create", {"name": f"aliased {model}"})
            must("POST", "registered-models/create", {"name": f"versioned {model}"})
            for _ in range(VERSIONS):
                must("POST", "model-versions/create", {"name": f"aliased {model}", "source": "s3://b/m"})
        client.close()

    def _work(self, number: int) -> None:
        client, order = Client(number, self.address, self.history), random.Random(number)
        kinds = [self.tag, self.metric, self.alias, self.version, self.name, self.experiment, self.run]
        weights = [6, 8, 5, 2, 3, 1, 1]
        try:
            while not self.stopping.is_set():
                [kind] = order.choices(kinds, weights)
                kind(client, order)
        except BaseException as error:
            self.errors.append(error)
        finally:
            client.close()

    # Each of these is a read or a write of one object.

    def tag(self, client: Client, order: random.Random) -> None:
        run = order.choice(self.runs)
        if order.random() < 0.5:
            self.read_tag(client, run)
        else:
            value = f"{client.number}-{next(self._names)}"
            client.call(("tag", run), "write", value, ("POST", "runs/set-tag", {"run_id": run, "key": "t", "value": value}), lambda _: None)

    def read_tag(self, client: Client, run: str) -> None:
        client.call(("tag", run), "read", None, ("GET", "runs/get", {"run_id": run}), _tag)

    def metric(self, client: Client, order: random.Random) -> None:
        run = order.choice(self.runs)
        if order.random() < 0.5:
            self.read_metric(client, run)
            return
        # Most points are the latest ones, some are late.
        step = next(self._steps) - order.choice([0, 0, 0, 0, 5])
        point = (step, order.randrange(1, 3), float(client.number * 1_000_000 + next(self._names)))
        body = {"run_id": run, "key": "m", "step": point[0], "timestamp": point[1], "value": point[2]}
        client.call(("metric", run), "write", point, ("POST", "runs/log-metric", body), lambda _: None)

    def read_metric(self, client: Client, run: str) -> None:
        client.call(("metric", run), "read", None, ("GET", "runs/get", {"run_id": run}), _metric)

    def alias(self, client: Client, order: random.Random) -> None:
        model, key = f"aliased {order.randrange(MODELS)}", "champion"
        kind = order.random()
        if kind < 0.5:
            self.read_alias(client, model)
        elif kind < 0.9:
            version = str(order.randint(1, VERSIONS))
            body = {"name": model, "alias": key, "version": version}
            client.call(("alias", model), "write", version, ("POST", "registered-models/alias", body), lambda _: None)
        else:
            body = {"name": model, "alias": key}
            client.call(("alias", model), "write", None, ("DELETE", "registered-models/alias", body), lambda _: None)

    def read_alias(self, client: Client, model: str) -> None:
        client.call(("alias", model), "read", None, ("GET", "registered-models/get", {"name": model}), _alias)

    def version(self, client: Client, order: random.Random) -> None:
        model = f"versioned {order.randrange(MODELS)}"
        if order.random() < 0.5:
            self.read_version(client, model)
        else:
            request = ("POST", "model-versions/create", {"name": model, "source": "s3://b/m"})
            client.call(("versions", model), "create", None, request, lambda answer: int(answer.body["model_version"]["version"]), is_idempotent=False)

    def read_version(self, client: Client, model: str) -> None:
        client.call(("versions", model), "read", None, ("GET", "registered-models/get", {"name": model}), _version)

    def name(self, client: Client, order: random.Random) -> None:
        name, kind = f"name {order.randrange(NAMES)}", order.random()
        if kind < 0.4:
            self.read_name(client, name)
            return
        action, request = order.choice([("create", ("POST", "registered-models/create")), ("delete", ("DELETE", "registered-models/delete"))])
        client.call(("model", name), action, None, (*request, {"name": name}), _done, is_idempotent=False)

    def read_name(self, client: Client, name: str) -> None:
        client.call(("model", name), "read", None, ("GET", "registered-models/get", {"name": name}), lambda answer: not answer.error)

    def experiment(self, client: Client, order: random.Random) -> None:
        # All clients want the same name for a while.
        name = f"experiment {int((time.monotonic() - self._began) * 4)}"
        client.call(("experiment", name), "create", None, ("POST", "experiments/create", {"name": name}), _done, is_idempotent=False)

    def run(self, client: Client, order: random.Random) -> None:
        name = f"{client.number}-{next(self._names)}"
        body = {"experiment_id": "0", "run_name": name, "start_time": 2}
        client.call(("runs",), "add", name, ("POST", "runs/create", body), lambda _: None, is_idempotent=False)

    # What a test does.

    def wait(self, successes: int) -> None:
        """Waits for a number of further successes."""
        since, deadline = time.monotonic_ns(), time.monotonic() + PATIENCE
        seen = 0
        while seen < successes:
            assert time.monotonic() < deadline, f"{seen} of {successes} attempts succeeded"
            assert not self.errors, self.errors
            time.sleep(0.02)
            seen = sum(1 for op in list(self.history.ops) if op.kind == OK and op.invoke > since)

    @property
    def unsuccessful(self) -> list[str]:
        """The attempts that did not succeed."""
        return [str(op) for op in self.history.ops if op.kind != OK]

    def finish(self) -> None:
        """Stops the clients, and reads every object once more."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a client does not stop"
        assert not self.errors, self.errors
        client = Client(0, self.address, self.history)
        for run in self.runs:
            self.read_tag(client, run)
            self.read_metric(client, run)
        for model in range(MODELS):
            self.read_alias(client, f"aliased {model}")
            self.read_version(client, f"versioned {model}")
        for name in range(NAMES):
            self.read_name(client, f"name {name}")
        client.close()

    def violations(self) -> list[Violation]:
        """What is wrong, after :meth:`finish`."""
        found = check(self.history)
        by_key = self.history.by_key()
        client = Client(0, self.address, self.history)
        for run in self.runs:
            body = _ok(client.send("GET", "metrics/get-history", {"run_id": run, "metric_key": "m"}))
            stored = [(point.get("step", 0), point["timestamp"], point["value"]) for point in body.get("metrics", [])]
            written = [op for op in by_key.get(("metric", run), []) if op.name == "write"]
            found += each_once(("metric", run), written, stored)
        for model in range(MODELS):
            key = ("versions", f"versioned {model}")
            created = [op.result for op in by_key.get(key, []) if op.name == "create" and op.kind == OK]
            if len(set(created)) < len(created):
                found.append(Violation(key, f"a number was given twice: {sorted(created)}", by_key[key]))
        found += each_once(("runs",), by_key.get(("runs",), []), self._stored_runs(client))
        client.close()
        return found

    def _stored_runs(self, client: Client) -> list[str]:
        names, token = [], ""
        while True:
            body = {"experiment_ids": ["0"], "max_results": 1000, "page_token": token}
            page = _ok(client.send("POST", "runs/search", body))
            names += [run["info"]["run_name"] for run in page.get("runs", []) if run["info"]["start_time"] == 2]
            token = page.get("next_page_token", "")
            if not token:
                return names

    def verify(self, name: str) -> None:
        """Nothing is wrong, and no idempotent call failed for good. Otherwise the history is drawn."""
        violations = self.violations()
        if violations:
            timeline.write(DRAWINGS / f"{name}.html", self.history, violations)
            self.history.save(DRAWINGS / f"{name}.json")
        said = "\n".join(map(str, violations))
        assert not violations, f"{said}\nsee {DRAWINGS / name}.html"
        assert not self.history.failures, self.history.failures

    def start(self) -> None:
        for thread in self._threads:
            thread.start()


@contextmanager
def load(address: tuple[str, int], clients: int = 12) -> Iterator[Load]:
    """A load that has begun; leaving the block stops it and reads everything once more."""
    running = Load(address, clients)
    running.start()
    try:
        yield running
    except BaseException:
        running.stopping.set()
        raise
    running.finish()


def _ok(answer: Answer) -> dict:
    assert answer.kind == OK and not answer.error, answer.note or answer.error
    return answer.body


def _done(answer: Answer) -> str:
    return answer.error or "done"


def _tag(answer: Answer) -> str | None:
    return next((tag["value"] for tag in answer.body["run"]["data"].get("tags", []) if tag["key"] == "t"), None)


def _metric(answer: Answer) -> tuple | None:
    metrics = answer.body["run"]["data"].get("metrics", [])
    return next(((metric.get("step", 0), metric["timestamp"], metric["value"]) for metric in metrics if metric["key"] == "m"), None)


def _alias(answer: Answer) -> str | None:
    aliases = answer.body["registered_model"].get("aliases", [])
    return next((alias["version"] for alias in aliases if alias["alias"] == "champion"), None)


def _version(answer: Answer) -> int:
    return max((int(version["version"]) for version in answer.body["registered_model"].get("latest_versions", [])), default=0)
