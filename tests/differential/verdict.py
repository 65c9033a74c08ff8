"""Are two answers to a step the same, or different on purpose?"""

import json
import re
from dataclasses import dataclass
from typing import Any

from player import CLOSED, Answer
from step import Step

#: What ferroflow says of a request that it can not read. The reference goes on with the half it has read.
UNREADABLE = re.compile(
    r"^(Invalid value for parameter '.*': (expected|the enum has no|the integer is out of|null cannot be)|"
    r"The request body is not valid JSON: NaN)"
)


@dataclass
class Verdict:
    """What is wrong with an answer of ferroflow's (``problem``), or why it may be another one (``why``)."""

    problem: str | None = None
    why: str | None = None


def judge(step: Step, theirs: dict, ours: dict, answer: Answer) -> Verdict:
    """Compares masked answers; ``answer`` is ferroflow's own."""
    if step.expect is not None:
        found = (answer.status, answer.error_code)
        if found != step.expect:
            return Verdict(f"expected {step.expect}, ferroflow answered {found}: {answer.text[:300]}")
        if theirs == ours:
            return Verdict("is said to differ, but the reference answers the same")
        return Verdict(why=step.differs)
    if theirs == ours:
        return Verdict()
    if step.differs and answer.status < 500 and answer.status != CLOSED:
        return Verdict(why=step.differs)
    status = theirs["status"]
    if answer.status == 400 and status in (200, 400) and UNREADABLE.match(answer.message):
        return Verdict(why="the reference goes on with the half of the request that it could read")
    if status == answer.status >= 400 and "error_code" not in (theirs.get("json") or {}):
        # A page of the web framework; ferroflow answers in JSON.
        return Verdict()
    is_clear = (answer.error_code and answer.message) or step.method == "HEAD"
    if (status >= 500 or status == CLOSED) and 400 <= answer.status < 500 and is_clear:
        return Verdict(why="the reference fails; ferroflow says what is wrong with the request")
    return Verdict(difference(theirs, ours))


def difference(theirs: Any, ours: Any, path: str = "") -> str:
    """Where two values part, and what stands there."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if theirs.get("status") != ours.get("status"):
            return f"reference {brief(theirs)}\n    ferroflow {brief(ours)}"
        for key in [*theirs, *(key for key in ours if key not in theirs)]:
            if key not in theirs or key not in ours:
                absent = "reference" if key not in theirs else "ferroflow"
                return f"{path}.{key} is absent from {absent}: {brief(theirs.get(key, ours.get(key)))}"
            if theirs[key] != ours[key]:
                return difference(theirs[key], ours[key], f"{path}.{key}")
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (left, right) in enumerate(zip(theirs, ours, strict=True)):
            if left != right:
                return difference(left, right, f"{path}[{index}]")
    return f"{path or 'answer'}\n    reference {brief(theirs)}\n    ferroflow {brief(ours)}"


def brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 900 else f"{text[:900]}…"
