"""The programs of PostgreSQL, and the user that they run as."""

import contextlib
import os
import pwd
from pathlib import Path

from support import required


def program(name: str) -> str:
    """The path of a program, such as ``initdb``."""
    return str(Path(required("FERROFLOW_POSTGRES_BIN")) / name)


def user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as when we are root, whom it refuses."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def as_user(command: list[str]) -> list[str]:
    """The command as that user, who may read what root may: a program that PostgreSQL runs can be anywhere."""
    owner = user()
    if not owner:
        return command
    ids = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", *command]


def give(folder: Path) -> None:
    """Makes a folder that user's."""
    owner = user()
    if owner:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
