"""The pairs of an SDK and a database, and those of a sample. Needs nothing but Python:

    python3 tests/conformance/pairs.py 5      the pairs of sample 5, one a line
    python3 tests/conformance/pairs.py        all of them
"""

import sys
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdks import Story

DIALECTS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Sdk:
    """A generation of the official SDK and the variable that names its Python."""

    version: str
    variable: str

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(map(int, self.version.split(".")))


SDKS = (
    Sdk("3.17.2", "FERROFLOW_REFERENCE_PYTHON"),
    Sdk("3.5.0", "FERROFLOW_SDK_PYTHON_3_5"),
    Sdk("2.22.5", "FERROFLOW_SDK_PYTHON_2_22"),
)


@dataclass(frozen=True)
class Pair:
    """An SDK that runs its stories against a server on a database. With a ``workspace`` the server has workspaces, and
    the stories run in that one; an SDK that knows nothing of them is in the default one."""

    sdk: Sdk
    dialect: str
    workspace: str | None = None

    def __str__(self) -> str:
        return "-".join(filter(None, (self.sdk.version, self.dialect, self.workspace)))

    def can(self, story: "Story") -> bool:
        """Whether the SDK and the server have what a story needs."""
        return story.since <= self.sdk.release and self.workspace in story.workspaces


#: The name of the workspace that every server with workspaces has from the beginning, and of one that is made for the stories.
DEFAULT, TEAM = "default", "team"

#: Each SDK once with workspaces.
WITH_WORKSPACES = (Pair(SDKS[0], "postgresql", TEAM), Pair(SDKS[1], "sqlite", DEFAULT), Pair(SDKS[2], "postgresql", DEFAULT))
ALL = tuple(Pair(sdk, dialect) for sdk in SDKS for dialect in DIALECTS) + WITH_WORKSPACES


def of(sample: int | None) -> tuple[Pair, ...]:
    """The newest SDK on one database and an older one on the other: there are four ways, and every second time those of
    them that can have workspaces do. Without a sample all."""
    if sample is None:
        return ALL
    newest, older = SDKS[0], SDKS[1 + sample // 2 % 2]
    taken = (newest, DIALECTS[sample % 2]), (older, DIALECTS[1 - sample % 2])
    twins = {(pair.sdk, pair.dialect): pair for pair in WITH_WORKSPACES} if sample // 4 % 2 else {}
    return tuple(twins.get(pair) or Pair(*pair) for pair in taken)


def is_told(pair: Pair, story: "Story", sample: int | None) -> bool:
    """Whether a pair runs a story. In a sample one of its pairs does, of those that can; of the heavy stories, in every third."""
    if not pair.can(story):
        return False
    if sample is None:
        return True
    able = [taken for taken in of(sample) if taken.can(story)]
    turn, rest = divmod(sample // 8 + zlib.crc32(story.name.encode()), 3 if story.heavy else 1)
    return rest == 0 and pair == able[turn % len(able)]


if __name__ == "__main__":
    print(*of(int(sys.argv[1]) if len(sys.argv) > 1 else None), sep="\n")
