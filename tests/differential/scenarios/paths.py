"""Which paths and methods there are, and what the pages of the UI ask when they open."""

from step import Step, get, post

LOCAL = ("http://localhost", "http://[::1]:3000", "http://127.0.0.1:5000")
GET = "/api/2.0/mlflow/experiments/get"


def steps():
    for path in (GET, "/ajax-api/2.0/mlflow/experiments/get", "/api/3.0/mlflow/experiments/get", "/api/2.1/mlflow/experiments/get", "/API/2.0/mlflow/experiments/get",
                 f"{GET}/", f"{GET}/x", "/api/2.0/preview/mlflow/experiments/get",
                 "/api/2.0/mlflow/./experiments/get", "/api/2.0/mlflow/x/../experiments/get",
                 "/api/2.0/mlflow/experiments/get;x=1", "/api/2.0/mlflow/experiments/get%00", "/api/2.0/mlflow/experiments/get%ff", "/api/2.0/mlflow/nope",
                 "/api", "/api/", "/ajax-api", "/api/2.0/mlflow", "/" + "p" * 5000, "/%2e%2e/%2e%2e/etc/passwd", "/static-files/../../etc/passwd",
                 "/static-files/%2e%2e/%2e%2e/etc/passwd", "/static-files/", "/index.html", "/robots.txt"):  # fmt: skip
        yield Step("GET", path, query={"experiment_id": "0"})
    # Clients join an address that ends with a slash and a path that begins with one.
    yield Step("GET", f"/{GET}", query={"experiment_id": "0"})
    for path in ("/api//2.0/mlflow/experiments/get", "/api/2.0/mlflow/experiments%2Fget", "/api/2.0/mlflow/experiments/%67et"):
        yield Step("GET", path, query={"experiment_id": "0"}, differs="a path is taken as it is written", expect=(404, "ENDPOINT_NOT_FOUND"))
    for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        yield Step(method, GET, query={"experiment_id": "0"})
        yield Step(method, "/api/2.0/mlflow/experiments/create")
    for method in ("HEAD", "PUT", "DELETE"):
        for path in ("/health", "/version", "/graphql", "/get-artifact", "/api/2.0/mlflow/runs/get", "/api/2.0/mlflow/logged-models", "/api/2.0/mlflow/logged-models/m-1"):
            yield Step(method, path)
    yield Step("GET", "/graphql", differs="there is no query to answer", expect=(405, None))
    for path in ("experiments/search", "runs/search", "experiments/search-datasets"):
        yield Step("GET", f"/ajax-api/2.0/mlflow/{path}")
        yield Step("POST", f"/ajax-api/2.0/mlflow/{path}", {})

    yield get("/ajax-api/3.0/mlflow/server-info", differs="there is no AI gateway that the UI could offer")
    yield get("/ajax-api/3.0/mlflow/ui-telemetry")
    yield Step("POST", "/ajax-api/3.0/mlflow/ui-telemetry", {"records": []})
    yield Step("POST", "/ajax-api/3.0/mlflow/ui-telemetry", {"records": [{"event_name": "x"}]})
    yield get("/ajax-api/3.0/mlflow/assistant/config")
    yield get("/ajax-api/2.0/mlflow/users/current")
    yield get("/api/2.0/mlflow/users/current")
    for query in ({"gateway_path": "api/2.0/endpoints/"}, {}, {"gateway_path": ""}, {"gateway_path": "../x"}):
        yield get("/ajax-api/2.0/mlflow/gateway-proxy", query)
    isolated = "tags.`mlflow.experiment.isGateway` IS NULL"
    yield get("/ajax-api/2.0/mlflow/experiments/search", {"max_results": 5, "order_by": "last_update_time DESC", "filter": f"name ILIKE '%nothing%' AND {isolated}"})
    yield post("/ajax-api/2.0/mlflow/experiments/create", {"name": "of the ui"}, save={"exp": "experiment_id"})
    yield post("/ajax-api/2.0/mlflow/runs/create", {"experiment_id": "{exp}", "run_name": "ui"}, save={"run": "run.info.run_id"})
    search = {"experiment_ids": ["{exp}"], "run_view_type": "ACTIVE_ONLY", "max_results": 50, "order_by": ["attributes.start_time DESC"]}
    for filter_ in ("", "tags.`mlflow.parentRunId` = '{run}'", "attributes.run_id IN ('{run}')", "metrics.acc >>> zz", "run_id IN ('{run}')"):
        yield post("/ajax-api/2.0/mlflow/runs/search", {**search, "filter": filter_})
    yield post("/ajax-api/2.0/mlflow/logged-models/search", {"experiment_ids": ["{exp}"], "filter": "attributes.model_id IN ('m-x')", "order_by": [{"field_name": "creation_time", "ascending": False}]})
    for filter_ in ("run_id='{run}'", "name='nope-nope'", "tags.`mlflow.prompt.is_prompt` = 'true' AND tags.`mlflow.prompt.run_ids` ILIKE \"%x%\"", "nope = 1"):
        yield get("/ajax-api/2.0/mlflow/model-versions/search", {"filter": filter_})

    for host in ("evil.example", "localhost", "LOCALHOST:5000", "127.0.0.1", "[::1]:5000", "192.168.1.7", "172.16.0.1", "172.32.0.1", "8.8.8.8", "localhost.evil.example",
                 "127.0.0.1.evil.example", "", "a b", "localhost:x", "169.254.169.254"):  # fmt: skip
        yield get(GET, {"experiment_id": "0"}, headers={"Host": host})
    for origin in ("http://localhost", "https://localhost:8443", "http://[::1]:3000", "http://127.0.0.1:5000", "http://10.0.0.1", "https://evil.example", "http://127.0.0.1.evil.example",
                   "null", "", "localhost", "file://", "http://LOCALHOST:1"):  # fmt: skip
        this = {"headers": {"Origin": origin}}
        if origin == "https://localhost:8443":
            this["differs"] = "https on this machine is this machine, too"
        yield post("/ajax-api/2.0/mlflow/experiments/create", {"name": ""}, **this)
        yield post("/graphql", {"query": "{ __typename }"}, **this)
        yield get(GET, {"experiment_id": "0"}, **this)
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        differs = {"differs": "a browser takes the missing Access-Control-Allow-Origin for a no", "expect": (200, None)}
        yield Step("OPTIONS", "/ajax-api/2.0/mlflow/experiments/create", headers=preflight, **({} if origin in LOCAL else differs))
    for site in ("cross-site", "same-origin", "same-site", "none"):
        yield post("experiments/create", {"name": ""}, headers={"Sec-Fetch-Site": site})
