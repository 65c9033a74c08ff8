"""What clients did: one entry for each attempt, on one monotonic clock.

An attempt has one of three outcomes. ``ok``: the server answered, with a result or with an error that is an answer to the
question, such as "the name exists". ``fail``: nothing was done, the request never reached a server or the server says so
(429). ``unknown``: anything else; it takes effect at some time after its invocation, or never.
"""

import json
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"


@dataclass(eq=False)
class Op:
    """An attempt. Times are nanoseconds; ``complete`` is the time at which an unknown one was given up."""

    client: int
    #: The kind of object, then its name: ("tag", run id, key).
    key: tuple[str, ...]
    name: str
    args: Any
    invoke: int
    complete: int | None = None
    kind: str = UNKNOWN
    result: Any = None
    #: What the client saw, for a person.
    note: str = ""

    def __str__(self):
        return f"client {self.client}: {self.name}({self.args}) -> {self.kind} {self.result} [{self.note}]"


@dataclass
class History:
    """The attempts of all clients, and what the test did meanwhile."""

    ops: list[Op] = field(default_factory=list)
    #: (time, what): kills, starts, fail-overs.
    events: list[tuple[int, str]] = field(default_factory=list)
    #: Calls that failed after all retries of a client.
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, client: int, key: tuple[str, ...], name: str, args: Any) -> Op:
        op = Op(client, key, name, args, time.monotonic_ns())
        with self._lock:
            self.ops.append(op)
        return op

    def end(self, op: Op, kind: str, result: Any = None, note: str = "") -> None:
        op.kind, op.result, op.note = kind, result, note
        op.complete = time.monotonic_ns()

    def event(self, what: str) -> int:
        """Notes what the test did, and returns the time."""
        now = time.monotonic_ns()
        self.events.append((now, what))
        return now

    def by_key(self) -> dict[tuple[str, ...], list[Op]]:
        found: dict[tuple[str, ...], list[Op]] = {}
        for op in self.ops:
            found.setdefault(op.key, []).append(op)
        return found

    def seconds_until_ok(self, since: int) -> float:
        """Seconds from a time until the first success of an attempt that began after it."""
        times = [op.complete for op in self.ops if op.kind == OK and op.invoke > since and op.complete]
        return (min(times) - since) / 1e9 if times else float("inf")

    def longest_gap(self, since: int, until: int | None = None) -> float:
        """The longest time between ``since`` and ``until``, or the last success, in seconds, in which no attempt succeeded."""
        times = sorted(op.complete for op in self.ops if op.kind == OK and op.complete and op.complete > since)
        times = [since, *times] if until is None else [since, *(at for at in times if at < until), until]
        return max((later - earlier for earlier, later in zip(times, times[1:])), default=0) / 1e9

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"events": self.events, "ops": [asdict(op) for op in self.ops]}))
