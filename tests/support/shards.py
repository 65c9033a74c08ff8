"""Shares of the files of a suite that take about the same time, for processes that run side by side."""

import argparse
from collections.abc import Collection, Mapping

#: What a file is taken to need that nobody has measured.
UNKNOWN = 10.0


def parse(text: str) -> tuple[int, int]:
    """``2/3`` is the second of three."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1/2")
    return int(number), int(count)


def share(files: Collection[str], seconds: Mapping[str, float], number: int, count: int) -> set[str]:
    """The files of one of ``count`` shares: the longest are dealt first, each to the share that has the least."""
    shares = [(0.0, place, set()) for place in range(count)]
    for file in sorted(files, key=lambda file: (-seconds.get(file, UNKNOWN), file)):
        taken, place, its = min(shares, key=lambda share: share[:2])
        shares[place] = (taken + seconds.get(file, UNKNOWN), place, its | {file})
    return shares[number - 1][2]
