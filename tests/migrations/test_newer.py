"""Databases of a newer release: they are made as by its own scripts, and served without touching what it adds."""

import json
import os
import subprocess
from pathlib import Path

import ferroflow_db
import pytest
import requests
import rows
import sqlalchemy
from chains import NEWER, TRACKING, engine
from support import introspect, required
from support.postgres import copy_of, database
from support.servers import ferroflow

pytestmark = pytest.mark.rotates(every=4)

STEPS = ["e7d1f4b2a9c6", "8b6ad64cb8f5", "f4a9b2c7d1e6"]
HEAD = STEPS[-1]
NAMED = f"{HEAD} (MLflow 3.18.0)"

#: The tables that it adds, and one that it adds columns to.
ADDED = ("skills", "skill_versions", "skill_tags", "skill_version_tags", "skill_aliases", "issue_categories", "issues")


def test_its_chain_is_the_reference_s_and_three_more():
    assert NEWER.revisions == [*TRACKING.revisions, *STEPS]


@pytest.mark.parametrize("start", [TRACKING.head, *STEPS[:-1]])
def test_a_filled_database_comes_to_its_head(newer, start, tmp_path):
    expected = newer(start)
    rows.fill(expected)
    with copy_of(expected, tmp_path) as actual:
        assert introspect.rows(expected).keys() >= {"issues"}
        NEWER.upgrade(expected)
        done = ferroflow_db.upgrade(actual, "--to", "3.18")
        assert [to for _, to in ferroflow_db.steps(done.stdout)] == NEWER.after(start)
        ferroflow_db.assert_same(expected, actual)
        assert introspect.rows(actual)["issue_categories"]
        assert ferroflow_db.db("check", actual).stdout == f"no differences from {NAMED}\n"


def test_each_step_leaves_what_its_own_leaves(newer):
    uri = newer(TRACKING.head)
    for revision in STEPS:
        ferroflow_db.upgrade(uri, "--to", revision)
        assert NEWER.current(uri) == revision
        found = introspect.differences(introspect.schema(newer(revision)), introspect.schema(uri))
        assert not found, f"after {revision}:\n" + "\n".join(found)


def test_an_empty_database_is_made_at_its_head_only_on_request(dialect, newer, tmp_path):
    with database(dialect, tmp_path) as uri:
        assert TRACKING.head in ferroflow_db.upgrade(uri).stdout
        ferroflow_db.upgrade(uri, "--to", "3.18")
        ferroflow_db.assert_same(newer(HEAD), uri)
    with database(dialect, tmp_path) as uri:
        assert NAMED in ferroflow_db.upgrade(uri, "--to", "3.18").stdout
        ferroflow_db.assert_same(newer(HEAD), uri)


def test_it_is_named_and_has_nothing_pending(newer):
    uri = newer(HEAD)
    rows.fill(uri)
    before = introspect.catalogue(uri), introspect.rows(uri)
    status = ferroflow_db.db("status", uri).stdout
    assert f"revision  {NAMED}\n" in status and "pending   0\n" in status
    assert ferroflow_db.db("check", uri).stdout == f"no differences from {NAMED}\n"
    summary = json.loads(ferroflow_db.db("rows", uri).stdout)
    assert (summary["revision"], summary["release"], summary["pending"]) == (HEAD, "MLflow 3.18.0", 0)
    assert "nothing to do" in ferroflow_db.upgrade(uri).stdout
    assert TRACKING.head in ferroflow_db.db("upgrade", uri, "--to", "3.17", expect=1).stderr
    assert (introspect.catalogue(uri), introspect.rows(uri)) == before


@pytest.mark.parametrize("start", STEPS)
def test_damage_is_found(newer, start):
    uri = newer(start)
    with engine(uri) as used, used.begin() as connection:
        connection.execute(sqlalchemy.text("DROP INDEX ix_skill_versions_digest"))
    done = ferroflow_db.db("check", uri, expect=1)
    assert "missing: index skill_versions.ix_skill_versions_digest" in done.stdout.splitlines()
    assert len(done.stdout.splitlines()) == (1 if start == HEAD else 2)
    assert start in done.stderr


