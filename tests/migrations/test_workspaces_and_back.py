"""From one workspace to several and back: resources are moved as the reference moves them, on a copy of the same database."""

import contextlib
import json
from dataclasses import dataclass

import ferroflow_db
import mlflow.db
import pytest
from click.testing import CliRunner
from support import introspect, postgres, spaces
from support.postgres import copy_of
from support.servers import ferroflow
from support.spaces import Caller, Content

TYPES = ("experiments", "registered_models", "evaluation_datasets", "webhooks")
#: A name that is in both workspaces, in the one or in the other.
SHARED, FIRST, SECOND = "shared", "first", "second"


@dataclass(frozen=True)
class Spaced:
    """A database with the workspaces `default`, `team-a` and `team-b`."""

    uri: str
    folder: object
    contents: dict[tuple[str, str], Content]


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def spaced(request, tmp_path_factory):
    """Begun without workspaces, as most databases are. The tests work on copies of it."""
    folder = tmp_path_factory.mktemp(f"moved-{request.param}")
    with postgres.database(request.param, folder, "moved") as uri:
        contents = {}
        with ferroflow(uri, folder / "artifacts") as server:
            for name in (SHARED, FIRST, SECOND):
                contents["default", name] = spaces.fill(Caller(server.url), name)
        with ferroflow(uri, folder / "artifacts", args=["--enable-workspaces"]) as server:
            for key, content in contents.items():
                assert _answers(spaces.read(Caller(server.url), content)) == {200}, key
            spaces.create(server.url, "team-a")
            spaces.create(server.url, "team-b", default_artifact_root="s3://bucket/team-b")
            contents["team-a", SHARED] = spaces.fill(Caller(server.url, "team-a"), SHARED)
            contents["team-a", "own"] = spaces.fill(Caller(server.url, "team-a"), "own")
        yield Spaced(uri, folder, contents)


def _answers(seen) -> set[int]:
    return {status for status, _ in seen.values()}


@pytest.fixture
def twins(spaced):
    """A function that gives copies of the database for each side."""
    with contextlib.ExitStack() as stack:
        yield lambda: tuple(stack.enter_context(copy_of(spaced.uri, spaced.folder)) for _ in range(2))


def reference(uri: str, *arguments: str) -> tuple[int, str]:
    """``mlflow db …``: its exit code and what it said."""
    uri = uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    done = CliRunner().invoke(mlflow.db.commands, [arguments[0], uri, *arguments[1:]])
    return done.exit_code, done.output


def move(uri: str, *arguments: str, expect: int = 0):
    return ferroflow_db.db("move-resources", uri, *arguments, expect=expect)


def both(twins, *arguments: str) -> tuple[str, str]:
    """Both commands on copies of one database leave the same rows. Returns what they printed."""
    ours, theirs = twins
    code, said = reference(theirs, "move-resources", *arguments)
    assert code == 0, said
    done = move(ours, *arguments)
    ferroflow_db.assert_same(theirs, ours)
    return done.stdout, said


@pytest.mark.rotates(together=True, every=3)
@pytest.mark.parametrize("kind", TYPES)
def test_all_of_a_kind_are_moved(twins, kind):
    copies = twins()
    before = introspect.rows(copies[0])
    both(copies, "--from", "default", "--to", "team-b", "--resource-type", kind, "--yes")
    assert introspect.rows(copies[0]) != before


@pytest.mark.rotates(together=True, every=3)
@pytest.mark.parametrize("kind", TYPES)
def test_some_are_moved_by_name(twins, kind):
    name = f"hook-{FIRST}" if kind == "webhooks" else FIRST
    both(twins(), "--from", "default", "--to", "team-a", "--resource-type", kind, "--name", name, "--name", "not there", "--yes")


