"""What is around the API: probes, methods, unknown paths, hosts and origins, and the small calls of every page."""

from step import Step, get, post


def steps():
    yield get("/health")
    yield get("/version")
    for prefix in ("/api", "/ajax-api"):
        yield get(f"{prefix}/3.0/mlflow/server-info", differs="there is no AI gateway that the UI could offer")
    yield get("/ajax-api/2.0/mlflow/users/current")
    yield get("/ajax-api/2.0/mlflow/gateway-proxy", {"gateway_path": "api/2.0/endpoints/"})
    yield get("/ajax-api/3.0/mlflow/workspaces")
    yield post("/api/3.0/mlflow/workspaces", {"name": "w"})
    for method in ("GET", "PATCH", "DELETE"):
        yield Step(method, "/api/3.0/mlflow/workspaces/w")
    yield get("/nope")
    yield get("/experiments")
    yield get("/favicon.ico")
    yield get("/static-files/nope.js")
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        yield Step(method, "/api/2.0/mlflow/runs/create")
    yield post("/api/2.0/mlflow/runs/get", {})
    yield post("/health")
    yield get("/health", headers={"Host": "evil.example"})
    yield get("/version", headers={"Host": "evil.example"})
    yield get("experiments/get", {"experiment_id": "0"}, headers={"Host": "evil.example"})
    yield get("experiments/get", {"experiment_id": "0"}, headers={"Host": "localhost:1234"})
    yield get("experiments/get", {"experiment_id": "0"}, headers={"Host": "10.0.0.1"})
    body = {"name": ""}
    for origin in ("https://evil.example", "http://localhost:3000", "http://127.0.0.1", "null", "http://localhost.evil.example"):
        yield post("experiments/create", body, headers={"Origin": origin})
    yield get("experiments/get", {"experiment_id": "0"}, headers={"Origin": "https://evil.example"})
    preflight = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    yield Step("OPTIONS", "/api/2.0/mlflow/experiments/create", headers=preflight)
    yield Step("OPTIONS", "/api/2.0/mlflow/experiments/create")
