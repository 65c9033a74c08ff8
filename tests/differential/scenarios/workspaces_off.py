"""The header and the calls of workspaces on a server without them."""

from step import WORKSPACE, Step, get, post

from .workspaces_header import NOWHERE, PROBES

API = "/api/3.0/mlflow/workspaces"


def steps():
    for name in ("default", "team", "Not-A-Name", "team "):
        headers = {WORKSPACE: name}
        yield get("experiments/get", {"experiment_id": "0"}, headers=headers)
        yield post("experiments/create", {"name": "in no workspace"}, headers=headers)
        yield Step("GET", API, headers=headers)
        yield Step("GET", "/api/3.0/mlflow/server-info", headers=headers, differs="there is no AI gateway that the UI could offer")
        yield Step("GET", "/health", headers=headers, differs=PROBES)
    yield get("experiments/get", {"experiment_id": "0"}, headers={WORKSPACE: ""})
    headers = {WORKSPACE: "team"}
    for path in ("/graphql", "/api/3.0/mlflow/traces/search", "/ajax-api/2.0/mlflow/runs/search"):
        yield Step("POST", path, {}, headers=headers)
    for path in ("/get-artifact", "/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/2.0/mlflow/get-trace-artifact"):
        yield Step("GET", path, headers=headers)
    yield Step("GET", "/nope", headers=headers, differs=NOWHERE)
    # Below `workspaces/` there are files like any others.
    yield Step("PUT", "/api/2.0/mlflow-artifacts/artifacts/workspaces/team/x.txt", raw=b"x", headers={"Content-Type": "text/plain"})
    yield Step("GET", "/api/2.0/mlflow-artifacts/artifacts", query={"path": "workspaces/team"})
    yield Step("GET", "/api/2.0/mlflow-artifacts/artifacts/workspaces/team/x.txt")
    yield Step("DELETE", "/api/2.0/mlflow-artifacts/artifacts/workspaces")
    for method, path, body in (("GET", API, None), ("POST", API, {"name": "team"}), ("GET", f"{API}/default", None), ("PATCH", f"{API}/default", {"description": "x"}), ("DELETE", f"{API}/default", None), ("GET", f"{API}/Not-A-Name", None)):
        yield Step(method, path, body)
