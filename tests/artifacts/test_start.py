"""What an operator is told when the store cannot be used."""

import http.server
import subprocess
import threading
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import faults
import pytest
import requests
from support import required, stores
from support.ports import free_port


def lines(server, text: str) -> list[str]:
    return [line for line in server.logs.splitlines() if text in line]


def ready(server) -> tuple[int, dict]:
    answer = requests.get(server.url + "/readyz")
    return answer.status_code, answer.json()


def refusal(flag: str, value: str, env: dict, cwd) -> str:
    """The one line of a server that does not start with a flag."""
    command = [required("FERROFLOW_BIN"), "server", "--port", "0", flag, value]
    outcome = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("Error: ") and outcome.stderr.count("\n") == 1
    return outcome.stderr


def test_a_store_that_answers_is_named(store, start):
    server = start(f"s3://{store.bucket}/a/b/", store.env)
    assert ready(server) == (
        200,
        {"ready": True, "database": "ok", "artifacts": "ok", "artifact_store": f"s3://{store.bucket}/a/b"},
    )


def test_what_is_wrong_is_one_line_and_the_server_is_not_ready(moto, servers, start):
    strict = servers("seaweed").with_bucket(stores.random_name("strict"))
    for bucket, env, expected in [
        ("no-such-bucket-here", moto.env, "NoSuchBucket"),
        (strict.bucket, strict.env | {"AWS_SECRET_ACCESS_KEY": "hunter2"}, "SignatureDoesNotMatch"),
        (strict.bucket, strict.env | {"AWS_ACCESS_KEY_ID": "hunter2"}, "InvalidAccessKeyId"),
        (moto.bucket, moto.env | {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}, "refused"),
    ]:
        server = start(f"s3://{bucket}", env)
        status, body = ready(server)
        assert (status, body["ready"], body["database"]) == (503, False, "ok")
        assert expected in body["artifacts"], body
        assert len(lines(server, "the artifact storage cannot be used")) <= 1
        answer = requests.get(server.url + "/readyz?needs=database")
        assert answer.status_code == 200 and expected in answer.json()["artifacts"]
        # The rest of the API does not need the store.
        assert requests.get(server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 200
        assert "hunter2" not in server.logs


@pytest.mark.parametrize(
    ("destination", "env", "expected"),
    [
        ("s3://bucket", {"AWS_ACCESS_KEY_ID": "x"}, "both or neither"),
        ("s3://bucket", {"MLFLOW_S3_ENDPOINT_URL": "minio:9000"}, "must be http://host:port"),
        ("s3://bucket", {"AWS_CA_BUNDLE": "/nonexistent.pem"}, "AWS_CA_BUNDLE: /nonexistent.pem"),
        ("s3://bucket", {"REQUESTS_CA_BUNDLE": "/nonexistent.pem"}, "REQUESTS_CA_BUNDLE: /nonexistent.pem"),
        ("s3://bucket", {"FERROFLOW_PRESIGNED_TRANSFERS": "off"}, "FERROFLOW_PRESIGNED_TRANSFERS=off is not one of"),
        ("s3://bucket", {"MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS": "0"}, "is not between 1 and 604800"),
        ("s3://bucket", {"MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS": "604801"}, "is not between 1 and 604800"),
        ("s3://bucket", {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"Nonsense": "x"}'}, "'Nonsense' is not supported"),
        ("s3://", {}, "is not the name of a bucket"),
        ("s3://bucket/a/../b", {}, "cannot be the prefix"),
    ],
)
def test_what_can_never_work_is_refused_in_one_line(destination, env, expected, tmp_path):
    assert expected in refusal("--artifacts-destination", destination, env, tmp_path)


def told(server) -> dict:
    """What a probe is told of the default root, when its store has answered."""
    faults.wait_until(lambda: ready(server)[1]["default_artifact_root"]["reading"] != "no answer yet", "the store")
    status, body = ready(server)
    assert (status, body["ready"]) == (200, True), "clients may be the only ones who reach it"
    return body["default_artifact_root"]


@pytest.mark.parametrize("args", [[], ["--no-serve-artifacts"]])
def test_a_default_root_that_clients_reach_themselves_is_told(moto, servers, start, tmp_path, args):
    strict = servers("seaweed").with_bucket(stores.random_name("strict"))
    locked = tmp_path / "locked"
    locked.write_text("")
    for root, env, expected in [
        (f"s3://{moto.bucket}/x", moto.env, "ok"),
        (str(tmp_path / "not there yet"), {}, "ok"),
        ("s3://no-such-bucket-here/x", moto.env, "NoSuchBucket"),
        (f"s3://{strict.bucket}", strict.env | {"AWS_SECRET_ACCESS_KEY": "hunter2"}, "SignatureDoesNotMatch"),
        (str(locked), {}, f"{locked} is not a directory"),
    ]:
        server = start(tmp_path / "served", env, args=["--default-artifact-root", root, *args])
        answer = told(server)
        assert answer["store"] == root and expected in answer["reading"]
        if expected != "ok":
            server.wait_logged("cannot be read by this server")
        warnings = [line for line in lines(server, "cannot be read by this server") if "WARN" in line]
        assert len(warnings) == (0 if expected == "ok" else 1) and all(expected in line for line in warnings)
        assert "hunter2" not in server.logs and not lines(server, "ERROR")


def test_a_default_root_that_no_server_reads_is_told_and_one_that_is_served_is_told_once(start, moto, tmp_path):
    server = start(tmp_path / "served", {}, args=["--default-artifact-root", "hdfs://host/path"])
    server.wait_logged("cannot be read by this server")
    (line,) = lines(server, "cannot be read by this server")
    assert "WARN" in line and "hdfs://host/path" in line
    assert ready(server)[0] == 200
    server = start(f"s3://{moto.bucket}/x", moto.env, args=["--default-artifact-root", f"s3://{moto.bucket}/x"])
    assert "default_artifact_root" not in ready(server)[1] and ready(server)[0] == 200


@pytest.mark.parametrize(
    ("root", "env", "expected"),
    [
        ("gs://bucket/x", {"GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent.json"}, "Google Cloud Storage are not usable"),
        ("wasbs://box@account.blob.core.windows.net/x", {"AZURE_STORAGE_ACCESS_KEY": "no base 64!"}, "Azure are not usable"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": "x"}, "both or neither"),
    ],
)
def test_settings_of_a_default_root_that_can_never_work_are_refused(root, env, expected, tmp_path):
    assert expected in refusal("--default-artifact-root", root, env, tmp_path)


class Denying(http.server.BaseHTTPRequestHandler):
    """A store that lists objects, and tells nobody of uploads."""

    code: ClassVar[str] = "AccessDenied"
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        uploads = "uploads" in parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if uploads:
            self.asked.append(self.code)
        body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>" if uploads else "<ListBucketResult/>"
        self.send_response(403 if uploads else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def test_a_right_that_a_sweep_lacks_is_told_once_for_each_reason(start):
    store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denying)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    try:
        env = {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{store.server_port}", "FERROFLOW_UPLOAD_SWEEP_AGE": "1s"}
        env |= {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}
        server = start("s3://bucket", env)
        warnings = lambda: [line for line in lines(server, "cannot be swept") if "WARN" in line]  # noqa: E731
        for number, code in enumerate(["AccessDenied", "SlowDown", "AccessDenied"], start=1):
            Denying.code = code
            Denying.asked.clear()
            faults.wait_until(lambda code=code: Denying.asked.count(code) >= 4, "some sweeps")
            assert len(warnings()) == number and code in warnings()[-1] and "s3://bucket" in warnings()[-1]
    finally:
        store.shutdown()
