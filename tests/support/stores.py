"""Object stores to talk to: two servers of the S3 protocol that have nothing in common but it.

``moto`` answers as AWS does, with its error codes, and knows every call. ``s3s-fs`` keeps objects in files,
checks signatures and digests, and is fast.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support import required
from support.servers import free_port

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
START_SECONDS = 60
KINDS = ("moto", "s3s")


@dataclass(frozen=True)
class Store:
    """A running S3 server with an empty bucket."""

    kind: str
    endpoint: str
    bucket: str

    @property
    def env(self) -> dict[str, str]:
        """What a server needs to reach it."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    @property
    def client(self):
        """boto3, which is another reader of the same bucket."""
        # Not every suite that has a store looks into it this way.
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def put_many(self, keys: list[str], body: bytes = b"x") -> None:
        client = self.client
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: client.put_object(Bucket=self.bucket, Key=key, Body=body), keys))

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    def uploads(self) -> list[str]:
        """The keys of uploads that were begun and neither completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def with_bucket(self, name: str) -> "Store":
        self.client.create_bucket(Bucket=name)
        return Store(self.kind, self.endpoint, name)


@contextlib.contextmanager
def running(kind: str, folder: Path) -> Iterator[Store]:
    """A store of a kind, without any bucket."""
    port = free_port()
    if kind == "moto":
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    else:
        root = folder / "s3s"
        root.mkdir()
        command = [required("FERROFLOW_S3S_FS"), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--access-key", KEY, "--secret-key", SECRET, str(root)]
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for_port(port, process, log)
        yield Store(kind, f"http://127.0.0.1:{port}", "")
    finally:
        process.kill()
        process.wait()


def wait_for_port(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.02)


def random_name(prefix: str) -> str:
    return f"{prefix}-{os.urandom(4).hex()}"
