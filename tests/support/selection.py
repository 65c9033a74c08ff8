"""Tests of a suite that are left out of a run, told to pytest as those that ``-k`` leaves out."""

from collections.abc import Iterable


def leave_out(config, items: list, others: Iterable) -> None:
    """Takes ``others`` away from the collected ``items``."""
    others = set(others)
    config.hook.pytest_deselected(items=[item for item in items if item in others])
    items[:] = [item for item in items if item not in others]
