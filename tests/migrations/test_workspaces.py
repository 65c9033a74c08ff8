"""Resources are moved between workspaces as by the reference: the same rows afterwards, the same words, the same refusals."""

import contextlib
import json
import re
import shlex
from pathlib import Path

import mlflow.db
import pytest
import rows
import sqlalchemy as sa
from chains import TRACKING, engine
from click.testing import CliRunner
from ferroflow_db import assert_same, assert_sound, db
from support.postgres import copy_of

pytestmark = pytest.mark.rotates(every=4)

PAGE = Path(__file__).parents[2] / "docs" / "migrating.md"

#: What ferroflow says beside the reference's lines.
MORE = ("Note: ", "Permissions are not moved")

#: What is moved, and what the command says of it: the arguments after the workspaces.
MOVES = {
    "all experiments": ["--resource-type", "experiments", "--yes"],
    "one experiment": ["--resource-type", "experiments", "--name", "{experiment}", "--name", "nowhere", "--yes"],
    "experiments by tag": ["--resource-type", "experiments", "--tag", "mv.team=a", "--tag", "mv.env=prod", "--yes"],
    "all models": ["--resource-type", "registered_models", "--yes"],
    "a model by tag": ["--resource-type", "registered_models", "--tag", "mv.team=a", "-y"],
    "datasets": ["--resource-type", "evaluation_datasets", "--yes"],
    "webhooks": ["--resource-type", "webhooks", "--yes"],
    "jobs": ["--resource-type", "jobs", "--yes", "--verbose"],
    "MCP servers": ["--resource-type", "mcp_servers", "--yes"],
    "nothing": ["--resource-type", "experiments", "--name", "nowhere", "--yes"],
    "what would be moved": ["--resource-type", "experiments", "--dry-run"],
    "what would be moved of datasets": ["--resource-type", "evaluation_datasets", "--dry-run", "-v"],
    "other locations": [
        *("--resource-type", "experiments", "--name", "{experiment}", "--yes"),
        *("--artifact-policy", "retarget", "--default-artifact-root", "s3://bucket/root/?x=y"),
    ],
    "locations below the root of the workspace": [
        *("--resource-type", "experiments", "--yes", "--to", "rooted", "--artifact-policy", "retarget"),
    ],
}

#: What is refused, by the reference with the same words.
REFUSED = {
    "a name that is taken": ["--resource-type", "registered_models", "--yes", "--to", "taken"],
    "many names that are taken": ["--resource-type", "experiments", "--yes", "--to", "taken"],
    "the same workspace": ["--resource-type", "experiments", "--yes", "--to", "default"],
    "no such source": ["--resource-type", "experiments", "--yes", "--from", "nowhere"],
    "no such target": ["--resource-type", "experiments", "--yes", "--to", "nowhere"],
    "no such type": ["--resource-type", "runs", "--yes"],
    "a type without tags": ["--resource-type", "jobs", "--tag", "a=b", "--yes"],
    "locations of models": ["--resource-type", "webhooks", "--artifact-policy", "retarget", "--yes"],
    "no root": ["--resource-type", "experiments", "--artifact-policy", "retarget", "--yes"],
}


def execute(uri: str, *statements: str) -> None:
    with engine(uri) as used, used.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


@contextlib.contextmanager
def two(uri: str, folder):
    """A database with everything in the default workspace and a few more workspaces, and a copy of it."""
    rows.fill(uri)
    execute(
        uri,
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace) "
        "VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 'default')",
    )
    merged = reference("migrate-to-default-workspace", uri, "--yes")
    assert merged.exit_code == 0, merged.output
    execute(
        uri,
        "INSERT INTO workspaces (name) VALUES ('team'), ('taken')",
        "INSERT INTO workspaces (name, default_artifact_root) VALUES ('rooted', 'gs://other/place')",
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage, workspace) "
        "SELECT name, 'x', 'active', 'taken' FROM experiments WHERE workspace = 'default'",
        "INSERT INTO registered_models (name, workspace) SELECT MIN(name), 'taken' FROM registered_models WHERE workspace = 'default'",
        "INSERT INTO experiment_tags (experiment_id, key, value) SELECT MAX(experiment_id), 'mv.team', 'a' FROM experiments WHERE workspace = 'default'",
        "INSERT INTO experiment_tags (experiment_id, key, value) SELECT MAX(experiment_id), 'mv.env', 'prod' FROM experiments WHERE workspace = 'default'",
        "INSERT INTO experiment_tags (experiment_id, key, value) VALUES (0, 'mv.team', 'a')",
        "INSERT INTO registered_model_tags (workspace, name, key, value) "
        "SELECT 'default', MIN(name), 'mv.team', 'a' FROM registered_models WHERE workspace = 'default'",
    )
    with copy_of(uri, folder) as copy:
        yield copy


def reference(command: str, uri: str, *args: str):
    # Its SQLAlchemy may read a bare `postgresql:` as the psycopg 3 driver, which it does not bring.
    uri = uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    return CliRunner().invoke(mlflow.db.commands, [command, uri, *args], catch_exceptions=False)


def said(output: str) -> list[str]:
    return [line for line in output.splitlines() if not line.startswith(MORE)]


