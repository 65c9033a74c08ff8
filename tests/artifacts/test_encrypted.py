"""A bucket that is reached over TLS, which gives an object as a whole or not at all."""

import os

import pytest
import requests
from support import stores

API = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024


@pytest.fixture
def encrypted(servers):
    return servers("rclone").with_bucket(stores.random_name("encrypted"))


@pytest.mark.parametrize("size", [0, 1, 4 * MIB + 1, 40 * MIB])
def test_a_file_of_any_size_goes_there_and_comes_back(encrypted, start, size):
    server = start(f"s3://{encrypted.bucket}/p", encrypted.env)
    body = os.urandom(size)
    assert requests.put(f"{server.url}{API}/0/file.bin", data=body).status_code == 200
    assert encrypted.get("p/0/file.bin") == body
    answer = requests.get(f"{server.url}{API}/0/file.bin")
    assert answer.content == body
    assert answer.headers["Content-Length"] == str(size)


def test_folders_are_listed_and_deleted(encrypted, start):
    server = start(f"s3://{encrypted.bucket}/p", encrypted.env)
    encrypted.put_many([f"p/0/{folder}/{number}.txt" for folder in "ab" for number in range(20)])
    listed = requests.get(server.url + API, params={"path": "0"}).json()["files"]
    assert [(file["path"], file["is_dir"]) for file in listed] == [("a", True), ("b", True)]
    assert requests.delete(f"{server.url}{API}/0/a").status_code == 200
    assert [key.rpartition("/")[0] for key in encrypted.keys()] == ["p/0/b"] * 20


def test_a_store_whose_authority_is_not_known_is_told_in_one_line(encrypted, start):
    server = start(f"s3://{encrypted.bucket}", encrypted.env | {"AWS_CA_BUNDLE": ""})
    ready = requests.get(f"{server.url}/readyz")
    assert ready.status_code == 503
    assert f"s3://{encrypted.bucket}" in ready.text
    server.wait_logged("certificate")
