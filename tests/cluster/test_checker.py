"""The checker on histories that are written down: those that are right, and those with a fault."""

import importlib.util
import random
import re
from pathlib import Path

import pytest
import timeline
from checker import check, each_once, linearize
from client import RETRIES, RETRY_STATUSES, TIMEOUT, backoff
from history import FAIL, OK, UNKNOWN, History, Op
from models import MODELS

KEYS = {kind: (kind, "x") for kind in MODELS}


def op(name, args, invoke, complete, result=None, kind=OK, client=1):
    return Op(client, ("x",), name, args, invoke, complete, kind, result)


def write(args, invoke, complete, kind=OK):
    return op("write", args, invoke, complete, kind=kind)


def read(result, invoke, complete):
    return op("read", None, invoke, complete, result)


def create(result, invoke, complete, kind=OK):
    return op("create", None, invoke, complete, result, kind)


def delete(result, invoke, complete, kind=OK):
    return op("delete", None, invoke, complete, result, kind)


RIGHT = {
    "one after another": ("tag", [read(None, 0, 1), write("a", 2, 3), read("a", 4, 5), write("b", 6, 7), read("b", 8, 9)]),
    "a concurrent write may be first or last": ("tag", [write("a", 0, 5), write("b", 1, 4), read("b", 6, 7), read("b", 8, 9)]),
    "a concurrent read may see it or not": ("tag", [write("a", 0, 9), read("a", 1, 2), read("a", 3, 4)]),
    "an unknown write may never take effect": ("tag", [write("a", 0, 1), write("b", 2, 3, UNKNOWN), read("a", 4, 5), read("a", 90, 91)]),
    "an unknown write may take effect late": ("tag", [write("a", 0, 1), write("b", 2, 3, UNKNOWN), read("a", 4, 5), read("b", 90, 91)]),
    "a failed write does not": ("tag", [write("a", 0, 1), write("b", 2, 3, FAIL), read("a", 4, 5)]),
    "a deletion": ("alias", [write("1", 0, 1), write(None, 2, 3), read(None, 4, 5), write("1", 6, 7), read("1", 8, 9)]),
    "the latest metric is the largest": ("metric", [write((2, 1, 0.0), 0, 1), write((1, 9, 9.0), 2, 3), read((2, 1, 0.0), 4, 5)]),
    "equal steps": ("metric", [write((2, 1, 0.0), 0, 1), write((2, 1, 1.0), 2, 3), read((2, 1, 1.0), 4, 5)]),
    "numbers": ("versions", [create(1, 0, 9), create(2, 1, 2), read(2, 10, 11)]),
    "an unknown creation took a number": ("versions", [create(1, 0, 1), create(None, 2, 3, UNKNOWN), create(3, 4, 5), read(3, 6, 7)]),
    "a name": ("model", [create("done", 0, 1), create("RESOURCE_ALREADY_EXISTS", 2, 3), delete("done", 4, 5), read(False, 6, 7)]),
    "an unknown creation exists": ("model", [create(None, 0, 1, UNKNOWN), create("RESOURCE_ALREADY_EXISTS", 2, 3), read(True, 4, 5)]),
}

WRONG = {
    "a lost write": ("tag", [write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)]),
    "a write that is lost later": ("tag", [write("a", 0, 1), read("a", 2, 3), read(None, 4, 5)]),
    "a stale read": ("tag", [write("a", 0, 1), write("b", 2, 9), read("b", 3, 4), read("a", 5, 6)]),
    "a read of the future": ("tag", [read("a", 0, 1), write("a", 2, 3)]),
    "a value that no operation wrote": ("tag", [write("a", 0, 1), read("z", 2, 3)]),
    "a failed write takes effect": ("tag", [write("a", 0, 1), write("b", 2, 3, FAIL), read("b", 4, 5)]),
    "an unknown write is undone": ("tag", [write("a", 0, 1), write("b", 2, 3, UNKNOWN), read("b", 4, 5), read("a", 6, 7)]),
    "readers disagree about the order": ("tag", [write("a", 0, 9), write("b", 0, 9), read("a", 10, 11), read("b", 12, 13)]),
    "a deletion that is lost": ("alias", [write("1", 0, 1), write(None, 2, 3), read("1", 4, 5)]),
    "the latest metric is not the largest": ("metric", [write((2, 1, 0.0), 0, 1), write((1, 9, 9.0), 2, 3), read((1, 9, 9.0), 4, 5)]),
    "the latest metric goes back": ("metric", [write((1, 1, 0.0), 0, 1), write((2, 1, 0.0), 2, 9), read((2, 1, 0.0), 3, 4), read((1, 1, 0.0), 5, 6)]),
    "a number twice": ("versions", [create(1, 0, 5), create(1, 1, 6)]),
    "a number is left out": ("versions", [create(1, 0, 1), create(3, 2, 3)]),
    "a number out of order": ("versions", [create(2, 0, 1), create(1, 2, 3)]),
    "versions that are gone": ("versions", [create(1, 0, 1), create(2, 2, 3), read(1, 4, 5)]),
    "a name twice": ("experiment", [create("done", 0, 5), create("done", 1, 6)]),
    "a name that no operation took": ("experiment", [create("RESOURCE_ALREADY_EXISTS", 0, 1), create("done", 2, 3)]),
    "a deleted name is there": ("model", [create("done", 0, 1), delete("done", 2, 3), read(True, 4, 5)]),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_history_that_is_right(case):
    kind, ops = RIGHT[case]
    assert linearize(KEYS[kind], ops) is None


