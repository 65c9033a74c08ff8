"""What a matrix of calls and users has in common: what comes of a call, and the comparison with the reference."""

import json
from collections.abc import Callable
from pathlib import Path


def outcome(answer, call):
    """The status of an answer, and how much of a list is seen."""
    if call.count is None or answer.status_code != 200:
        return answer.status_code
    found = answer.json()
    for key in call.count.split("."):
        found = (found or {}).get(key)
    return f"{answer.status_code}, {len(found) if isinstance(found, list) else int(found is not None)} seen"


def compare(calls, walk: Callable[[str], dict], pair, mode: str, file: Path, why: Callable, must_differ: Callable) -> None:
    """Compares the outcomes of ``walk`` on both servers, or those recorded in ``file``, which it writes with ``--record``. ``why``
    gives the reason for which a call may differ, or `None`; ``must_differ`` says whether it has to."""
    ours = walk(pair.ferroflow)
    recorded = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if mode == "recorded":
        theirs = {call: entry["reference"] for call, entry in recorded.items()}
    else:
        theirs = walk(pair.reference)
    entries, problems = {}, []
    for call in calls:
        name = str(call)
        entry = entries[name] = {"reference": theirs.get(name)}
        if ours[name] != theirs.get(name):
            if why(call) is None:
                problems.append(f"{name}\n    reference {theirs.get(name)}\n    ferroflow {ours[name]}")
            entry |= {"ferroflow": ours[name], "why": why(call)}
        elif must_differ(call):
            problems.append(f"{name} is said to differ, and does not")
    if mode == "record":
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        file.write_text(f"{{\n{lines}\n}}\n", "utf-8")
    elif not problems and entries != recorded:
        problems += [f"{name} was recorded otherwise" for name, entry in entries.items() if recorded.get(name) != entry]
    assert not problems, f"{len(problems)} of {len(calls)} calls differ:\n" + "\n".join(problems)
