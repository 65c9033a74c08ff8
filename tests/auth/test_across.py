"""No way from one workspace to another: what is named of another one does not exist. Every call of the matrix is tried, so
a new route is covered when it is routed."""

from types import SimpleNamespace

import pytest
from across import (
    EVERYTHING,
    EVERYWHERE,
    FILES,
    MIXED,
    OF_ADMINS,
    OURS,
    THEIRS,
    Theirs,
    ask,
    files,
    ghost,
    placeholders,
    rows,
)
from calls import API, API3, CALLS
from people import ADMIN, People, settings, within
from scene import Scene
from support import postgres, servers

#: Kinds of resource that grants may be about, but a workspace.
KINDS = [
    "assessment", "experiment", "gateway_endpoint", "gateway_model_definition", "gateway_secret", "logged_model", "mcp_server",
    "mcp_server_version", "prompt", "prompt_version", "registered_model", "registered_model_version", "review_queue", "run", "scorer",
    "scorer_version", "trace",
]  # fmt: skip

#: Who has every right in our workspace: its manager, somebody to whom everything is granted there, and who runs the server.
WHO = ["boss", "maker", ADMIN]


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def two(request, tmp_path_factory):
    """A server with two workspaces, and those who have every right in one of them."""
    folder = tmp_path_factory.mktemp(request.param)
    with postgres.database(request.param, folder, "across") as backend:
        users = f"sqlite:///{folder}/users.db" if request.param == "sqlite" else backend
        env = settings(folder, users, default="MANAGE")
        args = ["--app-name", "basic-auth", "--enable-workspaces"]
        with servers.ferroflow(backend, folder / "artifacts", args=args, env=env) as server:
            people = People(server.url)
            for name in (OURS, THEIRS):
                people.make_workspace(name)
            for name in ("boss", "maker"):
                people.join(name)
            people.give_role("boss", OURS, ("workspace", "*", "MANAGE"))
            people.give_role("maker", OURS, ("workspace", "*", "USE"), *((kind, "*", "MANAGE") for kind in KINDS))
            yield SimpleNamespace(people=people, folder=folder, databases={backend, users})


def state(two) -> dict:
    found = {f"{database}: {table}": counted for database in two.databases for table, counted in rows(database).items()}
    return found | {"files": files(two.folder / "artifacts")}


def lost(two, before: dict) -> list[str]:
    """What was there and is not any more."""
    now = state(two)
    return [f"{place}: {row}" for place, counted in before.items() for row in counted - now[place]]


def calls_of(who: str):
    """The calls that are tried, with whether they name anything of a workspace."""
    for call in [*CALLS, *EVERYTHING]:
        if who == ADMIN and OF_ADMINS.search(call.path):
            continue
        yield call, bool(placeholders(call) - EVERYWHERE - {"unique"})


def test_what_is_of_another_workspace_does_not_exist(two):
    theirs = Theirs(two.people, "boss")
    prepared = [(who, call, named, theirs.values(call)) for who in WHO for call, named in calls_of(who)]
    before, problems = state(two), []
    for who, call, named, values in prepared:
        found = ask(two.people, who, call, values)
        if named:
            there_is_none = ask(two.people, who, call, {name: ghost(name, value) for name, value in values.items()})
            if found.compared != there_is_none.compared:
                problems.append(f"{who}: {call}\n    is there  {found.compared}\n    is not    {there_is_none.compared}")
        if who != ADMIN or named:
            problems += [f"{who}: {call} shows {secret}" for secret in theirs.secrets(values) if secret in found.text]
    problems += lost(two, before)
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:50])


@pytest.mark.parametrize("kind", ["mixed", "files"])
def test_nothing_comes_in_by_a_request_of_our_own(two, kind):
    theirs = Theirs(two.people, "boss")
    calls = {"mixed": MIXED, "files": FILES}[kind]
    asked = []
    for call in calls:
        names = placeholders(call) - {"unique"}
        foreign = {name for name in names if not name.startswith("our_")} - {"there"}
        values = {name: theirs.scene.get(name) for name in sorted(foreign)}
        for who in WHO[:2]:
            # Each has its own, since it may be changed.
            own = []
            for _ in range(2):
                scene = Scene(two.people, who, None, OURS)
                own.append({name: scene.get(name.removeprefix("our_")) for name in sorted(names - foreign - {"there"})})
            asked.append((who, call, values, own))
    before, problems = state(two), []
    for who, call, values, own in asked:
        others = {name: ghost(name, value) for name, value in values.items()}
        found = ask(two.people, who, call, values | own[0] | {"there": THEIRS})
        there_is_none = ask(two.people, who, call, others | own[1] | {"there": "nowhere"})
        if found.compared != there_is_none.compared:
            problems.append(f"{who}: {call}\n    is there  {found.compared}\n    is not    {there_is_none.compared}")
        problems += [f"{who}: {call} shows {secret}" for secret in theirs.secrets(values) if secret in found.text]
        assert found.status < 500 or found.status in (501, 503), f"{who}: {call}: {found.text}"
    # Our own may be changed, theirs not.
    theirs_only = [line for line in lost(two, before) if any(value in line for value in theirs.scene.made.values() if len(value) >= 8)]
    problems += theirs_only
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:50])


