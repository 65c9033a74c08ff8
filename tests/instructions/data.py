"""What the counted server has: a few hundred rows of each kind."""

import json
import urllib.request

from support.servers import Server

#: Points of the metric that is drawn.
POINTS = 2_000
RUNS = 200
TRACES = 40


def ask(server: Server, method: str, path: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.loads(response.read() or b"{}")


def spans(trace: int) -> dict:
    """A trace of five spans as OpenTelemetry's exporters send it."""
    start = 1_760_000_000_000_000_000 + trace * 1_000_000_000
    attributes = [{"key": "mlflow.spanInputs", "value": {"stringValue": json.dumps({"question": "word " * 100})}}]
    made = [
        {"traceId": f"{trace + 1:032x}", "spanId": f"{number:016x}", "name": f"step {number}", "startTimeUnixNano": str(start + number),
         "endTimeUnixNano": str(start + 900_000_000 - number), "attributes": attributes}
        | ({"parentSpanId": f"{1:016x}"} if number > 1 else {})
        for number in range(1, 6)
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}


def export(server: Server, trace: int) -> None:
    headers = {"Content-Type": "application/json", "x-mlflow-experiment-id": "0"}
    request = urllib.request.Request(server.url + "/v1/traces", json.dumps(spans(trace)).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        assert response.status == 200


def fill(server: Server) -> dict[str, str]:
    """Runs, points, versions of a model, and traces. Returns the ids that the calls name."""
    run = ""
    for number in range(RUNS):
        made = ask(server, "POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0", "start_time": number, "run_name": f"run-{number}"})
        run = made["run"]["info"]["run_id"]
        values = {
            "metrics": [{"key": f"m{key}", "value": number * key, "timestamp": 1, "step": 1} for key in range(5)],
            "params": [{"key": f"p{key}", "value": str(number % 7)} for key in range(5)],
            "tags": [{"key": f"t{key}", "value": str(number % 3)} for key in range(5)],
        }
        ask(server, "POST", "/api/2.0/mlflow/runs/log-batch", {"run_id": run, **values})
    for first in range(0, POINTS, 1_000):
        points = [{"key": "loss", "value": step / 3, "timestamp": step, "step": step} for step in range(first, first + 1_000)]
        ask(server, "POST", "/api/2.0/mlflow/runs/log-batch", {"run_id": run, "metrics": points})
    ask(server, "POST", "/api/2.0/mlflow/registered-models/create", {"name": "model"})
    for _ in range(20):
        ask(server, "POST", "/api/2.0/mlflow/model-versions/create", {"name": "model", "source": f"mlflow-artifacts:/0/{run}/artifacts/m", "run_id": run})
    for trace in range(TRACES):
        export(server, trace)
    return {"run": run, "trace": f"tr-{1:032x}"}
