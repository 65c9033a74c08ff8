"""Throw-away databases on the server that ``FERROFLOW_TEST_POSTGRES_URL`` names."""

import contextlib
import fcntl
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from support import required

DIALECTS = ("sqlite", "postgresql")


def create(prefix: str = "test") -> str:
    """Creates an empty database and returns its URL, ``postgresql://user@host:port/name``."""
    name = f"{prefix}_{uuid.uuid4().hex[:12]}"
    _administer(f'CREATE DATABASE "{name}" TEMPLATE template0')
    return urlunsplit(urlsplit(required("FERROFLOW_TEST_POSTGRES_URL"))._replace(path=f"/{name}"))


def copy(url: str, prefix: str = "copy") -> str:
    """Creates a database that has what another one has, which nobody uses at this moment."""
    name = f"{prefix}_{uuid.uuid4().hex[:12]}"
    _administer(f'CREATE DATABASE "{name}" TEMPLATE "{urlsplit(url).path[1:]}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def drop(url: str) -> None:
    """Drops a database of :func:`create`, ending the sessions that still use it."""
    _administer(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')


@contextlib.contextmanager
def database(dialect: str, folder: Path, prefix: str = "test") -> Iterator[str]:
    """The URI of an empty database of either dialect; SQLite's file is made inside ``folder``."""
    if dialect == "sqlite":
        yield f"sqlite:///{folder.absolute()}/{prefix}_{uuid.uuid4().hex[:12]}.db"
        return
    url = create(prefix)
    try:
        yield url
    finally:
        drop(url)


@contextlib.contextmanager
def copy_of(uri: str, folder: Path, prefix: str = "copy") -> Iterator[str]:
    """The URI of a copy of a database of either dialect that nobody uses at this moment."""
    if uri.startswith("sqlite:"):
        path = folder.absolute() / f"{prefix}_{uuid.uuid4().hex[:12]}.db"
        with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as source:
            with contextlib.closing(sqlite3.connect(path)) as target:
                source.backup(target)
        yield f"sqlite:///{path}"
        path.unlink()
        return
    url = copy(uri, prefix)
    try:
        yield url
    finally:
        drop(url)


def connect(url: str):
    """A psycopg2 connection to a database, in autocommit mode."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


@contextlib.contextmanager
def exclusively() -> Iterator[None]:
    """While this lasts, no other test makes or drops a database: the server then writes down all that it has in
    memory, also for a disk that a test has filled, and fails."""
    with _lock(fcntl.LOCK_EX):
        yield


def _administer(statement: str) -> None:
    url = urlunsplit(urlsplit(required("FERROFLOW_TEST_POSTGRES_URL"))._replace(path="/postgres"))
    with _lock(fcntl.LOCK_SH), contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


@contextlib.contextmanager
def _lock(kind: int) -> Iterator[None]:
    """A lock between all tests that use the server."""
    port = urlsplit(required("FERROFLOW_TEST_POSTGRES_URL")).port
    with open(Path(tempfile.gettempdir(), f"ferroflow-postgres-{port}.lock"), "a") as file:
        fcntl.flock(file, kind)
        yield
