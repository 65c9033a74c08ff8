"""The matrix in a workspace: what its members, its manager and a guest with a grant may do, compared with the reference. One
call of each route."""

import contextlib
import re
from pathlib import Path
from types import SimpleNamespace

import matrix
import pytest
from calls import AJAX3, API, CALLS, STORE
from conftest import running
from people import People, within
from scene import Scene
from support import postgres, servers

RECORDED = Path(__file__).parent / "recorded" / "workspaces.json"

WORKSPACE = "team"

#: Users by what is granted to them on the workspace, and on what a call is about.
WHO = {"member": ("USE", None), "reader": ("USE", "READ"), "guest": (None, "EDIT"), "head": ("MANAGE", None)}

LISTED = "the reference lists to a member what the member may not read; ferroflow lists what may be read"
DEMO = "the reference lets everybody create the experiment of the sample data; ferroflow asks what it asks for another experiment"

#: Why ferroflow answers otherwise on purpose, by the path.
DIFFERS = {
    f"{API}/experiments/search": LISTED,
    f"{API}/runs/search": LISTED,
    f"{API}/logged-models/search": LISTED,
    f"{API}/registered-models/search": LISTED,
    f"{API}/model-versions/search": LISTED,
    STORE: LISTED,
    f"{AJAX3}/demo/generate": DEMO,
}


def first_of_each_route():
    seen = set()
    for call in CALLS:
        route = (call.method, re.sub(r"\{[a-z_]+\}", "_", call.path.replace("/ajax-api/", "/api/")), str(call.body)[:20] if call.path == "/graphql" else "")
        if route not in seen:
            seen.add(route)
            yield call


TRIED = list(first_of_each_route())


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def pair(request, mode, tmp_path_factory):
    """URLs of the two servers with workspaces."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        def start(maker, name):
            return stack.enter_context(running(maker, request.param, folder, name, args=["--enable-workspaces"])).url

        ours = start(servers.ferroflow, "ours")
        theirs = None if mode == "recorded" else start(servers.reference, "theirs")
        yield SimpleNamespace(ferroflow=ours, reference=theirs)


def outcome(people: People, call, who: str):
    """What comes of a call by a user: its status, and how much of a list is seen."""
    scene = Scene(people, who, WHO[who][1], WORKSPACE)
    path, query, body = scene.fill(call.path), scene.fill(call.query), scene.fill(call.body)
    headers = (scene.fill(call.headers) or {}) | within(WORKSPACE)
    answer = people.send(who, call.method, path, query=query, body=body, raw=call.raw, headers=headers)
    return matrix.outcome(answer, call)


def walk(url: str) -> dict:
    people = People(url)
    people.make_workspace(WORKSPACE)
    for username, (permission, _) in WHO.items():
        people.join(username)
        if permission:
            people.give_role(username, WORKSPACE, ("workspace", "*", permission))
        else:
            # Who has nothing at all in a workspace is told that there is none.
            people.grant(username, "registered_model", "another one", "READ", WORKSPACE)
    return {str(call): {who: outcome(people, call, who) for who in WHO} for call in TRIED}


@pytest.mark.rotates
def test_members_get_what_the_reference_gives(pair, mode):
    matrix.compare(TRIED, walk, pair, mode, RECORDED, lambda call: DIFFERS.get(call.path) or call.differs, lambda call: call.path in DIFFERS)
