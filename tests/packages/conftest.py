"""The packages of a release, made of the program under test by ``cargo xtask dist``, as a release makes them."""

import os
import subprocess
from pathlib import Path

import pytest
from support import required


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> Path:
    """A folder with everything that a release publishes beside images."""
    out = tmp_path_factory.mktemp("packages")
    required("FERROFLOW_BIN")
    subprocess.run([required("FERROFLOW_XTASK"), "dist", "--out", out], check=True, timeout=300)
    return out


@pytest.fixture(scope="session")
def wheel(packages) -> Path:
    [found] = packages.glob("*.whl")
    return found


@pytest.fixture
def machine(tmp_path) -> dict[str, str]:
    """The variables of a machine on which nothing is installed, and which reaches no package index."""
    home = tmp_path / "home"
    home.mkdir()
    nowhere = "http://127.0.0.1:9/simple"
    return {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "PIP_INDEX_URL": nowhere,
        "UV_INDEX_URL": nowhere,
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
        # The interpreter that runs the tests: uv would download one.
        "UV_PYTHON": required("FERROFLOW_REFERENCE_PYTHON"),
        "UV_PYTHON_DOWNLOADS": "never",
    }


def run(command: list, env: dict[str, str], cwd: Path | None = None) -> str:
    """What a command printed; it must have succeeded."""
    done = subprocess.run([str(word) for word in command], env=env, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command} left with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def on_path(folder: Path, env: dict[str, str]) -> dict[str, str]:
    """The variables with the programs of a folder."""
    return env | {"PATH": f"{folder}{os.pathsep}{env['PATH']}"}
