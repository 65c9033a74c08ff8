"""The instructions of the calls that clients make most, which do not depend on the machine's load as times do.

``recorded.json`` has them for a build of the tests without incremental compilation, as CI makes it. More than a tenth
over it fails: the change made the call dearer. Where that is worth it, ``CARGO_INCREMENTAL=0 cargo xtask instructions --
--record`` writes the new numbers, and the commit says why. An incremental build takes up to a seventh fewer.
"""

import json
from pathlib import Path

import pytest
from data import export

RECORDED = Path(__file__).parent / "recorded.json"
SHARE = 0.10

EXPERIMENT = {"experiment_ids": ["0"], "max_results": 100}
LOCATION = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]


def point(number: int) -> dict:
    return {"key": "new", "value": number, "timestamp": number, "step": number}


#: The calls by name: how often each is made, and what makes it with the server, the ids and a number.
CALLS = {
    "log-metric": (100, lambda s, ids, n: s.ask("POST", "/api/2.0/mlflow/runs/log-metric", {"run_id": ids["run"], **point(n)})),
    "log-batch": (20, lambda s, ids, n: s.ask("POST", "/api/2.0/mlflow/runs/log-batch", {
        "run_id": ids["run"], "metrics": [point(n * 100 + at) for at in range(100)]})),
    "runs/get": (100, lambda s, ids, n: s.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={ids['run']}")),
    "runs/search": (10, lambda s, ids, n: s.ask("POST", "/api/2.0/mlflow/runs/search", EXPERIMENT)),
    "runs/search by metric": (20, lambda s, ids, n: s.ask("POST", "/api/2.0/mlflow/runs/search", EXPERIMENT | {
        "filter": "metrics.m3 > 100 AND params.p1 = '3'", "order_by": ["metrics.m2 DESC"]})),
    "experiments/search": (100, lambda s, ids, n: s.ask("POST", "/api/2.0/mlflow/experiments/search", {"max_results": 100})),
    "metrics/get-history": (20, lambda s, ids, n: s.ask(
        "GET", f"/api/2.0/mlflow/metrics/get-history?run_id={ids['run']}&metric_key=loss&max_results=1000")),
    "get-history-bulk-interval": (20, lambda s, ids, n: s.ask(
        "GET", f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={ids['run']}&metric_key=loss&max_results=320")),
    "model-versions/search": (50, lambda s, ids, n: s.ask("GET", "/api/2.0/mlflow/model-versions/search?filter=name%3D%27model%27")),
    "OTLP of five spans": (50, lambda s, ids, n: export(s.server, 1_000 + n)),
    "traces/search": (20, lambda s, ids, n: s.ask("POST", "/api/3.0/mlflow/traces/search", {"locations": LOCATION, "max_results": 25})),
    "traces/get": (50, lambda s, ids, n: s.ask("GET", f"/api/3.0/mlflow/traces/get?trace_id={ids['trace']}")),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_takes_the_instructions_that_are_recorded(name, counted, request):
    server, ids = counted
    times, call = CALLS[name]
    found = server.instructions(lambda number: call(server, ids, number), times)
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    if request.config.getoption("mode") == "record":
        recorded[name] = found
        RECORDED.write_text(json.dumps({key: recorded[key] for key in CALLS if key in recorded}, indent=2) + "\n")
        return
    change = found / recorded[name] - 1
    assert change < SHARE, f"{name}: {found:,} instructions, {change:+.1%} of what is recorded"
