"""The reference's answers as files, and what ferroflow answers instead where it differs on purpose.

``recorded/<scenario>.json`` has a line per step. An answer is written once when both databases give the same,
otherwise under the name of each.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from support import postgres

FOLDER = Path(__file__).parent / "recorded"

#: Longer texts and lists are kept as their beginning and a digest of the whole.
LONGEST_TEXT = 300
LONGEST_LIST = 40


class Recording:
    """The recorded answers of a scenario."""

    def __init__(self, scenario: str):
        self.path = FOLDER / f"{scenario}.json"
        self.steps: list[dict] = json.loads(self.path.read_text("utf-8")) if self.path.exists() else []

    def entry(self, index: int, step: str, dialect: str) -> dict | None:
        """What is recorded of a step: ``reference``, and ``ferroflow`` with ``why`` if it differs on purpose."""
        if index >= len(self.steps) or self.steps[index]["step"] != step:
            return None
        return self.steps[index].get(dialect) or self.steps[index].get("both")

    def record(self, entries: list[tuple[str, dict]], dialect: str) -> None:
        """Replaces the entries of a dialect; the other's are kept for steps that are still the same."""
        steps = []
        for index, (step, entry) in enumerate(entries):
            answers = {dialect: entry}
            for other in postgres.DIALECTS:
                if other != dialect and (kept := self.entry(index, step, other)):
                    answers[other] = kept
            if len(answers) == len(postgres.DIALECTS) and all(answer == entry for answer in answers.values()):
                answers = {"both": entry}
            steps.append({"step": step} | dict(sorted(answers.items(), reverse=True)))
        self.steps = steps
        lines = ",\n".join(json.dumps(step, ensure_ascii=False) for step in steps)
        FOLDER.mkdir(exist_ok=True)
        self.path.write_text(f"[\n{lines}\n]\n", "utf-8")


def short(value: Any) -> Any:
    """A value as it is recorded: equal values stay equal, different ones different."""
    if isinstance(value, dict):
        return {short(key): short(item) for key, item in value.items()}
    if isinstance(value, list):
        if len(value) <= LONGEST_LIST:
            return [short(item) for item in value]
        rest = json.dumps(value, sort_keys=True)
        return [*(short(item) for item in value[:3]), f"… {len(value)} items, sha256 {digest(rest)}"]
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"{value[:60]}… {len(value)} characters, sha256 {digest(value)}"
    return value


def digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