@pytest.mark.parametrize("who", WHO)
def test_a_trace_of_another_workspace_is_not_taken_over(two, who):
    """The ids of traces come from clients, and there is one trace of an id on a server: that it is taken is all there is to
    learn, for who knows it."""
    theirs, own = Theirs(two.people, "boss").scene, Scene(two.people, "boss", None, OURS)
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": own.get("exp")}}
    info = {"trace_id": theirs.get("trace"), "trace_location": location, "tags": {"tag": "taken"}}
    spans = {"traceId": theirs.get("trace").removeprefix("tr-"), "spanId": "0000000000000001", "name": "s"}
    spans |= {"startTimeUnixNano": "1760000000000000000", "endTimeUnixNano": "1760000000005000000"}
    before = state(two)
    send = lambda path, body, headers=None: two.people.send(who, "POST", path, body=body, headers=within(OURS) | (headers or {}))  # noqa: E731
    started = send(f"{API3}/traces", {"trace": {"trace_info": info}})
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [spans]}]}]}
    refused = send("/v1/traces", body, {"x-mlflow-experiment-id": own.get("exp")})
    assert (started.status_code, refused.status_code) == (404, 404), started.text + refused.text
    assert started.json()["message"] == refused.json()["message"]
    # Nothing is said of the trace by an experiment that is not there, or is of another workspace.
    unknown = {"traceId": "1" * 32, **{key: value for key, value in spans.items() if key != "traceId"}}
    answers = {
        (answer.status_code, answer.text.replace(experiment, "0"))
        for experiment in (theirs.get("exp"), "987654") for sent in (spans, unknown)
        for answer in [send("/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]}, {"x-mlflow-experiment-id": experiment})]
    }
    assert len(answers) == 1, answers
    assert lost(two, before) == []


#: Lists with pages.
PAGES = [
    ("GET", f"{API}/experiments/search", {}),
    ("GET", f"{API}/registered-models/search", {}),
    ("GET", f"{API}/model-versions/search", {}),
    ("POST", f"{API}/runs/search", {"experiment_ids": ["{exp}"]}),
    ("POST", f"{API}/logged-models/search", {"experiment_ids": ["{exp}"]}),
    ("POST", f"{API3}/datasets/search", {"experiment_ids": ["{exp}"]}),
    ("POST", f"{API3}/issues/search", {"experiment_id": "{exp}"}),
    ("POST", f"{API3}/traces/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{exp}"}}]}),
    ("GET", f"{API}/webhooks", {}),
]  # fmt: skip


def fill_pages(scene: Scene) -> None:
    """Two of everything that is listed."""
    for name in ("run", "logged", "trace", "dataset", "issue", "version", "hook"):
        scene.get(name)
    again = scene.another()
    again.made["exp"] = scene.get("exp")
    for name in ("run", "logged", "trace", "dataset", "issue"):
        again.get(name)
    another = scene.another()
    for name in ("exp", "version", "hook"):
        another.get(name)


@pytest.fixture(scope="module")
def pages(two):
    theirs, ours = (Scene(two.people, "boss", None, workspace) for workspace in (THEIRS, OURS))
    for scene in (theirs, ours):
        fill_pages(scene)
    return theirs, ours


@pytest.mark.parametrize("method, path, asked", PAGES, ids=[path for _, path, _ in PAGES])
def test_a_page_token_leads_nowhere_else(two, pages, method, path, asked):
    theirs, ours = pages

    def page(who: str, scene: Scene, **more):
        given = "query" if method == "GET" else "body"
        return two.people.send(who, method, path, headers=scene.headers, **{given: scene.fill(asked) | more})

    first = page(ADMIN, theirs, max_results=1)
    token = first.json()["next_page_token"]
    for who in ("boss", "maker"):
        answer = page(who, ours, max_results=100, page_token=token)
        if answer.status_code != 403:
            assert answer.status_code == 400 and answer.json()["message"].startswith("Invalid page token"), answer.text
        for name in ("unique", "run", "logged", "trace", "dataset", "issue"):
            assert theirs.get(name) not in answer.text, f"{path} shows {name}"
