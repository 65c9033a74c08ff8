"""Experiments, runs and logged models of the same names in two workspaces, and the ids of each in the other."""

from step import Step, api, get, patch, post, within

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"
SPACES = ("track-a", "track-b")

AS_UNKNOWN = "an id of another workspace is answered as an unknown one is answered everywhere; the reference has other answers where it has workspaces"
TAKEN = "a name that is taken is said to be; the reference shows the error of its database"


def steps():
    yield Step("POST", API, {"name": "track-a"})
    yield Step("POST", API, {"name": "track-b", "default_artifact_root": "s3://bucket/team-b"})
    for space in SPACES:
        yield from within(space, made(space))
    for space in SPACES:
        yield from within(space, found())
    # None of it is in the default workspace, which has the first experiment.
    yield from found(default=True)
    yield from locations()
    # What is in one workspace, asked for in the other one and in the default workspace.
    yield from within("track-a", across("track-b"))
    yield from within("track-b", across("track-a"))
    yield from across("track-a")
    yield from mixed()
    yield from trash()


def made(space):
    """`{exp-…}`, `{run-…}` and `{model-…}` of a workspace."""
    exp, run, model = f"exp-{space}", f"run-{space}", f"model-{space}"
    yield post("experiments/create", {"name": "shared", "tags": [{"key": "of", "value": space}]}, save={exp: "experiment_id"})
    yield post("experiments/create", {"name": "shared"})
    yield post("experiments/create", {"name": "Default"})
    yield post("experiments/create", {"name": f"only {space}"}, save={f"only-{space}": "experiment_id"})
    yield get("experiments/get", {"experiment_id": f"{{{exp}}}"})
    yield post("runs/create", {"experiment_id": f"{{{exp}}}", "run_name": "same", "start_time": 5, "user_id": "ann"}, save={run: "run.info.run_id"})
    yield post("runs/log-metric", {"run_id": f"{{{run}}}", "key": "m", "value": 1 if space == "track-a" else 2, "timestamp": 1, "step": 0})
    yield post("runs/log-parameter", {"run_id": f"{{{run}}}", "key": "p", "value": space})
    yield post("runs/set-tag", {"run_id": f"{{{run}}}", "key": "t", "value": space})
    batch = {"metrics": [{"key": "n", "value": step, "timestamp": step, "step": step} for step in range(3)], "params": [{"key": "q", "value": "1"}], "tags": [{"key": "u", "value": "1"}]}
    yield post("runs/log-batch", {"run_id": f"{{{run}}}", **batch})
    yield post("logged-models", {"experiment_id": f"{{{exp}}}", "name": "same", "source_run_id": f"{{{run}}}", "params": [{"key": "lr", "value": "1"}], "tags": [{"key": "of", "value": space}]}, save={model: "model.info.model_id"})
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "/x"}
    yield post("runs/log-inputs", {"run_id": f"{{{run}}}", "datasets": [{"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": space}]}], "models": [{"model_id": f"{{{model}}}"}]})
    yield post("runs/outputs", {"run_id": f"{{{run}}}", "models": [{"model_id": f"{{{model}}}", "step": 1}]})
    yield post("runs/log-metric", {"run_id": f"{{{run}}}", "key": "acc", "value": 0.5, "timestamp": 1, "model_id": f"{{{model}}}", "dataset_name": "d", "dataset_digest": "1"})
    yield get("runs/get", {"run_id": f"{{{run}}}"})
    yield get(f"logged-models/{{{model}}}")


