"""The reference and ferroflow on one database with three workspaces: what one writes the other reads, in its workspace alone."""

import collections

import pytest
import sqlalchemy
from support import postgres, spaces
from support.servers import MAKERS
from support.spaces import Caller

#: Each side makes one of its own.
SPACES = ("default", "made-by-reference", "made-by-ferroflow")
ARGS = ["--enable-workspaces"]


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def running(request, tmp_path_factory):
    """A database that the reference has made, with the address of each server and of the database."""
    folder = tmp_path_factory.mktemp(f"spaces-{request.param}")
    with (
        postgres.database(request.param, folder, "spaces") as uri,
        MAKERS["reference"](uri, folder / "artifacts", args=ARGS) as reference,
        MAKERS["ferroflow"](uri, folder / "artifacts", args=ARGS) as ferroflow,
    ):
        urls = {"reference": reference.url, "ferroflow": ferroflow.url}
        for maker, url in urls.items():
            spaces.create(url, f"made-by-{maker}", description=f"größe of {maker}")
        yield urls, uri


@pytest.fixture(scope="module")
def written(running):
    """By writer and workspace: what it wrote there. Both write in each, under other names, and all in one name."""
    urls, uri = running
    rows, found = [_rows_by_workspace(uri)], {}
    for writer, url in urls.items():
        for space in SPACES:
            found[writer, space] = spaces.fill(Caller(url, space), f"of {writer}")
        rows.append(_rows_by_workspace(uri))
    return found, rows


def _differing(seen: dict[str, dict]) -> dict:
    """Where the servers do not agree. Of an unknown run ferroflow has no metrics, with and without workspaces, and the
    reference fails where it looks for the records of an unknown dataset."""
    found = {}
    for asked, theirs in seen["reference"].items():
        ours = seen["ferroflow"][asked]
        expected = (200, {}) if theirs[0] == 404 and "metrics/get-history" in asked else (404, ours[1]) if theirs[0] >= 500 else theirs
        if ours != expected:
            found[asked] = expected, ours
    return found


def _rows_by_workspace(uri: str) -> collections.Counter:
    """How many rows each table has in each workspace; of a table without that column, in all."""
    engine = sqlalchemy.create_engine(uri.replace("postgresql://", "postgresql+psycopg2://", 1))
    inspector = sqlalchemy.inspect(engine)
    counted = collections.Counter()
    with engine.connect() as connection:
        for table in inspector.get_table_names():
            column = "workspace" if "workspace" in {found["name"] for found in inspector.get_columns(table)} else "'all'"
            for space, number in connection.execute(sqlalchemy.text(f"SELECT {column}, count(*) FROM {table} GROUP BY 1")):
                counted[table, space] = number
    engine.dispose()
    return collections.Counter({key: number for key, number in counted.items() if not key[0].startswith("ff_")})


@pytest.mark.rotates(together=True)
def test_both_list_the_same_workspaces(running):
    urls, _ = running
    listed = {name: Caller(url).get("/api/3.0/mlflow/workspaces") for name, url in urls.items()}
    assert listed["ferroflow"] == listed["reference"]
    assert [found["name"] for found in listed["reference"]["workspaces"]] == sorted(SPACES)


@pytest.mark.rotates(together=True)
def test_what_one_writes_in_a_workspace_the_other_reads(running, written):
    urls, _ = running
    for (writer, space), content in written[0].items():
        seen = {reader: spaces.read(Caller(url, space), content) for reader, url in urls.items()}
        assert {asked: answer for asked, answer in seen["reference"].items() if answer[0] != 200} == {}, f"written by {writer} in {space}"
        for asked, answer in seen["reference"].items():
            assert seen["ferroflow"][asked] == answer, f"{asked}, written by {writer} in {space}"


@pytest.mark.rotates(together=True)
def test_both_write_the_same_rows(written):
    before, by_reference, by_ferroflow = written[1]
    added = by_reference - before
    assert {space for table, space in added if table == "registered_models"} == {*SPACES}
    assert by_ferroflow - by_reference == added


@pytest.mark.rotates(together=True)
def test_nothing_of_a_workspace_is_seen_in_another(running, written):
    urls, _ = running
    for (writer, space), content in written[0].items():
        for other in {*SPACES} - {space}:
            seen = {reader: spaces.read(Caller(url, other), content) for reader, url in urls.items()}
            assert _differing(seen) == {}, f"in {other}, written by {writer} in {space}"
            ids = {content.run, content.trace, content.dataset, content.queue, content.issue, content.webhook, content.model}
            for asked, (status, body) in seen["ferroflow"].items():
                assert status == 404 or not any(id_ in repr(body) for id_ in ids), f"{asked} in {other} shows {body}"


@pytest.mark.rotates(together=True)
def test_one_goes_on_with_what_the_other_began(running, written):
    urls, _ = running
    for (writer, space), content in written[0].items():
        other = next(name for name in urls if name != writer)
        caller = Caller(urls[other], space)
        caller.post("runs/log-metric", run_id=content.run, key="late", value=0.125, timestamp=9_000, step=9)
        caller.post("experiments/set-experiment-tag", experiment_id=content.experiment, key="continued", value=other)
        caller.post("registered-models/set-tag", name=content.name, key="continued", value=other)
        caller.post("model-versions/create", name=content.name, source="s3://bucket/y", run_id=content.run)
        seen = {reader: spaces.read(Caller(url, space), content) for reader, url in urls.items()}
        assert seen["ferroflow"] == seen["reference"]


@pytest.mark.rotates(together=True)
@pytest.mark.parametrize("mode", ["CASCADE", "SET_DEFAULT"])
def test_one_deletes_what_the_other_made(running, mode):
    urls, _ = running
    for maker, deleter in (("reference", "ferroflow"), ("ferroflow", "reference")):
        space, name = f"brief-{maker}", f"brief {mode} {maker}"
        spaces.create(urls[maker], space)
        content = spaces.fill(Caller(urls[maker], space), name)
        refused = Caller(urls[deleter]).ask("DELETE", f"/api/3.0/mlflow/workspaces/{space}")
        assert refused.json()["error_code"] == "INVALID_STATE"
        gone = Caller(urls[deleter]).ask("DELETE", f"/api/3.0/mlflow/workspaces/{space}", query={"mode": mode})
        assert gone.status_code == 204, gone.text
        seen = {reader: spaces.read(Caller(url), content) for reader, url in urls.items()}
        assert _differing(seen) == {}
        statuses = {status for asked, (status, _) in seen["ferroflow"].items() if " experiments/get " in asked or " registered-models/get " in asked}
        assert statuses == ({404} if mode == "CASCADE" else {200})
        for url in urls.values():
            assert Caller(url, space).ask("GET", "experiments/get", query={"experiment_id": content.experiment}).status_code == 404
