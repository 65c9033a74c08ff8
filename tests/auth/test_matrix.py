"""Everybody tries everything: no route is open to whom the reference refuses, and none is shut to whom it lets in."""

import re
from pathlib import Path

import matrix
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
    """What comes of a call by a user: its status, and how much of a list is seen."""
    level = LEVELS.get(who)
    scene = Scene(people, who, level)
    path, query, body = scene.fill(call.path), scene.fill(call.query), scene.fill(call.body)
    answer = people.send(
        None if who == "anonymous" else who, call.method, path, query=query, body=body, raw=call.raw,
        headers=scene.fill(call.headers),
    )
    return matrix.outcome(answer, call)


def walk(url: str) -> dict:
    people = People(url)
    for username in LEVELS:
        people.join(username)
    return {str(call): {who: outcome(people, call, who) for who in WHO} for call in CALLS}


@pytest.mark.rotates
def test_everybody_gets_what_the_reference_gives(pair, mode):
    matrix.compare(CALLS, walk, pair, mode, RECORDED, lambda call: call.differs, lambda call: call.differs is not None)


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
