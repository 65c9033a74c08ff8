"""Workspaces whose rows are in another database than what is in them."""

from step import Step, get, post, within

from .workspaces import change, create, read, remove

SERVERS = "workspaces apart"

WHY = "a deletion sees what is in the workspace; the reference looks for it in the database of the workspaces"


def steps():
    yield read()
    yield read("default")
    yield create("team", description="a team", default_artifact_root="mlflow-artifacts:/root")
    yield create("team")
    yield create("empty")
    yield read("team")
    yield read()
    yield change("team", {"description": "another"})
    yield from within("team", things("team"))
    yield from things("default")
    yield from within("team", found("default"))
    yield from found("team")
    yield from within("nowhere", found("team"))
    yield remove("empty")
    yield remove("empty")
    yield from within("empty", [post("experiments/create", {"name": "late"})])
    yield remove("team", "RESTRICT", differs=WHY, expect=(500, "INVALID_STATE"))
    yield remove("team", "CASCADE", differs=WHY, expect=(204, None))
    yield from within("team", found("team"))
    yield read()
    # What was in it is not in a new one with its name.
    yield create("team")
    yield from within("team", [Step(step.method, step.path, query=step.query, differs=WHY, expect=(404, "RESOURCE_DOES_NOT_EXIST")) for step in found("team")])
    yield from found("default")


def things(name):
    yield post("experiments/create", {"name": "e"}, save={f"experiment-{name}": "experiment_id"})
    yield post("experiments/create", {"name": "e"})
    yield get("experiments/get", {"experiment_id": f"{{experiment-{name}}}"})
    yield post("runs/create", {"experiment_id": f"{{experiment-{name}}}", "start_time": 1}, save={f"run-{name}": "run.info.run_id"})
    yield post("registered-models/create", {"name": f"model of {name}"})
    yield get("experiments/get", {"experiment_id": "0"})


def found(name):
    yield get("experiments/get", {"experiment_id": f"{{experiment-{name}}}"})
    yield get("runs/get", {"run_id": f"{{run-{name}}}"})
    yield get("registered-models/get", {"name": f"model of {name}"})
