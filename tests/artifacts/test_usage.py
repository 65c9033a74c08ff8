"""``ferroflow usage``, and the commands of docs/maintenance.md about a database that grows, as they are written."""

import json
import re
import shlex
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support import command, postgres
from support.servers import ferroflow

PAGE = Path(__file__).parents[2] / "docs" / "maintenance.md"


def commands() -> list[list[str]]:
    section = PAGE.read_text().split("## The database grows")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines]


def fill(url: str) -> tuple[str, str]:
    """A run that stays, and one that is deleted."""
    client = MlflowClient(url)
    kept, deleted = (client.create_run("0").info.run_id for _ in range(2))
    for run in (kept, deleted):
        for step in range(5):
            client.log_metric(run, "m", 1.0, step=step)
        client.log_text(run, "x" * 1000, "file.txt")
    client.delete_run(deleted)
    return kept, deleted


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_every_command_about_a_growing_database_works(dialect, moto, tmp_path):
    with postgres.database(dialect, tmp_path) as database:
        there = {"postgresql://…": database, "s3://my-bucket/mlflow": f"s3://{moto.bucket}/{dialect}/usage"}
        with ferroflow(database, there["s3://my-bucket/mlflow"], env=moto.env) as server:
            kept, deleted = fill(server.url)
            lines = [[there.get(word, word) for word in words] for words in commands()]
            said = [command.run(*words, env=moto.env) for words in lines]
    assert len(said) == 6
    # Its runs, points, params and tags: a run has its name as a tag.
    numbers = r" +2 +10 +0 +2 +0 +0 "
    of_run = r" +\S+ +0 +5 +1 +0 +1 "
    for line in ("default" + numbers, "all" + numbers, "0 +Default" + numbers, kept + of_run, deleted + of_run,
                 r"ferroflow gc +1 +5 +0 +1 +0 +0 ", r"ferroflow gc --older-than 30d +0 +0 +0 +0 +0 +0 "):
        assert re.search(f"^{line}", said[0], re.MULTILINE), f"{line}\n{said[0]}"
    assert "ferroflow gc --older-than 90d" in said[1]
    found = json.loads(said[2])
    assert found["database"]["total"]["runs"] == 2
    assert re.search(r"all in s3://\S+ +2 +1\.9 KiB", said[3]), said[3]
    # Nothing was deleted long enough ago.
    assert "0 would be deleted" in said[4] and "0 deleted" in said[5]


def test_the_usage_is_json(tmp_path):
    uri, store = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlartifacts"
    with ferroflow(uri, str(store)) as server:
        kept, deleted = fill(server.url)
    args = ("usage", "--backend-store-uri", uri, "--json", "--older-than", "0s", "--artifacts-destination", store)
    found = json.loads(command.run(*args))
    database = found["database"]
    assert (database["total"]["runs"], database["total"]["points"], database["total"]["metrics"]) == (2, 10, 2)
    assert {run["id"]: run["points"] for run in database["runs"]} == {kept: 5, deleted: 5}
    assert [(database["freed"][which]["runs"], database["freed"][which]["points"]) for which in ("deleted", "deleted_long_ago")] == [(1, 5)] * 2
    assert found["artifacts"]["experiments"] == [["0", 2, 2000]]
    assert found["artifacts"]["bytes"] == 2000


def test_a_database_that_is_not_there_is_refused(tmp_path):
    command.refused("usage", "--backend-store-uri", f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()
