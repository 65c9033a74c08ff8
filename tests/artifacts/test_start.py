"""What an operator is told when the store can not be used."""

import subprocess

import pytest
import requests
from support import required, stores
from support.servers import free_port


def lines(server, text: str) -> list[str]:
    return [line for line in server.logs.splitlines() if text in line]


def ready(server) -> tuple[int, dict]:
    answer = requests.get(server.url + "/readyz")
    return answer.status_code, answer.json()


def test_a_store_that_answers_is_named(store, start):
    server = start(f"s3://{store.bucket}/a/b/", store.env)
    assert ready(server) == (
        200,
        {"ready": True, "database": "ok", "artifacts": "ok", "artifact_store": f"s3://{store.bucket}/a/b"},
    )


def test_what_is_wrong_is_one_line_and_the_server_is_not_ready(moto, servers, start):
    strict = servers("s3s").with_bucket(stores.random_name("strict"))
    for bucket, env, expected in [
        ("no-such-bucket-here", moto.env, "NoSuchBucket"),
        (strict.bucket, strict.env | {"AWS_SECRET_ACCESS_KEY": "hunter2"}, "SignatureDoesNotMatch"),
        (strict.bucket, strict.env | {"AWS_ACCESS_KEY_ID": "hunter2"}, "NotSignedUp"),
        (moto.bucket, moto.env | {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}, "refused"),
    ]:
        server = start(f"s3://{bucket}", env)
        status, body = ready(server)
        assert (status, body["ready"], body["database"]) == (503, False, "ok")
        assert expected in body["artifacts"], body
        assert len(lines(server, "the artifact storage can not be used")) <= 1
        # The rest of the API does not need the store.
        assert requests.get(server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 200
        assert "hunter2" not in server.logs


@pytest.mark.parametrize(
    ("destination", "env", "expected"),
    [
        ("s3://bucket", {"AWS_ACCESS_KEY_ID": "x"}, "both or neither"),
        ("s3://bucket", {"MLFLOW_S3_ENDPOINT_URL": "minio:9000"}, "must be http://host:port"),
        ("s3://bucket", {"AWS_CA_BUNDLE": "/nonexistent.pem"}, "AWS_CA_BUNDLE: /nonexistent.pem"),
        ("s3://bucket", {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"Nonsense": "x"}'}, "'Nonsense' is not supported"),
        ("s3://", {}, "is not the name of a bucket"),
        ("s3://bucket/a/../b", {}, "can not be the prefix"),
    ],
)
def test_what_can_never_work_is_refused_in_one_line(destination, env, expected, tmp_path):
    command = [required("FERROFLOW_BIN"), "server", "--port", "0", "--artifacts-destination", destination]
    outcome = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("Error: ") and outcome.stderr.count("\n") == 1
    assert expected in outcome.stderr
