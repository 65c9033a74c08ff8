"""Workspaces that hold something are deleted: refused, purged with it, or emptied into the default workspace."""

from step import Step, get, post, within

from .traces import info, start
from .webhooks import new
from .workspaces_tracking import AS_UNKNOWN

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"
DATASETS = "/api/3.0/mlflow/datasets"

#: The kinds of things that a workspace holds itself.
KINDS = ("experiment", "model", "webhook", "dataset")


def remove(name, mode=None, **rest):
    return Step("DELETE", f"{API}/{name}", query=None if mode is None else {"mode": mode}, **rest)


def made(kind, name):
    """A thing of a kind in the workspace of the request."""
    key = name.replace(" ", "-")
    match kind:
        case "experiment":
            return post("experiments/create", {"name": name, "tags": [{"key": "k", "value": "v"}]}, save={f"experiment-{key}": "experiment_id"})
        case "model":
            return post("registered-models/create", {"name": name, "tags": [{"key": "k", "value": "v"}]})
        case "webhook":
            return post("webhooks", new(name=key), save={f"webhook-{key}": "webhook.webhook_id"})
        case "dataset":
            return Step("POST", f"{DATASETS}/create", {"name": name, "tags": '{"k": "v"}'}, save={f"dataset-{key}": "dataset.dataset_id"})


def found(kind, name):
    key = name.replace(" ", "-")
    match kind:
        case "experiment":
            return get("experiments/get", {"experiment_id": f"{{experiment-{key}}}"})
        case "model":
            return get("registered-models/get", {"name": name})
        case "webhook":
            return get(f"webhooks/{{webhook-{key}}}")
        case "dataset":
            return Step("GET", f"{DATASETS}/{{dataset-{key}}}")


def steps():
    yield from one_of_each()
    yield from everything()
    yield from collisions()
    yield from deleted_things()
    yield from used_names()


def one_of_each():
    """One thing alone keeps a workspace from being deleted."""
    for kind in KINDS:
        for mode in ("CASCADE", "SET_DEFAULT"):
            space, name = f"one-{kind}", f"{kind} of {mode.lower()}"
            yield Step("POST", API, {"name": space})
            yield from within(space, [made(kind, name), found(kind, name)])
            yield remove(space)
            yield remove(space, "RESTRICT")
            yield from within(space, [found(kind, name)])
            yield found(kind, name)
            yield remove(space, mode)
            yield from within(space, [found(kind, name)])
            yield found(kind, name)


def everything():
    """All at once, with what hangs from it."""
    for mode in ("CASCADE", "SET_DEFAULT"):
        space = f"full-{mode.lower().replace('_', '-')}"
        name = f"full {mode}"
        yield Step("POST", API, {"name": space})
        yield from within(space, filled(name))
        yield remove(space)
        yield remove(space, mode)
        yield from read(name)
        yield Step("POST", API, {"name": space})
        yield from within(space, read(name))
        yield remove(space)


