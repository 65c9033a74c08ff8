"""PgBouncer and HAProxy: each on loopback, stopped by its process when its block ends."""

import contextlib
import csv
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import configured
from support import required
from support.daemon import Daemon
from support.ports import free_port
from support.postgres_programs import give, user


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


class Balancer(Daemon):
    """HAProxy in front of servers on these ports."""

    def __init__(self, folder: Path, servers: Sequence[int]):
        self.port, self.servers, self._socket = free_port(), list(servers), folder / "statistics"
        file = folder / "haproxy.cfg"
        file.write_text(configured.balancer(self.port, servers, self._socket))
        super().__init__([required("FERROFLOW_HAPROXY"), "-db", "-f", str(file)], folder / "haproxy.log")

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def state(self, server: int) -> str:
        """What it knows of the server on a port: ``UP``, ``DOWN``, or on the way there, such as ``UP 1/2``."""
        return self._statistics(server)["status"]

    def sent_to(self, server: int) -> int:
        """Number of requests that it has sent to a server."""
        return int(self._statistics(server)["stot"])

    def wait_for(self, server: int, state: str) -> None:
        """Waits until it has found out that a server is ``UP`` or ``DOWN``."""
        self.wait_until(lambda: self.state(server) == state)

    def _statistics(self, server: int) -> dict[str, str]:
        """The answer to ``show stat`` (section 9.3 of HAProxy's management guide)."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(self._socket))
            client.sendall(b"show stat\n")
            text = client.makefile().read()
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        found = [row for row in rows if row["type"] == "2" and row["bck"] == "0"]
        return dict(zip(self.servers, found, strict=True))[server]


@contextlib.contextmanager
def balancer(servers: Sequence[int]) -> Iterator[Balancer]:
    with _folder() as folder:
        haproxy = Balancer(folder, servers)
        haproxy.start()
        try:
            haproxy.wait_until(lambda: _listens(haproxy.port))
            assert "[ALERT]" not in haproxy.log, haproxy.log
            yield haproxy
        finally:
            haproxy.stop()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ferroflow-cluster-"))
    try:
        give(folder)
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
