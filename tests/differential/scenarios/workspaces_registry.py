"""Models, prompts and webhooks of the same names in two workspaces, and sources that lead to another one."""

from step import Step, delete, get, patch, post, within

from .prompts import IS, SOURCE, text
from .webhooks import CREATED, new

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"
SPACES = ("reg-a", "reg-b")
CREATE = "model-versions/create"
ALIAS = "registered-models/alias"


def steps():
    for space in SPACES:
        yield Step("POST", API, {"name": space})
        yield from within(space, made(space))
    for space in SPACES:
        yield from within(space, found())
    yield from found()
    yield from within("reg-b", across("reg-a"))
    yield from across("reg-a")
    yield from sources()
    yield from linked()
    yield from changed()


def made(space):
    count = 2 if space == "reg-a" else 1
    yield post("experiments/create", {"name": "registry"}, save={f"exp-{space}": "experiment_id"})
    exp, run = f"{{exp-{space}}}", f"{{run-{space}}}"
    yield post("runs/create", {"experiment_id": exp}, save={f"run-{space}": "run.info.run_id", f"root-{space}": "run.info.artifact_uri"})
    yield post("logged-models", {"experiment_id": exp, "name": "m", "source_run_id": run}, save={f"model-{space}": "model.info.model_id"})
    yield post("registered-models/create", {"name": "shared", "description": space, "tags": [{"key": "of", "value": space}]})
    yield post("registered-models/create", {"name": "shared"})
    yield post("registered-models/create", {"name": f"only.{space}"})
    for number in range(count):
        yield post(CREATE, {"name": "shared", "source": f"s3://{space}/{number}", "run_id": run, "tags": [{"key": "number", "value": str(number)}]})
    yield post(CREATE, {"name": f"only.{space}", "source": f"runs:/{run}/model", "run_id": run})
    yield post(ALIAS, {"name": "shared", "alias": "best", "version": "1"})
    yield post("model-versions/transition-stage", {"name": "shared", "version": "1", "stage": "Production"})
    yield post("registered-models/create", {"name": "p.shared", "tags": [IS, {"key": "task", "value": space}]})
    yield post(CREATE, {"name": "p.shared", "source": SOURCE, "tags": text(f"Hello from {space}")})
    yield post(ALIAS, {"name": "p.shared", "alias": "live", "version": "1"})
    yield post("webhooks", new(name="shared"), save={f"hook-{space}": "webhook.webhook_id"})
    yield post("webhooks", new(name="shared"), save={f"twin-{space}": "webhook.webhook_id"})


def found():
    yield post("registered-models/get-latest-versions", {"name": "shared"})
    for name in ("shared", "only.reg-a", "only.reg-b", "p.shared"):
        yield get("registered-models/get", {"name": name})
        yield get("model-versions/get", {"name": name, "version": "1"})
    yield get("model-versions/get", {"name": "shared", "version": "2"})
    yield get("model-versions/get-download-uri", {"name": "shared", "version": "1"})
    yield get(ALIAS, {"name": "shared", "alias": "best"})
    yield get(ALIAS, {"name": "p.shared", "alias": "live"})
    for filter_ in ("name = 'shared'", "name LIKE 'only.reg%'", "tags.of LIKE 'reg%'", "name = 'p.shared' AND tags.`mlflow.prompt.is_prompt` = 'true'"):
        yield get("registered-models/search", {"filter": filter_})
    for filter_ in ("name = 'shared'", "run_id = '{run-reg-a}'", "run_id = '{run-reg-b}'", "tags.number = '0'", "name LIKE 'only.reg%'", "source_path = 's3://reg-a/0'"):
        yield get("model-versions/search", {"filter": filter_})
    yield get("model-versions/search", {"filter": "name = 'shared'", "max_results": 1})


