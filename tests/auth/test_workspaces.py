"""Users in workspaces: who may use which, what a role allows where, and what comes and goes with a workspace."""

import json
from types import SimpleNamespace

import pytest
from people import ADMIN, People, settings, within
from scene import Scene
from support import postgres, servers

API, API3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
WORKSPACES = f"{API3}/workspaces"


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def server(request, tmp_path_factory):
    """A server with two workspaces. Ann manages one, Bob is a member there and Eve of the other one."""
    folder = tmp_path_factory.mktemp(request.param)
    with postgres.database(request.param, folder, "workspaces") as backend:
        users = f"sqlite:///{folder}/users.db" if request.param == "sqlite" else backend
        env = settings(folder, users, default="READ")
        args = ["--app-name", "basic-auth", "--enable-workspaces", "--audit-log", str(folder / "audit")]
        with servers.ferroflow(backend, folder / "artifacts", args=args, env=env) as server:
            people = People(server.url)
            for name in ("team", "lab"):
                people.make_workspace(name)
            for name in ("ann", "bob", "eve", "nobody"):
                people.join(name)
            people.give_role("ann", "team", ("workspace", "*", "MANAGE"))
            people.give_role("bob", "team", ("workspace", "*", "USE"))
            people.give_role("eve", "lab", ("workspace", "*", "USE"))
            yield SimpleNamespace(people=people, url=server.url, folder=folder, backend=backend, env=env)


@pytest.fixture
def people(server):
    return server.people


def names(people: People, who: str) -> list[str]:
    return [found["name"] for found in people.must(who, "GET", WORKSPACES).get("workspaces", [])]


def statuses(people: People, who: str, workspace: str | None, *calls) -> list[int]:
    answers = [people.send(who, method, path, body=body, headers=within(workspace)) for method, path, body in calls]
    return [answer.status_code for answer in answers]


def test_a_list_has_the_workspaces_of_its_caller(people):
    assert names(people, ADMIN) == ["default", "lab", "team"]
    assert (names(people, "ann"), names(people, "bob"), names(people, "eve")) == (["team"], ["team"], ["lab"])
    assert names(people, "nobody") == []
    # A grant on something in it does not make a member.
    scene = Scene(people, "nobody", "READ", "lab")
    assert scene.get("exp") and names(people, "nobody") == []


def test_only_members_see_a_workspace_and_only_admins_change_one(people):
    get = lambda who, name: people.send(who, "GET", f"{WORKSPACES}/{name}").status_code  # noqa: E731
    assert [get(who, "team") for who in (ADMIN, "ann", "bob", "eve", "nobody", None)] == [200, 200, 200, 403, 403, 401]
    # Who may not see one is not told whether it is there.
    assert [get(who, "nowhere") for who in (ADMIN, "ann", "eve")] == [404, 403, 403]
    body = {"description": "x"}
    for who in ("ann", "bob", "nobody"):
        assert people.send(who, "POST", WORKSPACES, body={"name": "mine"}).status_code == 403
        assert people.send(who, "PATCH", f"{WORKSPACES}/team", body=body, headers=within("team" if who != "nobody" else None)).status_code == 403
        assert people.send(who, "DELETE", f"{WORKSPACES}/team").status_code == 403
    assert people.send(ADMIN, "PATCH", f"{WORKSPACES}/team", body=body).status_code == 200


def test_a_workspace_of_others_does_not_exist(people):
    calls = [
        ("GET", f"{API}/experiments/get?experiment_id=0"), ("POST", f"{API}/runs/search"), ("GET", f"{API}/users/current"),
        ("POST", "/graphql"), ("GET", "/api/2.0/mlflow-artifacts/artifacts"), ("POST", "/v1/traces"), ("GET", f"{API3}/roles/list"),
        ("GET", WORKSPACES), ("GET", f"{API}/nothing/at/all"),
    ]  # fmt: skip
    for method, path in calls:
        answers = set()
        for name in ("lab", "bal"):
            answer = people.send("bob", method, path, body={}, headers=within(name))
            answers.add((answer.status_code, answer.text.replace(name, "x"), answer.headers.get("Content-Type")))
        assert len(answers) == 1, (path, answers)
    there_is_none = people.send(ADMIN, "GET", f"{API}/users/current", headers=within("bal"))
    refused = people.send("bob", "GET", f"{API}/users/current", headers=within("lab"))
    assert (refused.status_code, refused.json()["message"]) == (404, "Workspace 'lab' not found")
    assert there_is_none.json()["message"] == "Workspace 'bal' not found"
    # Nobody is told anything before a login.
    anonymous = {people.send(None, "GET", f"{API}/users/current", headers=within(name)).text for name in ("lab", "bal")}
    assert len(anonymous) == 1
    public = {people.send(None, "GET", path, headers=within(name)).status_code for path in ("/health", f"{API3}/server-info") for name in ("lab", "bal")}
    assert public == {200}


