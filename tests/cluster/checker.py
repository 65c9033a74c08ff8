"""Checks recorded histories: whether they are linearizable, and whether what was acknowledged is there, once.

Linearizable: each operation can be placed at one moment between its invocation and its completion so that one process that
executes them in this order gives the same results. The search is Wing and Gong's with the two improvements of Lowe
("Testing for linearizability", 2017): operations are placed just in time, when one of them completes, and configurations
(the operations that are placed and not completed, and the state) are compared with those that were seen. By Herlihy
and Wing, a history is linearizable if those of its objects are, so each key is checked on its own.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from history import FAIL, OK, UNKNOWN, History, Op
from models import MODELS, REFUSED

#: Configurations at which the search gives up, which is a failure of the test: it has too many unknown operations.
MOST = 500_000


@dataclass
class Violation:
    """What cannot be, and the operations of the key."""

    key: tuple[str, ...]
    reason: str
    ops: list[Op]

    def __str__(self):
        return f"{'/'.join(self.key)}: {self.reason}"


def check(history: History) -> list[Violation]:
    """All keys of a history that have a model."""
    found = []
    for key, ops in history.by_key().items():
        if key[0] in MODELS and (violation := linearize(key, ops)):
            found.append(violation)
    return found


def linearize(key: tuple[str, ...], ops: list[Op]) -> Violation | None:
    """The first completion at which no order is left."""
    model = MODELS[key[0]]
    taking_part = model.pruned([op for op in ops if op.kind != FAIL])
    events = [(op.invoke, 0, op) for op in taking_part]
    events += [(op.complete, 1, op) for op in taking_part if op.kind == OK]
    # At the same nanosecond invocations come first: the operations are concurrent.
    events.sort(key=lambda event: event[:2])
    slots: dict[Op, int] = {}
    free: list[int] = []
    configurations = {(0, model.initial)}
    for _, is_completion, op in events:
        if not is_completion:
            slots[op] = free.pop() if free else len(slots)
            continue
        before = {state for _, state in configurations}
        configurations = _place(op, slots, configurations, model)
        if not configurations:
            states = ", ".join(sorted(map(str, before)))
            return Violation(key, f"{op} is in no order of the operations; the state could be {states}", ops)
        free.append(slots.pop(op))
    return None


def _place(op: Op, slots: dict[Op, int], configurations: set, model) -> set:
    """The configurations in which an operation that completes is placed, without it."""
    bit = 1 << slots[op]
    pending = [(1 << slot, other) for other, slot in slots.items()]
    reads = [(its, other) for its, other in pending if other.name in model.reads]
    writes = [(its, other) for its, other in pending if other.name not in model.reads]
    seen, waiting, placed = set(configurations), list(configurations), set()
    while waiting:
        done, state = waiting.pop()
        # A read that fits changes nothing: every order without it here has one with it here.
        for its, other in reads:
            if not done & its and model.step(state, other) is not REFUSED:
                done |= its
        if done & bit:
            placed.add((done & ~bit, state))
            continue
        for its, other in writes:
            if done & its:
                continue
            after = model.step(state, other)
            if after is not REFUSED and (done | its, after) not in seen:
                seen.add((done | its, after))
                waiting.append((done | its, after))
        if len(seen) > MOST:
            raise RuntimeError(f"more than {MOST} configurations: {len(slots)} operations are pending")
    return placed


def each_once(key: tuple[str, ...], ops: Iterable[Op], stored: list) -> list[Violation]:
    """Compares what was added to a set with what is stored: what was acknowledged is there once, what is unknown at most
    once, and nothing else is there. An attempt that is sent again with the same content counts as one."""
    ops = list(ops)
    added = {kind: {op.args for op in ops if op.kind == kind} for kind in (OK, UNKNOWN)}
    counts = Counter(stored)
    lost = sorted(added[OK] - set(counts))
    doubled = sorted(item for item, count in counts.items() if count > 1)
    alien = sorted(set(counts) - added[OK] - added[UNKNOWN])
    reasons = [("acknowledged and lost", lost), ("stored more than once", doubled), ("stored and never sent", alien)]
    return [Violation(key, f"{reason}: {items}", ops) for reason, items in reasons if items]
