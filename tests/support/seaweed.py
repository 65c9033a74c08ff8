"""SeaweedFS: an object store that people run, its master, volumes, index of files and S3 gateway in one process."""

import json
import os
import sys
from pathlib import Path

from support.ports import free_port

#: By itself it makes seven volumes for a new bucket, one after the other.
ENVIRONMENT = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}

_PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc")


def command(folder: Path, port: int, key: str, secret: str) -> list[str]:
    """Its command, with everything that it writes below a folder."""
    data, identities = folder / "seaweed", folder / "identities.json"
    data.mkdir()
    credentials = [{"accessKey": key, "secretKey": secret}]
    identities.write_text(json.dumps({"identities": [{"name": "tests", "credentials": credentials, "actions": ["Admin"]}]}))
    program = Path(sys.executable).with_name("weed")
    line = [str(program), "-logtostderr", "server", "-filer", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}"]
    line += [f"-s3.port={port}", *(f"-{name}={free_port()}" for name in _PORTS), f"-s3.config={identities}"]
    # Volumes enough for a bucket of every test, and none that a disk which is nearly full makes read-only.
    line += ["-volume.max=1000", "-master.volumeSizeLimitMB=64", "-volume.minFreeSpace=1MiB"]
    # Nothing that listens at a fixed address, and nothing told to anybody.
    line += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-filer.localSocket={data}/filer", f"-s3.localSocket={data}/s3"]
    return [*line, "-s3.iam=false", "-s3.autoCreateBucket=false", "-master.telemetry=false"]


def environment() -> dict[str, str]:
    return os.environ | ENVIRONMENT
