"""Directories that a server can not use, or only as far as there is room."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support import required
from support.servers import Server, running

#: A root that file permissions are for, as they are for everybody else.
CONFINED = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@contextlib.contextmanager
def confined(folder: Path, artifacts: Path, **variables) -> Iterator[Server]:
    """A server that may do in the file system what its permissions say."""
    command = [*CONFINED, required("FERROFLOW_BIN"), "server"]
    with running(command, f"sqlite:///{folder}/confined.db", artifacts, [], variables, None, None) as server:
        yield server


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory, below a folder."""
    place = folder / "mounted"
    place.mkdir()
    # Only an administrator mounts.
    administrator = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    options = f"{options},mode=755,uid={os.geteuid()}"
    subprocess.run([*administrator, "mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run([*administrator, "umount", place], check=True)


def names(folder: Path) -> list[str]:
    """What is below a folder, hidden or not, without the folders."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir())
