"""What may be done with deleted runs, experiments and models, and with those that never were."""

from step import Step, delete, get, patch, post

DATASET = {"name": "d", "digest": "1", "source_type": "s", "source": "x"}
WRITES = {
    "runs/update": {"status": "FINISHED"},
    "runs/set-tag": {"key": "t", "value": "1"},
    "runs/delete-tag": {"key": "kept"},
    "runs/log-metric": {"key": "m", "value": 1, "timestamp": 1},
    "runs/log-parameter": {"key": "p", "value": "1"},
    "runs/log-batch": {"tags": [{"key": "t", "value": "2"}]},
    "runs/log-model": {"model_json": '{"artifact_path": "m", "flavors": {}, "utc_time_created": "x", "run_id": "r"}'},
    "runs/log-inputs": {"datasets": [{"dataset": DATASET}]},
    "runs/outputs": {"models": [{"model_id": "m-1", "step": 0}]},
    "runs/delete": {},
}
ODD_IDS = ["nope", "", "0" * 32, "a" * 33, "../x", "a b", "é", "'; DROP TABLE runs; --", "%", None, 0]


def steps():
    yield post("experiments/create", {"name": "parent"}, save={"exp": "experiment_id"})
    tags = [{"key": "kept", "value": "1"}]
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "child", "tags": tags}, save={"run": "run.info.run_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "gone"}, save={"gone": "run.info.run_id"})
    yield post("logged-models", {"experiment_id": "{exp}", "name": "model"}, save={"model": "model.info.model_id"})
    yield post("runs/delete", {"run_id": "{gone}"})
    for path, body in WRITES.items():
        for run_id in ODD_IDS:
            yield post(path, {"run_id": run_id, **body})
    for run_id in ODD_IDS:
        yield post("runs/restore", {"run_id": run_id})
        yield get("runs/get", {"run_id": run_id})

    yield post("experiments/delete", {"experiment_id": "{exp}"})
    for run in ("{run}", "{gone}"):
        yield get("runs/get", {"run_id": run})
        for path, body in WRITES.items():
            yield post(path, {"run_id": run, **body})
        yield post("runs/restore", {"run_id": run})
        yield get("runs/get", {"run_id": run})
        yield get("artifacts/list", {"run_id": run})
        yield get("metrics/get-history", {"run_id": run, "metric_key": "m"})
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"):
        yield post("runs/search", {"experiment_ids": ["{exp}"], "run_view_type": view, "order_by": ["run_name"]})
        yield post("experiments/search", {"view_type": view, "max_results": 5, "filter": "name = 'parent'"})
    yield post("logged-models", {"experiment_id": "{exp}", "name": "late"})
    yield get("logged-models/{model}")
    yield patch("logged-models/{model}", {"status": 2})
    yield patch("logged-models/{model}/tags", {"tags": [{"key": "t", "value": "1"}]})
    yield post("logged-models/search", {"experiment_ids": ["{exp}"]})
    yield post("experiments/set-experiment-tag", {"experiment_id": "{exp}", "key": "k", "value": "v"})
    yield post("experiments/delete-experiment-tag", {"experiment_id": "{exp}", "key": "k"})
    yield post("experiments/update", {"experiment_id": "{exp}", "new_name": "dead"})
    yield get("experiments/get-by-name", {"experiment_name": "parent"})
    yield post("experiments/create", {"name": "parent"})
    yield post("experiments/restore", {"experiment_id": "{exp}"})
    yield post("runs/search", {"experiment_ids": ["{exp}"], "run_view_type": "ALL", "order_by": ["run_name"]})
    yield post("experiments/update", {"experiment_id": "{exp}", "new_name": "Default"},
               differs="a name that is taken has its own code, as when an experiment is created", expect=(400, "RESOURCE_ALREADY_EXISTS"))
    yield post("experiments/update", {"experiment_id": "{exp}", "new_name": "parent"})

    yield delete("logged-models/{model}")
    yield delete("logged-models/{model}")
    yield from (patch("logged-models/{model}", {"status": 2}), patch("logged-models/{model}/tags", {"tags": [{"key": "t", "value": "1"}]}),
                post("logged-models/{model}/params", {"params": [{"key": "t", "value": "1"}]}), delete("logged-models/{model}/tags/t"),
                get("logged-models/{model}/artifacts/directories"), post("logged-models/search", {"experiment_ids": ["{exp}"]}),
                post("runs/log-metric", {"run_id": "{run}", "key": "m", "value": 1, "timestamp": 1, "model_id": "{model}"}))  # fmt: skip

    for experiment in ("0", "99999", "x", "", None, "-1", "1 "):
        for path, body in (("experiments/restore", {}), ("experiments/update", {"new_name": "n"}), ("experiments/delete-experiment-tag", {"key": "k"})):
            yield post(path, {"experiment_id": experiment, **(body if experiment != "0" else {})})
    yield get("experiments/get", {"experiment_id": "٠"}, differs="ids are written in the digits 0 to 9", expect=(400, "INVALID_PARAMETER_VALUE"))
    yield post("experiments/delete", {"experiment_id": "0"})
    yield get("experiments/get", {"experiment_id": "0"})
    yield post("runs/create", {"experiment_id": "0"})
    yield post("experiments/restore", {"experiment_id": "0"})
    yield Step("GET", "/ajax-api/2.0/mlflow/experiments/get", query={"experiment_id": "0"})
