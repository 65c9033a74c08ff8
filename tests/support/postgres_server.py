"""A PostgreSQL server of a test's own, which it may kill, freeze and promote, and its standbys.

    with pair() as (primary, standby):
        primary.sql("CREATE DATABASE …")
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2

from support.daemon import Daemon
from support.ports import free_port
from support.postgres_programs import as_user, ask, give, program

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    # Tests kill servers, never the machine.
    "fsync": "off",
}


class PostgresServer(Daemon):
    """A server with its data, and the log beside them."""

    def __init__(self, data: Path, settings: Mapping[str, str]):
        super().__init__([], data.parent / f"{data.name}.log")
        self.data, self.port, self.settings = data, free_port(), SETTINGS | dict(settings)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple]:
        # What a test sets up does not wait for a synchronous standby.
        options = "-c synchronous_commit=local -c statement_timeout=60s"
        return ask(self.url(database), statement, connect_timeout=5, options=options)

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        settings = [argument for key, value in self.settings.items() for argument in ("-c", f"{key}={value}")]
        self.command = as_user([program("postgres"), "-D", str(self.data), "-p", str(self.port), *settings])
        super().start()
        self.wait()

    def wait(self, question: str = "SELECT true") -> None:
        """Waits until it answers a question with true."""

        def is_so() -> bool:
            with contextlib.suppress(psycopg2.OperationalError):
                return self.sql(question) == [(True,)]
            return False

        self.wait_until(is_so)

    def kill(self) -> None:
        """Ends all of its processes at once, as a lost machine does."""
        if self.is_running:
            self._signal_all(signal.SIGKILL)
            super().kill()
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """Lets it answer nothing more, with all connections open, as a network does that drops its packets."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.is_running:
            self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        """Sends a signal to the server and its sessions. Each session has a group of its own, and those that outlive the
        server end by themselves, but not before a commit that waits for a standby is visible to the others."""
        # So that it starts no more of them meanwhile.
        self.send(signal.SIGSTOP)
        for process in (*_children(self.process.pid), self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def promote(self) -> None:
        """Makes a standby the primary."""
        assert self.sql("SELECT pg_promote(true, 60)") == [(True,)], self.log[-6000:]

    def reaches(self, primary: "PostgresServer") -> None:
        """Waits until it has replayed what the primary has."""
        [(position,)] = primary.sql("SELECT pg_current_wal_lsn()::text")
        self.wait(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")

    def follower(self, name: str, settings: Mapping[str, str] | None = None) -> "PostgresServer":
        """A new standby of it, which is not started."""
        node = PostgresServer(self.data.parent / name, settings or {})
        options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        _run([program("pg_basebackup"), f"--dbname={self.url()}", f"--pgdata={node.data}", *options], self.data.parent)
        return node


@contextlib.contextmanager
def primary(settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """A server with the empty database ``mlflow``."""
    folder = Path(tempfile.mkdtemp(prefix="ferroflow-server-"))
    try:
        give(folder)
        data = folder / "primary"
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        _run([program("initdb"), *options, f"--pgdata={data}"], folder)
        with started(PostgresServer(data, settings or {})) as server:
            server.sql("CREATE DATABASE mlflow TEMPLATE template0")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def standby_of(server: PostgresServer, settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """A standby that has what the primary has. If the primary's commits wait for a standby, they wait for this one."""
    with started(server.follower("standby", settings)) as standby:
        server.wait("SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync' OR current_setting('synchronous_standby_names') = ''")
        standby.reaches(server)
        yield standby


@contextlib.contextmanager
def pair(**of_standby: str) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary with an empty database ``mlflow``, and its standby with further settings."""
    quiet = {"autovacuum": "off"}
    # Every statement is in the standby's log: the tests see which ones it got.
    with primary(quiet) as server, standby_of(server, quiet | {"log_statement": "all"} | of_standby) as standby:
        yield server, standby


@contextlib.contextmanager
def started(server: PostgresServer) -> Iterator[PostgresServer]:
    """Starts a server, and ends it with the block: without a checkpoint, but with its shared memory."""
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)


def _children(parent: int) -> list[int]:
    """The processes that a process has started (``/proc/<pid>/stat``, proc(5))."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(as_user(command), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
