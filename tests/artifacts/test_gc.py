"""``ferroflow gc``: what is deleted for good, what is kept, and what is told."""

import subprocess
import threading

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from support import postgres, required, stores
from support.servers import ferroflow


class Place:
    """A database, a bucket and a server on both."""

    def __init__(self, uri, store, server):
        self.uri, self.store, self.server = uri, store, server
        self.client = MlflowClient(server.url)

    def gc(self, *args, destination=True, code=0) -> list[str]:
        command = [required("FERROFLOW_BIN"), "gc", "--backend-store-uri", self.uri, *args]
        if destination:
            command += ["--artifacts-destination", f"s3://{self.store.bucket}/pre"]
        outcome = subprocess.run(command, env=self.store.env, capture_output=True, text=True, timeout=120)
        assert outcome.returncode == code, outcome.stdout + outcome.stderr
        return (outcome.stdout + outcome.stderr).splitlines()

    def run(self, experiment="0") -> str:
        run = self.client.create_run(experiment).info.run_id
        self.client.log_metric(run, "m", 1)
        self.client.log_param(run, "p", 1)
        self.client.set_tag(run, "t", 1)
        self.client.log_text(run, "x", "a/b.txt")
        self.client.log_text(run, "x", "c.txt")
        return run

    def model(self, experiment="0") -> str:
        model = self.client.create_logged_model(experiment, "m", params={"a": "b"}, tags={"t": "u"})
        self.store.put(f"pre/{experiment}/models/{model.model_id}/artifacts/MLmodel", b"x")
        return model.model_id


@pytest.fixture(params=postgres.DIALECTS)
def place(request, servers, tmp_path):
    store = servers("s3s").with_bucket(stores.random_name("gc"))
    with postgres.database(request.param, tmp_path, "gc") as uri:
        with ferroflow(uri, f"s3://{store.bucket}/pre", env=store.env) as server:
            yield Place(uri, store, server)


def missing(call) -> bool:
    try:
        call()
    except MlflowException as error:
        return error.error_code == "RESOURCE_DOES_NOT_EXIST"
    return False


def test_deleted_runs_and_models_go_with_their_artifacts_and_the_rest_stays(place):
    kept, gone = place.run(), place.run()
    kept_model, gone_model = place.model(), place.model()
    place.client.delete_run(gone)
    place.client.delete_logged_model(gone_model)
    told = place.gc("--dry-run")
    assert sum("would be deleted." in line and gone in line for line in told) == 1
    assert told[-1] == "2 would be deleted, 0 kept."
    assert len(place.store.keys(f"pre/0/{gone}/")) == 2
    told = place.gc()
    assert f"Run with ID {gone} has been permanently deleted." in told
    assert f"Logged model with ID {gone_model} has been permanently deleted." in told
    assert missing(lambda: place.client.get_run(gone))
    assert place.client.get_run(kept).data.params == {"p": "1"}
    assert place.client.get_logged_model(kept_model).params == {"a": "b"}
    assert place.store.keys() == [
        f"pre/0/{kept}/artifacts/a/b.txt",
        f"pre/0/{kept}/artifacts/c.txt",
        f"pre/0/models/{kept_model}/artifacts/MLmodel",
    ]
    assert place.gc()[-1] == "0 deleted, 0 kept."


def test_a_deleted_experiment_goes_with_all_that_is_in_it(place):
    other = place.run()
    experiment = place.client.create_experiment("old", tags={"a": "b"})
    runs = [place.run(experiment) for _ in range(3)]
    models = [place.model(experiment) for _ in range(2)]
    place.client.delete_experiment(experiment)
    told = place.gc("--experiment-ids", experiment)
    assert told[-1] == "6 deleted, 0 kept."
    assert f"Experiment with ID {experiment} has been permanently deleted." in told
    assert all(missing(lambda run=run: place.client.get_run(run)) for run in runs)
    assert all(missing(lambda model=model: place.client.get_logged_model(model)) for model in models)
    assert missing(lambda: place.client.get_experiment(experiment))
    assert {key.split("/")[2] for key in place.store.keys()} == {other}
    # Its name is free again.
    assert place.client.create_experiment("old")


