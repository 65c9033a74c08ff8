"""The reference's two chains of revisions, run by its own Alembic scripts inside this process.

A revision of ``None`` is the state before the first one: of the tracking chain the tables that releases
before 1.0 made without any version table, of the auth chain an empty database.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow.server.auth.db.utils as auth_utils
import mlflow.store.db.utils as tracking_utils
import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy.pool import NullPool
from support import introspect, required
from support.postgres import copy_of, database


@dataclass(frozen=True)
class Chain:
    """One of the chains."""

    name: str
    #: What ``ferroflow db`` is told beside the URI.
    options: tuple[str, ...]
    version_table: str
    config: Callable[[str], Config]
    #: Makes the tables that are there before the first revision.
    base: Callable[[sqlalchemy.Engine], None]

    @functools.cached_property
    def scripts(self) -> ScriptDirectory:
        """The reference's scripts, which take long to read."""
        return ScriptDirectory.from_config(self.config("sqlite://"))

    @functools.cached_property
    def revisions(self) -> list[str]:
        """All of them, the oldest first."""
        return [script.revision for script in self.scripts.walk_revisions()][::-1]

    @property
    def head(self) -> str:
        return self.revisions[-1]

    def after(self, revision: str | None) -> list[str]:
        """The revisions that follow on one."""
        return self.revisions[0 if revision is None else self.revisions.index(revision) + 1 :]

    def upgrade(self, uri: str, revision: str = "head") -> None:
        """Moves a database to a revision, as ``mlflow db upgrade`` and the auth plugin do: by ``alembic.command.upgrade``,
        which reads all scripts each time that it is called."""
        with engine(uri) as used, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = self.config(used.url.render_as_string(hide_password=False))
            with used.begin() as connection:
                config.attributes["connection"] = connection
                steps = lambda current, context: self.scripts._upgrade_revs(revision, current)  # noqa: E731
                with EnvironmentContext(config, self.scripts, fn=steps, destination_rev=revision):
                    self.scripts.run_env()

    def current(self, uri: str) -> str | None:
        """The revision of a database."""
        with engine(uri) as used, used.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table(self.version_table):
                return None
            return connection.execute(sqlalchemy.text(f"SELECT version_num FROM {self.version_table}")).scalar()

    def set_current(self, uri: str, revision: str) -> None:
        """Writes another revision into a database without moving anything."""
        with engine(uri) as used, used.begin() as connection:
            connection.execute(sqlalchemy.text(f"UPDATE {self.version_table} SET version_num = :new"), {"new": revision})


TRACKING = Chain(
    "tracking", (), "alembic_version", tracking_utils._get_alembic_config, InitialBase.metadata.create_all
)


def _newer_config(uri: str) -> Config:
    """Of the scripts of the newer release. Those that it adds import nothing of MLflow but the type of an error."""
    config = tracking_utils._get_alembic_config(uri)
    config.set_main_option("script_location", str(Path(required("FERROFLOW_NEWER"), "mlflow/store/db_migrations")))
    return config


#: The tracking chain of the newer release, which is longer.
NEWER = Chain("newer", (), "alembic_version", _newer_config, InitialBase.metadata.create_all)
AUTH = Chain("auth", ("--auth",), "alembic_version_auth", auth_utils._get_alembic_config, lambda engine: None)


@contextlib.contextmanager
def engine(uri: str) -> Iterator[sqlalchemy.Engine]:
    """An engine that keeps no connection, so that the database can be copied afterwards."""
    used = sqlalchemy.create_engine(uri.replace("postgresql://", "postgresql+psycopg2://", 1), poolclass=NullPool)
    yield used
    used.dispose()


class UpgradedDatabase:
    """A database that the reference upgrades along a chain, and that is copied at the revisions that tests request."""

    def __init__(self, chain: Chain, dialect: str, folder: Path):
        self.chain, self.dialect, self.folder = chain, dialect, folder
        self._stack = contextlib.ExitStack()
        self._uri: str | None = None
        self._step = 0

    @contextlib.contextmanager
    def at(self, revision: str | None) -> Iterator[str]:
        """The URI of a database without rows at a revision."""
        uri = self._upgrade_to(revision)
        with copy_of(uri, self.folder, f"{self.chain.name}_{revision or 'base'}") as copied:
            yield copied

    def catalogues(self) -> dict[str, introspect.Schema]:
        """What the catalogue of a database holds at each revision."""
        return {revision: introspect.catalogue(self._upgrade_to(revision)) for revision in self.chain.revisions}

    def _upgrade_to(self, revision: str | None) -> str:
        """The URI of the database, which is brought to a revision: from where it is, else from the beginning."""
        wanted = 0 if revision is None else self.chain.revisions.index(revision) + 1
        if self._uri is None or wanted < self._step:
            self.close()
            self._uri = self._stack.enter_context(database(self.dialect, self.folder, self.chain.name))
            self._step = 0
            with engine(self._uri) as used:
                self.chain.base(used)
        if wanted > self._step:
            self.chain.upgrade(self._uri, revision)
        self._step = wanted
        if self.dialect == "sqlite" and revision is None and self.chain is AUTH:
            Path(self._uri.removeprefix("sqlite:///")).touch()
        return self._uri

    def close(self) -> None:
        """Drops the database."""
        self._stack.close()
