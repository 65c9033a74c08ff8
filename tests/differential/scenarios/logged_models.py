"""Logged models, datasets and outputs of runs."""

from step import Step, api, get, patch, post


def steps():
    yield post("experiments/create", {"name": "models"}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "maker"}, save={"run": "run.info.run_id"})
    for name, start in (("alpha", 1), ("beta", 2), ("gamma", 3)):
        yield post("logged-models", {"experiment_id": "{exp}", "name": name, "model_type": "t", "source_run_id": "{run}",
                                     "params": [{"key": "lr", "value": str(start)}], "tags": [{"key": "team", "value": name[0]}]}, save={name: "model.info.model_id"})
        yield post("runs/log-metric", {"run_id": "{run}", "key": "acc", "value": start / 4, "timestamp": start, "model_id": "{" + name + "}", "dataset_name": "d", "dataset_digest": "1"})
    yield post("logged-models", {"experiment_id": "0"}, save={"unnamed": "model.info.model_id", "name": "model.info.name"})
    for body in ({}, {"experiment_id": "99999"}, {"experiment_id": "x"}, {"experiment_id": "{exp}", "name": 1}, {"experiment_id": "{exp}", "params": "x"},
                 {"experiment_id": "{exp}", "name": "a/b"}, {"experiment_id": "{exp}", "name": "n" * 501}, {"experiment_id": "{exp}", "name": "dots.and:colons"}):
        yield post("logged-models", body)
    yield get("logged-models/{alpha}")
    yield get("logged-models/m-nope")
    yield patch("logged-models/{alpha}", {"model_id": "{alpha}", "status": "LOGGED_MODEL_READY"})
    yield patch("logged-models/{alpha}", {"model_id": "{alpha}", "status": 3})
    yield patch("logged-models/{alpha}", {"model_id": "{alpha}"})
    yield patch("logged-models/{alpha}", {"status": 2})
    yield patch("logged-models/m-nope", {"model_id": "m-nope", "status": 2})
    yield post("logged-models/{alpha}/params", {"model_id": "{alpha}", "params": [{"key": "more", "value": "1"}]})
    yield post("logged-models/{alpha}/params", {"params": [{"key": "more", "value": "1"}]})
    yield patch("logged-models/{alpha}/tags", {"tags": [{"key": "team", "value": "z"}, {"key": "new", "value": "1"}, {"key": "new", "value": "2"}]})
    yield patch("logged-models/m-nope/tags", {"tags": []})
    yield Step("DELETE", api("logged-models/{alpha}/tags/new"))
    yield Step("DELETE", api("logged-models/{alpha}/tags/new"))
    yield Step("DELETE", api("logged-models/m-nope/tags/new"))
    yield get("logged-models/{alpha}")

    search = {"experiment_ids": ["{exp}"]}
    for filter_ in ("", "name = 'alpha'", "name LIKE '%a'", "name ILIKE 'A%'", "name != 'alpha'", "attributes.name = 'beta'", "params.lr = '2'", "params.lr != '2'", "tags.team = 'b'",
                    "metrics.acc > 0.3", "metrics.acc <= 0.5", "metrics.acc = 0.75", "metrics.nope > 0", "creation_timestamp > 0", "model_id IN ('{alpha}', '{beta}')",
                    "attributes.model_id IN ('{beta}')", "status = '2'", "model_type = 't'", "source_run_id = '{run}'", "name = 'alpha' AND metrics.acc > 0"):
        yield post("logged-models/search", {**search, "filter": filter_})
    for filter_ in ("name", "name =", "name > 'x'", "nope.x = 'y'", "metrics.acc = 'x'", "metrics.acc LIKE 'x'", "params.lr > '1'", "name = 'a' OR name = 'b'", "name = x", "name IN 'x'", ";"):
        yield post("logged-models/search", {**search, "filter": filter_})
    for order in ([{"field_name": "name"}], [{"field_name": "name", "ascending": False}], [{"field_name": "metrics.acc", "ascending": False}],
                  [{"field_name": "metrics.acc", "dataset_name": "d"}], [{"field_name": "metrics.acc", "dataset_name": "other"}], [{"field_name": "creation_timestamp"}],
                  [{"field_name": "creation_time", "ascending": False}], [{"field_name": "nope"}], [{"field_name": "params.lr"}], [{}], ["name"], "x"):
        yield post("logged-models/search", {**search, "order_by": order})
    yield post("logged-models/search", {**search, "datasets": [{"dataset_name": "d", "dataset_digest": "1"}], "filter": "metrics.acc > 0.3"})
    yield post("logged-models/search", {**search, "datasets": [{"dataset_name": "other", "dataset_digest": "1"}]})
    yield post("logged-models/search", {**search, "datasets": [{}]})
    yield post("logged-models/search", {**search, "datasets": [{"dataset_name": "d"}]},
               differs="a dataset without a digest stands for all its versions; the reference looks for metrics without a digest", expect=(200, None))
    by_name = {**search, "order_by": [{"field_name": "name"}], "filter": "name LIKE '%a'", "max_results": 2}
    yield post("logged-models/search", by_name, save={"page": "next_page_token"})
    yield post("logged-models/search", {**by_name, "page_token": "{page}"})
    for body in ({}, {"experiment_ids": []}, {"experiment_ids": ["x"]}, {"experiment_ids": "x"}, {**search, "max_results": "x"}, {**search, "page_token": "!!!"}):
        yield post("logged-models/search", body)

    yield post("runs/outputs", {"run_id": "{run}", "models": [{"model_id": "{alpha}", "step": 3}]})
    for body in ({"run_id": "nope", "models": [{"model_id": "x", "step": 0}]}, {"run_id": "{run}"}, {"models": []}, {"run_id": "{run}", "models": "x"}):
        yield post("runs/outputs", body)
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "/x", "schema": "{}", "profile": "p"}
    tags = [{"key": "mlflow.data.context", "value": "train"}]
    yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": dataset, "tags": tags}], "models": [{"model_id": "{beta}"}]})
    yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": dataset, "tags": []}, {"dataset": {**dataset, "name": "e"}}]})
    for change in ({"name": ""}, {"digest": ""}, {"source_type": ""}, {"source": ""}, {"name": "n" * 501}, {"digest": "d" * 37}, {"schema": "s" * 1048576}, {"source": "s" * 65536}):
        yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": {**dataset, **change}}]})
    for tag in ({"key": "", "value": "x"}, {"key": "k" * 256, "value": "x"}, {"key": "k", "value": "v" * 501}, {"key": "k"}):
        yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": {**dataset, "name": "f"}, "tags": [tag]}]})
    for body in ({}, {"run_id": "nope"}, {"run_id": "{run}", "datasets": "x"}, {"run_id": "{run}", "datasets": [1]}, {"run_id": "{run}", "datasets": [{}]}, {"run_id": "bad id!"}):
        yield post("runs/log-inputs", body)
    yield get("runs/get", {"run_id": "{run}"})
    search = "/ajax-api/2.0/mlflow/experiments/search-datasets"
    yield post(search, {"experiment_ids": ["{exp}"]})
    for body in ({}, {"experiment_ids": []}, {"experiment_ids": ["1"] * 21}, {"experiment_ids": ["x"]}):
        yield post(search, body)
    yield Step("DELETE", api("logged-models/{beta}"))
    yield get("logged-models/{beta}")
    yield get("logged-models/{beta}", {"allow_deleted": "true"})
    yield Step("DELETE", api("logged-models/m-nope"))

    yield post("experiments/create", {"name": "many models"}, save={"many": "experiment_id"})
    for number in range(51):
        yield post("logged-models", {"experiment_id": "{many}", "name": f"m{number}"})
    search = {"experiment_ids": ["{many}"], "order_by": [{"field_name": "name"}]}
    yield post("logged-models/search", search)
    yield post("logged-models/search", {**search, "max_results": 0})
