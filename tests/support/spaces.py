"""Fills a workspace through the API with something of every family, and reads it back."""

import itertools
from dataclasses import dataclass
from typing import Any

import requests

#: A public address, which no test sends anything to.
_HOOK = "https://93.184.216.34/hook"
_PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Caller:
    """Sends requests in a workspace of a server; without a name in none."""

    url: str
    space: str | None = None

    def ask(self, method: str, path: str, body: Any = None, query: dict | None = None) -> requests.Response:
        headers = {"X-MLFLOW-WORKSPACE": self.space} if self.space else {}
        path = path if path.startswith("/") else f"/api/2.0/mlflow/{path}"
        return requests.request(method, self.url + path, json=body, params=query, headers=headers, timeout=60)

    def post(self, path: str, **body) -> dict:
        return _right(self.ask("POST", path, body))

    def get(self, path: str, **query) -> dict:
        return _right(self.ask("GET", path, query=query))


@dataclass(frozen=True)
class Content:
    """Names and ids of what `fill` made."""

    name: str
    experiment: str
    run: str
    model: str
    trace: str
    dataset: str
    schema: str
    queue: str
    issue: str
    webhook: str


def create(url: str, name: str, **settings) -> None:
    """Creates a workspace."""
    answer = Caller(url).ask("POST", "/api/3.0/mlflow/workspaces", {"name": name, **settings})
    assert answer.status_code == 201, answer.text


