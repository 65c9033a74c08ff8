"""A bucket for the drills."""

import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from cluster import Bucket
from support import required
from support.figures import figures, pytest_terminal_summary  # noqa: F401
from support.ports import free_port

#: The SDK's lines about where a run can be looked at.
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"


@pytest.fixture(scope="session")
def s3():
    """An S3 server with a bucket for backups and one for artifacts. Its address."""
    port = free_port()
    program = Path(required("FERROFLOW_BARMAN")) / "moto_server"
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen([program, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                    break
                except (OSError, urllib.error.URLError):
                    assert server.poll() is None and time.monotonic() < deadline, log.read()
                    time.sleep(0.1)
            for bucket in ("backups", "artifacts"):
                client(url).create_bucket(Bucket=bucket)
            yield url
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="session")
def bucket(s3):
    return Bucket(s3, "s3://backups/mlflow")


def client(url: str):
    """A client of the S3 server."""
    return boto3.client("s3", endpoint_url=url, aws_access_key_id="drill", aws_secret_access_key="drill", region_name="us-east-1")