def filled(name):
    yield post("experiments/create", {"name": name}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "full"}, save={"run": "run.info.run_id"})
    yield post("runs/log-batch", {"run_id": "{run}", "metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}], "params": [{"key": "p", "value": "x"}], "tags": [{"key": "t", "value": "x"}]})
    yield post("logged-models", {"experiment_id": "{exp}", "name": "full", "source_run_id": "{run}"}, save={"model": "model.info.model_id"})
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "/x"}
    yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": dataset}]})
    yield start(info(f"tr-{name.replace(' ', '-')}", tags={"a": "b"}))
    yield post(f"/api/3.0/mlflow/traces/tr-{name.replace(' ', '-')}/assessments", {"assessment": {"assessment_name": "good", "source": {"source_type": "HUMAN", "source_id": "me"}, "feedback": {"value": True}}})
    yield post("registered-models/create", {"name": name})
    yield post("model-versions/create", {"name": name, "source": "s3://b/x", "run_id": "{run}", "tags": [{"key": "k", "value": "v"}]})
    yield post("registered-models/alias", {"name": name, "alias": "best", "version": "1"})
    yield Step("POST", f"{DATASETS}/create", {"name": name, "experiment_ids": ["{exp}"]}, save={"set": "dataset.dataset_id"})
    yield Step("POST", f"{DATASETS}/{{set}}/records", {"records": '[{"inputs": {"a": 1}}]'})
    yield Step("POST", "/api/3.0/mlflow/label-schemas/create", {"experiment_id": "{exp}", "name": "good?", "type": "FEEDBACK", "input": {"text": {}}}, save={"schema": "label_schema.schema_id"})
    yield Step("POST", "/api/3.0/mlflow/review-queues/create", {"experiment_id": "{exp}", "name": "night", "queue_type": "CUSTOM", "schema_ids": ["{schema}"]}, save={"queue": "review_queue.queue_id"})
    yield Step("POST", "/api/3.0/mlflow/issues", {"experiment_id": "{exp}", "name": "slow", "description": "It is slow."}, save={"issue": "issue.issue_id"})
    yield Step("POST", "/api/3.0/mlflow/scorers/register", {"experiment_id": "{exp}", "name": "judge", "serialized_scorer": '{"a": 1}'})
    yield post("webhooks", new(name="full"), save={"hook": "webhook.webhook_id"})


def read(name):
    yield get("experiments/get-by-name", {"experiment_name": name})
    yield get("experiments/get", {"experiment_id": "{exp}"})
    yield get("runs/get", {"run_id": "{run}"})
    yield get("metrics/get-history", {"run_id": "{run}", "metric_key": "m"}, differs=AS_UNKNOWN)
    yield get("logged-models/{model}")
    yield get(f"/api/3.0/mlflow/traces/tr-{name.replace(' ', '-')}")
    yield get("registered-models/get", {"name": name})
    yield get("model-versions/get", {"name": name, "version": "1"})
    yield get("registered-models/alias", {"name": name, "alias": "best"})
    yield Step("GET", f"{DATASETS}/{{set}}")
    yield Step("GET", f"{DATASETS}/{{set}}/records")
    yield Step("GET", "/api/3.0/mlflow/label-schemas/get", query={"schema_id": "{schema}"})
    yield Step("GET", "/api/3.0/mlflow/review-queues/get", query={"queue_id": "{queue}"})
    yield Step("GET", "/api/3.0/mlflow/issues/{issue}")
    yield Step("GET", "/api/3.0/mlflow/scorers/get", query={"experiment_id": "{exp}", "name": "judge"})
    yield get("webhooks/{hook}")


def collisions():
    """What is moved must not have the name of something that is in the default workspace."""
    yield Step("POST", API, {"name": "colliding"})
    for kind in KINDS:
        name = f"same {kind}"
        yield made(kind, name)
        yield from within("colliding", [made(kind, name)])
        yield remove("colliding", "SET_DEFAULT")
    yield made("experiment", "same other")
    yield made("model", "same other")
    yield from within("colliding", [made("experiment", "same other"), made("experiment", "not the same"), made("model", "same other")])
    yield remove("colliding", "SET_DEFAULT")
    yield from within("colliding", [get("experiments/get-by-name", {"experiment_name": "not the same"})])
    # Of those in the trash, too.
    yield from within("colliding", [post("experiments/delete", {"experiment_id": "{experiment-same-other}"})])
    yield remove("colliding", "SET_DEFAULT")
    yield remove("colliding", "CASCADE")
    yield get("experiments/get-by-name", {"experiment_name": "same experiment"})
    yield get("registered-models/get", {"name": "same model"})


def deleted_things():
    """An experiment in the trash keeps a workspace as one that is active."""
    yield Step("POST", API, {"name": "trashed"})
    yield from within("trashed", [made("experiment", "in the trash"), post("experiments/delete", {"experiment_id": "{experiment-in-the-trash}"})])
    yield remove("trashed")
    yield remove("trashed", "SET_DEFAULT")
    yield found("experiment", "in the trash")
    yield post("experiments/restore", {"experiment_id": "{experiment-in-the-trash}"})


def used_names():
    """A workspace that is made again is empty, and what it gets is its own."""
    yield Step("POST", API, {"name": "again"})
    yield from within("again", [made("experiment", "twice"), made("model", "twice")])
    yield remove("again", "CASCADE")
    yield Step("POST", API, {"name": "again"})
    yield from within("again", [found("experiment", "twice"), found("model", "twice"), made("experiment", "twice"), made("model", "twice"), found("experiment", "twice"), found("model", "twice")])
    yield remove("again", "CASCADE")
