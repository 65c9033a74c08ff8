"""The auth chain: users, permissions and roles come to head as by the reference, alone and beside the tracking tables."""

import contextlib

import ferroflow_db
import mlflow.server.auth.db.utils as auth_utils
import pytest
import rows
import sqlalchemy
from chains import AUTH, TRACKING, engine
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
from support import introspect
from support.postgres import copy_of

pytestmark = pytest.mark.rotates(every=4)

#: The revision before the one that gives every table of the registry its workspace.
BEFORE_WORKSPACES = "c8d9e0f1a2b3"


def test_the_chain_is_the_one_that_was_written_for():
    assert AUTH.revisions == [
        "8606fa83a998",
        "0965eb92f5f0",
        "a1b2c3d4e5f6",
        "2ed73881770d",
        "c3d4e5f6a7b8",
        "e5f6a7b8c9d0",
        "f1a2b3c4d5e6",
    ]


@pytest.mark.parametrize("revision", AUTH.revisions)
def test_filled_tables_come_to_head(auth, revision, tmp_path):
    expected = auth(revision)
    rows.fill(expected)
    with copy_of(expected, tmp_path) as actual:
        upgrade_by_the_reference(expected)
        done = ferroflow_db.upgrade(actual, chain=AUTH)
        assert [to for _, to in ferroflow_db.steps(done.stdout + done.stderr)] == AUTH.after(revision)
        ferroflow_db.assert_same(expected, actual)
        ferroflow_db.db("check", actual, "--auth")
        assert_the_reference_uses_it(actual)


def test_tables_of_before_the_version_table_are_taken_for_the_first_revision(auth, tmp_path):
    expected = auth("8606fa83a998")
    rows.fill(expected)
    with engine(expected) as used, used.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE alembic_version_auth"))
    with copy_of(expected, tmp_path) as actual:
        assert "8606fa83a998" in ferroflow_db.db("status", actual, "--auth").stdout
        upgrade_by_the_reference(expected)
        ferroflow_db.upgrade(actual, chain=AUTH)
        ferroflow_db.assert_same(expected, actual)
        assert_the_reference_uses_it(actual)


# Not of the head: its last revision reads the registry's workspaces, so it cannot come before the tracking tables have them.
@pytest.mark.parametrize("revision", AUTH.revisions[:-1])
def test_both_chains_in_one_database(tracking, revision, tmp_path):
    expected = tracking(BEFORE_WORKSPACES)
    AUTH.upgrade(expected, revision)
    rows.fill(expected)
    with copy_of(expected, tmp_path) as actual:
        TRACKING.upgrade(expected)
        ferroflow_db.upgrade(actual)
        assert AUTH.current(actual) == revision
        ferroflow_db.assert_same(expected, actual)
        upgrade_by_the_reference(expected)
        ferroflow_db.upgrade(actual, chain=AUTH)
        ferroflow_db.assert_same(expected, actual)
        ferroflow_db.db("check", actual)
        ferroflow_db.db("check", actual, "--auth")


def test_each_step_leaves_what_the_reference_s_leaves(auth, catalogues, dialect):
    uri = auth("8606fa83a998")
    for revision in AUTH.after("8606fa83a998"):
        ferroflow_db.upgrade(uri, "--to", revision, chain=AUTH)
        assert AUTH.current(uri) == revision
        found = introspect.differences(catalogues(AUTH, dialect)[revision], introspect.catalogue(uri))
        assert not found, f"after {revision}:\n" + "\n".join(found)


def test_a_role_that_others_have_is_not_taken_for_a_user_s_own(auth):
    uri = auth("c3d4e5f6a7b8")
    rows.fill(uri)
    with engine(uri) as used, used.begin() as connection:
        # The role named after the first user belongs to the second one too: the grants of the first would leak.
        statement = """
            INSERT INTO user_role_assignments (user_id, role_id)
            SELECT users.id, roles.id FROM users, roles
            WHERE roles.name = '__user_' || (SELECT min(id) FROM users) || '__' AND roles.workspace = 'default'
                AND users.id = (SELECT min(id) + 1 FROM users)"""
        connection.execute(sqlalchemy.text(statement))
    before = introspect.catalogue(uri), introspect.rows(uri)
    refused = ferroflow_db.db("upgrade", uri, "--auth", "--no-backup", expect=1)
    assert "__user_" in refused.stderr
    assert "default" in refused.stderr
    assert (introspect.catalogue(uri), introspect.rows(uri)) == before
    with pytest.raises(Exception, match="collides with the reserved"):
        upgrade_by_the_reference(uri)


def upgrade_by_the_reference(uri):
    with engine(uri) as used:
        auth_utils.migrate_if_needed(used, "head")


def assert_the_reference_uses_it(uri):
    """Its store starts, finds every user and their grants, and adds another user."""
    store = SqlAlchemyStore()
    store.init_db(uri.replace("postgresql://", "postgresql+psycopg2://", 1))
    with contextlib.closing(store.engine.raw_connection()):
        users = store.list_users()
        assert len(users) == rows.ROWS
        store.create_user("newcomer", "a long password")
        assert len(store.list_users()) == len(users) + 1
    store.engine.dispose()
