"""What the server makes of a database when it starts: an old one is refused, or upgraded when it is told to."""

import subprocess

import ferroflow_db
import pytest
import requests
import rows
import sqlalchemy
from chains import TRACKING, engine
from support import introspect, required
from support.ports import free_port
from support.postgres import copy_of
from support.servers import ferroflow

pytestmark = pytest.mark.rotates(every=4)

OLD = "bf29a5ff90ea"


@pytest.fixture
def old(tracking):
    """A filled database with an experiment 0, which a server would make otherwise."""
    uri = tracking(OLD)
    rows.fill(uri)
    with engine(uri) as used, used.begin() as connection:
        values = "VALUES (0, 'Default', 'active')"
        connection.execute(sqlalchemy.text(f"INSERT INTO experiments (experiment_id, name, lifecycle_stage) {values}"))
    return uri


def test_an_old_database_is_refused_with_the_command_that_upgrades_it(old, tmp_path):
    before = introspect.catalogue(old), introspect.rows(old)
    refused = subprocess.run(
        [required("FERROFLOW_BIN"), "server", "--backend-store-uri", old, "--port", str(free_port())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=ferroflow_db.TIMEOUT,
    )
    assert refused.returncode not in (0, 101)
    for words in (OLD, TRACKING.head, "ferroflow db upgrade"):
        assert words in refused.stderr
    assert (introspect.catalogue(old), introspect.rows(old)) == before


def test_told_to_it_upgrades_and_serves(old, tmp_path):
    with copy_of(old, tmp_path) as expected:
        TRACKING.upgrade(expected)
        with ferroflow(old, tmp_path / "artifacts", args=["--auto-migrate"]) as server:
            body = {"max_results": 1000, "view_type": "ALL"}
            found = requests.post(f"{server.url}/api/2.0/mlflow/experiments/search", json=body, timeout=60).json()
        ferroflow_db.assert_same(expected, old)
        names = sorted(experiment["name"] for experiment in found["experiments"])
        assert names == sorted(row[1] for row in introspect.rows(expected)["experiments"])


def test_two_servers_told_to_start_together(old, tmp_path):
    with copy_of(old, tmp_path) as expected:
        TRACKING.upgrade(expected)
        with ferroflow(old, args=["--auto-migrate"]), ferroflow(old, args=["--auto-migrate"]):
            pass
        ferroflow_db.assert_same(expected, old)
