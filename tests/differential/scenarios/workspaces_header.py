"""The header that names the workspace: which texts it may be, and that every kind of call reads it."""

from step import WORKSPACE, Step, get, post

from .otlp import FORM, PROTOBUF, protobuf

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"

#: None of them is a workspace.
UNKNOWN = ("nowhere", "Header", "a", "x" * 64, "workspaces", "-a", "hea der", "header,other", "default2", "DEFAULT", "%68eader", "header/", "*", "null")
#: The header is as good as absent, or has blanks behind a name.
BLANK = ("", "default", "default  ")

NOWHERE = "what is no call has no workspace: ferroflow answers as without the header"
PROBES = "a probe is about the process, whatever a header says: ferroflow answers it"


def steps():
    yield Step("POST", API, {"name": "header"})
    yield post("experiments/create", {"name": "of the header"}, headers={WORKSPACE: "header"}, save={"exp": "experiment_id"})
    yield get("experiments/get", {"experiment_id": "{exp}"}, headers={WORKSPACE: "header"})
    yield get("experiments/get", {"experiment_id": "{exp}"}, headers={WORKSPACE: "header "})
    yield get("experiments/get", {"experiment_id": "{exp}"}, headers={WORKSPACE.lower(): "header"})
    for name in BLANK:
        yield get("experiments/get", {"experiment_id": "0"}, headers={WORKSPACE: name})
        yield get("experiments/get", {"experiment_id": "{exp}"}, headers={WORKSPACE: name})
    for name in UNKNOWN:
        yield get("experiments/get", {"experiment_id": "{exp}"}, headers={WORKSPACE: name})
        yield post("experiments/create", {"name": "nowhere"}, headers={WORKSPACE: name})
    yield from everywhere()
    yield from information()
    yield Step("DELETE", f"{API}/header", query={"mode": "CASCADE"})
    # One that is gone.
    yield get("experiments/get", {"experiment_id": "{exp}"}, headers={WORKSPACE: "header"})
    yield get("experiments/get", {"experiment_id": "{exp}"})


def everywhere():
    """Each kind of call, in a workspace that there is not."""
    headers = {WORKSPACE: "nowhere"}
    for path in ("/api/2.0/mlflow/experiments/search", "/ajax-api/2.0/mlflow/experiments/search", "/ajax-api/2.0/mlflow/runs/search", "/api/3.0/mlflow/traces/search", "/ajax-api/2.0/mlflow/traces",
                 "/ajax-api/2.0/mlflow/webhooks", "/api/3.0/mlflow/datasets/search", "/ajax-api/3.0/mlflow/issues/search", "/graphql", "/ajax-api/3.0/mlflow/demo/generate", "/ajax-api/2.0/mlflow/upload-artifact"):  # fmt: skip
        yield Step("POST", path, {}, headers=headers)
    for path in ("/api/2.0/nope", "/nope"):
        yield Step("GET", path, headers=headers, differs=NOWHERE)
    for path in ("/api/2.0/mlflow/registered-models/search", "/get-artifact", "/model-versions/get-artifact", "/ajax-api/2.0/mlflow/get-trace-artifact", "/ajax-api/2.0/mlflow/metrics/get-history-bulk", "/api/2.0/mlflow-artifacts/artifacts", "/api/2.0/mlflow-artifacts/artifacts/0/x",
                 "/ajax-api/2.0/mlflow/logged-models/m-x/artifacts/files", "/api/2.0/mlflow/users/current", "/api/3.0/mlflow/workspaces"):  # fmt: skip
        yield Step("GET", path, headers=headers)
    yield Step("PUT", "/api/2.0/mlflow-artifacts/artifacts/x", raw=b"x", headers=headers)
    yield Step("DELETE", "/api/2.0/mlflow-artifacts/artifacts/x", headers=headers)
    yield Step("POST", "/api/2.0/mlflow-artifacts/mpu/create/x", {"path": "x", "num_parts": 2}, headers=headers)
    for body, more in ((protobuf(901), PROTOBUF), (b"{}", {"Content-Type": "application/json"}), (b"", PROTOBUF)):
        yield Step("POST", "/v1/traces", raw=body, headers={"x-mlflow-experiment-id": "0"} | more | headers, differs=FORM)
    yield Step("OPTIONS", "/api/2.0/mlflow/experiments/create", headers=headers, differs=NOWHERE)
    yield Step("HEAD", "/api/2.0/mlflow/experiments/get", query={"experiment_id": "0"}, headers=headers)


def information():
    """What is answered whatever the header says."""
    for name in (None, "header", "nowhere", "Not-A-Name", ""):
        for prefix in ("/api", "/ajax-api"):
            yield Step("GET", f"{prefix}/3.0/mlflow/server-info", headers={WORKSPACE: name}, differs="there is no AI gateway that the UI could offer")
    for path in ("/health", "/version"):
        for name in (None, "header", "nowhere", "Not-A-Name"):
            yield Step("GET", path, headers={WORKSPACE: name}, differs=PROBES)
