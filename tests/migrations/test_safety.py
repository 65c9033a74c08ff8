"""What the command refuses, what it keeps, and what it says."""

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import ferroflow_db
import pytest
import rows
from chains import AUTH, TRACKING
from support import introspect
from support.ports import free_port
from support.postgres import database

pytestmark = pytest.mark.rotates(every=4)

#: The revision that gives runs another CHECK constraint; before it there are metrics, and eight tables with rows.
OLD = "2b4d017a5e9b"

PASSWORD = "s3cr3t-p@ss%/word"
ENCODED = "s3cr3t-p%40ss%25%2Fword"


@pytest.fixture
def old(tracking):
    """A filled database of an old revision."""
    uri = tracking(OLD)
    rows.fill(uri)
    return uri


def test_an_empty_database_is_made_at_head(dialect, tracking, tmp_path):
    with database(dialect, tmp_path) as uri:
        assert TRACKING.head in ferroflow_db.upgrade(uri).stdout
        ferroflow_db.assert_same(tracking(TRACKING.head), uri)
        ferroflow_db.db("check", uri)


def test_an_empty_users_database_is_made_at_head(dialect, auth, tmp_path):
    with database(dialect, tmp_path) as uri:
        assert AUTH.head in ferroflow_db.upgrade(uri, chain=AUTH).stdout
        ferroflow_db.assert_same(auth(AUTH.head), uri)
        ferroflow_db.db("check", uri, "--auth")


def test_at_head_there_is_nothing_to_do(tracking):
    uri = tracking(TRACKING.head)
    rows.fill(uri)
    before = state(uri)
    done = ferroflow_db.upgrade(uri, backup=True)
    assert "nothing to do" in done.stdout
    assert state(uri) == before
    assert not copies(uri)


def test_status_says_where_a_database_is(old):
    before = state(old)
    output = ferroflow_db.db("status", old).stdout
    assert OLD in output
    assert TRACKING.head in output
    for revision in TRACKING.after(OLD):
        assert revision in output
    assert state(old) == before


@pytest.mark.parametrize("command", ["upgrade", "status", "check", "plan"])
@pytest.mark.parametrize("unknown", ["ffffffffffff", "newer' OR '1'='1"])
def test_an_unknown_revision_is_refused_with_both_named(old, unknown, command):
    TRACKING.set_current(old, unknown)
    before = state(old)
    arguments = ["upgrade", old, "--plan"] if command == "plan" else [command, old]
    refused = ferroflow_db.db(*arguments, expect=1)
    assert unknown in refused.stderr
    assert TRACKING.head in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert state(old) == before
    assert not copies(old)


def test_it_does_not_go_back(tracking):
    uri = tracking(TRACKING.head)
    before = state(uri)
    refused = ferroflow_db.db("upgrade", uri, "--to", OLD, expect=1)
    assert OLD in refused.stderr
    assert TRACKING.head in refused.stderr
    assert state(uri) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["upgrade"],
        ["upgrade", "URI", "--to", "ffffffffffff"],
        ["upgrade", "URI", "--to", AUTH.head],
        ["upgrade", "URI", "--unknown"],
        ["upgrade", "URI", "--lock-timeout", "soon"],
        ["upgrade", "mysql://u@h/d"],
        ["status", "no URI"],
        ["downgrade", "URI"],
    ],
    ids=" ".join,
)
def test_called_in_the_wrong_way(arguments, tmp_path):
    uri = f"sqlite:///{tmp_path}/x.db"
    done = ferroflow_db.db(*[uri if argument == "URI" else argument for argument in arguments], expect=2)
    assert done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_the_backup_is_the_database_of_before(old):
    with ferroflow_db.sqlite(old) as writer:
        # What is only in the log beside the file belongs to the database too.
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE runs SET name = 'in the log'")
        before = state(old)
        done = ferroflow_db.upgrade(old, backup=True)
    [copy] = copies(old)
    assert str(copy) in done.stdout
    assert OLD in copy.name
    uri = f"sqlite:///{copy}"
    assert TRACKING.current(uri) == OLD
    assert state(uri) == before
    ferroflow_db.assert_sound(uri)
    assert TRACKING.current(old) == TRACKING.head
    # A second upgrade changes nothing, so it keeps nothing.
    ferroflow_db.upgrade(old, backup=True)
    assert copies(old) == [copy]


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_without_a_backup_nothing_is_left_beside_the_file(old):
    ferroflow_db.upgrade(old)
    assert TRACKING.current(old) == TRACKING.head
    assert not copies(old)


