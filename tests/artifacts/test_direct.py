"""Locations in a bucket that the clients reach themselves and the server reads for the UI."""

import mlflow
import requests
from mlflow import MlflowClient


def test_the_server_reads_what_a_client_wrote_into_the_bucket(store, start, tmp_path, monkeypatch):
    for name, value in store.env.items():
        monkeypatch.setenv(name, value)
    server = start(tmp_path / "local", store.env, args=["--default-artifact-root", f"s3://{store.bucket}/root"])
    client = MlflowClient(server.url)
    mlflow.set_tracking_uri(server.url)
    experiment = client.create_experiment("direct")
    run = client.create_run(experiment)
    assert run.info.artifact_uri == f"s3://{store.bucket}/root/{experiment}/{run.info.run_id}/artifacts"
    # The SDK uploads to the bucket without the server.
    client.log_text(run.info.run_id, "hello", "model/größe.txt")
    assert len(store.keys("root/")) == 1
    found = requests.get(
        f"{server.url}/ajax-api/2.0/mlflow/artifacts/list", params={"run_id": run.info.run_id, "path": "model"}
    ).json()
    assert found["root_uri"] == run.info.artifact_uri
    assert found["files"] == [{"path": "model/größe.txt", "is_dir": False, "file_size": 5}]
    answer = requests.get(
        f"{server.url}/get-artifact", params={"run_id": run.info.run_id, "path": "model/größe.txt"}
    )
    assert (answer.status_code, answer.text) == (200, "hello")
    # The UI uploads through the server.
    answer = requests.post(
        f"{server.url}/ajax-api/2.0/mlflow/upload-artifact",
        params={"run_uuid": run.info.run_id, "path": "ui.json"},
        data="{}",
    )
    assert answer.status_code == 200, answer.text
    assert client.download_artifacts(run.info.run_id, "ui.json", str(tmp_path))


def test_another_bucket_is_another_location(store, start, tmp_path):
    server = start(tmp_path / "local", store.env)
    client = MlflowClient(server.url)
    other = store.with_bucket(store.bucket + "-other")
    experiment = client.create_experiment("other", artifact_location=f"s3://{other.bucket}/x")
    run = client.create_run(experiment).info
    other.put(f"x/{run.run_id}/artifacts/a.txt", b"a")
    page = f"{server.url}/ajax-api/2.0/mlflow/artifacts/list"
    assert requests.get(page, params={"run_id": run.run_id}).json()["files"][0]["path"] == "a.txt"
    # A bucket that is not there is the operator's to mend, and no crash.
    experiment = client.create_experiment("gone", artifact_location="s3://no-such-bucket-anywhere/x")
    run = client.create_run(experiment).info
    answer = requests.get(page, params={"run_id": run.run_id})
    assert answer.status_code == 503
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"


def test_a_location_that_is_no_bucket_is_refused(moto, start, tmp_path):
    server = start(tmp_path / "local", moto.env)
    client = MlflowClient(server.url)
    for number, location in enumerate(["s3://evil@host:80/x", "s3://a..b/x", "s3://bucket/a/../../b", "s3://x", "s3:///x"]):
        experiment = client.create_experiment(f"bad {number}", artifact_location=location)
        run = client.create_run(experiment).info
        answer = requests.get(f"{server.url}/ajax-api/2.0/mlflow/artifacts/list", params={"run_id": run.run_id})
        assert answer.status_code == 400, (location, answer.text)