def fill(caller: Caller, name: str) -> Content:
    """Writes something of every family; experiments, models, prompts, datasets and webhooks have the name in theirs."""
    v3 = "/api/3.0/mlflow"
    tags = [{"key": "team", "value": "blue"}]
    experiment = caller.post("experiments/create", name=name, tags=tags)["experiment_id"]
    run = caller.post("runs/create", experiment_id=experiment, run_name="first", user_id="ada", start_time=1_000)["run"]["info"]["run_id"]
    metrics = [{"key": "loss", "value": value, "timestamp": 1_000 + step, "step": step} for step, value in enumerate((1.5, 0.1, "NaN"))]
    caller.post("runs/log-batch", run_id=run, metrics=metrics, params=[{"key": "lr", "value": "1e-3"}], tags=[{"key": "emoji", "value": "🧪"}])
    model = caller.post("logged-models", experiment_id=experiment, name="m", source_run_id=run, params=[{"key": "depth", "value": "3"}])["model"]["info"]["model_id"]
    dataset = {"name": "iris", "digest": "abc123", "source_type": "local", "source": "{}"}
    caller.post("runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "training"}]}])
    caller.post("runs/outputs", run_id=run, models=[{"model_id": model, "step": 1}])
    caller.post("registered-models/create", name=name, tags=tags, description="größe")
    caller.post("model-versions/create", name=name, source="s3://bucket/x", run_id=run, tags=tags)
    caller.post("registered-models/alias", name=name, alias="best", version="1")
    caller.post("registered-models/create", name=f"{name} prompt", tags=[_PROMPT])
    caller.post("model-versions/create", name=f"{name} prompt", source="dummy-source", tags=[_PROMPT, {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}])
    trace = f"tr-{next(_numbers)}-{experiment}"
    info = {
        "trace_id": trace,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": "2023-11-14T22:13:20.123Z",
        "execution_duration": "1.5s",
        "state": "OK",
        "tags": {"mlflow.traceName": "agent", "team": "blue"},
        "trace_metadata": {"mlflow.trace.session": "s"},
    }
    caller.post(f"{v3}/traces", trace={"trace_info": info})
    said = {"assessment_name": "good", "source": {"source_type": "HUMAN", "source_id": "ann"}, "feedback": {"value": True}}
    caller.post(f"{v3}/traces/{trace}/assessments", assessment=said)
    made = caller.post(f"{v3}/datasets/create", name=name, experiment_ids=[experiment], tags='{"team": "blue"}')["dataset"]["dataset_id"]
    caller.post(f"{v3}/datasets/{made}/records", records='[{"inputs": {"question": "größe"}, "expectations": {"answer": 1}}]')
    schema = caller.post(f"{v3}/label-schemas/create", experiment_id=experiment, name="good?", type="FEEDBACK", input={"text": {}})["label_schema"]["schema_id"]
    queue = caller.post(f"{v3}/review-queues/create", experiment_id=experiment, name="night", queue_type="CUSTOM", users=["ann"], schema_ids=[schema])["review_queue"]["queue_id"]
    caller.post(f"{v3}/review-queues/items/add", queue_id=queue, item_ids=[trace])
    issue = caller.post(f"{v3}/issues", experiment_id=experiment, name="slow", description="It is slow.")["issue"]["issue_id"]
    caller.post(f"{v3}/scorers/register", experiment_id=experiment, name="judge", serialized_scorer='{"a": 1}')
    webhook = caller.post("webhooks", name=f"hook-{name.replace(' ', '-')}", url=_HOOK, events=[{"entity": "REGISTERED_MODEL", "action": "CREATED"}])["webhook"]["webhook_id"]
    caller.post("runs/update", run_id=run, status="FINISHED", end_time=2_000)
    return Content(name, experiment, run, model, trace, made, schema, queue, issue, webhook)


def calls(content: Content) -> list[tuple[str, str, Any, dict | None]]:
    """What reads all of it: method, path, body and query."""
    v3 = "/api/3.0/mlflow"
    name, experiment, run = content.name, content.experiment, content.run
    return [
        ("GET", "experiments/get", None, {"experiment_id": experiment}),
        ("GET", "experiments/get-by-name", None, {"experiment_name": name}),
        ("POST", "experiments/search", {"max_results": 1000, "order_by": ["experiment_id"]}, None),
        ("GET", "runs/get", None, {"run_id": run}),
        ("POST", "runs/search", {"experiment_ids": [experiment], "filter": "params.lr = '1e-3'"}, None),
        ("GET", "metrics/get-history", None, {"run_id": run, "metric_key": "loss"}),
        ("GET", f"logged-models/{content.model}", None, None),
        ("POST", "logged-models/search", {"experiment_ids": [experiment]}, None),
        ("GET", "registered-models/get", None, {"name": name}),
        ("GET", "registered-models/get", None, {"name": f"{name} prompt"}),
        ("GET", "registered-models/search", None, {"filter": f"name LIKE '{name}%'"}),
        ("GET", "registered-models/alias", None, {"name": name, "alias": "best"}),
        ("GET", "model-versions/get", None, {"name": name, "version": "1"}),
        ("GET", "model-versions/search", None, {"filter": f"run_id = '{run}'"}),
        ("GET", f"{v3}/traces/{content.trace}", None, None),
        ("POST", f"{v3}/traces/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}]}, None),
        ("GET", f"{v3}/datasets/{content.dataset}", None, None),
        ("GET", f"{v3}/datasets/{content.dataset}/records", None, None),
        ("GET", f"{v3}/datasets/{content.dataset}/experiment-ids", None, None),
        ("POST", f"{v3}/datasets/search", {"filter_string": f"name = '{name}'"}, None),
        ("GET", f"{v3}/label-schemas/get", None, {"schema_id": content.schema}),
        ("GET", f"{v3}/label-schemas/list", None, {"experiment_id": experiment}),
        ("GET", f"{v3}/review-queues/get", None, {"queue_id": content.queue}),
        ("GET", f"{v3}/review-queues/items/list", None, {"queue_id": content.queue}),
        ("GET", f"{v3}/issues/{content.issue}", None, None),
        ("POST", f"{v3}/issues/search", {"experiment_id": experiment}, None),
        ("GET", f"{v3}/scorers/get", None, {"experiment_id": experiment, "name": "judge"}),
        ("GET", f"{v3}/scorers/list", None, {"experiment_id": experiment}),
        ("GET", f"webhooks/{content.webhook}", None, None),
    ]


def read(caller: Caller, content: Content) -> dict[str, tuple[int, Any]]:
    """The answers to all calls, by what was asked: status and body."""
    found = {}
    for method, path, body, query in calls(content):
        answer = caller.ask(method, path, body, query)
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        found[f"{method} {path} {body or query or ''}"] = answer.status_code, sort(answer.json()) if is_json else answer.text
    return found


def sort(value):
    """The reference gives the metrics, params and tags of an object in no particular order. Page tokens are each server's own."""
    if isinstance(value, dict):
        return {key: key if key == "next_page_token" else sort(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [sort(item) for item in value]
        return sorted(items, key=repr) if all(isinstance(item, dict) and "key" in item for item in items) else items
    return value


def _right(answer: requests.Response) -> dict:
    assert answer.status_code == 200, f"{answer.request.method} {answer.request.url} {answer.request.body}: {answer.status_code} {answer.text}"
    return answer.json()
