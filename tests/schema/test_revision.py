"""ferroflow starts on no other revision than the one it was written for, and touches nothing of it."""

import subprocess

import mlflow.store.db.utils as reference
import pytest
import sqlalchemy
from alembic.script import ScriptDirectory
from support import introspect, required
from support.ports import free_port
from support.postgres import DIALECTS, database
from support.servers import ferroflow

HEAD = "dc11669786a5"


def older() -> str:
    """The revision before the head."""
    scripts = ScriptDirectory.from_config(reference._get_alembic_config(db_url=""))
    assert scripts.get_heads() == [HEAD]
    return scripts.get_revision(HEAD).down_revision


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("revision", [older(), "ffffffffffff"], ids=["older", "unknown"])
def test_another_revision_is_refused_with_both_named(dialect, revision, tmp_path):
    with database(dialect, tmp_path) as uri:
        with ferroflow(uri, tmp_path / "artifacts"):
            pass
        set_revision(uri, revision)
        before = introspect.schema(uri), introspect.rows(uri)

        port = str(free_port())
        refused = subprocess.run(
            [required("FERROFLOW_BIN"), "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", port],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert refused.returncode not in (0, 101), refused
        assert revision in refused.stderr, refused
        assert HEAD in refused.stderr, refused
        assert (introspect.schema(uri), introspect.rows(uri)) == before

        set_revision(uri, HEAD)
        with ferroflow(uri, tmp_path / "artifacts"):
            pass


def set_revision(uri: str, revision: str) -> None:
    engine = sqlalchemy.create_engine(uri.replace("postgresql://", "postgresql+psycopg2://", 1))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
    engine.dispose()
