"""``ferroflow db check`` names everything that is not as it should be, and finds nothing where nothing is wrong."""

import ferroflow_db
import pytest
import sqlalchemy
from chains import AUTH, TRACKING, engine

pytestmark = pytest.mark.rotates(every=4)

#: A statement that does the damage, and what must be named.
BOTH = {
    "index": ("DROP INDEX index_params_run_uuid", ["index_params_run_uuid"]),
    "missing table": ("DROP TABLE trace_metrics", ["trace_metrics"]),
    "missing column": ("ALTER TABLE runs DROP COLUMN deleted_time", ["runs", "deleted_time"]),
    "extra column": ("ALTER TABLE runs ADD COLUMN mine INTEGER", ["runs", "mine"]),
    "extra index": ("CREATE INDEX my_index ON runs (name)", ["my_index"]),
    "extra table": ("CREATE TABLE mine (id INTEGER)", ["mine"]),
    "renamed column": ("ALTER TABLE tags RENAME COLUMN value TO worth", ["tags", "value", "worth"]),
}
POSTGRESQL = {
    "type": ("ALTER TABLE params ALTER COLUMN value TYPE text", ["params", "value"]),
    "length": ("ALTER TABLE tags ALTER COLUMN value TYPE varchar(5000)", ["tags", "value"]),
    "null": ("ALTER TABLE runs ALTER COLUMN name SET NOT NULL", ["runs", "name"]),
    "default": ("ALTER TABLE experiments ALTER COLUMN workspace DROP DEFAULT", ["experiments", "workspace"]),
    "primary key": ("ALTER TABLE tags DROP CONSTRAINT tag_pk", ["tag_pk"]),
    "check": ("ALTER TABLE runs DROP CONSTRAINT source_type", ["source_type"]),
    "foreign key": ("ALTER TABLE spans DROP CONSTRAINT fk_spans_trace_id", ["fk_spans_trace_id"]),
    "cascade": (
        "ALTER TABLE spans DROP CONSTRAINT fk_spans_trace_id, ADD CONSTRAINT fk_spans_trace_id "
        "FOREIGN KEY (trace_id) REFERENCES trace_info (request_id)",
        ["fk_spans_trace_id"],
    ),
    "unique": (
        "ALTER TABLE experiments DROP CONSTRAINT uq_experiments_workspace_name",
        ["uq_experiments_workspace_name"],
    ),
    "trigger": ("DROP TRIGGER prevent_secrets_aad_mutation ON secrets", ["prevent_secrets_aad_mutation"]),
    "other index": (
        "DROP INDEX index_params_run_uuid; CREATE INDEX index_params_run_uuid ON params (key)",
        ["index_params_run_uuid"],
    ),
}
SQLITE = {
    "trigger": ("DROP TRIGGER prevent_secrets_aad_mutation", ["prevent_secrets_aad_mutation"]),
    "type": ("value VARCHAR(8000)", "value TEXT", "params", ["params", "value"]),
    "null": ("name VARCHAR(256) NOT NULL", "name VARCHAR(256)", "experiments", ["experiments", "name"]),
    "check": (", CONSTRAINT source_type CHECK", ", CONSTRAINT other_type CHECK", "runs", ["source_type", "other_type"]),
    "foreign key": ("ON DELETE CASCADE", "ON DELETE SET NULL", "trace_tags", ["trace_tags"]),
}


@pytest.mark.parametrize("damage", BOTH)
def test_on_both(tracking, damage):
    uri = tracking(TRACKING.head)
    statement, names = BOTH[damage]
    execute(uri, statement)
    assert_found(uri, names)


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("damage", POSTGRESQL)
def test_on_postgresql(tracking, damage):
    uri = tracking(TRACKING.head)
    statement, names = POSTGRESQL[damage]
    execute(uri, statement)
    assert_found(uri, names)


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize("damage", SQLITE)
def test_on_sqlite(tracking, damage):
    uri = tracking(TRACKING.head)
    *how, names = SQLITE[damage]
    if len(how) == 1:
        execute(uri, how[0])
    else:
        rewrite(uri, *how)
    assert_found(uri, names)


def test_several_at_once_are_all_named(tracking):
    uri = tracking(TRACKING.head)
    for statement, _ in BOTH.values():
        execute(uri, statement)
    lines = assert_found(uri, [name for _, names in BOTH.values() for name in names])
    assert len(lines) >= len(BOTH)


def test_of_the_auth_chain(auth):
    uri = auth(AUTH.head)
    ferroflow_db.db("check", uri, "--auth")
    execute(uri, "DROP INDEX idx_roles_workspace")
    assert_found(uri, ["idx_roles_workspace"], "--auth")


def test_an_older_revision_is_a_difference(tracking):
    uri = tracking("b7e2c1a4d9f3")
    assert_found(uri, ["b7e2c1a4d9f3", TRACKING.head])


def test_an_index_of_ferroflow_is_none(tracking):
    uri = tracking(TRACKING.head)
    execute(uri, "CREATE INDEX ff_mine ON runs (name)")
    ferroflow_db.db("check", uri)


def assert_found(uri: str, names: list[str], *options: str) -> list[str]:
    """The check fails, names everything, and nothing that has not to do with it."""
    done = ferroflow_db.db("check", uri, *options, expect=1)
    lines = done.stdout.splitlines()
    assert lines
    for name in names:
        assert name in done.stdout
    for line in lines:
        assert any(name in line for name in names), line
    return lines


def execute(uri: str, statements: str) -> None:
    with engine(uri) as used, used.begin() as connection:
        for statement in statements.split("; "):
            connection.execute(sqlalchemy.text(statement))


def rewrite(uri: str, old: str, new: str, table: str) -> None:
    """Changes the text of a SQLite table where it is kept."""
    with ferroflow_db.sqlite(uri) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        [[sql]] = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchall()
        flat = " ".join(sql.replace("\n", " ").replace("\t", " ").split())
        assert old in flat, flat
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", [flat.replace(old, new, 1), table])
