"""Workspaces of another tracking server, by REST: which there are is said there, and what is in them is here."""

from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import requests
from people import ADMIN, password, settings
from support import ports, postgres, servers
from test_oidc import API, API3, soon

WORKSPACES = f"{API3}/workspaces"
CREDENTIALS = {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": password(ADMIN)}


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def pair(request, tmp_path_factory):
    """A server with users and workspaces, and one without users that has its workspaces."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        first = stack.enter_context(postgres.database(request.param, folder, "first"))
        second = stack.enter_context(postgres.database(request.param, folder, "second"))
        env = settings(folder, f"sqlite:///{folder}/users.db")
        args = ["--app-name", "basic-auth", "--enable-workspaces"]
        other = stack.enter_context(servers.ferroflow(first, folder / "first", args=args, env=env))
        args = ["--enable-workspaces", "--workspace-store-uri", other.url]
        server = stack.enter_context(servers.ferroflow(second, folder / "second", args=args, env=CREDENTIALS))
        yield SimpleNamespace(url=server.url, other=other.url, database=second, folder=folder)


def there(pair, method: str, path: str, **rest) -> requests.Response:
    return requests.request(method, pair.other + path, auth=(ADMIN, password(ADMIN)), timeout=60, **rest)


def here(pair, method: str, path: str, workspace: str | None = None, **rest) -> requests.Response:
    headers = {} if workspace is None else {"X-MLFLOW-WORKSPACE": workspace}
    return requests.request(method, pair.url + path, headers=headers, timeout=60, **rest)


def names(answer: requests.Response) -> list[str]:
    return [found["name"] for found in answer.json()["workspaces"]]


def create(pair, workspace: str | None, name: str) -> int:
    return here(pair, "POST", f"{API}/experiments/create", workspace, json={"name": name}).status_code


def test_the_other_server_says_which_workspaces_there_are(pair):
    assert names(here(pair, "GET", WORKSPACES)) == ["default"]
    assert create(pair, None, "of default") == 200 and create(pair, "team", "of nobody") == 404
    assert there(pair, "POST", WORKSPACES, json={"name": "team", "description": "There"}).status_code == 201
    soon(lambda: create(pair, "team", "of a team"), 200)
    assert names(here(pair, "GET", WORKSPACES)) == ["default", "team"]
    assert here(pair, "GET", f"{WORKSPACES}/team").json()["workspace"] == {"name": "team", "description": "There"}
    # What is in it is here, and only here.
    found = here(pair, "GET", f"{API}/experiments/get-by-name", "team", params={"experiment_name": "of a team"})
    assert found.json()["experiment"]["artifact_location"].startswith("mlflow-artifacts:/workspaces/team/")
    assert here(pair, "GET", f"{API}/experiments/get-by-name", params={"experiment_name": "of a team"}).status_code == 404
    headers = {"X-MLFLOW-WORKSPACE": "team"}
    assert there(pair, "GET", f"{API}/experiments/get-by-name", params={"experiment_name": "of a team"}, headers=headers).status_code == 404


def test_changes_are_made_there(pair):
    made = here(pair, "POST", WORKSPACES, json={"name": "made-here", "description": "a", "default_artifact_root": "s3://bucket/a"})
    assert made.status_code == 201, made.text
    shown = {"name": "made-here", "description": "a", "default_artifact_root": "s3://bucket/a"}
    assert there(pair, "GET", f"{WORKSPACES}/made-here").json()["workspace"] == made.json()["workspace"] == shown
    again = here(pair, "POST", WORKSPACES, json={"name": "made-here"})
    assert (again.status_code, again.json()["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")
    assert here(pair, "PATCH", f"{WORKSPACES}/made-here", json={"description": "b"}).json()["workspace"]["description"] == "b"
    assert there(pair, "GET", f"{WORKSPACES}/made-here").json()["workspace"]["description"] == "b"
    assert here(pair, "PATCH", f"{WORKSPACES}/never-there", json={"description": "b"}).status_code == 404
    # What is here keeps it from being deleted, and is deleted with it.
    assert create(pair, "made-here", "inside") == 200
    refused = here(pair, "DELETE", f"{WORKSPACES}/made-here")
    assert refused.status_code == 500 and "still contains" in refused.json()["message"], refused.text
    assert there(pair, "GET", f"{WORKSPACES}/made-here").status_code == 200
    assert here(pair, "DELETE", f"{WORKSPACES}/made-here", params={"mode": "CASCADE"}).status_code == 204
    assert there(pair, "GET", f"{WORKSPACES}/made-here").status_code == 404 == create(pair, "made-here", "again")
    assert here(pair, "DELETE", f"{WORKSPACES}/made-here").status_code == 404


def test_what_is_left_of_a_deleted_workspace_is_in_no_new_one(pair):
    assert here(pair, "POST", WORKSPACES, json={"name": "reused"}).status_code == 201
    assert create(pair, "reused", "old") == 200
    assert there(pair, "DELETE", f"{WORKSPACES}/reused").status_code == 204
    soon(lambda: create(pair, "reused", "new"), 404)
    refused = here(pair, "POST", WORKSPACES, json={"name": "reused"})
    assert refused.status_code == 500 and "still contains" in refused.json()["message"], refused.text
    assert there(pair, "GET", f"{WORKSPACES}/reused").status_code == 404
    # It is moved to the default workspace by another call for its deletion.
    assert here(pair, "DELETE", f"{WORKSPACES}/reused", params={"mode": "SET_DEFAULT"}).status_code == 204
    assert here(pair, "GET", f"{API}/experiments/get-by-name", params={"experiment_name": "old"}).status_code == 200
    assert here(pair, "POST", WORKSPACES, json={"name": "reused"}).status_code == 201
    assert create(pair, "reused", "old") == 200


def test_without_an_answer_nothing_is_served(tmp_path):
    """No workspace is known, not even one that was: what other credentials may see is not for these either."""
    with ExitStack() as stack:
        env = settings(tmp_path, f"sqlite:///{tmp_path}/users.db")
        args = ["--app-name", "basic-auth", "--enable-workspaces"]
        other = stack.enter_context(servers.ferroflow(f"sqlite:///{tmp_path}/first.db", tmp_path / "a", args=args, env=env))
        args = ["--enable-workspaces", "--workspace-store-uri", other.url + "/"]
        wrong = CREDENTIALS | {"MLFLOW_TRACKING_PASSWORD": "another one of 12"}
        for number, env in enumerate((CREDENTIALS, wrong)):
            server = stack.enter_context(servers.ferroflow(f"sqlite:///{tmp_path}/{number}.db", tmp_path / "b", args=args, env=env))
            pair = SimpleNamespace(url=server.url)
            if number == 1:
                assert create(pair, None, "a") == here(pair, "GET", WORKSPACES).status_code == 503
                assert "does not accept" not in here(pair, "GET", WORKSPACES).text
                continue
            assert create(pair, None, "a") == 200
            first = pair
        other.stop()
        soon(lambda: create(first, None, "b"), 503)
        assert requests.get(f"{first.url}/health", timeout=60).status_code == 200
        assert requests.get(f"{first.url}{API3}/server-info", timeout=60).json()["workspaces_enabled"] is True


def test_a_server_does_not_ask_itself(tmp_path):
    port = ports.free_port()
    args = ["--enable-workspaces", "--workspace-store-uri", f"http://127.0.0.1:{port}"]
    with servers.ferroflow(f"sqlite:///{tmp_path}/a.db", tmp_path / "a", args=args, port=port) as server:
        answer = here(SimpleNamespace(url=server.url), "GET", WORKSPACES)
        assert answer.status_code == 400 and "--workspace-store-uri must name" in answer.json()["message"], answer.text
        assert create(SimpleNamespace(url=server.url), "team", "a") == 400


@pytest.mark.parametrize(
    "uri,more,words",
    [
        ("https://user:secret@host.example", (), "credentials"),
        ("https://host.example?a=b", (), "query"),
        ("http://", (), "URL"),
        ("ftp://host.example", (), "neither a database nor a server"),
        ("https://host.example", ("--artifacts-only",), "the database of the tracking server"),
    ],
)
def test_other_uris_are_refused(uri, more, words, tmp_path):
    args = ["--enable-workspaces", "--workspace-store-uri", uri, *more]
    database = "" if more else f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(RuntimeError, match=words) as refused, servers.ferroflow(database, tmp_path / "a", args=args):
        pass
    assert "secret@" not in str(refused.value)
