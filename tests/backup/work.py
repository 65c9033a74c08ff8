"""Clients that log runs with artifacts, and what must be true of a restored server."""

import hashlib
import os
import threading

import requests


def call(url, path, /, **body):
    answer = requests.post(f"{url}/api/2.0/mlflow/{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def log_run(url, session=requests, size=3000):
    """A run with a metric, an artifact, and at last a tag that tells of the artifact."""
    api = f"{url}/api/2.0/mlflow"
    run = session.post(f"{api}/runs/create", json={"experiment_id": "0", "start_time": 1}, timeout=60).json()["run"]
    run_id = run["info"]["run_id"]
    body = os.urandom(size)
    target = f"{url}/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/data/weights.bin"
    assert session.put(target, data=body, timeout=60).ok
    metric = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 1}
    assert session.post(f"{api}/runs/log-metric", json=metric, timeout=60).ok
    tag = {"run_id": run_id, "key": "sha256", "value": hashlib.sha256(body).hexdigest()}
    assert session.post(f"{api}/runs/set-tag", json=tag, timeout=60).ok
    return run_id


class Client(threading.Thread):
    """Logs one run after the other until it is told to stop."""

    def __init__(self, url):
        super().__init__()
        self.url = url
        self.logged = []
        self.stopped = threading.Event()
        self.more = threading.Semaphore(0)

    def run(self):
        with requests.Session() as session:
            while not self.stopped.is_set():
                self.logged.append(log_run(self.url, session))
                self.more.release()

    def log(self, runs):
        """Waits until it has logged this many more."""
        for _ in range(runs):
            assert self.more.acquire(timeout=60), "the server answers no more"

    def stop(self):
        self.stopped.set()
        self.join()


def check(url, acknowledged):
    """Every run that was logged is there, and every tag tells of the artifact that there is."""
    runs, token = [], None
    while True:
        page = call(url, "runs/search", experiment_ids=["0"], max_results=1000, **({"page_token": token} if token else {}))
        runs += page.get("runs", [])
        token = page.get("next_page_token")
        if not token:
            break
    assert set(acknowledged) <= {run["info"]["run_id"] for run in runs}
    for run in runs:
        tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
        if "sha256" not in tags:
            assert run["info"]["run_id"] not in acknowledged
            continue
        path = f"0/{run['info']['run_id']}/artifacts/data/weights.bin"
        body = requests.get(f"{url}/api/2.0/mlflow-artifacts/artifacts/{path}", timeout=60)
        assert body.status_code == 200, body.text
        assert hashlib.sha256(body.content).hexdigest() == tags["sha256"]
    return len(runs)