def found(default=False):
    """Searches: each workspace's own."""
    yield post("experiments/search", {"max_results": 10, "order_by": ["name ASC"], **({"filter": "name = 'shared'"} if default else {})})
    yield post("experiments/search", {"max_results": 10, "filter": "name LIKE 'only%'"})
    yield post("experiments/search", {"max_results": 10, "filter": "tags.of LIKE 'track%'"})
    yield get("experiments/get-by-name", {"experiment_name": "shared"})
    yield get("experiments/get-by-name", {"experiment_name": "only track-a"})
    yield get("experiments/get-by-name", {"experiment_name": "Default"})
    both = ["{exp-track-a}", "{exp-track-b}"]
    yield post("runs/search", {"experiment_ids": both, "order_by": ["start_time ASC"]})
    yield post("runs/search", {"experiment_ids": both, "filter": "metrics.m > 0"})
    yield post("runs/search", {"experiment_ids": both, "max_results": 1})
    yield post("logged-models/search", {"experiment_ids": both})
    yield post("logged-models/search", {"experiment_ids": both, "filter": "tags.of LIKE 'track%'"})
    yield post("logged-models/search", {"experiment_ids": both, "filter": "metrics.acc > 0", "datasets": [{"dataset_name": "d", "dataset_digest": "1"}]})
    yield post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": both})
    runs = ["{run-track-a}", "{run-track-b}"]
    yield get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", {"run_id": runs, "metric_key": "m"})
    yield get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", {"run_ids": runs, "metric_key": "n", "max_results": 10}, differs=AS_UNKNOWN, expect=(200, None))


def locations():
    """Where an experiment stores its artifacts is the workspace's affair."""
    for location in ("s3://bucket/x", "mlflow-artifacts:/x", "/tmp/x", "", "mlflow-artifacts:/workspaces/track-a/x", "s3://bucket/x#f"):
        yield from within("track-a", [post("experiments/create", {"name": f"at {location}", "artifact_location": location})])
        yield post("experiments/create", {"name": f"at {location}", "artifact_location": location})
    yield from within("track-a", [post("runs/create", {"experiment_id": "{only-track-a}"})])
    yield from within("track-b", [post("runs/create", {"experiment_id": "{only-track-b}"}), get("experiments/get", {"experiment_id": "{only-track-b}"})])
    # A root that is changed is for experiments that are made later.
    yield Step("PATCH", f"{API}/track-b", {"default_artifact_root": "s3://bucket/moved/"})
    yield from within("track-b", [post("experiments/create", {"name": "moved"}, save={"moved": "experiment_id"}), get("experiments/get", {"experiment_id": "{moved}"}), get("experiments/get", {"experiment_id": "{only-track-b}"})])
    yield Step("PATCH", f"{API}/track-b", {"default_artifact_root": ""})
    yield from within("track-b", [post("experiments/create", {"name": "without"}, save={"without": "experiment_id"}), get("experiments/get", {"experiment_id": "{without}"})])
    for root in ("s3://bucket/a?b=c", "mlflow-artifacts:/own", "/srv/own", "file:///srv/own/"):
        yield Step("PATCH", f"{API}/track-b", {"default_artifact_root": root})
        yield from within("track-b", [post("experiments/create", {"name": f"at {root}"}, save={"rooted": "experiment_id"}), get("experiments/get", {"experiment_id": "{rooted}"})])
    yield Step("PATCH", f"{API}/track-b", {"default_artifact_root": ""})


