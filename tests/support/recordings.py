"""Whether a suite's recordings of the reference's answers belong to the requests that it has now.

A recording of requests that were changed since proves nothing, and one that was changed by hand even less. So whatever
``--record`` writes is kept with a fingerprint of the requests and of the answers. Needs nothing but Python:

    python3 tests/support/recordings.py differential      prints ``recorded``, or ``live`` when the reference must be asked
"""

import hashlib
import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]

#: What requests are made of, by suite. The pinned reference belongs to all of them.
_SOURCES = {
    "artifacts": ("test_modes.py",),
    "auth": ("calls.py", "people.py", "scene.py", "steps.py"),
    "differential": ("player.py", "scenarios/*.py", "step.py"),
}


def is_current(suite: str) -> bool:
    """Whether nothing was changed since the recording was made."""
    path = _path(suite)
    return path.exists() and path.read_text().strip() == _fingerprint(suite)


def save_fingerprint(suite: str) -> None:
    """Notes that the recording is of the requests as they are now. Does nothing for a suite without recordings."""
    if suite in _SOURCES and (_TESTS / suite / "recorded").is_dir():
        _path(suite).write_text(_fingerprint(suite) + "\n")


def _path(suite: str) -> Path:
    return _TESTS / suite / "recorded.fingerprint"


def _fingerprint(suite: str) -> str:
    folder = _TESTS / suite
    files = {file for pattern in (*_SOURCES[suite], "recorded/*.json") for file in folder.glob(pattern)}
    found = hashlib.sha256()
    for file in [_TESTS / "requirements" / "reference.txt", *sorted(files)]:
        found.update(f"{file.relative_to(_TESTS).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


if __name__ == "__main__":
    print("recorded" if is_current(sys.argv[1]) else "live")