def test_members_create_and_read_nothing_of_others(people):
    ann, bob = within("team"), within("team")
    made = people.must("ann", "POST", f"{API}/experiments/create", body={"name": "of ann"}, headers=ann)["experiment_id"]
    search = lambda who: [  # noqa: E731
        found["name"] for found in people.must(who, "POST", f"{API}/experiments/search", body={"max_results": 100}, headers=within("team")).get("experiments", [])
    ]
    assert "of ann" in search("ann") and search("bob") == []
    get = lambda who, workspace: people.send(who, "GET", f"{API}/experiments/get", query={"experiment_id": made}, headers=within(workspace))  # noqa: E731
    assert [get("bob", "team").status_code, get("bob", None).status_code] == [403, 403]
    own = people.must("bob", "POST", f"{API}/experiments/create", body={"name": "of bob"}, headers=bob)["experiment_id"]
    people.must("bob", "POST", f"{API}/runs/create", body={"experiment_id": own}, headers=bob)
    assert search("bob") == ["of bob"]
    # In the default workspace a member of another one is nobody, and the default permission opens nothing.
    calls = [
        ("POST", f"{API}/experiments/create", {"name": "of bob"}), ("POST", f"{API}/registered-models/create", {"name": "of bob"}),
        ("POST", "/ajax-api/3.0/mlflow/demo/generate", {}), ("GET", f"{API}/experiments/get?experiment_id=0", None), ("GET", f"{API}/users/list", None),
    ]  # fmt: skip
    assert statuses(people, "bob", None, *calls) == [403] * 5
    assert statuses(people, "bob", "team", *calls[:2], calls[4]) == [400, 200, 200]
    # Who has but a grant on one thing uses that, and creates nothing.
    people.grant("nobody", "experiment", made, "EDIT", "team")
    assert get("nobody", "team").status_code == 200
    people.must("nobody", "POST", f"{API}/runs/create", body={"experiment_id": made}, headers=within("team"))
    assert statuses(people, "nobody", "team", *calls[:3], calls[4]) == [403] * 4


def test_a_grant_on_a_name_is_one_in_a_workspace(people):
    people.give_role("bob", "lab", ("workspace", "*", "USE"))
    for kind, tags in (("registered_model", []), ("prompt", [{"key": "mlflow.prompt.is_prompt", "value": "true"}])):
        name = f"the same {kind}"
        for workspace, who in (("team", "ann"), ("lab", "eve")):
            people.must(who, "POST", f"{API}/registered-models/create", body={"name": name, "tags": tags}, headers=within(workspace))
        get = lambda who, workspace, name=name: people.send(  # noqa: E731
            who, "GET", f"{API}/registered-models/get", query={"name": name}, headers=within(workspace)
        ).status_code
        body = {"username": "bob", "resource_type": kind, "resource_id": name, "permission": "EDIT"}
        people.must("ann", "POST", f"{API3}/users/permissions/grant", body=body, headers=within("team"))
        assert (get("bob", "team"), get("bob", "lab"), get("eve", "lab")) == (200, 403, 200)
        rename = {"name": name, "new_name": f"{name} again"}
        people.must("eve", "POST", f"{API}/registered-models/rename", body=rename, headers=within("lab"))
        assert (get("bob", "team"), get("eve", "lab", f"{name} again")) == (200, 200)
        people.must("eve", "DELETE", f"{API}/registered-models/delete", body={"name": f"{name} again"}, headers=within("lab"))
        assert get("bob", "team") == 200
        # A grant is given by who manages it in the workspace of the request, and seen there.
        asked = {"username": "bob", "resource_type": kind, "resource_id": name}
        seen = lambda workspace, who=ADMIN, asked=asked: people.must(  # noqa: E731
            who, "GET", f"{API3}/users/permissions/get", query=asked, headers=within(workspace)
        )["permission"]
        assert (seen("team"), seen("lab"), seen(None)) == ("EDIT", "NO_PERMISSIONS", "NO_PERMISSIONS")
        assert people.send("ann", "POST", f"{API3}/users/permissions/grant", body=body).status_code == 403
        people.must("ann", "POST", f"{API3}/users/permissions/revoke", body=asked, headers=within("team"))
        assert get("bob", "team") == 403


def test_roles_are_managed_by_the_managers_of_their_workspace(people):
    create = lambda who, workspace: people.send(who, "POST", f"{API3}/roles/create", body={"name": f"by {who}", "workspace": workspace})  # noqa: E731
    assert [create("ann", "team").status_code, create("ann", "lab").status_code, create("bob", "team").status_code] == [200, 403, 403]
    theirs = people.must(ADMIN, "POST", f"{API3}/roles/create", body={"name": "secret", "workspace": "lab"})["role"]["id"]
    for method, path, body in [
        ("GET", f"{API3}/roles/get?role_id={{}}", None), ("DELETE", f"{API3}/roles/delete", {"role_id": "{}"}),
        ("POST", f"{API3}/roles/assign", {"role_id": "{}", "username": "ann"}), ("GET", f"{API3}/roles/permissions/list?role_id={{}}", None),
    ]:  # fmt: skip
        answers = set()
        for number in (theirs, 999999):
            text = json.dumps(body).replace('"{}"', str(number)) if body else None
            answer = people.send("ann", method, path.format(number), raw=text.encode() if text else None, headers={"Content-Type": "application/json"} if text else None)
            answers.add((answer.status_code, answer.text))
        assert answers == {(403, answer.text)}, (path, answers)
    assert people.send("ann", "GET", f"{API3}/roles/list", query={"workspace": "lab"}).status_code == 403
    listed = people.must("ann", "GET", f"{API3}/roles/list", query={"workspace": "team"})["roles"]
    assert {role["workspace"] for role in listed} == {"team"}


