"""PostgreSQL with a standby, PgBouncer and HAProxy: each on loopback, stopped by its process when its block ends."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import configured
import psycopg2
from support import required
from support.postgres_programs import as_user, ask, give, program, user
from support.ports import free_port

#: Seconds until a daemon accepts connections.
START_SECONDS = 60


class Daemon:
    """A process of its own group, and its log."""

    def __init__(self, command: Sequence[str], log: Path):
        self.command, self.log = list(command), log
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.log.parent,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def send(self, number: int) -> None:
        """Sends a signal to the process alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Ends it and its children as a crash does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.send(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            assert self.process.poll() is None, f"{self.command[0]} has ended:\n{self.text}"
            assert time.monotonic() < deadline, f"{self.command[0]} is not ready:\n{self.text}"
            time.sleep(0.02)

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]


class Postgres(Daemon):
    """A server with its data. Without fsync: tests kill processes, never the machine."""

    def __init__(self, data: Path, settings: dict[str, str]):
        self.data, self.port = data, free_port()
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "100", "fsync": "off"} | settings
        arguments = [argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")]
        command = [program("postgres"), "-D", str(data), "-p", str(self.port), *arguments]
        super().__init__(as_user(command), data.parent / f"{data.name}.log")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple]:
        # What a test sets up is not waited for until a standby has it.
        options = "-c synchronous_commit=local -c statement_timeout=60s"
        return ask(self.url(database), statement, connect_timeout=5, options=options)

    def wait(self, question: str = "SELECT true") -> None:
        """Waits until it answers a question with true."""

        def is_so() -> bool:
            with contextlib.suppress(psycopg2.OperationalError):
                return self.sql(question) == [(True,)]
            return False

        self.wait_until(is_so)

    def kill(self) -> None:
        """Ends all of its processes at once, as a lost machine does. Each has a group of its own, and those that outlive the
        postmaster end by themselves, but not before a commit that waits for a standby is visible to the others."""
        self.send(signal.SIGSTOP)
        for process in _children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        super().kill()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def promote(self) -> None:
        """Makes a standby the primary."""
        assert self.sql("SELECT pg_promote(true, 60)") == [(True,)], self.text


@contextlib.contextmanager
def primary(settings: dict[str, str] | None = None) -> Iterator[Postgres]:
    """A server with the empty database ``mlflow``."""
    with _folder() as folder:
        data = folder / "primary"
        command = [program("initdb"), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", f"--pgdata={data}"]
        _run(command, folder)
        server = Postgres(data, settings or {})
        server.start()
        try:
            server.wait()
            server.sql("CREATE DATABASE mlflow TEMPLATE template0")
            yield server
        finally:
            server.stop(signal.SIGINT)


@contextlib.contextmanager
def standby_of(server: Postgres) -> Iterator[Postgres]:
    """A standby that has everything that is acknowledged."""
    data = server.data.parent / "standby"
    _run(
        [
            program("pg_basebackup"),
            f"--dbname={server.url()}",
            f"--pgdata={data}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ],
        server.data.parent,
    )
    standby = Postgres(data, {})
    standby.start()
    try:
        standby.wait()
        server.wait("SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
        yield standby
    finally:
        standby.stop(signal.SIGINT)


class Pooler(Daemon):
    """PgBouncer in front of one database."""

    def __init__(self, folder: Path, database: str, host_port: int, **settings: object):
        self.port, self.file, self.database, self.settings = free_port(), folder / "pgbouncer.ini", database, settings
        self._write(host_port)
        command = [required("FERROFLOW_PGBOUNCER")]
        # It refuses root as PostgreSQL does.
        if owner := user():
            command += ["-u", owner.pw_name]
        super().__init__([*command, str(self.file)], folder / "pgbouncer.log")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{self.database}"

    def _write(self, host_port: int) -> None:
        target = f"host=127.0.0.1 port={host_port} dbname={self.database} user=postgres"
        self.file.write_text(configured.pooler(self.port, {self.database: target}, **self.settings))
        self.file.chmod(0o644)

    def point_to(self, host_port: int) -> None:
        """Sends further transactions to another server."""
        self._write(host_port)
        self.send(signal.SIGHUP)


@contextlib.contextmanager
def pooler(database: str, host_port: int, **settings: object) -> Iterator[Pooler]:
    with _folder() as folder:
        bouncer = Pooler(folder, database, host_port, **settings)
        bouncer.start()
        try:
            bouncer.wait_until(lambda: _listens(bouncer.port))
            yield bouncer
        finally:
            bouncer.stop()


@contextlib.contextmanager
def balancer(servers: Sequence[int]) -> Iterator[tuple[str, int]]:
    """HAProxy in front of servers on these ports. Its address."""
    port = free_port()
    with _folder() as folder:
        file = folder / "haproxy.cfg"
        file.write_text(configured.balancer(port, servers))
        haproxy = Daemon([required("FERROFLOW_HAPROXY"), "-db", "-f", str(file)], folder / "haproxy.log")
        haproxy.start()
        try:
            haproxy.wait_until(lambda: _listens(port))
            assert "[ALERT]" not in haproxy.text, haproxy.text
            yield "127.0.0.1", port
        finally:
            haproxy.stop()


def _children(parent: int) -> list[int]:
    """The processes that a process has started (``/proc/<pid>/stat``, proc(5))."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(as_user(command), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ferroflow-cluster-"))
    try:
        give(folder)
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
