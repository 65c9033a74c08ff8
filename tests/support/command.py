"""Runs the commands of ``ferroflow`` that end by themselves, the way a user does."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support import required

SECONDS = 300

#: Variables that would make a command work on something else than the test meant.
_FOREIGN = ("MLFLOW_", "AWS_", "FERROFLOW_")


def start(*args: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> subprocess.Popen:
    """Starts a command."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    return subprocess.Popen(
        [required("FERROFLOW_BIN"), *map(str, args)],
        cwd=cwd,
        env=environment | dict(env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*args: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command printed; it must have succeeded."""
    process = start(*args, env=env, cwd=cwd)
    out, error = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, f"{args} left with {process.returncode}:\n{out}{error}"
    return out


def refused(*args: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command said when it refused: one line at the end of standard error."""
    process = start(*args, env=env, cwd=cwd)
    out, error = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, f"{args} left with {process.returncode}:\n{out}{error}"
    last = error.strip().splitlines()[-1]
    assert last.startswith("Error: "), error
    return last