def across(space):
    """Every call with something of another workspace, by its name or its id."""
    name, hook = f"only.{space}", f"{{hook-{space}}}"
    yield patch("registered-models/update", {"name": name, "description": "stolen"})
    yield post("registered-models/rename", {"name": name, "new_name": "stolen"})
    yield delete_of("registered-models/delete", {"name": name})
    yield post("registered-models/set-tag", {"name": name, "key": "k", "value": "v"})
    yield delete_of("registered-models/delete-tag", {"name": name, "key": "k"})
    yield post(ALIAS, {"name": name, "alias": "a", "version": "1"})
    yield get(ALIAS, {"name": name, "alias": "a"})
    yield delete(ALIAS, {"name": name, "alias": "a"})
    yield post(CREATE, {"name": name, "source": "s3://b/x"})
    yield patch("model-versions/update", {"name": name, "version": "1", "description": "stolen"})
    yield post("model-versions/transition-stage", {"name": name, "version": "1", "stage": "Staging"})
    yield delete_of("model-versions/delete", {"name": name, "version": "1"})
    yield post("model-versions/set-tag", {"name": name, "version": "1", "key": "k", "value": "v"})
    yield delete_of("model-versions/delete-tag", {"name": name, "version": "1", "key": "k"})
    yield get("model-versions/get-download-uri", {"name": name, "version": "1"})
    yield get("/model-versions/get-artifact", {"name": name, "version": "1", "path": "x"})
    yield get(f"webhooks/{hook}")
    yield patch(f"webhooks/{hook}", {"name": "stolen"})
    yield post(f"webhooks/{hook}/test", {})
    yield delete(f"webhooks/{hook}")
    yield patch(f"webhooks/{hook}", {"events": [CREATED]})


def delete_of(path, body):
    return Step("DELETE", f"/api/2.0/mlflow/{path}", body)


#: Sources that lead out of the workspace, and the same to what is in it.
def out_of(space):
    run, model, root = f"{{run-{space}}}", f"{{model-{space}}}", f"{{root-{space}}}"
    yield {"source": f"runs:/{run}/model"}
    yield {"source": f"runs:/{run}/model", "run_id": run}
    yield {"source": f"models:/{model}"}
    yield {"source": f"models:/{model}", "model_id": model}
    yield {"source": f"models:/only.{space}/1"}
    yield {"source": f"models:/only.{space}@best"}
    yield {"source": f"models:/only.{space}/Production"}
    yield {"source": root, "run_id": run}
    yield {"source": root}
    yield {"source": f"{root}/model", "run_id": run}
    yield {"source": "s3://b/x", "run_id": run}
    yield {"source": "s3://b/x", "model_id": model}
    yield {"source": f"mlflow-artifacts:/workspaces/{space}/x"}
    yield {"source": f"mlflow-artifacts:/WORKSPACES/{space}/x"}
    yield {"source": "mlflow-artifacts:/x"}


def sources():
    for space in SPACES:
        yield from within("reg-b", [post(CREATE, {"name": "only.reg-b", **body}) for body in out_of(space)])
    # One name in two workspaces leads to the caller's own.
    for source in ("models:/shared/1", "models:/shared/2", "models:/shared@best", "models:/shared/latest", "models:/shared/Production"):
        yield from within("reg-b", [post(CREATE, {"name": "only.reg-b", "source": source}, save={"copy": "model_version.version"}), get("model-versions/get-download-uri", {"name": "only.reg-b", "version": "{copy}"})])
    yield from within("reg-b", [post(CREATE, {"name": "only.reg-b", "source": "mlflow-artifacts:/workspaces/reg-a/{run-reg-b}/artifacts", "run_id": "{run-reg-b}"})])


def linked():
    prompts = [{"name": "p.shared", "version": "1"}]
    yield from within("reg-a", [post("/api/3.0/mlflow/traces", {"trace": {"trace_info": {"trace_id": "tr-reg-a", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{exp-reg-a}"}}}}})])
    for space in SPACES:
        yield from within(space, [post("traces/link-prompts", {"trace_id": "tr-reg-a", "prompt_versions": prompts})])
    yield post("traces/link-prompts", {"trace_id": "tr-reg-a", "prompt_versions": prompts})


def changed():
    yield from within("reg-a", [
        get("webhooks"),
        get("webhooks", {"max_results": 1}),
        patch("registered-models/update", {"name": "shared", "description": "changed"}),
        post("registered-models/rename", {"name": "shared", "new_name": "only.reg-b"}),
        post("registered-models/rename", {"name": "only.reg-b", "new_name": "only.reg-a"}),
        delete_of("model-versions/delete", {"name": "only.reg-b", "version": "1"}),
        delete("webhooks/{hook-reg-a}"),
        get("webhooks"),
    ])  # fmt: skip
    yield from within("reg-b", [
        get("registered-models/get", {"name": "shared"}),
        get("registered-models/get", {"name": "only.reg-b"}),
        get("webhooks"),
        delete_of("registered-models/delete", {"name": "shared"}),
        get("registered-models/get", {"name": "shared"}),
    ])  # fmt: skip
    yield from within("reg-a", [get("registered-models/get", {"name": "only.reg-b"}), get("registered-models/get", {"name": "shared"})])