def arguments(uri: str, case: list[str]) -> list[str]:
    with engine(uri) as used, used.connect() as connection:
        name = connection.execute(sa.text("SELECT MAX(name) FROM experiments WHERE workspace = 'default'")).scalar()
    given = [text.format(experiment=name) if "{experiment}" in text else text for text in case]
    defaults = [text for flag, value in (("--from", "default"), ("--to", "team")) if flag not in given for text in (flag, value)]
    return [*defaults, *given]


@pytest.mark.parametrize("case", MOVES)
def test_the_same_rows_are_moved(tracking, case, tmp_path):
    ours = tracking(TRACKING.head)
    with two(ours, tmp_path) as theirs:
        args = arguments(ours, MOVES[case])
        expected = reference("move-resources", theirs, *args)
        assert expected.exit_code == 0, expected.output
        done = db("move-resources", ours, *args)
        assert said(done.stdout) == said(expected.output)
        if case == "a model by tag" and ours.startswith("sqlite:"):
            # The reference finds the model by a tag that it has moved, and leaves aliases and tags of versions behind.
            return assert_sound(ours)
        assert_same(theirs, ours)


@pytest.mark.parametrize("case", REFUSED)
def test_the_same_is_refused(tracking, case, tmp_path):
    ours = tracking(TRACKING.head)
    with two(ours, tmp_path) as theirs, copy_of(ours, tmp_path) as before:
        args = arguments(ours, REFUSED[case])
        expected = reference("move-resources", theirs, *args)
        done = db("move-resources", ours, *args, expect=1)
        assert expected.exit_code == 1
        assert said(done.stderr) == said(expected.output)
        assert_same(before, ours)


def test_everything_is_moved_to_the_default_workspace(tracking, tmp_path):
    ours = tracking(TRACKING.head)
    rows.fill(ours)
    execute(
        ours,
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace) "
        "VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 'default')",
    )
    with copy_of(ours, tmp_path) as theirs:
        for args in (["--dry-run"], ["--yes"], ["--yes"]):
            expected = reference("migrate-to-default-workspace", theirs, *args)
            assert expected.exit_code == 0, expected.output
            done = db("migrate-to-default-workspace", ours, *args)
            assert said(done.stdout) == said(expected.output)
            assert_same(theirs, ours)


def test_nothing_is_moved_to_the_default_workspace_where_a_name_is_taken(tracking, tmp_path):
    ours = tracking(TRACKING.head)
    with two(ours, tmp_path) as theirs:
        for args in (["--yes"], ["--dry-run", "--verbose"]):
            expected = reference("migrate-to-default-workspace", theirs, *args)
            done = db("migrate-to-default-workspace", ours, *args, expect=1)
            assert expected.exit_code == 1
            assert said(done.stderr) == said(expected.output)
        assert_same(theirs, ours)


def test_a_move_asks_first(tracking, tmp_path):
    """Standard input is closed: there is no agreement."""
    ours = tracking(TRACKING.head)
    with two(ours, tmp_path), copy_of(ours, tmp_path) as before:
        done = db("move-resources", ours, *arguments(ours, ["--resource-type", "experiments"]), expect=1)
        assert "Proceed with move? [y/N]" in done.stdout and done.stderr.splitlines()[-1] == "Aborted!"
        assert_same(before, ours)


def test_the_outcome_is_json(tracking, tmp_path):
    uri = tracking(TRACKING.head)
    with two(uri, tmp_path):
        args = arguments(uri, ["--resource-type", "experiments", "--name", "Default", "--name", "nowhere", "--json"])
        assert db("move-resources", uri, *args, expect=1).stderr.endswith("add --dry-run or --yes\n")
        for flag in ("--dry-run", "--yes"):
            told = json.loads(db("move-resources", uri, *args, flag).stdout)
            assert (told["names"], told["missing"], told["rows"]) == (["Default"], ["nowhere"], 1)
            assert told["dry_run"] is (flag == "--dry-run")
            assert "experiment 0" in told["separated"][0]["what"]


def test_every_command_of_the_page_works(tracking, tmp_path):
    section = PAGE.read_text().partition("## Moving resources between workspaces")[2].partition("\n## ")[0]
    lines = [shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    uri = tracking(TRACKING.head)
    rows.fill(uri)
    assert reference("migrate-to-default-workspace", uri, "--yes").exit_code == 0
    execute(uri, "INSERT INTO workspaces (name) VALUES ('team')")
    said = []
    for line in lines:
        assert line[:2] == ["ferroflow", "db"]
        said.append(db(*[uri if word == "sqlite:///mlflow.db" else word for word in line[2:]]).stdout.splitlines()[0])
    assert [text.split()[0] for text in said] == ["No", "No", "Moved", "Dry", "Rows"]


def test_the_summary_of_a_database_names_its_workspaces(tracking, tmp_path):
    uri = tracking(TRACKING.head)
    with two(uri, tmp_path):
        db("move-resources", uri, *arguments(uri, ["--resource-type", "experiments", "--name", "Default", "--yes"]))
        execute(
            uri,
            "INSERT INTO webhooks (webhook_id, name, url, workspace) VALUES ('w', 'w', 'http://x', 'gone')",
            "UPDATE workspaces SET default_artifact_root = 'gs://other/place/below' WHERE name = 'taken'",
        )
        told = json.loads(db("rows", uri).stdout)["workspaces"]
        assert told["resources"]["team"] == {"experiments": 1} and told["resources"]["rooted"] == {}
        assert told["resources"]["gone"] == {"webhooks": 1}
        assert (told["missing"], told["nested"]) == (["gone"], [["taken", "rooted"]])
