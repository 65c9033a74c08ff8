"""The life of runs."""

from step import get, post

RUN = {"run": "run.info.run_id"}


def steps():
    yield post("experiments/create", {"name": "runs"}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "start_time": 1234, "user_id": "me", "run_name": "one",
                               "tags": [{"key": "a", "value": "b"}]}, save=RUN)
    yield get("runs/get", {"run_id": "{run}"})
    yield get("runs/get", {"run_uuid": "{run}"})
    yield get("runs/get", {"run_id": "nope"})
    yield get("runs/get", {"run_id": ""})
    yield get("runs/get")
    yield get("runs/get", {"run_id": "{run}", "unknown": "x"})
    yield post("runs/create", {"experiment_id": "{exp}"}, save={"unnamed": "run.info.run_id", "name": "run.info.run_name"})
    yield post("runs/create", {}, differs="a run without an experiment goes to the default one, as the reference means it to; there the row is refused", expect=(200, None))
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "x", "tags": [{"key": "mlflow.runName", "value": "x"}]}, save={"same": "run.info.run_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "x", "tags": [{"key": "mlflow.runName", "value": "y"}]})
    yield post("runs/create", {"experiment_id": "{exp}", "tags": [{"key": "mlflow.runName", "value": "tagged"}]}, save={"tagged": "run.info.run_id"})
    for body in ({"experiment_id": "99999"}, {"experiment_id": "x"}, {"experiment_id": 5}, {"experiment_id": "{exp}", "start_time": "x"},
                 {"experiment_id": "{exp}", "tags": "x"}, {"experiment_id": "{exp}", "run_name": 1}, {"experiment_id": "{exp}", "start_time": 1.5},
                 {"experiment_id": "{exp}", "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}):
        yield post("runs/create", body)
    yield post("runs/create", {"experiment_id": "{exp}", "start_time": "77", "run_name": "text time"}, save={"texttime": "run.info.run_id"})

    for body in ({"status": "FINISHED", "end_time": 99}, {"run_name": "two"}, {"status": "RUNNING"}, {"end_time": 0}, {"run_name": ""},
                 {"status": 4}, {}, {"run_name": "ü雪"}):
        yield post("runs/update", {"run_id": "{run}", **body})
        yield get("runs/get", {"run_id": "{run}"})
    for body in ({"run_id": "nope"}, {}, {"run_id": "{run}", "status": "NOPE"}, {"run_id": "{run}", "end_time": "x"},
                 {"run_id": "{run}", "status": 99}, {"run_uuid": "{run}", "run_name": "by uuid"}):
        yield post("runs/update", body)

    yield post("runs/set-tag", {"run_id": "{run}", "key": "t", "value": "1"})
    yield post("runs/set-tag", {"run_id": "{run}", "key": "t", "value": "2"})
    yield post("runs/set-tag", {"run_uuid": "{run}", "key": "t", "value": "3"})
    yield post("runs/set-tag", {"run_id": "{run}", "key": "mlflow.runName", "value": "named by tag"})
    yield get("runs/get", {"run_id": "{run}"})
    for body in ({"key": "t", "value": "x"}, {"run_id": "nope", "key": "t", "value": "x"}, {"run_id": "{run}", "value": "x"},
                 {"run_id": "{run}", "key": "bad#key", "value": "x"}, {"run_id": "{run}", "key": "../up", "value": "x"},
                 {"run_id": "{run}", "key": "k" * 251, "value": "x"}, {"run_id": "{run}", "key": "k" * 250, "value": "x"},
                 {"run_id": "{run}", "key": "long", "value": "v" * 8000}, {"run_id": "{run}", "key": "cut", "value": "v" * 8001},
                 {"run_id": "{run}", "key": "t", "value": 1}, {"run_id": 1, "key": "t", "value": "x"}, {"run_id": "{run}", "key": "empty", "value": ""},
                 {"run_id": "{run}", "key": "absent"}):
        yield post("runs/set-tag", body)
    yield get("runs/get", {"run_id": "{run}"})
    yield post("runs/delete-tag", {"run_id": "{run}", "key": "t"})
    yield post("runs/delete-tag", {"run_id": "{run}", "key": "t"})
    yield post("runs/delete-tag", {"run_id": "nope", "key": "t"})
    yield post("runs/delete-tag", {"run_id": "{run}"})

    yield post("runs/delete", {"run_id": "{run}"})
    yield post("runs/delete", {"run_id": "{run}"})
    yield get("runs/get", {"run_id": "{run}"})
    for path, body in (("set-tag", {"key": "t", "value": "x"}), ("delete-tag", {"key": "a"}), ("log-metric", {"key": "m", "value": 1, "timestamp": 1}),
                       ("log-parameter", {"key": "p", "value": "1"}), ("update", {"run_name": "x"}), ("log-batch", {"metrics": []}),
                       ("log-inputs", {"datasets": []}), ("outputs", {"models": [{"model_id": "m", "step": 0}]}),
                       ("log-batch", {"tags": [{"key": "a", "value": "b"}]})):
        yield post(f"runs/{path}", {"run_id": "{run}", **body})
    yield post("runs/restore", {"run_id": "{run}"})
    yield post("runs/restore", {"run_id": "{run}"})
    yield post("runs/restore", {"run_id": "nope"})
    yield post("runs/delete", {"run_id": "nope"})
    yield post("runs/delete", {})
    yield get("runs/get", {"run_id": "{run}"})

    model = '{"run_id": "x", "artifact_path": "model", "utc_time_created": "2024-01-01 00:00:00.0", "flavors": {"a": {"config": 1, "b": 2}}}'
    yield post("runs/log-model", {"run_id": "{run}", "model_json": model})
    yield post("runs/log-model", {"run_id": "{run}", "model_json": "{"})
    yield post("runs/log-model", {"run_id": "{run}", "model_json": "{}"})
    yield post("runs/log-model", {"run_id": "nope", "model_json": model})
    yield post("runs/log-model", {"run_id": "{run}"})