def test_the_default_workspace_may_be_open(server, tmp_path):
    env = settings(tmp_path, "", default="EDIT")
    path = tmp_path / "auth.ini"
    old = server.env["MLFLOW_AUTH_CONFIG_PATH"]
    uri = next(line for line in open(old).read().splitlines() if line.startswith("database_uri"))
    lines = [uri if line.startswith("database_uri") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join([*lines, "grant_default_workspace_access = true"]) + "\n")
    args = ["--app-name", "basic-auth", "--enable-workspaces"]
    with servers.ferroflow(server.backend, server.folder / "artifacts", args=args, env=env) as second:
        people = People(second.url)
        assert names(people, "nobody") == ["default"] and names(people, "bob")[0] == "default"
        made = people.must("nobody", "POST", f"{API}/experiments/create", body={"name": "open"})["experiment_id"]
        people.must("bob", "POST", f"{API}/runs/create", body={"experiment_id": made})
        assert people.send("bob", "POST", f"{API}/experiments/delete", body={"experiment_id": made}).status_code == 403
        # It opens no other one.
        assert people.send("nobody", "POST", f"{API}/experiments/create", body={"name": "x"}, headers=within("team")).status_code in (403, 404)


def test_what_belongs_to_a_workspace_comes_and_goes_with_it(people):
    people.make_workspace("short")
    roles = lambda: {  # noqa: E731
        role["name"]: [(allowed["resource_type"], allowed["resource_pattern"], allowed["permission"]) for allowed in role["permissions"]]
        for role in people.must(ADMIN, "GET", f"{API3}/roles/list", query={"workspace": "short"})["roles"]
    }
    assert roles() == {"admin": [("workspace", "*", "MANAGE")], "user": [("workspace", "*", "USE")]}
    people.give_role("nobody", "short", ("workspace", "*", "MANAGE"))
    people.grant("bob", "registered_model", "later", "MANAGE", "short")
    assert names(people, "nobody") == ["short"]
    assert people.send("nobody", "DELETE", f"{WORKSPACES}/short").status_code == 403
    people.must("nobody", "POST", f"{API}/registered-models/create", body={"name": "in it"}, headers=within("short"))
    # One that is not empty stays, with its roles.
    assert people.send(ADMIN, "DELETE", f"{WORKSPACES}/short", query={"mode": "RESTRICT"}).status_code >= 400
    assert set(roles()) == {"admin", "user", "of nobody", "__user_{}__".format(_id(people, "bob")), "__user_{}__".format(_id(people, "nobody"))}
    people.must("nobody", "DELETE", f"{API}/registered-models/delete", body={"name": "in it"}, headers=within("short"))
    assert people.send(ADMIN, "DELETE", f"{WORKSPACES}/short", query={"mode": "RESTRICT"}).status_code in (200, 204)
    assert roles() == {} and names(people, "nobody") == []
    people.make_workspace("short")
    # Under its name comes another one.
    assert set(roles()) == {"admin", "user"} and names(people, "nobody") == []
    people.must(ADMIN, "POST", f"{API}/registered-models/create", body={"name": "later"}, headers=within("short"))
    assert people.send("bob", "GET", f"{API}/registered-models/get", query={"name": "later"}, headers=within("short")).status_code == 404


def _id(people: People, username: str) -> int:
    found = people.must(ADMIN, "GET", f"{API}/users/list")["users"]
    return next(user["id"] for user in found if user["username"] == username)


def test_the_audit_log_has_the_workspace(server):
    people = server.people
    people.must("ann", "POST", f"{API}/experiments/create", body={"name": "audited"}, headers=within("team"))
    people.must(ADMIN, "POST", f"{API}/experiments/create", body={"name": "audited"})
    people.send("eve", "POST", f"{API}/experiments/create", body={"name": "audited"}, headers=within("team"))
    people.send(None, "POST", f"{API}/experiments/create", body={"name": "audited"}, headers=within("team"))
    lines = [json.loads(line) for line in (server.folder / "audit").read_text().splitlines()]
    made = [(line["user"], line["workspace"], line["result"]) for line in lines if (line.get("subject") or {}).get("name") == "audited"]
    assert made == [("ann", "team", "changed"), (ADMIN, "default", "changed")]
    refused = [line for line in lines if line["result"] == "unauthenticated"]
    assert refused[-1]["workspace"] == "team"
