"""Deselects tests of a suite, as ``-k`` does."""

from collections.abc import Iterable


def deselect(config, items: list, others: Iterable) -> None:
    """Removes ``others`` from the collected ``items``, and reports them as deselected."""
    others = set(others)
    config.hook.pytest_deselected(items=[item for item in items if item in others])
    items[:] = [item for item in items if item not in others]