def test_a_plan_changes_nothing_and_counts_the_rows(old, dialect):
    before = state(old)
    file = old.removeprefix("sqlite:///")
    digest = dialect == "sqlite" and hashlib.sha256(Path(file).read_bytes()).digest()
    plan = json.loads(ferroflow_db.db("upgrade", old, "--plan", "--json").stdout)
    text = ferroflow_db.db("upgrade", old, "--plan").stdout
    assert state(old) == before
    if digest:
        assert hashlib.sha256(Path(file).read_bytes()).digest() == digest
        assert not copies(old)

    assert [step["revision"] for step in plan["steps"]] == TRACKING.after(OLD)
    for revision in TRACKING.after(OLD):
        assert revision in text
    counted = {
        table["name"]: table["rows"] for step in plan["steps"] for table in step["tables"] if table["name"] in before[1]
    }
    assert counted
    assert counted.items() <= {table: len(content) for table, content in before[1].items()}.items()
    assert f"metrics ({counted['metrics']})" in text
    for step in plan["steps"]:
        assert {"rewrites", "locks", "rolling"} <= step.keys()
    labels = {step["revision"]: step for step in plan["steps"]}
    # An older server writes experiments without a workspace, and into columns that 75868b020152 drops.
    assert labels["75868b020152"]["rolling"] is False
    assert labels["728d730b5ebd"]["rolling"] is True


def test_a_plan_to_a_revision_ends_there(old):
    target = TRACKING.after(OLD)[4]
    plan = json.loads(ferroflow_db.db("upgrade", old, "--plan", "--json", "--to", target).stdout)
    assert [step["revision"] for step in plan["steps"]] == TRACKING.after(OLD)[:5]


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("form", ["postgresql://", "postgresql+psycopg2://", "query"])
def test_no_output_has_the_password(old, form):
    good = with_password(old, form)
    parts = urlsplit(good)
    missing = urlunsplit(parts._replace(path="/no_such_database"))
    silent = urlunsplit(parts._replace(netloc=parts.netloc.replace(str(parts.port), str(free_port()))))
    broken = good.replace("127.0.0.1", "no such host")
    outputs = [run(command, uri) for uri in (good, missing, silent, broken) for command in COMMANDS]
    TRACKING.set_current(old, "ffffffffffff")
    outputs += [run(command, good) for command in COMMANDS]
    assert any("upgraded" in output for output in outputs)
    for output in outputs:
        assert output.strip()
        assert "s3cr3t" not in output
        assert ENCODED not in output


COMMANDS = (["status"], ["upgrade", "--plan"], ["check"], ["upgrade", "--no-backup"])


def run(command: list[str], uri: str) -> str:
    done = ferroflow_db.db(command[0], uri, *command[1:], expect=None)
    assert done.returncode in (0, 1, 2), ferroflow_db.report(done)
    return done.stdout + done.stderr


def with_password(uri: str, form: str) -> str:
    if form == "query":
        return uri.replace("postgres@", "") + f"?user=postgres&password={ENCODED}"
    return uri.replace("postgresql://", form).replace("postgres@", f"postgres:{ENCODED}@")


def state(uri: str) -> tuple:
    return introspect.catalogue(uri), introspect.rows(uri)


def copies(uri: str) -> list[Path]:
    """The files beside a SQLite database that are about it, without its log."""
    if not uri.startswith("sqlite:"):
        return []
    path = Path(uri.removeprefix("sqlite:///"))
    own = re.compile(re.escape(path.name) + r"(-wal|-shm|-journal)?")
    return [file for file in path.parent.iterdir() if path.stem in file.name and not own.fullmatch(file.name)]
