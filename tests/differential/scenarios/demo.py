"""Sample data: what is answered, without comparing the data itself, which is each server's own."""

from step import Step

API = "/ajax-api/3.0/mlflow/demo"

ANY_BODY = "the reference fails, or looks for names in a text; ferroflow says what is wrong"


def generate(body=None, **rest):
    return Step("POST", f"{API}/generate", body, **rest)


def steps():
    yield generate({"features": []})
    yield generate({"features": ["unknown"]})
    yield generate({"features": ["prompts"]}, save={"demo": "experiment_id"})
    yield generate({"features": ["prompts"]})
    yield generate({"features": []})
    yield Step("GET", "/api/2.0/mlflow/experiments/get-by-name", query={"experiment_name": "MLflow Demo"},
               differs="each server describes its own data")  # fmt: skip
    for features in ("prompts", 7, {"prompts": True}, [1], [None]):
        yield generate({"features": features}, differs=ANY_BODY, expect=(400, "INVALID_PARAMETER_VALUE"))
    yield generate(raw=b'["prompts"]', headers={"Content-Type": "application/json"}, differs=ANY_BODY, expect=(400, "INVALID_PARAMETER_VALUE"))
    yield Step("GET", f"{API}/generate")
    yield Step("POST", f"{API}/delete")
    yield Step("POST", f"{API}/delete")
    yield Step("GET", f"{API}/delete")
