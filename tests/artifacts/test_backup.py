"""Backups of a server on SQLite, kept in a bucket."""

from pathlib import Path

import requests
from support import command
from support.servers import ferroflow


def log_artifact(url: str, name: str, body: bytes) -> None:
    answer = requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/0/{name}", data=body, timeout=60)
    assert answer.ok, answer.text


def flags(folder: Path) -> list[str]:
    return ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]


def test_a_backup_in_a_bucket_comes_back(store, tmp_path):
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    place = f"s3://{store.bucket}/back ups/mlflow"
    large = b"0123456789abcdef" * 600_000
    with ferroflow(f"sqlite:///{home}/mlflow.db", home / "artifacts") as server:
        log_artifact(server.url, "large.bin", large)
        command.run("backup", place, *flags(home), env=store.env)
        before = store.keys()
        log_artifact(server.url, "small.txt", b"small")
        # Only what is new, and the list of it.
        command.run("backup", place, *flags(home), "--keep", 1, env=store.env)
    assert all(key.startswith("back ups/mlflow/") for key in store.keys())
    assert len(set(store.keys()) - set(before)) == 2
    assert [line.split()[-1] for line in command.run("backup", place, "--list", env=store.env).splitlines()] == ["ARTIFACTS", "2"]
    assert "1 backups" in command.run("backup", place, "--check", env=store.env)
    command.run("restore", place, *flags(other), env=store.env)
    assert (other / "artifacts/0/large.bin").read_bytes() == large
    with ferroflow(f"sqlite:///{other}/mlflow.db", other / "artifacts") as server:
        assert requests.get(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/small.txt", timeout=60).content == b"small"
    [block] = [key for key in store.keys() if "/blocks/" in key and len(store.get(key)) == 5]
    store.put(block, b"SMALL")
    assert "is damaged" in command.refused("backup", place, "--check", env=store.env)
