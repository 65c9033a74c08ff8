"""Free TCP ports of the loopback address, which processes of the tests do not choose at the same time."""

import collections
import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import TextIO

#: Ports that this process may still use without listening yet. The lock of an older claim is released: its port is in use
#: by then, or was left.
CLAIMS = 64

#: A file for each port. A process holds the lock of those that it has claimed, and the kernel releases it when the process
#: ends. Rust tests use the same files (``xtask/src/ports.rs``).
FOLDER = Path(tempfile.gettempdir(), "ferroflow-ports")

_claims: collections.deque[TextIO] = collections.deque()


def free_port() -> int:
    """A TCP port on the loopback address that nothing listens on, and that no other process of the tests gets while this
    one holds its claim. Connections do not take it either: the kernel gives them ports of another range."""
    candidates = _candidates(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text())
    while True:
        port = random.SystemRandom().choice(candidates)
        claim = _claim(port)
        if claim is None:
            continue
        if _is_free(port):
            if len(_claims) == CLAIMS:
                _claims.popleft().close()
            _claims.append(claim)
            return port
        claim.close()


def _candidates(of_kernel: str) -> range:
    """The larger range beside that of the kernel, which is the text of ``ip_local_port_range``, such as ``32768 60999``. If
    the kernel's is nearly all, then a part of it."""
    first, last = map(int, of_kernel.split())
    return max(range(11_000, first), range(last + 1, 65_536), range(11_000, 12_000), key=len)


def _claim(port: int) -> TextIO | None:
    """The file of a port with its lock, until it is closed; ``None`` if the lock is taken."""
    with contextlib.suppress(FileExistsError):
        FOLDER.mkdir()
        # Users share it.
        FOLDER.chmod(0o777)
    # A lock needs no right to write: the file may be that of another user.
    file = open(FOLDER / str(port), opener=lambda path, _: os.open(path, os.O_RDONLY | os.O_CREAT, 0o644))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _is_free(port: int) -> bool:
    with socket.socket() as listener, contextlib.suppress(OSError):
        listener.bind(("127.0.0.1", port))
        return True
    return False