@pytest.mark.rotates(every=8)
@pytest.mark.parametrize("maker", ["ferroflow", "newer release"])
def test_a_server_works_beside_the_newer_release(dialect, maker, tmp_path):
    artifacts = tmp_path / "artifacts"
    with database(dialect, tmp_path) as uri:
        if maker == "newer release":
            release("read", uri, artifacts)
            assert NEWER.current(uri) == HEAD
        with ferroflow(uri, artifacts) as server:
            write(server.url, "before")
            # The binary came first, the schema comes later, under a running server.
            ferroflow_db.upgrade(uri, "--to", "3.18")
            write(server.url, "after")
            found = release("fill", uri, artifacts)
            assert len(found["issues"]) == 3 and len(found["skills"]) == 6
            kept = added(uri)
            write(server.url, "meanwhile")
            assert added(uri) == kept
        with ferroflow(uri, artifacts) as server:
            write(server.url, "later")
            purge(server.url, uri, artifacts, "later")
            assert added(uri) == kept

            then = release("read", uri, artifacts)
            assert (then["issues"], then["skills"]) == (found["issues"], found["skills"])
            assert found["runs"].items() <= then["runs"].items()
            assert then["experiments"].keys() - found["experiments"].keys() == {"meanwhile"}

            # An experiment takes its issues with it, and those their categories.
            purge(server.url, uri, artifacts, "to be purged")
            left = release("read", uri, artifacts)
            [gone] = then["issues"].keys() - left["issues"].keys()
            assert "too slow" in then["issues"][gone]
            assert left["issues"].items() <= then["issues"].items()
            assert len(added(uri)["issue_categories"]) == len(kept["issue_categories"]) // 2

            # An issue that the server creates has what the newer release stores of one.
            made = create_issue(server.url, "0", name="odd", categories=[" Latency"], created_by="ada")
            shown = release("read", uri, artifacts)
            assert set(shown["latency"]) - set(left["latency"]) == {made["issue_id"]}
            seen = f"('last_seen_timestamp', '{made['created_timestamp']}'), ('last_updated_by', 'ada')"
            assert seen in shown["issues"][made["issue_id"]]
        ferroflow_db.assert_sound(uri)
        ferroflow_db.db("check", uri)


def release(what: str, uri: str, artifacts: Path) -> dict:
    """What the newer release finds in a database, after it has filled it if it is to."""
    path = required("FERROFLOW_NEWER")
    environment = {"PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [
            required("FERROFLOW_REFERENCE_PYTHON"),
            Path(__file__).parent / "newer_release.py",
            what,
            uri.replace("postgresql://", "postgresql+psycopg2://", 1),
            str(artifacts),
        ],
        cwd=artifacts.parent,
        env={name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def added(uri: str) -> dict:
    """The rows of what it adds."""
    found = introspect.rows(uri)
    return {table: found.get(table, []) for table in ADDED}


def write(url: str, name: str) -> None:
    """An experiment with that name, and something of everything that a server writes."""
    experiment = call(url, "experiments/create", name=f"{name} first")["experiment_id"]
    call(url, "experiments/update", experiment_id=experiment, new_name=name)
    call(url, "experiments/set-experiment-tag", experiment_id=experiment, key="team", value="blue")
    run = call(url, "runs/create", experiment_id=experiment, start_time=1)["run"]["info"]["run_id"]
    call(
        url,
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "loss", "value": 0.5, "timestamp": 1, "step": step} for step in range(3)],
        params=[{"key": "lr", "value": "0.1"}],
        tags=[{"key": "t", "value": "v"}],
    )
    dataset = {"name": "iris", "digest": "abc", "source_type": "local", "source": "{}"}
    call(url, "runs/log-inputs", run_id=run, datasets=[{"dataset": dataset}])
    call(url, "logged-models", experiment_id=experiment, name="m", source_run_id=run)
    call(url, "runs/delete", run_id=run)
    call(url, "runs/restore", run_id=run)
    call(url, "runs/update", run_id=run, status="FINISHED", end_time=2)
    model = f"model {name}"
    call(url, "registered-models/create", name=model)
    source = f"mlflow-artifacts:/{experiment}/{run}/artifacts/m"
    call(url, "model-versions/create", name=model, source=source, run_id=run)
    call(url, "registered-models/alias", name=model, alias="best", version="1")
    call(url, "model-versions/set-tag", name=model, version="1", key="k", value="v")
    call(url, "experiments/delete", experiment_id=experiment)
    call(url, "experiments/restore", experiment_id=experiment)


def purge(url: str, uri: str, artifacts: Path, name: str) -> None:
    """Deletes an experiment for good."""
    given = {"experiment_name": name}
    found = requests.get(f"{url}/api/2.0/mlflow/experiments/get-by-name", params=given, timeout=60).json()
    experiment = found["experiment"]["experiment_id"]
    call(url, "experiments/delete", experiment_id=experiment)
    done = subprocess.run(
        [
            required("FERROFLOW_BIN"), "gc", "--backend-store-uri", uri, "--artifacts-destination", str(artifacts),
            "--experiment-ids", experiment,
        ],  # fmt: skip
        env=ferroflow_db.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, ferroflow_db.report(done)


def create_issue(url: str, experiment: str, **fields) -> dict:
    body = {"experiment_id": experiment, "description": "x", **fields}
    answer = requests.post(f"{url}/api/3.0/mlflow/issues", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["issue"]


def call(url: str, path: str, **body) -> dict:
    answer = requests.post(f"{url}/api/2.0/mlflow/{path}", json=body, timeout=60)
    assert answer.status_code == 200, f"{path}: {answer.text}"
    return answer.json()
