"""The reference and ferroflow run on each other's database, at the same time, and see the same."""

import itertools

import pytest
import requests
from support.servers import MAKERS

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=("reference", "ferroflow"))
def servers(request, made):
    """Both servers on the database that one of them made."""
    database = made[request.param]
    with (
        MAKERS["reference"](database.uri, database.artifacts) as reference,
        MAKERS["ferroflow"](database.uri, database.artifacts) as ferroflow,
    ):
        yield {"reference": reference.url, "ferroflow": ferroflow.url}


@pytest.mark.rotates(together=True, every=4)
def test_what_one_writes_the_other_reads(servers):
    written = {writer: write(url) for writer, url in servers.items()}
    for writer, (experiment, run) in written.items():
        seen = {reader: read(url, experiment, run) for reader, url in servers.items()}
        assert seen["ferroflow"] == seen["reference"], f"written by {writer}"
        assert seen["ferroflow"]["runs/get"]["run"]["info"]["status"] == "FINISHED"
        assert len(seen["ferroflow"]["metrics/get-history"]["metrics"]) == 3


@pytest.mark.rotates(together=True, every=4)
def test_a_run_is_continued_by_the_other(servers):
    for first, second in (("reference", "ferroflow"), ("ferroflow", "reference")):
        experiment, run = write(servers[first])
        call(servers[second], "runs/log-metric", run_id=run, key="loss", value=0.125, timestamp=9_000, step=9)
        call(servers[second], "runs/set-tag", run_id=run, key="continued", value=second)
        call(servers[second], "runs/update", run_id=run, run_name="renamed")
        seen = {reader: read(url, experiment, run) for reader, url in servers.items()}
        assert seen["ferroflow"] == seen["reference"]
        latest = {metric["key"]: metric["value"] for metric in seen["reference"]["runs/get"]["run"]["data"]["metrics"]}
        assert latest["loss"] == 0.125
        assert seen["reference"]["runs/get"]["run"]["info"]["run_name"] == "renamed"


@pytest.mark.rotates(together=True, every=4)
def test_deleted_by_one_is_deleted_for_the_other(servers):
    for first, second in (("reference", "ferroflow"), ("ferroflow", "reference")):
        experiment, run = write(servers[first])
        call(servers[first], "runs/delete", run_id=run)
        assert query(servers[second], "runs/get", run_id=run)["run"]["info"]["lifecycle_stage"] == "deleted"
        call(servers[second], "runs/restore", run_id=run)
        assert query(servers[first], "runs/get", run_id=run)["run"]["info"]["lifecycle_stage"] == "active"
        call(servers[second], "experiments/delete", experiment_id=experiment)
        assert query(servers[first], "experiments/get", experiment_id=experiment)["experiment"]["lifecycle_stage"] == "deleted"


def write(url: str) -> tuple[str, str]:
    """An experiment with a finished run that has something of everything."""
    name = f"exchange {next(_numbers)} é中"
    tags = [{"key": "team", "value": "blue"}, {"key": "mlflow.note.content", "value": "**ünï**"}]
    experiment = call(url, "experiments/create", name=name, tags=tags)["experiment_id"]
    run = call(
        url, "runs/create", experiment_id=experiment, run_name="first", user_id="ada", start_time=1_000,
        tags=[{"key": "mlflow.source.name", "value": "train.py"}],
    )["run"]["info"]["run_id"]  # fmt: skip
    call(
        url,
        "runs/log-batch",
        run_id=run,
        metrics=[
            {"key": "loss", "value": 1.5, "timestamp": 1_001, "step": 0},
            {"key": "loss", "value": 0.1, "timestamp": 1_002, "step": 1},
            {"key": "loss", "value": "NaN", "timestamp": 1_003, "step": 2},
            {"key": "up", "value": "Infinity", "timestamp": 1_001, "step": 0},
            {"key": "tiny", "value": 5e-324, "timestamp": 1_001, "step": -3},
        ],
        params=[{"key": "lr", "value": "1e-3"}, {"key": "long", "value": "x" * 6_000}],
        tags=[{"key": "emoji", "value": "🧪"}],
    )
    dataset = {"name": "iris", "digest": "abc123", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}
    context = [{"key": "mlflow.data.context", "value": "training"}]
    model = call(
        url, "logged-models", experiment_id=experiment, name="m", source_run_id=run,
        params=[{"key": "depth", "value": "3"}], tags=[{"key": "stage", "value": "new"}],
    )["model"]["info"]["model_id"]  # fmt: skip
    call(url, "runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": context}])
    call(url, "runs/outputs", run_id=run, models=[{"model_id": model, "step": 1}])
    call(url, "runs/update", run_id=run, status="FINISHED", end_time=2_000)
    return experiment, run


def read(url: str, experiment: str, run: str) -> dict:
    """What the SDK and the UI ask for."""
    return sort(
        {
            "experiments/get": query(url, "experiments/get", experiment_id=experiment),
            "experiments/search": call(url, "experiments/search", max_results=1000, order_by=["experiment_id"]),
            "runs/get": query(url, "runs/get", run_id=run),
            "runs/search": call(url, "runs/search", experiment_ids=[experiment], filter="params.lr = '1e-3'"),
            "metrics/get-history": query(url, "metrics/get-history", run_id=run, metric_key="loss", max_results=3),
            "logged-models/search": call(url, "logged-models/search", experiment_ids=[experiment]),
        }
    )


def sort(value):
    """The reference gives the metrics, params and tags of an object in no particular order. Page tokens
    are each server's own."""
    if isinstance(value, dict):
        return {key: key if key == "next_page_token" else sort(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [sort(item) for item in value]
        return sorted(items, key=repr) if all(isinstance(item, dict) and "key" in item for item in items) else items
    return value


def call(url: str, path: str, **body) -> dict:
    return answer(requests.post(f"{url}/api/2.0/mlflow/{path}", json=body, timeout=60))


def query(url: str, path: str, **parameters) -> dict:
    return answer(requests.get(f"{url}/api/2.0/mlflow/{path}", params=parameters, timeout=60))


def answer(response: requests.Response) -> dict:
    assert response.status_code == 200, f"{response.request.url}: {response.status_code} {response.text}"
    return response.json()
