"""What was acknowledged is there after kill -9, and nothing is half there."""

import threading

import pytest
import requests
from support.servers import ferroflow

WRITERS = 12
METRICS = [f"m{number}" for number in range(10)]


class Writer(threading.Thread):
    """Logs batch after batch to its own run until the server is gone. Each batch has a step of every
    metric, a param and a tag, so that a half-written one would show."""

    def __init__(self, url, run_id, first_step, enough):
        super().__init__()
        self.url, self.run_id, self.step, self.enough = url, run_id, first_step, enough
        self.acknowledged = []

    def run(self):
        with requests.Session() as session:
            while True:
                body = {
                    "run_id": self.run_id,
                    "metrics": [
                        {"key": key, "value": self.step, "timestamp": self.step, "step": self.step} for key in METRICS
                    ],
                    "params": [{"key": f"p{self.step}", "value": str(self.step)}],
                    "tags": [{"key": f"t{self.step}", "value": str(self.step)}],
                }
                if self.step % 2:
                    # Every other batch goes the short way, without a param.
                    del body["params"]
                try:
                    answer = session.post(f"{self.url}/api/2.0/mlflow/runs/log-batch", json=body, timeout=60)
                except requests.RequestException:
                    return
                assert answer.status_code == 200, answer.text
                self.acknowledged.append(self.step)
                self.enough.release()
                self.step += 1


def new_run(url):
    body = {"experiment_id": "0", "start_time": 1}
    return requests.post(f"{url}/api/2.0/mlflow/runs/create", json=body, timeout=60).json()["run"]["info"]["run_id"]


def steps_by_metric(url, run_id):
    found = {}
    for key in METRICS:
        query = {"run_id": run_id, "metric_key": key}
        history = requests.get(f"{url}/api/2.0/mlflow/metrics/get-history", params=query, timeout=60).json()
        found[key] = [point["step"] for point in history.get("metrics", [])]
    return found


def check(url, run_id, acknowledged, attempted):
    run = requests.get(f"{url}/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=60).json()["run"]["data"]
    params = {param["key"] for param in run.get("params", [])}
    tags = {tag["key"] for tag in run.get("tags", [])}
    steps = steps_by_metric(url, run_id)
    present = set(steps[METRICS[0]])
    assert set(acknowledged) <= present, "an acknowledged batch is lost"
    assert present <= set(range(attempted + 1)), "a batch appeared that nobody sent"
    for key in METRICS:
        assert sorted(steps[key]) == sorted(present), f"{key} has a part of a batch, or a point twice"
    for step in range(attempted + 1):
        assert (f"t{step}" in tags) == (step in present), f"the tag and the metrics of batch {step} differ"
        if step % 2 == 0:
            assert (f"p{step}" in params) == (step in present), f"the param and the metrics of batch {step} differ"
    if present:
        latest = {metric["key"]: metric["step"] for metric in run["metrics"]}
        assert latest == dict.fromkeys(METRICS, max(present)), "the latest metrics lag behind the history"


@pytest.mark.rotates(every=2)
@pytest.mark.parametrize("batches", [1, 40, 300])
def test_killed_under_load_it_loses_nothing_acknowledged(backend, batches):
    acknowledged = {}
    attempted = {}
    for _ in range(2):
        with ferroflow(backend) as server:
            if not acknowledged:
                acknowledged = {new_run(server.url): [] for _ in range(WRITERS)}
                attempted = dict.fromkeys(acknowledged, -1)
            enough = threading.Semaphore(0)
            writers = [Writer(server.url, run, attempted[run] + 1, enough) for run in acknowledged]
            for writer in writers:
                writer.start()
            for _ in range(batches):
                assert enough.acquire(timeout=60), "the server answers no more"
            server.kill()
            for writer in writers:
                writer.join()
                acknowledged[writer.run_id] += writer.acknowledged
                attempted[writer.run_id] = writer.step
    with ferroflow(backend) as server:
        for run, steps in acknowledged.items():
            check(server.url, run, steps, attempted[run])
            # And it goes on as if nothing had happened.
            body = {"run_id": run, "key": "after", "value": 1, "timestamp": 1}
            assert requests.post(f"{server.url}/api/2.0/mlflow/runs/log-metric", json=body, timeout=60).ok


@pytest.mark.rotates
def test_many_clients_on_the_same_runs_and_keys_see_no_error(backend):
    with ferroflow(backend) as server:
        runs = [new_run(server.url) for _ in range(3)]
        failures = []

        def work(number):
            with requests.Session() as session:
                for round_ in range(8):
                    step = number * 8 + round_
                    for run in runs:
                        for key in ("a", "b"):
                            body = {"run_id": run, "key": key, "value": step, "timestamp": 1, "step": step}
                            answer = session.post(f"{server.url}/api/2.0/mlflow/runs/log-metric", json=body, timeout=60)
                            if answer.status_code != 200:
                                failures.append(answer.text)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        for run in runs:
            answer = requests.get(f"{server.url}/api/2.0/mlflow/runs/get", params={"run_id": run}, timeout=60).json()
            latest = {metric["key"]: metric["value"] for metric in answer["run"]["data"]["metrics"]}
            assert latest == {"a": 511, "b": 511}
