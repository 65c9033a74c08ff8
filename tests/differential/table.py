"""The table of all requests that ferroflow answers otherwise on purpose, made from the recordings."""

import json
from collections import defaultdict
from pathlib import Path

from recording import FOLDER

PATH = Path(__file__).parent / "differences.md"

HEADER = """# Requests that ferroflow answers otherwise than the reference

Made by `cargo xtask diff --record` from the steps of the differential suite; the suite fails when it is out of date.
`docs/differences.md` tells the same in fewer words.
"""


def text() -> str:
    """The page as it must be."""
    groups = defaultdict(list)
    for path in sorted(FOLDER.glob("*.json")):
        for step in json.loads(path.read_text("utf-8")):
            rows = [row(step[where], where) for where in ("both", "sqlite", "postgresql") if where in step]
            for why, theirs, ours in filter(None, rows):
                line = f"| {code(step['step'])} | {theirs} | {ours} |"
                if line not in groups[why]:
                    groups[why].append(line)
    parts = [HEADER]
    for why, lines in sorted(groups.items()):
        title = why[0].upper() + why[1:]
        parts.append("\n".join([f"\n## {title}\n", "| request | reference | ferroflow |", "| --- | --- | --- |", *lines, ""]))
    return "".join(parts)


def row(entry: dict, where: str) -> tuple[str, str, str] | None:
    if "why" not in entry:
        return None
    theirs = summary(entry["reference"])
    return entry["why"], theirs if where == "both" else f"{theirs} ({where})", summary(entry["ferroflow"])


def summary(answer: dict) -> str:
    body = answer.get("json")
    if not isinstance(body, dict) or "error_code" not in body:
        return str(answer["status"])
    message = body.get("message", "")
    return f"{answer['status']} {body['error_code']}: {code(message, 120)}" if message else f"{answer['status']} {body['error_code']}"


def code(value: str, longest: int = 160) -> str:
    """Text as Markdown's code inside a table."""
    line = " ".join(value.split()).replace("|", "\\|")
    line = line if len(line) <= longest else f"{line[:longest]}…"
    fence = "``" if "`" in line else "`"
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


if __name__ == "__main__":
    print(text(), end="")