@pytest.mark.parametrize("case", WRONG)
def test_a_history_with_a_fault(case):
    kind, ops = WRONG[case]
    assert linearize(KEYS[kind], ops), case


def simulated(order: random.Random, kind: str, count: int, clients: int) -> list[Op]:
    """The history of a process that executes one operation after another: each at a moment in its time."""
    state, ops, free_at = MODELS[kind].initial, [], [0] * clients
    moments = []
    for _ in range(count):
        client = order.randrange(clients)
        invoke = free_at[client] + order.randrange(1, 30)
        complete = invoke + order.randrange(2, 60)
        free_at[client] = complete
        moments.append((order.randrange(invoke, complete), invoke, complete, client))
    for number, (_, invoke, complete, client) in enumerate(sorted(moments)):
        is_unknown = order.random() < 0.02
        name = order.choice(["read", "write"])
        value = str(number) if kind == "tag" else (order.randrange(number + 1), 1, float(number))
        one = Op(client, ("x",), name, value if name == "write" else None, invoke, complete, UNKNOWN if is_unknown else OK)
        if name == "read":
            one.result = state
        elif not (is_unknown and order.random() < 0.5):
            state = MODELS[kind].step(state, one)
        ops.append(one)
    order.shuffle(ops)
    return ops


@pytest.mark.parametrize("kind", ["tag", "metric"])
def test_histories_of_one_process_are_right_and_changed_ones_are_not(kind):
    for seed in range(20):
        order = random.Random(seed)
        ops = simulated(order, kind, 400, 8)
        assert linearize(KEYS[kind], ops) is None, seed
        # A late read that returns an early value.
        reads = sorted((one for one in ops if one.name == "read" and one.kind == OK), key=lambda one: one.invoke)
        reads[-1].result = reads[0].result
        assert linearize(KEYS[kind], ops), seed


def test_what_is_added_is_stored_once():
    added = [op("add", "a", 0, 1), op("add", "b", 0, 1, kind=UNKNOWN), op("add", "c", 0, 1, kind=UNKNOWN), op("add", "d", 0, 1, kind=FAIL)]
    assert each_once(("runs",), added, ["a", "b"]) == []
    reasons = [violation.reason for violation in each_once(("runs",), added, ["b", "b", "d"])]
    assert reasons == ["acknowledged and lost: ['a']", "stored more than once: ['b']", "stored and never sent: ['d']"]


def test_a_history_is_drawn(tmp_path):
    history = History()
    for kind in (OK, UNKNOWN):
        history.end(history.begin(1, ("tag", "x"), "write", "<a>"), kind)
    history.event("kill")
    history.end(history.begin(2, ("tag", "x"), "read", None), OK, "z")
    [violation] = check(history)
    timeline.write(tmp_path / "x.html", history, [violation])
    text = (tmp_path / "x.html").read_text()
    assert text.count("<rect") == 3 and "&lt;a&gt;" in text and "kill" in text


def test_the_client_repeats_as_the_sdk_does():
    # Read without importing the package, which takes seconds.
    package = Path(importlib.util.find_spec("mlflow").origin).parent
    spec = importlib.util.spec_from_file_location("request_utils", package / "utils" / "request_utils.py")
    sdk = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sdk)
    settings = (package / "environment_variables.py").read_text()

    def default(name: str) -> float:
        [text] = re.findall(rf'\n{name} = _EnvironmentVariable\(\s*"{name}",\s*(?:int|float),(?:\s*#.*\n)*\s*([\d.]+)', settings)
        return float(text)

    assert sdk._TRANSIENT_FAILURE_RESPONSE_CODES == RETRY_STATUSES
    assert default("MLFLOW_HTTP_REQUEST_MAX_RETRIES") == RETRIES and default("MLFLOW_HTTP_REQUEST_TIMEOUT") == TIMEOUT
    factor, jitter = default("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"), default("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER")
    retry = sdk.Retry(RETRIES, backoff_factor=factor, backoff_jitter=jitter, allowed_methods=None)
    for attempt in range(1, RETRIES + 1):
        retry = retry.increment("POST", "/", error=ConnectionResetError())
        assert abs(retry.get_backoff_time() - backoff(attempt)) <= jitter, attempt


def test_a_gap_lasts_until_the_next_success_or_the_end():
    second = 10**9
    history = History([write("a", 0, 1 * second), write("b", 1, 3 * second), write("c", 2, 4 * second, FAIL)])
    assert history.longest_gap(0) == 2
    assert history.longest_gap(0, 9 * second) == 6
    assert history.longest_gap(3 * second, 8 * second) == 5
