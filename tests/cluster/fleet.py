"""Three servers behind a balancer, each of which a test may kill, stop and start again."""

import contextlib
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime

import daemons
from support import required
from support.ports import free_port
from support.servers import Server, running

SERVERS = 3


class Member:
    """A place for a server: its port stays the same."""

    def __init__(self, database: str, args: Sequence[str] = (), env: Mapping[str, str] | None = None):
        self.database, self.args, self.env = database, args, env or {}
        self.port = free_port()
        self.server: Server | None = None
        self._block: contextlib.AbstractContextManager | None = None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def start(self, program: str | None = None) -> None:
        command = [program or required("FERROFLOW_BIN"), "server"]
        self._block = running(command, self.database, None, self.args, self.env, self.port, None)
        self.server = self._block.__enter__()

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self.server.kill()
        self._leave()

    def stop(self) -> None:
        """Ends it with SIGTERM; it must leave with 0."""
        code = self.server.stop()
        logs = self.server.logs
        self._leave()
        assert code == 0, f"ferroflow left with {code}:\n{logs}"

    def _leave(self) -> None:
        block, self._block, self.server = self._block, None, None
        block.__exit__(None, None, None)

    def end(self) -> None:
        """Ends it, if it runs, whatever its state."""
        if self.server:
            with contextlib.suppress(ProcessLookupError):
                self.server.process.send_signal(signal.SIGCONT)
            self._leave()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing, and its connections stay open."""
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def starved(self, share: float) -> Iterator[None]:
        """It gets a share of its time only, in slices of a tenth of a second, as a cgroup with a quota does."""
        ended = threading.Event()

        def take_turns() -> None:
            while not ended.is_set():
                with self.frozen():
                    ended.wait(0.1 * (1 - share))
                ended.wait(0.1 * share)

        thread = threading.Thread(target=take_turns)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def answers(self, seconds: float = 1.0) -> int:
        """Number of calls without a database that it answers in this time, asked directly, one after another."""
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            urllib.request.urlopen(f"{self.server.url}/health", timeout=30).close()
            count += 1
        return count

    @property
    def clock(self) -> float:
        """Its time, in seconds since 1970."""
        with urllib.request.urlopen(f"{self.server.url}/health", timeout=30) as answer:
            return parsedate_to_datetime(answer.headers["Date"]).timestamp()


class Fleet:
    """The servers, and their balancer."""

    def __init__(self, members: list[Member], balancer: daemons.Balancer):
        self.members, self.balancer = members, balancer

    @property
    def address(self) -> tuple[str, int]:
        """That of the balancer, to which clients connect."""
        return self.balancer.address


@contextlib.contextmanager
def fleet(
    database: str,
    *,
    args: Sequence[str] = (),
    env_of: Callable[[int], Mapping[str, str]] = lambda number: {},
    program: str | None = None,
) -> Iterator[Fleet]:
    """Servers on a database; the first one creates its tables. ``env_of`` has the variables of each, from 0."""
    members = [Member(database, args, env_of(number)) for number in range(SERVERS)]
    try:
        for member in members:
            member.start(program)
        with daemons.balancer([member.port for member in members]) as balancer:
            yield Fleet(members, balancer)
    finally:
        for member in members:
            member.end()
