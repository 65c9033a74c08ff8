"""A PostgreSQL server and a streaming replica of it.

    with pair() as (primary, standby):
        primary.sql("CREATE DATABASE …")
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from support.postgres_programs import as_user, ask, give, program
from support.ports import free_port

#: Seconds until a server accepts connections, and until one is as far as another.
START_SECONDS = 60

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "replica",
    "max_connections": "100",
    # Tests kill servers, never the machine.
    "fsync": "off",
    "autovacuum": "off",
}


@dataclass
class Node:
    """A server that can be stopped and started again."""

    data: Path
    port: int
    settings: dict[str, str]
    process: subprocess.Popen | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple]:
        return ask(self.url(database), statement)

    @property
    def log(self) -> str:
        return self.data.with_suffix(".log").read_text(errors="replace")

    def start(self) -> None:
        options = [option for key, value in self.settings.items() for option in ("-c", f"{key}={value}")]
        with self.data.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                as_user([program("postgres"), "-D", str(self.data), "-p", str(self.port), *options]),
                cwd=self.data.parent,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self.process.poll() is None, self.log[-4000:]
            with contextlib.suppress(psycopg2.OperationalError):
                self.sql("SELECT 1")
                return
            assert time.monotonic() < deadline, f"PostgreSQL does not start:\n{self.log[-4000:]}"
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends it and its sessions, as a lost machine does."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait(30)
            self.process = None

    def freeze(self) -> None:
        """Lets it answer nothing more, with all connections open, as a network does that drops its packets."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        """To the server and its sessions."""
        assert self.process is not None
        pid = self.process.pid
        if self.process.poll() is not None:
            return
        # So that it starts no more sessions meanwhile.
        os.kill(pid, signal.SIGSTOP)
        sessions = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (*sessions, pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(one), number)

    def reaches(self, primary: "Node") -> None:
        """Waits until it has replayed what the primary has."""
        [(position,)] = primary.sql("SELECT pg_current_wal_lsn()::text")
        deadline = time.monotonic() + START_SECONDS
        while self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") != [(True,)]:
            assert time.monotonic() < deadline, f"the standby stays behind:\n{self.log[-4000:]}"
            time.sleep(0.02)

    def follower(self, name: str, **settings: str) -> "Node":
        """A new standby of it, which is not started."""
        node = Node(self.data.parent / name, free_port(), SETTINGS | settings)
        _run("pg_basebackup", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-D", str(node.data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        return node


@contextlib.contextmanager
def pair(**of_standby: str) -> Iterator[tuple[Node, Node]]:
    """A primary with an empty database ``mlflow``, and its standby with further settings."""
    folder = Path(tempfile.mkdtemp(prefix="ferroflow-standby-"))
    nodes: list[Node] = []
    try:
        give(folder)
        primary = Node(folder / "primary", free_port(), SETTINGS)
        _run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", f"--pgdata={primary.data}")
        nodes.append(primary)
        primary.start()
        primary.sql("CREATE DATABASE mlflow")
        # Every statement is in its log: the tests see which ones it got.
        standby = primary.follower("standby", **{"log_statement": "all"} | of_standby)
        nodes.append(standby)
        standby.start()
        standby.reaches(primary)
        yield primary, standby
    finally:
        for node in reversed(nodes):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run(as_user([program(name), *arguments]), capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
