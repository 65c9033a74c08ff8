"""A server on SQLite with artifacts in a directory, and a place for its backups."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from support import command
from support.servers import Server, ferroflow


@dataclass(frozen=True)
class Home:
    """What a server keeps in a directory."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.folder / "mlartifacts"

    @property
    def flags(self) -> list[str]:
        """Of `ferroflow backup` and `ferroflow restore`."""
        return ["--backend-store-uri", f"sqlite:///{self.database}", "--artifacts-destination", str(self.artifacts)]

    def server(self):
        return ferroflow(f"sqlite:///{self.database}", self.artifacts)

    def back_up(self, place: Path, *args: object) -> str:
        """Takes a backup; its name."""
        out = command.run("backup", place, *self.flags, *args)
        return out.split()[1]

    def restore(self, place: Path, *args: object) -> str:
        return command.run("restore", place, *self.flags, *args)


@pytest.fixture
def home(tmp_path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.fixture
def other(tmp_path) -> Home:
    """A new place."""
    (tmp_path / "other").mkdir()
    return Home(tmp_path / "other")


@pytest.fixture
def place(tmp_path) -> Path:
    """Where backups are kept."""
    return tmp_path / "backups"


@pytest.fixture
def server(home) -> Server:
    with home.server() as server:
        yield server