@pytest.mark.rotates(together=True, every=3)
@pytest.mark.parametrize("kind", ["experiments", "registered_models"])
def test_some_are_moved_by_tags(twins, kind):
    ours, theirs = twins()
    arguments = ["--from", "default", "--to", "team-b", "--resource-type", kind, "--yes"]
    move(ours, *arguments, "--tag", "team=blue")
    # On SQLite the reference leaves aliases and tags of versions behind: it looks for tags that it has moved by then.
    chosen = ["--name", SHARED, "--name", FIRST, "--name", SECOND] if kind == "registered_models" else ["--tag", "team=blue"]
    code, said = reference(theirs, "move-resources", *arguments, *chosen)
    assert code == 0, said
    ferroflow_db.assert_same(theirs, ours)
    both((ours, theirs), *arguments, "--tag", "team=red")


@pytest.mark.rotates(together=True, every=3)
@pytest.mark.parametrize("target, root", [("team-a", ["--default-artifact-root", "s3://server/root"]), ("team-b", [])])
def test_experiments_are_pointed_to_the_new_root(twins, target, root):
    copies = twins()
    both(copies, "--from", "default", "--to", target, "--resource-type", "experiments", "--name", FIRST, "--artifact-policy", "retarget", *root, "--yes")
    locations = [value for row in introspect.rows(copies[0])["experiments"] for value in row if str(value).startswith("s3://")]
    assert len(locations) == 1


@pytest.mark.rotates(together=True, every=3)
def test_a_dry_run_moves_nothing(twins):
    ours, theirs = twins()
    before = introspect.rows(ours)
    for kind in TYPES:
        arguments = ["--from", "default", "--to", "team-b", "--resource-type", kind, "--dry-run"]
        code, said = reference(theirs, "move-resources", *arguments)
        done = move(ours, *arguments)
        assert code == 0
        # The names that would be moved.
        for name in (SHARED, FIRST, SECOND):
            assert name in said and name in done.stdout, f"{kind}:\n{said}\n{done.stdout}"
    assert introspect.rows(ours) == before


@pytest.mark.rotates(together=True, every=3)
def test_a_program_reads_what_would_be_moved(twins):
    ours, _ = twins()
    said = move(ours, "--from", "default", "--to", "team-b", "--resource-type", "experiments", "--name", FIRST, "--name", "not there", "--dry-run", "--json")
    found = json.loads(said.stdout)
    assert (found["names"], found["rows"], found["missing"], found["dry_run"]) == ([FIRST], 1, ["not there"], True)


@pytest.mark.rotates(together=True, every=3)
@pytest.mark.parametrize("kind", ["experiments", "registered_models"])
def test_names_that_collide_are_told_before_anything_moves(twins, kind):
    ours, theirs = twins()
    before = introspect.rows(ours)
    for more in (["--yes"], ["--dry-run"]):
        arguments = ["--from", "default", "--to", "team-a", "--resource-type", kind, *more]
        code, said = reference(theirs, "move-resources", *arguments)
        done = move(ours, *arguments, expect=1)
        assert code == 1
        for output in (said, done.stderr):
            assert f"'{SHARED}'" in output and "would conflict" in output, output
    assert introspect.rows(ours) == before


@pytest.mark.rotates(together=True, every=3)
@pytest.mark.parametrize("arguments", [
    ["--from", "default", "--to", "default", "--resource-type", "experiments"],
    ["--from", "default", "--to", "nowhere", "--resource-type", "experiments"],
    ["--from", "nowhere", "--to", "team-a", "--resource-type", "experiments"],
    ["--from", "default", "--to", "team-a", "--resource-type", "runs"],
    ["--from", "default", "--to", "team-a", "--resource-type", "experiments", "--name", "x", "--tag", "a=b"],
    ["--from", "default", "--to", "team-a", "--resource-type", "webhooks", "--tag", "a=b"],
    ["--from", "default", "--to", "team-a", "--resource-type", "registered_models", "--artifact-policy", "retarget"],
    ["--from", "default", "--to", "team-a", "--resource-type", "experiments", "--name", FIRST, "--artifact-policy", "retarget"],
], ids=lambda arguments: " ".join(arguments))  # fmt: skip
def test_what_cannot_be_moved_is_refused(twins, arguments):
    ours, theirs = twins()
    before = introspect.rows(ours)
    code, said = reference(theirs, "move-resources", *arguments, "--yes")
    assert code in (1, 2), said
    done = move(ours, *arguments, "--yes", expect=None)
    assert done.returncode in (1, 2), done.stdout
    assert "error" in done.stderr.lower()
    assert introspect.rows(ours) == before


