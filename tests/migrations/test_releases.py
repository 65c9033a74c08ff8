"""Databases that real old releases made and filled come to head as by the reference, and both servers read them."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ferroflow_db
import mlflow.server.auth.db.utils as auth_utils
import pytest
import requests
from chains import AUTH, TRACKING, engine
from sample import NEWEST, RELEASES, number
from support import introspect, required
from support.postgres import DIALECTS, copy_of, database
from support.reference_app import reference_app
from support.servers import ferroflow, reference

#: The release that can do something first, of those that are tried.
SINCE = {
    "experiment_tags": "1.7.2",
    "registry": "1.7.2",
    "registry_tags": "1.14.1",
    "aliases": "2.9.2",
    "inputs": "2.9.2",
    "users": "2.9.2",
    "traces": "2.16.2",
    "prompts": "2.22.5",
    "logged_models": "3.1.4",
    "assessments": "3.5.0",
    "evaluation_datasets": "3.5.0",
    "webhooks": "3.5.0",
    "scorers": "3.5.0",
    "jobs": "3.5.0",
    "gateway": "3.8.1",
    "issues": "3.12.0",
    "review_queues": "3.15.2",
}

#: Since this one both chains may share a PostgreSQL database.
OWN_VERSION_TABLE = "3.6.0"


@dataclass(frozen=True)
class Old:
    """What a release made."""

    uri: str
    users: str | None
    artifacts: Path
    #: What it filled, and how it finds the runs and model versions.
    found: dict


@pytest.fixture
def old(release, dialect, tmp_path):
    with database(dialect, tmp_path, "release") as uri, database(dialect, tmp_path, "users") as users:
        if number(release) < number(SINCE["users"]):
            users = None
        elif dialect == "postgresql" and number(release) >= number(OWN_VERSION_TABLE):
            users = uri
        artifacts = tmp_path / "artifacts"
        arguments = [uri, str(artifacts), *([users] if users else [])]
        # 0.9 knows no drivers.
        arguments = arguments if number(release) < number("1.0.0") else [driver(argument) for argument in arguments]
        done = subprocess.run(
            [python(release), "-W", "ignore", Path(__file__).parent / "fill_release.py", *arguments],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{release} does not fill its database:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        yield Old(uri, users, artifacts, json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("release", RELEASES)
def test_what_it_made_comes_to_head_and_is_served(old, release, tmp_path):
    assert set(old.found["filled"]) == {what for what, since in SINCE.items() if number(since) <= number(release)}

    with copy_of(old.uri, tmp_path) as expected:
        TRACKING.upgrade(expected)
        ferroflow_db.upgrade(old.uri)
        ferroflow_db.assert_same(expected, old.uri)
        found = introspect.differences(introspect.schema(expected), introspect.schema(old.uri))
        assert not found, "\n".join(found)

        if old.users:
            in_one = old.users == old.uri
            with copy_of(expected if in_one else old.users, tmp_path) as expected_users:
                upgrade_users(expected_users)
                ferroflow_db.upgrade(old.users, chain=AUTH)
                ferroflow_db.assert_same(expected_users, old.users)

    with ferroflow(old.uri, old.artifacts) as server:
        answers = ask(lambda path, body: requests.post(f"{server.url}/{path}", json=body, timeout=60).json())
    with reference_app(old.uri, old.artifacts) as client:
        assert ask(lambda path, body: client.post(f"/{path}", json=body).get_json()) == answers
    assert_as_before(old.found, answers)


@pytest.mark.parametrize("release", ["1.0.0", "2.22.5"])
@pytest.mark.parametrize("dialect", DIALECTS[:1])
def test_the_reference_server_starts_on_what_ferroflow_upgraded(old, release):
    ferroflow_db.upgrade(old.uri)
    with reference(old.uri, old.artifacts) as server:
        answers = ask(lambda path, body: requests.post(f"{server.url}/{path}", json=body, timeout=60).json())
    assert_as_before(old.found, answers)


def python(release: str) -> str:
    if release == NEWEST:
        return required("FERROFLOW_REFERENCE_PYTHON")
    return str(Path(required("FERROFLOW_RELEASES")) / release / "bin/python")


def driver(uri: str) -> str:
    return uri.replace("postgresql://", "postgresql+psycopg2://", 1)


def upgrade_users(uri: str) -> None:
    """What the reference's auth plugin does at its start."""
    with engine(uri) as used:
        auth_utils.migrate_if_needed(used, "head")


def ask(post) -> dict:
    """Experiments and runs of every kind, and the runs' metrics, params and tags by key."""
    experiments = post("api/2.0/mlflow/experiments/search", {"max_results": 100, "view_type": "ALL"})["experiments"]
    ids = [experiment["experiment_id"] for experiment in experiments]
    found = post("api/2.0/mlflow/runs/search", {"experiment_ids": ids, "run_view_type": "ALL", "max_results": 1000})
    runs = {}
    for run in found.get("runs", []):
        values = {
            kind: {item["key"]: item["value"] for item in run["data"].get(kind, [])}
            for kind in ("metrics", "params", "tags")
        }
        # Neither server orders the inputs of a run.
        inputs = {kind: sorted(found, key=str) for kind, found in run.get("inputs", {}).items()}
        runs[run["info"]["run_id"]] = {"info": run["info"], "inputs": inputs, **values}
    for experiment in experiments:
        experiment["tags"] = sorted(experiment.get("tags", []), key=str)
    return {"experiments": sorted(experiments, key=str), "runs": runs}


def assert_as_before(found: dict, answers: dict) -> None:
    """Each run that the old release found has the values that it found; later ones may add tags."""
    active = {key: run for key, run in answers["runs"].items() if run["info"]["lifecycle_stage"] == "active"}
    assert found["runs"]
    assert active.keys() == found["runs"].keys()
    for key, before in found["runs"].items():
        metrics = {name: repr(float(value)) for name, value in active[key]["metrics"].items()}
        assert metrics == {name: repr(float(value)) for name, value in before["metrics"].items()}
        assert active[key]["params"] == before["params"]
        assert before["tags"].items() <= active[key]["tags"].items()
