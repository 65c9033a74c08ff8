"""Object stores to talk to: four servers of the S3 protocol that have nothing in common but it.

``moto`` answers as AWS does, with its error codes, and knows every call, but takes every key and every digest.
``seaweed`` is SeaweedFS, which people run: it checks signatures and digests, and keeps nothing in memory. ``s3s`` is
s3s-fs, which keeps objects in files and is strict, too. ``rclone`` keeps them in files and speaks TLS, as buckets do; it
answers a range as if it were all there is, so nothing that asks for one is tried on it.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from support import required, seaweed
from support.ports import free_port

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
START_SECONDS = 60
#: Those that do all that is asked of a store.
KINDS = ("moto", "seaweed", "s3s")
#: Of those, what a sample does without: it is built for minutes.
BUILT = {"s3s"}


@dataclass(frozen=True)
class Store:
    """A running S3 server with an empty bucket."""

    kind: str
    endpoint: str
    bucket: str
    #: Who signed its certificate.
    authority: Path | None = None

    @property
    def env(self) -> dict[str, str]:
        """What a server needs to reach it."""
        env = {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        if self.authority:
            # Of boto3: over TLS it sends bodies in a form that not every store knows.
            env |= {"AWS_CA_BUNDLE": str(self.authority), "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
        return env

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
            verify=str(self.authority) if self.authority else None,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"max_attempts": 1},
                request_checksum_calculation="when_required",
            ),
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

    def clear(self, prefix: str = "") -> None:
        """Deletes what is below a prefix."""
        client = self.client
        for key in self.keys(prefix):
            client.delete_object(Bucket=self.bucket, Key=key)

    def uploads(self) -> list[str]:
        """The keys of uploads that were begun and neither completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def with_bucket(self, name: str) -> "Store":
        self.client.create_bucket(Bucket=name)
        return replace(self, bucket=name)


@contextlib.contextmanager
def running(kind: str, folder: Path, *more: str) -> Iterator[Store]:
    """A store of a kind, without any bucket; its command may have more arguments."""
    port = free_port()
    store = Store(kind, f"http://127.0.0.1:{port}", "")
    environment = None
    if kind == "moto":
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    elif kind == "seaweed":
        command, environment = seaweed.command(folder, port, KEY, SECRET), seaweed.environment()
    elif kind == "s3s":
        root = folder / "s3s"
        root.mkdir()
        command = [required("FERROFLOW_S3S_FS"), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--access-key", KEY, "--secret-key", SECRET, str(root)]
    else:
        store = Store(kind, f"https://127.0.0.1:{port}", "", folder / "authority.crt")
        command = [*rclone(folder, store.authority), "--addr", f"127.0.0.1:{port}", str(folder / "rclone")]
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *more], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for_port(port, process, log)
        yield store
    finally:
        process.kill()
        process.wait()


def rclone(folder: Path, authority: Path) -> list[str]:
    """Its command, with a certificate that it is known by."""
    # Not every suite that has a store has it over TLS.
    from support import certificates

    (folder / "rclone").mkdir()
    signer = certificates.issue("The bucket's authority")
    authority.write_text(signer.pem)
    issued = certificates.issue("bucket", ["127.0.0.1"], signer)
    certificate, key = issued.write(folder / "bucket.crt", folder / "bucket.key")
    program = Path(sys.executable).with_name("rclone")
    settings = ["--config", "", "--auth-key", f"{KEY},{SECRET}", "--cert", str(certificate), "--key", str(key)]
    return [str(program), "serve", "s3", *settings]


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
