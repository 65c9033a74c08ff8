"""The objects whose histories are checked, each as if one process kept it.

``step`` returns the state after an operation, or ``REFUSED`` if its result is not one that this state gives. The result of
an unknown operation is ``None``: it may be any.
"""

from typing import Any

from history import OK, UNKNOWN, Op

REFUSED = object()


class Register:
    """One value, which the last write decides: a tag, an alias. ``write(None)`` deletes."""

    initial: Any = None
    reads = frozenset({"read"})

    @classmethod
    def step(cls, state: Any, op: Op) -> Any:
        if op.name == "read":
            return state if op.result == state else REFUSED
        return op.args

    @staticmethod
    def pruned(ops: list[Op]) -> list[Op]:
        """Without unknown writes whose value nobody read: removed from an order, the order is still one."""
        seen = {op.result for op in ops if op.name == "read" and op.kind == OK}
        return [op for op in ops if op.kind != UNKNOWN or (op.name == "write" and op.args in seen)]


class MaxRegister(Register):
    """The latest metric: the largest point by step, timestamp and value."""

    @classmethod
    def step(cls, state: Any, op: Op) -> Any:
        if op.name == "read":
            return state if op.result == state else REFUSED
        return op.args if state is None else max(state, op.args)


class Counter:
    """The versions of a model: each creation gets the next number."""

    initial = 0
    reads = frozenset({"read"})

    @classmethod
    def step(cls, state: int, op: Op) -> Any:
        if op.name == "read":
            return state if op.result == state else REFUSED
        return state + 1 if op.result in (None, state + 1) else REFUSED

    @staticmethod
    def pruned(ops: list[Op]) -> list[Op]:
        """Without unknown creations beyond those that numbers were seen for."""
        seen = max((op.result for op in ops if op.kind == OK), default=0)
        known = sum(op.name == "create" and op.kind == OK for op in ops)
        unknown = [op for op in ops if op.name == "create" and op.kind == UNKNOWN]
        needed = unknown if seen > known else []
        return [op for op in ops if op.kind == OK or op in needed]


class Name:
    """A unique name: created, deleted, or asked for. The result is what the caller was told about it."""

    initial = False
    reads = frozenset({"read"})

    @classmethod
    def step(cls, state: bool, op: Op) -> Any:
        if op.name == "read":
            return state if op.result == state else REFUSED
        wanted = op.name == "create"
        # What a creation finds is a name that does not exist, or an error; a deletion the opposite.
        done = op.result in (None, "done")
        if done:
            return wanted if state != wanted else REFUSED
        return state if state == wanted else REFUSED

    @staticmethod
    def pruned(ops: list[Op]) -> list[Op]:
        return [op for op in ops if op.kind == OK or op.name != "read"]


#: By the first part of a key.
MODELS = {"tag": Register, "alias": Register, "metric": MaxRegister, "versions": Counter, "model": Name, "experiment": Name}
