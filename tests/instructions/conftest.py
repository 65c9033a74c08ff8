"""A server whose instructions Valgrind counts."""

import subprocess
from pathlib import Path

import pytest
from data import ask, fill
from support import required
from support.servers import Server, ferroflow, running


class Counted:
    """The server under Callgrind."""

    def __init__(self, server: Server, folder: Path):
        self.server, self.folder, self.dumps = server, folder, 0

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        return ask(self.server, method, path, body)

    def _control(self, *arguments: str) -> None:
        subprocess.run(["callgrind_control", *arguments, str(self.server.pid)], check=True, capture_output=True)

    def instructions(self, call, times: int) -> int:
        """The instructions of one ``call(number)``, over so many of them. What is done once is done before."""
        for number in range(20):
            call(number)
        self._control("--zero")
        for number in range(20, 20 + times):
            call(number)
        self.dumps += 1
        self._control(f"--dump={self.dumps}")
        dump = self.folder / f"callgrind.{self.dumps}"
        totals = next(line for line in dump.read_text(errors="replace").splitlines() if line.startswith("totals:"))
        return int(totals.split()[1]) // times


@pytest.fixture(scope="session")
def counted(tmp_path_factory):
    """The counted server and the ids of its rows."""
    folder = tmp_path_factory.mktemp("instructions")
    uri = f"sqlite:///{folder}/mlflow.db"
    with ferroflow(uri, folder / "artifacts") as server:
        ids = fill(server)
    valgrind = [required("FERROFLOW_VALGRIND"), "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind"]
    command = [*valgrind, required("FERROFLOW_BIN"), "server"]
    with running(command, uri, folder / "artifacts", (), None, None, None) as server:
        yield Counted(server, folder), ids
