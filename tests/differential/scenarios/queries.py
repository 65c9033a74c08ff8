"""How a query string is read, whatever the call."""

from step import Step, get, post

GET = "/api/2.0/mlflow/runs/get"


def steps():
    yield post("experiments/create", {"name": "plus+and space"}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "query"}, save={"run": "run.info.run_id"})
    for query in ("run_id={run}", "run_uuid={run}", "runId={run}", "run_id={run}&run_id=nope", "run_id=nope&run_id={run}", "run_id", "run_id=",
                  "run_id=%7Brun%7D", "RUN_ID={run}", "run_id={run}&", "&&run_id={run}", "run_id={run};x=1", "run_id=%ff", "run_id=%", "run_id=%zz",
                  "run_id=%00", "run_id=a%0ab", "%72un_id={run}", "run_id[]={run}", "run_id={run}#x", "run_id='{run}'", "run_id={run}%20"):  # fmt: skip
        yield Step("GET", f"{GET}?{query}")
    for query in ("experiment_name=plus%2Band+space", "experiment_name=plus%2Band%20space", "experiment_name=plus+and+space", "experimentName=plus%2Band+space",
                  "experiment_name=%f0%9f%98%80", "experiment_name=%c3%28", "experiment_name=" + "n" * 3000, "experiment_name=Default&x=%ff"):  # fmt: skip
        yield Step("GET", f"/api/2.0/mlflow/experiments/get-by-name?{query}")
    for query in ("max_results=2", "max_results=2&max_results=3", "max_results=", "max_results=+2", "max_results=2.0", "max_results=%32", "max_results=0x2", "max_results=1_0",
                  "max_results=99999999999999999999", "max_results=-0", "max_results= 2", "maxResults=1", "max_results=1&order_by=name&order_by=experiment_id%20DESC",
                  "max_results=1&order_by[]=name", "max_results=1&order_by=", "max_results=1&view_type=2", "max_results=1&view_type=ALL", "max_results=1&view_type=all",
                  "max_results=1&filter=name%20%3D%20'plus%2Band%20space'", "max_results=1&filter=%00", "max_results=1&filter=%ff", "max_results=1&page_token="):  # fmt: skip
        yield Step("GET", f"/api/2.0/mlflow/experiments/search?filter=name+LIKE+'plus%25'&{query}")
    for query in ({"run_id": "{run}", "path": ["a", "b"]}, {"run_id": ["{run}", "x"]}, {"run_uuid": "{run}", "run_id": "nope"}):
        yield get("artifacts/list", query)
    for query in ({"run_id": "{run}", "metric_key": ["m", "n"]}, {"run_id": "{run}", "metric_key": ""}, {"run_id": "", "metric_key": "m"},
                  {"run_id": "{run}", "metric_key": "m", "max_results": "9" * 30}, {"run_id": "{run}", "metric_key": "m", "page_token": "!"}):  # fmt: skip
        yield get("metrics/get-history", query)
