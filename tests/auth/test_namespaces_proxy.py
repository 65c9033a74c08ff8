"""Namespaces as workspaces behind a proxy that names the callers: ``subject_access_review``."""

import http.client
from contextlib import ExitStack
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import requests
from api_server import api_server, person
from people import ADMIN, password
from support import postgres
from test_namespaces import LABELS, SECTION, UNKNOWN
from test_oidc import API, API3, ME, soon, start

MODE = "authorization_mode = subject_access_review\n"

#: The tests are the proxy, as a container of the server's pod is.
PROXIES = ("--trusted-proxies", "127.0.0.1,::1")


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def guarded(request, tmp_path_factory):
    """A server that trusts a proxy, which is the tests."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(folder))
        cluster.namespaces = {"team-a": LABELS, "team-b": LABELS, "plain": {}}
        people, server = start(stack, request.param, folder, SECTION.format(cluster=cluster) + MODE, "--enable-workspaces", *PROXIES)
        yield SimpleNamespace(people=people, url=people.url, server=server, cluster=cluster)


@pytest.fixture
def cluster(guarded):
    cluster = guarded.cluster
    before = list(cluster.bindings)
    yield cluster
    cluster.bindings = before
    cluster.status, cluster.may_review, cluster.tells_rules, cluster.is_openshift = None, True, True, True


class User:
    """Who sends requests through the proxy."""

    def __init__(self, guarded, name: str, *groups: str):
        self.url = guarded.url
        self.headers = {"X-Remote-User": name, "X-Remote-Groups": "|".join(groups)}

    def send(self, method: str, path: str, workspace: str | None = "team-a", *, body=None, query=None, headers=None):
        headers = self.headers | ({} if workspace is None else {"X-MLFLOW-WORKSPACE": workspace}) | (headers or {})
        return requests.request(method, self.url + path, headers=headers, json=body, params=query, timeout=60, allow_redirects=False)

    def me(self, workspace: str | None = "team-a", **headers) -> int:
        return self.send("GET", ME, workspace, headers=headers).status_code

    def create(self, name: str, workspace: str = "team-a") -> int:
        return self.send("POST", f"{API}/experiments/create", workspace, body={"name": name}).status_code

    def experiments(self, workspace: str = "team-a") -> list[str]:
        found = self.send("POST", f"{API}/experiments/search", workspace, body={"max_results": 100}).json()
        return sorted(experiment["name"] for experiment in found.get("experiments", []))


def test_the_cluster_is_asked_about_the_user_and_its_groups(guarded, cluster):
    cluster.bind("team-vision", "team-a", "experiments")
    cluster.bind("cai", "team-a", "experiments", "get", "list")
    ann, cai, bob = User(guarded, "ann", "others", "team-vision"), User(guarded, "cai"), User(guarded, "bob", "others")
    assert ann.create("of ann") == 200 and "of ann" in cai.experiments() and cai.create("of cai") == 403
    answer = bob.send("GET", ME)
    assert (answer.status_code, answer.json()["message"]) == (404, UNKNOWN.format("team-a"))
    assert ann.send("GET", ME).json()["user"]["username"] == "ann"
    assert ann.me("team-b") == ann.me("plain") == 404
    names = [found["name"] for found in ann.send("GET", f"{API3}/workspaces", None).json()["workspaces"]]
    assert names == ["team-a"] and bob.send("GET", f"{API3}/workspaces", None).json() == {}
    # The same name with other groups is another caller, at once.
    assert User(guarded, "ann", "others").me() == 404 and ann.me() == 200
    # Groups that another separator or a text beside them would make are none of the user's.
    for groups in ("others,team-vision", "team-vision-2", "TEAM-VISION"):
        assert User(guarded, "ann", groups).me() == 404, groups
    assert User(guarded, "ann", "others| team-vision |").me() == 200
    cluster.unbind("team-vision")
    soon(ann.me, 404)


def test_rights_on_names_are_those_of_openshift(guarded, cluster):
    cluster.bind("owner", "team-a", "experiments")
    cluster.bind("agents", "team-a", "experiments", "get", "update", names=("for-agents",))
    owner, agent = User(guarded, "owner"), User(guarded, "agent", "agents")
    assert owner.create("for-agents") == owner.create("not for agents") == 200
    assert agent.experiments() == ["for-agents"]
    # A cluster of another kind tells the rules of a user to no one else.
    cluster.is_openshift = False
    soon(agent.me, 404)
    cluster.is_openshift = True
    soon(agent.me, 200)
    cluster.tells_rules = False
    soon(agent.me, 404)


def test_without_an_answer_nothing_is_allowed(guarded, cluster):
    cluster.bind("patient", "team-a", "experiments")
    user = User(guarded, "patient")
    assert user.me() == 200
    # The right to ask is missing: that is no answer about the user, whose credentials are good.
    cluster.may_review = False
    soon(user.me, 503)
    cluster.may_review = True
    soon(user.me, 200)
    for status in (401, 500):
        cluster.status = status
        soon(user.me, 503)
        cluster.status = None
        soon(user.me, 200)


def test_only_the_proxy_names_callers(guarded, cluster):
    cluster.bind("ann", "team-a", "experiments")
    # Tokens are for the proxy, which has verified them.
    cluster.tokens["of ann"] = person("ann")
    token = {"Authorization": "Bearer of ann", "X-MLFLOW-WORKSPACE": "team-a"}
    forwarded = {"X-Forwarded-Access-Token": "of ann", "X-MLFLOW-WORKSPACE": "team-a"}
    for headers in (token, forwarded):
        assert requests.get(guarded.url + ME, headers=headers, timeout=60).status_code == 401
    assert User(guarded, "ann").me(Authorization="Bearer of ann") == 200
    # Without a name it is whoever the request says otherwise.
    assert requests.get(guarded.url + ME, headers={"X-Remote-Groups": "platform"}, timeout=60).status_code == 401
    assert requests.get(guarded.url + ME, auth=(ADMIN, password(ADMIN)), timeout=60).json()["user"]["username"] == ADMIN
    for name in ("", "system:node:a", "system:kube-scheduler", "system:anonymous", "x" * 300):
        assert User(guarded, name).me() == 401, name
    # An admin is one by a group of the cluster.
    boss = User(guarded, "boss", "platform")
    assert boss.create("of the boss", "team-b") == 200
    without = User(guarded, "boss")
    assert without.me("team-b") == 404
    # What the proxy says of one session is not said of another one with the name.
    soon(boss.me, 200)
    assert without.me("team-b") == 404


def test_two_headers_of_a_kind_are_ambiguous(guarded, cluster):
    """A proxy that adds its header to that of its client has vouched for neither."""
    cluster.bind("ann", "team-a", "experiments")

    def me(*lines: str) -> int:
        connection = http.client.HTTPConnection(urlsplit(guarded.url).netloc, timeout=60)
        connection.putrequest("GET", ME)
        for line in ("X-MLFLOW-WORKSPACE: team-a", *lines):
            connection.putheader(*line.split(": ", 1))
        connection.endheaders()
        status = connection.getresponse().status
        connection.close()
        return status

    assert me("X-Remote-User: ann") == 200
    assert me("X-Remote-User: bob", "x-remote-user: ann") == 401
    assert me("X-Remote-User: ann", "X-Remote-User: ann") == 401
    assert me("X-Remote-User: ann", "X-Remote-Groups: a", "X-Remote-Groups: b") == 401


def test_another_page_must_not_use_the_login_at_the_proxy(guarded, cluster):
    cluster.bind("ann", "team-a", "experiments")
    ann = User(guarded, "ann")
    search = lambda **headers: ann.send("POST", f"{API}/experiments/search", body={"max_results": 1}, headers=headers).status_code  # noqa: E731
    assert search() == 200
    assert search(Origin="https://elsewhere.example") == search(**{"Sec-Fetch-Site": "cross-site"}) == 403
    assert search(**{"Sec-Fetch-Site": "same-origin"}) == 200


def test_a_client_cannot_name_itself(tmp_path):
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        cluster.namespaces = {"team-a": LABELS}
        cluster.bind("ann", "team-a", "experiments")
        # The tests are no proxy that this server trusts.
        args = ("--enable-workspaces", "--trusted-proxies", "192.0.2.0/24")
        people, _ = start(stack, "sqlite", tmp_path, SECTION.format(cluster=cluster) + MODE, *args)
        guarded = SimpleNamespace(url=people.url)
        for headers in ({}, {"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}):
            assert User(guarded, "ann").me(**headers) == 401, headers
        assert cluster.access == []


@pytest.mark.parametrize(
    "more,args,words",
    [
        (MODE, (), "--trusted-proxies"),
        (MODE, ("--trusted-proxies", "0.0.0.0/0"), "--trusted-proxies"),
        (MODE, ("--trusted-proxies", "10.0.0.0/8,::/0"), "--trusted-proxies"),
        ("remote_user_header = x-user\n", PROXIES, "authorization_mode"),
        (MODE + "remote_user_header = authorization\n", PROXIES, "remote_user_header"),
        ("authorization_mode = none\n", PROXIES, "authorization_mode"),
    ],
)
def test_a_server_that_would_trust_clients_does_not_start(more, args, words, tmp_path):
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        with pytest.raises(RuntimeError, match=words):
            start(stack, "sqlite", tmp_path, SECTION.format(cluster=cluster) + more, "--enable-workspaces", *args)
