"""The prompt lab: runs with a table and a model, and what is missing or wrong in a request."""

from step import Step, get, post

PATH = "/ajax-api/2.0/mlflow/runs/create-promptlab-run"

CLOCK = "each server's clock says when the run ended; what else is in it is compared in the next answers"
QUOTES = "ferroflow writes every text in the YAML of the model in double quotes"
REFUSED = "the reference fails, or takes what is not a list of pairs; ferroflow says what is wrong"

GOOD = {
    "experiment_id": "{exp}",
    "run_name": "größe",
    "tags": [],
    "prompt_template": "Say {{ word }} in {{language}}:\n\"quoted\" # and: more",
    "prompt_parameters": [{"key": "word", "value": "雪 🦀"}, {"key": "language", "value": "german"}],
    "model_route": "chat",
    "model_parameters": [{"key": "temperature", "value": 0.01}, {"key": "max_tokens", "value": 100}, {"key": "stop", "value": "[a, b]"}],
    "model_input": "Say 雪 🦀 in german",
    "model_output": "Schnee\u2028 \"x\"",
    "model_output_parameters": [{"key": "tokens", "value": 12}, {"key": "latency", "value": 1.5}],
    "mlflow_version": "2.7.1",
    "user_id": "ann",
    "start_time": 1_760_000_000_000,
}


def create(save=None, differs=None, expect=None, **changes):
    body = {**GOOD, **changes}
    body = {key: value for key, value in body.items() if value is not ...}
    return Step("POST", PATH, body, save=save or {}, differs=differs, expect=expect)


def run(name, **changes):
    """Creates a run, and compares it with the same end and without the time of its model."""
    yield create(save={name: "run.info.run_id"}, differs=CLOCK, **changes)
    yield post("runs/update", {"run_id": f"{{{name}}}", "end_time": 1_760_000_001_000})
    yield post("runs/delete-tag", {"run_id": f"{{{name}}}", "key": "mlflow.log-model.history"})
    yield get("runs/get", {"run_id": f"{{{name}}}"})


def steps():
    yield post("experiments/create", {"name": "prompt lab"}, save={"exp": "experiment_id"})
    yield from run("first")
    yield from artifacts("{first}")
    # Only what must be there, and values of other types.
    yield from run(
        "small",
        run_name=..., tags=..., model_parameters=..., model_output=..., model_output_parameters=..., user_id=...,
        prompt_parameters=[{"key": "n", "value": 1}, {"key": "yes", "value": True}, {"key": "none"}],
    )  # fmt: skip
    yield from artifacts("{small}")
    # A run whose params cannot be stored is a failed one.
    yield from run("twice", model_parameters=[{"key": "a", "value": 1}, {"key": "a", "value": 2}])
    yield from run("path", model_parameters=[{"key": "../a", "value": 1}])
    yield from run("many", model_parameters=[{"key": f"p{number}", "value": 1} for number in range(100)])
    for name in ("experiment_id", "prompt_template", "prompt_parameters", "model_route", "model_input", "mlflow_version"):
        for value in (..., None, "", []):
            yield create(**{name: value})
    yield create(experiment_id="999999")
    yield create(experiment_id="x")
    yield create(run_name="a", tags=[{"key": "mlflow.runName", "value": "b"}], differs="the reference fails with any tag", expect=(400, "INVALID_PARAMETER_VALUE"))
    yield create(tags=[{"key": "team", "value": "a"}], differs="the reference fails with any tag", expect=(200, None))
    for changes in (
        {"tags": {"a": "b"}}, {"tags": ["a"]}, {"prompt_parameters": "word"}, {"prompt_parameters": ["word"]},
        {"prompt_parameters": {"word": "x"}}, {"model_parameters": [{"value": 1}]}, {"model_parameters": 7}, {"run_name": 7},
        {"start_time": "now"}, {"start_time": 10**30}, {"model_route": {"a": 1}}, {"prompt_template": ["x"]}, {"user_id": ["x"]},
    ):  # fmt: skip
        yield create(**changes, differs=REFUSED, expect=(400, "INVALID_PARAMETER_VALUE"))
    for raw in (b"", b"{", b"[]", b"[1]", b'"text"', b"\xff"):
        yield Step("POST", PATH, raw=raw, headers={"Content-Type": "application/json"}, differs=REFUSED, expect=(400, "INVALID_PARAMETER_VALUE"))
    yield Step("POST", PATH, raw=b"{}", headers={"Content-Type": "text/plain"})
    yield Step("POST", PATH, raw=b"{}")
    yield Step("GET", PATH)


def artifacts(run):
    for path in (None, "model"):
        yield get("artifacts/list", {"run_id": run, **({"path": path} if path else {})}, differs="sizes of files with other quotes and another Python")
    for path in ("eval_results_table.json", "model/input_example.json", "model/serving_input_example.json", "model/requirements.txt"):
        yield get("/get-artifact", {"run_id": run, "path": path})
    yield get("/get-artifact", {"run_id": run, "path": "model/parameters.yaml"}, differs=QUOTES)
    yield get("/get-artifact", {"run_id": run, "path": "model/MLmodel"}, differs=QUOTES)
