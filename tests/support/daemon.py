"""A program that a test starts, and ends in whatever way it needs."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

#: Seconds until a daemon accepts connections, and until it has ended.
START_SECONDS = 60
STOP_SECONDS = 30


class Daemon:
    """A process of its own group, and its log."""

    def __init__(self, command: Sequence[str], log_file: Path):
        self.command, self.log_file = list(command), log_file
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.log_file.parent,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        """Sends a signal to the process alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Ends it and its children as a crash does."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends it with a signal, and kills it if it stays."""
        if not self.is_running:
            return
        self.send(number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            assert self.process.poll() is None, f"{self.command[0]} has ended:\n{self.log[-6000:]}"
            assert time.monotonic() < deadline, f"{self.command[0]} is not ready:\n{self.log[-6000:]}"
            time.sleep(0.02)

    @property
    def log(self) -> str:
        """Everything that it has written so far."""
        return self.log_file.read_text(errors="replace")