def across(space):
    """Every call with an id of another workspace."""
    exp, run, model = f"{{exp-{space}}}", f"{{run-{space}}}", f"{{model-{space}}}"
    yield get("experiments/get", {"experiment_id": exp})
    yield post("experiments/update", {"experiment_id": exp, "new_name": "stolen"})
    yield post("experiments/set-experiment-tag", {"experiment_id": exp, "key": "k", "value": "v"})
    yield post("experiments/delete-experiment-tag", {"experiment_id": exp, "key": "of"})
    yield post("experiments/delete", {"experiment_id": exp})
    yield post("experiments/restore", {"experiment_id": exp})
    yield post("runs/create", {"experiment_id": exp})
    yield get("runs/get", {"run_id": run})
    yield post("runs/update", {"run_id": run, "run_name": "stolen"})
    yield post("runs/log-metric", {"run_id": run, "key": "m", "value": 9, "timestamp": 9})
    yield post("runs/log-parameter", {"run_id": run, "key": "stolen", "value": "x"})
    yield post("runs/set-tag", {"run_id": run, "key": "stolen", "value": "x"})
    yield post("runs/delete-tag", {"run_id": run, "key": "t"})
    yield post("runs/log-batch", {"run_id": run, "metrics": [{"key": "m", "value": 9, "timestamp": 9, "step": 9}]})
    yield post("runs/log-model", {"run_id": run, "model_json": '{"artifact_path": "m", "run_id": "x"}'})
    yield post("runs/log-inputs", {"run_id": run, "datasets": [{"dataset": {"name": "d", "digest": "2", "source_type": "local", "source": "/x"}}]})
    yield post("runs/outputs", {"run_id": run, "models": [{"model_id": model}]})
    yield post("runs/delete", {"run_id": run})
    yield post("runs/restore", {"run_id": run})
    yield get("metrics/get-history", {"run_id": run, "metric_key": "m"}, differs=AS_UNKNOWN, expect=(200, None))
    yield get("metrics/get-history", {"run_id": "0" * 32, "metric_key": "m"}, differs=AS_UNKNOWN, expect=(200, None))
    yield post("runs/search", {"experiment_ids": [exp]})
    yield post("logged-models", {"experiment_id": exp, "name": "stolen"})
    yield get(f"logged-models/{model}")
    yield patch(f"logged-models/{model}", {"model_id": model, "status": 2})
    yield post(f"logged-models/{model}/params", {"model_id": model, "params": [{"key": "stolen", "value": "1"}]})
    yield patch(f"logged-models/{model}/tags", {"tags": [{"key": "stolen", "value": "z"}]})
    yield Step("DELETE", api(f"logged-models/{model}/tags/of"))
    yield Step("DELETE", api(f"logged-models/{model}"))
    yield post("logged-models/search", {"experiment_ids": [exp]})
    yield get("artifacts/list", {"run_id": run})
    yield get("/get-artifact", {"run_id": run, "path": "x"})
    yield get(f"logged-models/{model}/artifacts/directories")
    yield get(f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files", {"artifact_file_path": "MLmodel"})
    yield post("/ajax-api/2.0/mlflow/runs/create-promptlab-run", {"experiment_id": exp, "prompt_template": "x", "prompt_parameters": [], "model_route": "r", "model_parameters": [], "model_output": "o", "mlflow_version": "3"})


def mixed():
    """Calls that name something of this workspace and something of another one."""
    a, b = "{run-track-a}", "{model-track-b}"
    yield from within("track-a", [
        post("runs/log-inputs", {"run_id": a, "models": [{"model_id": b}]}),
        post("runs/outputs", {"run_id": a, "models": [{"model_id": b, "step": 1}]}),
        post("runs/log-metric", {"run_id": a, "key": "acc", "value": 1, "timestamp": 1, "model_id": b}),
        post("runs/log-batch", {"run_id": a, "metrics": [{"key": "acc", "value": 1, "timestamp": 1, "step": 0, "model_id": b}]}),
        post("logged-models", {"experiment_id": "{exp-track-a}", "name": "foreign", "source_run_id": "{run-track-b}"}),
        post("runs/search", {"experiment_ids": ["{exp-track-b}", "{exp-track-a}", "0"]}),
        post("logged-models/search", {"experiment_ids": ["{exp-track-b}", "0"]}),
        get("runs/get", {"run_id": a}),
    ])  # fmt: skip


def trash():
    yield from within("track-a", [
        post("experiments/delete", {"experiment_id": "{exp-track-a}"}),
        get("runs/get", {"run_id": "{run-track-a}"}),
        post("experiments/create", {"name": "shared"}),
    ])  # fmt: skip
    yield from within("track-b", [
        get("experiments/get", {"experiment_id": "{exp-track-b}"}),
        post("experiments/restore", {"experiment_id": "{exp-track-a}"}),
        post("experiments/update", {"experiment_id": "{only-track-b}", "new_name": "only track-a"}),
        post("experiments/update", {"experiment_id": "{only-track-b}", "new_name": "shared"}, differs=TAKEN, expect=(400, "RESOURCE_ALREADY_EXISTS")),
    ])  # fmt: skip
    yield from within("track-a", [post("experiments/restore", {"experiment_id": "{exp-track-a}"}), get("experiments/get", {"experiment_id": "{exp-track-a}"})])
