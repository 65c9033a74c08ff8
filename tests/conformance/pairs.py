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
    """An SDK that runs its stories against a server on a database."""

    sdk: Sdk
    dialect: str

    def __str__(self) -> str:
        return f"{self.sdk.version}-{self.dialect}"


ALL = tuple(Pair(sdk, dialect) for sdk in SDKS for dialect in DIALECTS)


def of(sample: int | None) -> tuple[Pair, ...]:
    """The newest SDK on one database and an older one on the other: there are four ways. Without a sample all."""
    if sample is None:
        return ALL
    newest, older = SDKS[0], SDKS[1 + sample // 2 % 2]
    return Pair(newest, DIALECTS[sample % 2]), Pair(older, DIALECTS[1 - sample % 2])


def is_told(pair: Pair, story: "Story", sample: int | None) -> bool:
    """Whether a pair runs a story. In a sample one of its SDKs does, of those that can; of the heavy stories, in every third."""
    if story.since > pair.sdk.release:
        return False
    if sample is None:
        return True
    able = [taken.sdk for taken in of(sample) if story.since <= taken.sdk.release]
    turn, rest = divmod(sample // 4 + zlib.crc32(story.name.encode()), 3 if story.heavy else 1)
    return rest == 0 and pair.sdk == able[turn % len(able)]


if __name__ == "__main__":
    print(*of(int(sys.argv[1]) if len(sys.argv) > 1 else None), sep="\n")
