"""A server and its commands on volumes as they are found: fresh, read-only, full, taken away."""

import contextlib
import os
import subprocess
from pathlib import Path

import ferroflow_db
import pytest
import requests
from support import required
from support.ports import free_port
from support.servers import ferroflow
from test_disk import disk, full
from test_interruption import wait_until

__all__ = ["disk"]


def test_folders_that_are_missing_are_made(tmp_path):
    with ferroflow(f"sqlite:///{tmp_path}/a/b/mlflow.db", tmp_path / "c" / "d") as server:
        assert requests.get(f"{server.url}/readyz", timeout=60).status_code == 200
    ferroflow_db.upgrade(f"sqlite:///{tmp_path}/e/f/mlflow.db")
    assert "pending   0" in ferroflow_db.db("status", f"sqlite:///{tmp_path}/e/f/mlflow.db").stdout
    # Who only looks makes nothing, and says what is missing.
    for command in ("status", "check", "rows"):
        refused = ferroflow_db.db(command, f"sqlite:///{tmp_path}/g/mlflow.db", expect=1)
        assert refused.stderr.rstrip().endswith(f"{tmp_path}/g/mlflow.db: No such file or directory (os error 2)")
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("state", ["fresh", "old"])
def test_a_read_only_volume_is_named_with_the_reason_of_the_system(disk, state, tmp_path):
    uri = f"sqlite:///{disk}/folder/mlflow.db"
    if state == "old":
        ferroflow_db.upgrade(uri)
    with read_only(disk):
        for command in (["server", "--backend-store-uri", uri, "--port", str(free_port())], ["db", "upgrade", uri]):
            refused = subprocess.run(
                [required("FERROFLOW_BIN"), *command],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=ferroflow_db.TIMEOUT,
                env=ferroflow_db.environment() | {"MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path)},
            )
            if state == "old" and command[0] == "db":
                # There is nothing to do.
                continue
            assert refused.returncode == 1, refused.stderr
            assert refused.stderr.count("\n") == 1, refused.stderr
            line = refused.stderr.rstrip()
            assert line.startswith("Error: ") and line.endswith("Read-only file system (os error 30)"), line


def test_a_full_disk_is_not_ready_and_acknowledges_nothing(disk):
    with ferroflow(f"sqlite:///{disk}/mlflow.db", disk / "artifacts") as server:
        create = f"{server.url}/api/2.0/mlflow/experiments/create"
        assert requests.get(f"{server.url}/readyz", timeout=60).status_code == 200
        with full(disk):
            becomes(server, 503)
            assert requests.get(f"{server.url}/livez", timeout=60).status_code == 200
            answers = {}
            for number in range(200):
                answers[f"e{number}"] = requests.post(create, json={"name": f"e{number}"}, timeout=60).status_code
            assert set(answers.values()) <= {200, 503}
            acknowledged = {name for name, status in answers.items() if status == 200}
            server.wait_logged("is full")
            server.kill()
    with ferroflow(f"sqlite:///{disk}/mlflow.db", disk / "artifacts") as server:
        assert requests.get(f"{server.url}/readyz", timeout=60).status_code == 200
        search = f"{server.url}/api/2.0/mlflow/experiments/search"
        found = requests.post(search, json={"max_results": 1000}, timeout=60).json()["experiments"]
        assert {experiment["name"] for experiment in found} == acknowledged | {"Default"}


def test_a_file_that_is_taken_away_is_not_ready_and_takes_no_writes(tmp_path):
    path = tmp_path / "mlflow.db"
    with ferroflow(f"sqlite:///{path}", tmp_path / "artifacts") as server:
        create = f"{server.url}/api/2.0/mlflow/experiments/create"
        assert requests.post(create, json={"name": "a"}, timeout=60).status_code == 200
        path.rename(tmp_path / "away.db")
        assert requests.post(create, json={"name": "b"}, timeout=60).status_code == 503
        becomes(server, 503)
        server.wait_logged(f"the database file {path} was removed or replaced")
        (tmp_path / "away.db").rename(path)
        becomes(server, 200)


def becomes(server, status: int) -> None:
    """Waits for an answer of ``/readyz``, which is remembered for a second."""
    wait_until(lambda: requests.get(f"{server.url}/readyz", timeout=60).status_code == status, f"readyz is {status}")


@contextlib.contextmanager
def read_only(folder: Path):
    administrator = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    subprocess.run([*administrator, "mount", "-o", "remount,ro", folder], check=True)
    yield
    subprocess.run([*administrator, "mount", "-o", "remount,rw", folder], check=True)
