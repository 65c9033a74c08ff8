"""The old releases that make databases, and those of a sample. Needs nothing but Python:

    python3 tests/migrations/sample.py 5      the releases that sample 5 starts, one a line
    python3 tests/migrations/sample.py        all of them

What a sample takes is every 18th of the upgrades from somewhere else each: 18 numbers in a row take all of them.
"""

import sys
from pathlib import Path

LISTS = Path(__file__).parent.parent / "requirements/releases"
DIALECTS = ("sqlite", "postgresql")
EVERY = 18

#: Is the reference itself: it has no environment of its own.
NEWEST = "3.17.2"


def number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


RELEASES = sorted([*(path.stem for path in LISTS.glob("*.txt")), NEWEST], key=number)


def is_in_sample(position: int, sample: int | None, every: int) -> bool:
    """Whether a sample takes the upgrade at a position in their list."""
    return (position - (sample or 0)) % every == 0


def position(release: str, dialect: str) -> int:
    """The position of the upgrade of what a release made in a database."""
    return RELEASES.index(release) * len(DIALECTS) + DIALECTS.index(dialect)


def releases(sample: int | None) -> list[str]:
    """The releases that need an environment."""
    every = 1 if sample is None else EVERY
    taken = [release for release in RELEASES for dialect in DIALECTS if is_in_sample(position(release, dialect), sample, every)]
    return [release for release in dict.fromkeys(taken) if release != NEWEST]


if __name__ == "__main__":
    print(*releases(int(sys.argv[1]) if len(sys.argv) > 1 else None), sep="\n")
