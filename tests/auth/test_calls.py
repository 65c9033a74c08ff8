"""Users, roles and grants, one call after the other: the same status, error code, message and JSON."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from people import ADMIN, People, password
from steps import STEPS

RECORDED = Path(__file__).parent / "recorded" / "calls.json"


#: Times, ids and made-up names of runs.
VOLATILE = {
    r"\b1[0-9]{12}\b": "0",
    "[0-9a-f]{32}": "id",
    "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "id",
    '"[a-z]+-[a-z]+-[0-9]+"': '"name"',
    # Sequences of PostgreSQL have gaps.
    r'"(id|role_id|user_id)": [0-9]+': r'"\1": 0',
    r"\b(role_id|user_id|id)=[0-9]+": r"\1=0",
    "__user_[0-9]+__": "__user_0__",
}


@dataclass
class Answer:
    status: int
    body: Any

    @property
    def masked(self) -> dict:
        body = self.body
        if isinstance(body, dict) and "message" in body:
            # Behind its sentence the reference shows the SQL that failed.
            body = body | {"message": body["message"].split(" Error: (")[0]}
        if isinstance(body, dict) and isinstance(body.get("user"), dict):
            # Older clients than the reference expect these.
            older = ("experiment_permissions", "registered_model_permissions")
            body = body | {"user": {key: value for key, value in body["user"].items() if key not in older}}
        text = json.dumps({"status": self.status, "body": body})
        for pattern, plain in VOLATILE.items():
            text = re.sub(pattern, plain, text)
        return json.loads(text)


def play(url: str) -> list[dict]:
    people = People(url)
    answers, saved = [], {}

    def fill(value):
        if isinstance(value, str):
            for name, found in saved.items():
                value = value.replace("{" + name + "}", found)
            return value
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        return [fill(item) for item in value] if isinstance(value, list) else value

    for step in STEPS:
        answer = people.send(
            step.who, step.method, fill(step.path), query=fill(step.query), body=fill(step.body), raw=step.raw,
            headers=step.headers,
        )
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        body = json.loads(answer.content) if is_json and answer.content else None
        if not is_json and answer.status_code in (400, 401, 403) and "<" not in answer.text:
            body = answer.text
        for name, path in step.save.items():
            found = body
            for key in path.split("."):
                found = (found or {}).get(key)
            saved[name] = str(found)
        answers.append(Answer(answer.status_code, body).masked)
    return answers


def test_the_same_answers(pair, mode):
    ours = play(pair.ferroflow)
    recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else []
    if mode == "recorded":
        assert [entry["step"] for entry in recorded] == [str(step) for step in STEPS], "record the steps again"
        theirs = [entry["reference"] for entry in recorded]
    else:
        theirs = play(pair.reference)
    entries, problems = [], []
    for step, left, right in zip(STEPS, theirs, ours, strict=True):
        entry = {"step": str(step), "reference": left}
        if left != right:
            if step.differs is None:
                problems.append(f"{step}\n    reference {left}\n    ferroflow {right}")
            entry |= {"ferroflow": right, "why": step.differs}
        elif step.differs is not None:
            problems.append(f"{step} is said to differ, and does not")
        entries.append(entry)
    if mode == "record":
        RECORDED.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n", "utf-8")
    elif not problems and entries != recorded:
        problems += [entry["step"] for entry, old in zip(entries, recorded, strict=True) if entry != old]
    assert not problems, f"{len(problems)} of {len(STEPS)} answers differ:\n" + "\n".join(problems)


def test_nobody_is_told_whether_a_name_exists(pair):
    people = People(pair.ferroflow)
    people.sessions["nobody at all"] = session = people.sessions[None].__class__()
    answers = set()
    for name, secret in (("nobody at all", "x" * 12), (ADMIN, "x" * 12), (ADMIN, ""), ("", password(ADMIN))):
        session.auth = (name, secret)
        answer = people.send("nobody at all", "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")
        answers.add((answer.status_code, answer.text, answer.headers.get("WWW-Authenticate")))
    assert len(answers) == 1 and answers.pop()[0] == 401
