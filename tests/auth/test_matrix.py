"""Everybody tries everything: no route is open to whom the reference refuses, and none is shut to whom it lets in."""

import json
import re
from pathlib import Path

import pytest
from calls import CALLS
from people import ADMIN, LEVELS, People
from scene import Scene

RECORDED = Path(__file__).parent / "recorded" / "matrix.json"
TABLE = Path(__file__).parents[2] / "crates/server/tests/fixtures/endpoints.txt"

#: Files of the UI are open to everyone, a gateway and an assistant that are not there say so to every user.
EXEMPT = ("/static-files/", "/api/2.0/mlflow/gateway-proxy", "/api/3.0/mlflow/assistant/")

#: Who tries: nobody that is known, users with more and more, and who runs the server.
WHO = ["anonymous", *LEVELS, ADMIN]


def outcome(people: People, call, who: str):
    """What comes of a call by somebody: its status, and how much of a list is seen."""
    level = LEVELS.get(who)
    scene = Scene(people, who, level)
    path, query, body = scene.fill(call.path), scene.fill(call.query), scene.fill(call.body)
    answer = people.send(
        None if who == "anonymous" else who, call.method, path, query=query, body=body, raw=call.raw,
        headers=scene.fill(call.headers),
    )
    if call.count is None or answer.status_code != 200:
        return answer.status_code
    found = answer.json()
    for key in call.count.split("."):
        found = (found or {}).get(key)
    return f"{answer.status_code}, {len(found) if isinstance(found, list) else int(found is not None)} seen"


def walk(url: str) -> dict:
    people = People(url)
    for username in LEVELS:
        people.join(username)
    return {str(call): {who: outcome(people, call, who) for who in WHO} for call in CALLS}


@pytest.mark.rotates
def test_everybody_gets_what_the_reference_gives(pair, mode):
    ours = walk(pair.ferroflow)
    recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    if mode == "recorded":
        theirs = {call: entry["reference"] for call, entry in recorded.items()}
    else:
        theirs = walk(pair.reference)
    entries, problems = {}, []
    for call in CALLS:
        name = str(call)
        entry = entries[name] = {"reference": theirs.get(name)}
        if ours[name] != theirs.get(name):
            if call.differs is None:
                problems.append(f"{name}\n    reference {theirs.get(name)}\n    ferroflow {ours[name]}")
            entry |= {"ferroflow": ours[name], "why": call.differs}
        elif call.differs is not None:
            problems.append(f"{name} is said to differ, and does not")
    if mode == "record":
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        RECORDED.write_text(f"{{\n{lines}\n}}\n", "utf-8")
    elif not problems and entries != recorded:
        problems += [f"{name} was recorded otherwise" for name, entry in entries.items() if recorded.get(name) != entry]
    assert not problems, f"{len(problems)} of {len(CALLS)} calls differ:\n" + "\n".join(problems)


def routes():
    """The routes of the reference, as method and path with ``_`` for what is variable."""
    for line in TABLE.read_text("utf-8").splitlines():
        methods, path = line.split(" ", 1)
        for method in methods.split("|"):
            yield method, re.sub(r"<[^>]*>|\{[^}]*\}", lambda name: "__" if "path:" in name[0] or ":path" in name[0] else "_", path)


def covered(method: str, path: str) -> bool:
    pattern = re.compile(re.sub("/__?(?=/|$)", lambda name: "/.+" if name[0] == "/__" else "/[^/]+", path) + "$")
    shared = lambda call: call.path.replace("/ajax-api/", "/api/")  # noqa: E731
    return any(call.method == method and pattern.match(shared(call)) for call in CALLS)


@pytest.mark.parametrize("pair", ["sqlite"], indirect=True)
def test_every_route_is_in_the_matrix_or_not_built(pair):
    people = People(pair.ferroflow)
    problems = []
    for method, path in routes():
        real = re.sub("/__?(?=/|$)", "/x", path)
        if path.startswith(EXEMPT):
            continue
        anonymous = people.send(None, method, real, body={}).status_code
        if anonymous != 401 and path not in ("/health", "/api/3.0/mlflow/server-info"):
            problems.append(f"{method} {path} answers {anonymous} before a login")
        if not covered(method, path):
            admin = people.send(ADMIN, method, real, body={}).status_code
            off = 503 if path.startswith("/api/3.0/mlflow/workspaces") else None
            if admin not in (404, 405, 501, off):
                problems.append(f"{method} {path} is built ({admin}) and not in calls.py")
    assert not problems, "\n".join(problems)
