"""Every command of docs/runbooks.md, run as it is written, in its order."""

import re
import shlex
from pathlib import Path

from cluster import now

PAGE = Path(__file__).parents[2] / "docs" / "runbooks.md"


def test_every_command_of_the_page_works(plain):
    [block] = [block for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if block.startswith("ferroflow ")]
    lines = [shlex.split(line) for line in block.splitlines()]
    assert len(lines) == 7 and all(line[:2] == ["ferroflow", "ops"] for line in lines)
    for line in lines:
        # The page names a time before there were backups.
        plain.ops(*[now() if "T03:04:05Z" in word else word for word in line[2:]])
    assert plain.environment["PGHOST"] == "pg-cluster-v3-rw"
    assert plain.runs("pg-cluster-v3") == ["first"]