def test_what_was_asked_for_is_checked_before_anything_is_touched(place):
    active, deleted = place.run(), place.run()
    place.client.delete_run(deleted)
    for args, words in [
        (["--run-ids", f"{deleted},{active}"], f"Run {active} is not in `deleted` lifecycle stage."),
        (["--run-ids", f"{deleted},nobody"], "Run with id=nobody not found"),
        (["--run-ids", deleted, "--older-than", "1h"], f"Run {deleted} is not older than the required age."),
        (["--run-ids", deleted, "--experiment-ids", "0"], "Experiment 0 is not in `deleted` lifecycle stage."),
        (["--run-ids", deleted, "--logged-model-ids", "m-x"], "'m-x' not found"),
        (["--workspace", "w"], "Workspace selection flags are only supported"),
    ]:
        told = place.gc(*args, code=1)
        assert words in told[-1], (args, told)
    assert "Could not parse any time information" in place.gc("--older-than", "soon", code=2)[-1]
    assert place.client.get_run(deleted).info.lifecycle_stage == "deleted"
    assert place.gc("--older-than", "1h")[-1] == "0 deleted, 0 kept."
    assert place.gc("--run-ids", deleted, "--older-than", "0s")[-1] == "1 deleted, 0 kept."


def test_artifacts_that_can_not_be_found_keep_their_run(place):
    run = place.run()
    place.client.delete_run(run)
    told = place.gc(destination=False, code=1)
    assert any(line.startswith(f"Run with ID {run} is kept: its artifacts at mlflow-artifacts:/0/{run}") for line in told)
    place.client.restore_run(run)
    assert place.client.download_artifacts(run, "c.txt")


def test_a_store_that_fails_keeps_the_run_and_the_next_time_finishes(place):
    run = place.run()
    place.client.delete_run(run)
    broken = place.store.env | {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"}
    command = [required("FERROFLOW_BIN"), "gc", "--backend-store-uri", place.uri]
    command += ["--artifacts-destination", f"s3://{place.store.bucket}/pre"]
    outcome = subprocess.run(command, env=broken, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 1 and f"Run with ID {run} is kept" in outcome.stderr
    assert place.client.get_run(run).info.lifecycle_stage == "deleted"
    assert place.gc()[-1] == "1 deleted, 0 kept."
    assert place.store.keys() == []


def test_a_restore_meanwhile_gets_all_or_nothing(place):
    runs = [place.run() for _ in range(12)]
    for run in runs:
        place.client.delete_run(run)
    restored = []

    def restore():
        for run in reversed(runs):
            if requests.post(f"{place.server.url}/api/2.0/mlflow/runs/restore", json={"run_id": run}).ok:
                restored.append(run)

    thread = threading.Thread(target=restore)
    thread.start()
    place.gc()
    thread.join()
    for run in runs:
        files = place.store.keys(f"pre/0/{run}/")
        if run in restored:
            assert len(files) == 2, "what was restored has its artifacts"
            assert place.client.get_run(run).data.params == {"p": "1"}
        else:
            assert files == [] and missing(lambda run=run: place.client.get_run(run))


def test_folders_that_belong_to_nothing_are_told(place):
    run, model = place.run(), place.model()
    place.store.put("pre/0/0123456789abcdef0123456789abcdef/artifacts/x", b"x")
    place.store.put("pre/0/models/m-gone/artifacts/x", b"x")
    place.store.put("pre/0/traces/tr-gone/artifacts/traces.json", b"x")
    place.store.put("pre/17/0123456789abcdef0123456789abcdee/artifacts/x", b"x")
    place.store.put("pre/mine/0123456789abcdef0123456789abcdee/x", b"x")
    told = place.gc("--unreferenced")
    assert sorted(told[:-1]) == [
        "0/0123456789abcdef0123456789abcdef",
        "0/models/m-gone",
        "0/traces/tr-gone",
        "17/0123456789abcdef0123456789abcdee",
    ]
    assert told[-1].startswith("4 folders")
    assert place.client.get_run(run) and place.client.get_logged_model(model)
