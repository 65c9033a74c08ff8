"""Starts ferroflow and the reference server the way a user does, each on a free port.

    with ferroflow("sqlite:////tmp/x.db", artifacts=folder) as server:
        requests.get(server.url + "/version")
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support import required
from support.ports import free_port

#: Seconds a server may take to answer, and to stop. The reference imports for 15 seconds of CPU.
START_SECONDS = 180
STOP_SECONDS = 30
#: Seconds after which a line of the log must have been written.
LOG_SECONDS = 60

#: Variables that would make a server or an SDK talk to something else than the test meant.
_FOREIGN = ("MLFLOW_", "_MLFLOW_", "AWS_", "GOOGLE_", "AZURE_", "STORAGE_EMULATOR_")


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen, url: str, log: Path, prefix: str = ""):
        self.process = process
        self.url = url
        self._health = f"{url}{prefix}/health"
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def logs(self) -> str:
        """Everything it has written to standard output and error so far."""
        return self._log.read_text(errors="replace")

    def wait_logged(self, text: str) -> None:
        """Waits for a text in its log, which a thread of its own writes."""
        deadline = time.monotonic() + LOG_SECONDS
        while text not in self.logs:
            assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{self.logs}"
            time.sleep(0.02)

    def wait_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server exited with {self.process.returncode}:\n{self.logs}")
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(self._health, timeout=5):
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer from {self._health}:\n{self.logs}")
            time.sleep(0.02)

    def stop(self) -> int:
        """Stops it with SIGTERM and returns its exit code; one that stays alive is an error."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.url} did not stop on SIGTERM:\n{self.logs}") from None

    def kill(self) -> None:
        """Ends it and its children with SIGKILL, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def ferroflow(
    backend_uri: str,
    artifacts: Path | str | None = None,
    *,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    port: int | None = None,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """``ferroflow server`` on a database; ``artifacts`` is its ``--artifacts-destination``.

    Leaving the block stops it with SIGTERM and asserts that it left with exit code 0,
    unless the test ended it with :meth:`Server.kill`.
    """
    command = [required("FERROFLOW_BIN"), "server"]
    with running(command, backend_uri, artifacts, args, env, port, cwd) as server:
        yield server
        killed = server.process.poll() == -signal.SIGKILL
        code = server.stop()
        assert killed or code == 0, f"ferroflow left with {code}:\n{server.logs}"


@contextlib.contextmanager
def reference(
    backend_uri: str,
    artifacts: Path | str | None = None,
    *,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    port: int | None = None,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """The reference server, lean: one worker, no job runner. It takes a while to start: share it."""
    python = Path(required("FERROFLOW_REFERENCE_PYTHON"))
    # Its SQLAlchemy may read a bare `postgresql:` as the psycopg 3 driver, which it does not bring.
    uri = backend_uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    lean = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # `mlflow server` starts its workers with the `uvicorn` that it finds on PATH.
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(python), "-m", "mlflow", "server", "--workers", "1"]
    with running(command, uri, artifacts, args, lean | dict(env or {}), port, cwd) as server:
        yield server
        server.stop()


#: Both, by the name of what they are.
MAKERS = {"reference": reference, "ferroflow": ferroflow}


@contextlib.contextmanager
def running(command, backend_uri, artifacts, args, env, port, cwd) -> Iterator[Server]:
    """A server of any kind that takes the reference's ``--host``, ``--port``, ``--backend-store-uri`` and so on."""
    with tempfile.TemporaryDirectory(prefix="ferroflow-") as folder:
        port = port or free_port()
        log = Path(folder) / "server.log"
        destination = artifacts if artifacts is not None else Path(folder) / "artifacts"
        line = [*command, "--host", "127.0.0.1", "--port", str(port)]
        # A server of artifacts alone takes no database.
        line += ["--backend-store-uri", backend_uri] if backend_uri else []
        line += ["--artifacts-destination", str(destination), *args]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                line,
                cwd=cwd or folder,
                env=environment | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        prefix = line[line.index("--static-prefix") + 1] if "--static-prefix" in line else ""
        server = Server(process, f"http://127.0.0.1:{port}", log, prefix)
        try:
            server.wait_healthy()
            yield server
        finally:
            # Whatever happened, nothing of it stays: the group also holds the reference's workers.
            server.kill()