@pytest.mark.rotates(together=True, every=3)
def test_moved_resources_are_served_in_their_new_workspace(spaced, twins):
    ours, _ = twins()
    for kind in TYPES:
        names = [f"hook-{FIRST}"] if kind == "webhooks" else [FIRST, f"{FIRST} prompt"]
        move(ours, "--from", "default", "--to", "team-b", "--resource-type", kind, *(f"--name={name}" for name in names), "--yes")
    content = spaced.contents["default", FIRST]
    with ferroflow(ours, spaced.folder / "artifacts", args=["--enable-workspaces"]) as server:
        assert _answers(spaces.read(Caller(server.url, "team-b"), content)) == {200}
        found = spaces.read(Caller(server.url), content)
        assert all(status == 404 or content.run not in repr(body) for status, body in found.values())
        kept = spaced.contents["default", SECOND]
        assert Caller(server.url).get("runs/get", run_id=kept.run)["run"]["info"]["status"] == "FINISHED"


@pytest.mark.rotates(together=True, every=3)
def test_a_database_of_several_workspaces_is_not_served_without_them(spaced, twins):
    ours, _ = twins()
    with pytest.raises(RuntimeError, match="(?s)exited with.*--enable-workspaces"):
        with ferroflow(ours, spaced.folder / "artifacts"):
            pass


@pytest.mark.rotates(together=True, every=3)
def test_what_collides_bars_the_way_back(twins):
    ours, theirs = twins()
    before = introspect.rows(ours)
    for more in (["--yes"], ["--dry-run"], ["--dry-run", "--verbose"]):
        code, said = reference(theirs, "migrate-to-default-workspace", *more)
        done = ferroflow_db.db("migrate-to-default-workspace", ours, *more, expect=1)
        assert code == 1
        for output in (said, done.stderr):
            assert SHARED in output and "duplicate experiments with the same name" in output, output
    assert introspect.rows(ours) == before


@pytest.mark.rotates(together=True, every=3)
def test_the_way_back_to_one_workspace(spaced, twins):
    """What collides gets another name, all is moved, and a server without workspaces has it."""
    # Its rows have the moments of this test: the copies are made of it.
    (copy,) = twins()[:1]
    with ferroflow(copy, spaced.folder / "artifacts", args=["--enable-workspaces"]) as server:
        caller, content = Caller(server.url, "team-a"), spaced.contents["team-a", SHARED]
        caller.post("experiments/update", experiment_id=content.experiment, new_name="renamed")
        for name in (SHARED, f"{SHARED} prompt"):
            caller.post("registered-models/rename", name=name, new_name=f"renamed {name}")
        caller.ask("DELETE", f"/api/3.0/mlflow/datasets/{content.dataset}").raise_for_status()
    with copy_of(copy, spaced.folder) as theirs, copy_of(copy, spaced.folder) as by_kind:
        for uri, run in ((theirs, reference), (copy, lambda uri, *arguments: (0, ferroflow_db.db(arguments[0], uri, *arguments[1:]).stdout))):
            code, said = run(uri, "migrate-to-default-workspace", "--dry-run")
            assert code == 0 and "experiments: 2" in said, said
            code, said = run(uri, "migrate-to-default-workspace", "--yes")
            assert code == 0, said
        ferroflow_db.assert_same(theirs, copy)
        # The same, kind by kind.
        for kind in TYPES:
            move(by_kind, "--from", "team-a", "--to", "default", "--resource-type", kind, "--yes")
        ferroflow_db.assert_same(copy, by_kind)
    with ferroflow(copy, spaced.folder / "artifacts") as server:
        for key, content in spaced.contents.items():
            caller = Caller(server.url)
            assert caller.get("runs/get", run_id=content.run)["run"]["info"]["status"] == "FINISHED", key
            assert caller.ask("GET", f"/api/3.0/mlflow/traces/{content.trace}").status_code == 200, key
            assert caller.ask("GET", f"webhooks/{content.webhook}").status_code == 200, key
