"""Namespaces of a cluster as workspaces: which there are, who may do what in one, and that nothing is allowed when the
API server does not say so."""

import os
import subprocess
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import requests
from api_server import account, api_server, person
from people import ADMIN
from support import postgres, required
from test_oidc import API, API3, ME, soon, start

SECTION = """
[kubernetes]
api_server = {cluster.url}
token_file = {cluster.token_file}
ca_file = {cluster.ca_file}
workspaces = namespaces
workspace_selector = mlflow-enabled=true
workspace_cache_seconds = 1
cache_seconds = 1
admin_group = platform
"""

LABELS = {"mlflow-enabled": "true"}

#: The words of both answers: there is no such workspace, and it is not the caller's.
UNKNOWN = "Workspace '{}' not found"


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def guarded(request, tmp_path_factory):
    """A server whose workspaces are the namespaces of a cluster."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(folder))
        cluster.namespaces = {"team-a": LABELS, "team-b": LABELS, "plain": {}, "kube-system": LABELS}
        cluster.annotations["team-a"] = {"mlflow.kubeflow.org/workspace-description": "Vision"}
        people, server = start(stack, request.param, folder, SECTION.format(cluster=cluster), "--enable-workspaces")
        yield SimpleNamespace(people=people, url=people.url, server=server, cluster=cluster)


@pytest.fixture
def cluster(guarded):
    """The cluster of the server, which is as it was after the test."""
    cluster = guarded.cluster
    before = (dict(cluster.namespaces), list(cluster.bindings))
    yield cluster
    cluster.namespaces, cluster.bindings = before
    cluster.status, cluster.may_list, cluster.page, cluster.tells_rules = None, True, 500, True
    cluster.terminating.clear()


class Caller:
    """Who sends requests with a token of the cluster."""

    def __init__(self, guarded, name: str, *groups: str):
        self.url, self.token = guarded.url, f"the token of {name}"
        guarded.cluster.tokens[self.token] = person(name, *groups)

    def send(self, method: str, path: str, workspace: str | None = None, *, body=None, query=None, headers=None):
        headers = {"Authorization": f"Bearer {self.token}"} | (headers or {})
        if workspace is not None:
            headers["X-MLFLOW-WORKSPACE"] = workspace
        return requests.request(
            method, self.url + path, headers=headers, json=body, params=query, timeout=60, allow_redirects=False
        )

    def must(self, method: str, path: str, workspace: str | None = None, **rest):
        answer = self.send(method, path, workspace, **rest)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def experiments(self, workspace: str) -> list[str]:
        found = self.must("POST", f"{API}/experiments/search", workspace, body={"max_results": 100})
        return sorted(experiment["name"] for experiment in found.get("experiments", []))

    def workspaces(self) -> list[str]:
        return [found["name"] for found in self.must("GET", f"{API3}/workspaces").get("workspaces", [])]


@pytest.fixture
def member(guarded, cluster):
    """Makes callers who may do everything in a namespace."""

    def made(name: str, *namespaces: str | None) -> Caller:
        caller = Caller(guarded, name)
        for namespace in namespaces:
            for resource in ("experiments", "registeredmodels"):
                cluster.bind(name, namespace, resource)
        return caller

    return made


def create(caller: Caller, workspace: str, name: str) -> str:
    return caller.must("POST", f"{API}/experiments/create", workspace, body={"name": name})["experiment_id"]


def run_in(caller: Caller, workspace: str, experiment: str) -> str:
    body = {"experiment_id": experiment, "start_time": 1}
    return caller.must("POST", f"{API}/runs/create", workspace, body=body)["run"]["info"]["run_id"]


def test_an_sdk_works_in_a_namespace(guarded, cluster):
    cluster.tokens["of a pod"] = account("team-a", "trainer")
    for resource in ("experiments", "registeredmodels"):
        cluster.bind("system:serviceaccounts:team-a", "team-a", resource)
    code = (
        "import mlflow\n"
        "mlflow.set_workspace('team-a')\n"
        "mlflow.set_experiment('of a pod')\n"
        "with mlflow.start_run() as run:\n"
        "    mlflow.log_metric('m', 1.5)\n"
        "    mlflow.log_text('hello', 'a.txt')\n"
        "client = mlflow.MlflowClient()\n"
        "client.create_registered_model('of a pod')\n"
        "mlflow.genai.register_prompt(name='of-a-pod', template='hello')\n"
        "print([w.name for w in mlflow.list_workspaces()], mlflow.artifacts.load_text(run.info.artifact_uri + '/a.txt'))"
    )
    env = {"MLFLOW_TRACKING_URI": guarded.url, "MLFLOW_TRACKING_TOKEN": "of a pod", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [required("FERROFLOW_REFERENCE_PYTHON"), "-c", code]
    ran = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "['team-a'] hello"


#: Verbs on experiments and on registered models, and what they allow.
LEVELS = {
    "nothing": ((), ()),
    "one verb to read": (("get",), ("list",)),
    "writes without reading": (("create", "update", "delete"), ("create", "update", "delete")),
    "reader": (("get", "list"), ("get", "list")),
    "creator": (("get", "list", "create"), ("get", "list")),
    "editor": (("get", "list", "update"), ("get", "list", "update")),
    "owner": (("get", "list", "create", "update", "delete"), ("get", "list", "create", "update", "delete")),
    "of models only": ((), ("get", "list", "create", "update", "delete")),
}

PROMPT = {"tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}

#: What each of the levels allows of the steps below.
ALLOWED = {
    "nothing": None,
    "one verb to read": None,
    "writes without reading": {"log"},
    "reader": {"search", "read", "read model"},
    "creator": {"search", "read", "create", "read model"},
    "editor": {"search", "read", "log", "delete run", "read model", "new version", "delete version"},
    "owner": {"search", "read", "create", "log", "delete run", "delete", "read model", "create model", "new version", "delete version", "delete model"},
    "of models only": {"read model", "create model", "new version", "delete version", "delete model"},
}


@pytest.mark.parametrize("level", LEVELS)
def test_verbs_are_permissions(guarded, cluster, member, level):
    name = level.replace(" ", "-")
    owner = member(f"owner-of-{name}", "team-a")
    experiment = create(owner, "team-a", f"of {level}")
    run = run_in(owner, "team-a", experiment)
    # A prompt is a registered model, and its versions need no artifacts.
    model = {"name": f"model-of-{name}"}
    version = model | PROMPT | {"source": "dummy-source"}
    owner.must("POST", f"{API}/registered-models/create", "team-a", body=model | PROMPT)
    owner.must("POST", f"{API}/model-versions/create", "team-a", body=version)
    caller = Caller(guarded, f"caller-{name}")
    for resource, verbs in zip(("experiments", "registeredmodels"), LEVELS[level], strict=True):
        if verbs:
            cluster.bind(f"caller-{name}", "team-a", resource, *verbs)

    def status(method: str, path: str, **rest) -> int:
        answer = caller.send(method, path, "team-a", **rest)
        assert answer.status_code in (200, 403, 404), answer.text
        return answer.status_code

    if ALLOWED[level] is None:
        answer = caller.send("GET", f"{API}/experiments/get", "team-a", query={"experiment_id": experiment})
        assert (answer.status_code, answer.json()["message"]) == (404, UNKNOWN.format("team-a"))
        assert caller.workspaces() == []
        return
    new = {"name": f"new by {level}"}
    steps = {
        "read": ("GET", f"{API}/experiments/get", {"query": {"experiment_id": experiment}}),
        "create": ("POST", f"{API}/experiments/create", {"body": new}),
        "log": ("POST", f"{API}/runs/log-metric", {"body": {"run_id": run, "key": "m", "value": 1, "timestamp": 1}}),
        "delete run": ("POST", f"{API}/runs/delete", {"body": {"run_id": run}}),
        "delete": ("POST", f"{API}/experiments/delete", {"body": {"experiment_id": experiment}}),
        "read model": ("GET", f"{API}/registered-models/get", {"query": model}),
        "create model": ("POST", f"{API}/registered-models/create", {"body": new}),
        "new version": ("POST", f"{API}/model-versions/create", {"body": version}),
        "delete version": ("DELETE", f"{API}/model-versions/delete", {"body": model | {"version": "1"}}),
        "delete model": ("DELETE", f"{API}/registered-models/delete", {"body": model}),
    }
    allowed = {step for step, (method, path, rest) in steps.items() if status(method, path, **rest) == 200}
    if "read" in ALLOWED[level] and "delete" not in ALLOWED[level]:
        allowed |= {"search"} if f"of {level}" in caller.experiments("team-a") else set()
    elif "delete" in ALLOWED[level]:
        allowed |= {"search"} if f"new by {level}" in caller.experiments("team-a") else set()
    else:
        assert caller.experiments("team-a") == []
    assert allowed == ALLOWED[level]
    # Who reads nothing is shown no workspace.
    assert caller.workspaces() == ([] if level == "writes without reading" else ["team-a"])


def test_a_role_may_name_experiments(guarded, cluster, member):
    owner = member("owner-of-names", "team-a")
    one, other = create(owner, "team-a", "named-a"), create(owner, "team-a", "named-b")
    mine, theirs = run_in(owner, "team-a", one), run_in(owner, "team-a", other)
    agent = Caller(guarded, "agent")
    cluster.bind("agent", "team-a", "experiments", "get", "update", names=("named-a", "named-later", "*"))

    def status(method: str, path: str, **rest) -> int:
        return agent.send(method, path, "team-a", **rest).status_code

    def log(run: str) -> int:
        return status("POST", f"{API}/runs/log-metric", body={"run_id": run, "key": "m", "value": 1, "timestamp": 1})

    def rename(name: str) -> int:
        return status("POST", f"{API}/experiments/update", body={"experiment_id": one, "new_name": name})

    assert agent.experiments("team-a") == ["named-a"]
    found = agent.must("POST", f"{API}/runs/search", "team-a", body={"experiment_ids": [one, other]})["runs"]
    assert [run["info"]["run_id"] for run in found] == [mine]
    assert log(mine) == 200 and log(theirs) == 403
    assert status("POST", f"{API}/runs/create", body={"experiment_id": one, "start_time": 1}) == 200
    assert status("POST", f"{API}/runs/create", body={"experiment_id": other, "start_time": 1}) == 403
    assert status("POST", f"{API}/runs/delete", body={"run_id": mine}) == 200
    assert status("POST", f"{API}/runs/delete", body={"run_id": theirs}) == 403
    assert status("GET", f"{API}/experiments/get", query={"experiment_id": other}) == 403
    assert status("POST", f"{API}/experiments/delete", body={"experiment_id": one}) == 403
    assert status("POST", f"{API}/experiments/create", body={"name": "named-new"}) == 403
    assert status("GET", f"{API}/registered-models/get", query={"name": "named-a"}) == 403
    # An experiment has its rights by its name, from the moment that it has it.
    assert rename("named-elsewhere") == 403 and rename("named-later") == 200 and rename("named-a") == 200
    later = create(owner, "team-a", "named-later")
    assert status("POST", f"{API}/runs/create", body={"experiment_id": later, "start_time": 1}) == 200
    # It is entered by its name, and not listed.
    assert agent.workspaces() == []
    assert agent.send("GET", f"{API3}/workspaces/team-a", "team-a").status_code == 200
    assert agent.send("GET", ME, "team-b").status_code == 404
    # What may be deleted may be changed, too.
    cluster.bind("agent", "team-a", "experiments", "delete", names=("named-later",))
    soon(lambda: status("POST", f"{API}/experiments/delete", body={"experiment_id": later}), 200)
    # Each name was reviewed, and the name of all was not.
    assert {name for user, *_, name in cluster.named if user == "agent"} == {"named-a", "named-later"}
    cluster.unbind("agent")
    soon(lambda: log(mine), 404)


def test_names_add_to_what_is_allowed_in_a_whole_namespace(guarded, cluster, member):
    owner = member("owner-of-more", "team-a")
    one, other = create(owner, "team-a", "more-a"), create(owner, "team-a", "more-b")
    mine, theirs = run_in(owner, "team-a", one), run_in(owner, "team-a", other)
    caller = Caller(guarded, "reader-of-all")
    cluster.bind("reader-of-all", "team-a", "experiments", "get", "list")
    cluster.bind("reader-of-all", "team-a", "experiments", "update", names=("more-a",))
    delete = lambda run: caller.send("POST", f"{API}/runs/delete", "team-a", body={"run_id": run}).status_code  # noqa: E731
    assert {"more-a", "more-b"} <= set(caller.experiments("team-a"))
    assert delete(mine) == 200 and delete(theirs) == 403
    # Without the right to ask for its rules a caller has no names, and what it has without them.
    cluster.tells_rules = False
    restore = lambda: caller.send("POST", f"{API}/runs/restore", "team-a", body={"run_id": mine}).status_code  # noqa: E731
    soon(restore, 403)
    assert "more-a" in caller.experiments("team-a")


def test_a_role_may_name_models_and_prompts(guarded, cluster, member):
    owner = member("owner-of-models", "team-a")
    for name in ("named-model", "other-model"):
        owner.must("POST", f"{API}/registered-models/create", "team-a", body={"name": name} | PROMPT)
    caller = Caller(guarded, "editor-of-one")
    cluster.bind("editor-of-one", "team-a", "registeredmodels", "get", "update", names=("named-model",))

    def status(method: str, path: str, **rest) -> int:
        return caller.send(method, path, "team-a", **rest).status_code

    def version(name: str) -> int:
        return status("POST", f"{API}/model-versions/create", body={"name": name, "source": "dummy-source"} | PROMPT)

    assert version("named-model") == 200 and version("other-model") == 403
    assert status("GET", f"{API}/registered-models/get", query={"name": "named-model"}) == 200
    assert status("GET", f"{API}/registered-models/get", query={"name": "other-model"}) == 403
    filter_ = {"filter": "tags.`mlflow.prompt.is_prompt` = 'true'", "max_results": 100}
    found = caller.must("GET", f"{API}/registered-models/search", "team-a", query=filter_)["registered_models"]
    assert [model["name"] for model in found] == ["named-model"]
    delete = lambda: status("DELETE", f"{API}/model-versions/delete", body={"name": "named-model", "version": "1"})  # noqa: E731
    assert delete() == 200
    assert status("DELETE", f"{API}/registered-models/delete", body={"name": "named-model"}) == 403
    rename = lambda name: status("POST", f"{API}/registered-models/rename", body={"name": "named-model", "new_name": name})  # noqa: E731
    assert rename("someone-elses") == 403
    assert caller.experiments("team-a") == []


def test_datasets_have_verbs_of_their_own(guarded, cluster, member):
    owner = member("owner-of-datasets", "team-a")
    experiment = create(owner, "team-a", "with datasets")

    def make(caller: Caller, name: str):
        body = {"name": name, "experiment_ids": [experiment]}
        return caller.send("POST", f"{API3}/datasets/create", "team-a", body=body)

    # Datasets are no part of their experiments.
    assert make(owner, "golden").status_code == 403
    cluster.bind("owner-of-datasets", "team-a", "datasets")
    soon(lambda: make(owner, "golden").status_code, 200)
    ids = {}
    for name in ("golden", "other"):
        ids[name] = make(owner, name).json()["dataset"]["dataset_id"]

    def found(caller: Caller) -> list[str]:
        body = {"experiment_ids": [experiment], "max_results": 1, "order_by": ["name"]}
        names, token = [], None
        while token != "":
            answer = caller.send("POST", f"{API3}/datasets/search", "team-a", body=body | ({"page_token": token} if token else {}))
            if answer.status_code == 403:
                return []
            names += [dataset["name"] for dataset in answer.json().get("datasets", [])]
            token = answer.json().get("next_page_token", "")
        return names

    def steps(caller: Caller, dataset: str) -> set[str]:
        path = f"{API3}/datasets/{ids[dataset]}"
        calls = {
            "read": ("GET", path, {}),
            "records": ("GET", f"{path}/records", {}),
            "write": ("POST", f"{path}/records", {"body": {"records": '[{"inputs": {"a": 1}}]'}}),
            "unlink": ("POST", f"{path}/remove-experiments", {"body": {"experiment_ids": [experiment]}}),
            "link": ("POST", f"{path}/add-experiments", {"body": {"experiment_ids": [experiment]}}),
        }
        sent = {step: caller.send(method, url, "team-a", **rest) for step, (method, url, rest) in calls.items()}
        assert {answer.status_code for answer in sent.values()} <= {200, 403}, [answer.text for answer in sent.values()]
        done = {step for step, answer in sent.items() if answer.status_code == 200}
        return done | ({"search"} if dataset in found(caller) else set())

    every = {"search", "read", "records", "write", "unlink", "link"}
    assert steps(owner, "golden") == every
    for name, (datasets, experiments, names), allowed in (
        ("reads", (("get", "list"), ("get", "list"), ()), {"search", "read", "records"}),
        ("reads-no-experiment", (("get", "list"), (), ()), {"read", "records"}),
        ("writes", (("get", "list", "update"), ("get", "list"), ()), {"search", "read", "records", "write"}),
        ("writes-both", (("get", "list", "update"), ("get", "list", "update"), ()), every),
        # A search finds those that are named, on each page.
        ("writes-one", (("get", "update"), ("get", "list"), ("golden",)), {"search", "read", "records", "write"}),
        ("reads-one-of-no-experiment", (("get",), (), ("golden",)), {"read", "records"}),
        ("no-dataset", ((), ("get", "list", "update"), ()), set()),
    ):
        caller = Caller(guarded, name)
        if datasets:
            cluster.bind(name, "team-a", "datasets", *datasets, names=names)
        if experiments:
            cluster.bind(name, "team-a", "experiments", *experiments)
        assert steps(caller, "golden") == allowed, name
        if names:
            assert steps(caller, "other") == set()
        assert make(caller, "new").status_code == 403
    delete = lambda caller: caller.send("DELETE", f"{API3}/datasets/{ids['golden']}", "team-a").status_code  # noqa: E731
    assert delete(Caller(guarded, "writes-both")) == 403
    cluster.bind("writes-one", "team-a", "datasets", "delete", names=("golden",))
    soon(lambda: delete(Caller(guarded, "writes-one")), 200)


def test_there_is_no_way_into_another_namespace(guarded, member):
    ann, bob = member("ann", "team-a"), member("bob", "team-b")
    experiment = create(ann, "team-a", "of ann")
    run = run_in(ann, "team-a", experiment)
    ann.must("POST", f"{API}/registered-models/create", "team-a", body={"name": "of ann"})
    # The namespace of others, one without the label, one of the cluster, and none: the same answer.
    for name in ("team-a", "plain", "kube-system", "never-there"):
        for method, path, rest in (
            ("POST", f"{API}/experiments/search", {"body": {"max_results": 1}}),
            ("GET", f"{API}/runs/get", {"query": {"run_id": run}}),
            ("GET", ME, {}),
        ):
            answer = bob.send(method, path, name, **rest)
            assert (answer.status_code, answer.json()["message"]) == (404, UNKNOWN.format(name)), path
        answer = bob.send("GET", f"{API3}/workspaces/{name}", "team-b")
        assert (answer.status_code, answer.json()["message"]) == (404, UNKNOWN.format(name))
    # Ids of others in the own one.
    made_up = "0" * 32
    for path, key, theirs, none in (
        (f"{API}/runs/get", "run_id", run, made_up),
        (f"{API}/experiments/get", "experiment_id", experiment, "987654321"),
        (f"{API}/registered-models/get", "name", "of ann", "of nobody"),
    ):
        one, other = (bob.send("GET", path, "team-b", query={key: value}) for value in (theirs, none))
        assert one.status_code == other.status_code != 200, one.text
        assert one.text.replace(theirs, none) == other.text
    assert bob.experiments("team-b") == [] or "of ann" not in bob.experiments("team-b")
    # A name that is taken there is free here.
    create(bob, "team-b", "of ann")
    query = {"query": "query { mlflowGetRun(input: {runId: \"%s\"}) { run { info { runId } } } }" % run}
    answer = bob.send("POST", "/graphql", "team-b", body=query)
    assert run not in answer.text.replace(query["query"], "")


def test_workspaces_are_listed_and_not_changed(guarded, cluster, member):
    ann, everywhere, nobody = member("ann", "team-a"), member("eve", None), Caller(guarded, "nobody")
    (listed,) = ann.must("GET", f"{API3}/workspaces")["workspaces"]
    assert (listed["name"], listed["description"]) == ("team-a", "Vision")
    assert ann.must("GET", f"{API3}/workspaces/team-a")["workspace"] == listed
    before = len(cluster.access)
    soon(everywhere.workspaces, ["team-a", "team-b"])
    # It is not asked about each namespace.
    assert {namespace for _, namespace, _, _ in cluster.access[before:]} == {""}
    assert nobody.workspaces() == []
    cluster.page = 1
    soon(lambda: everywhere.workspaces(), ["team-a", "team-b"])
    for method, path, body in (
        ("POST", "", {"name": "team-c"}),
        ("PATCH", "/team-a", {"description": "mine"}),
        ("DELETE", "/team-a", None),
    ):
        assert ann.send(method, f"{API3}/workspaces{path}", "team-a", body=body).status_code == 403
        answer = guarded.people.send(ADMIN, method, f"{API3}/workspaces{path}", body=body)
        assert answer.json()["error_code"] == "FEATURE_DISABLED", answer.text
        assert "not supported by this provider" in answer.json()["message"]


def test_answers_are_asked_for_once_in_a_while(guarded, cluster, member):
    ann = member("busy", "team-a")
    ann.experiments("team-a")
    asked = [found for found in cluster.access if found[0] == "busy"]
    # Each verb on each resource that may be read, and none twice.
    assert len(asked) == len(set(asked)) == 13
    before, lists, rules = len(cluster.access), cluster.lists, cluster.rules
    for _ in range(20):
        ann.experiments("team-a")
    # Twenty searches take less than three times the second that an answer is kept.
    assert len(cluster.access) - before <= 39 and cluster.lists - lists <= 3 and cluster.rules - rules <= 3


def test_a_right_that_is_lost_ends_soon(cluster, member):
    ann = member("leaver", "team-a")
    experiment = create(ann, "team-a", "of one who leaves")
    run = run_in(ann, "team-a", experiment)
    log = lambda: ann.send("POST", f"{API}/runs/log-metric", "team-a", body={"run_id": run, "key": "m", "value": 1, "timestamp": 1}).status_code  # noqa: E731
    assert log() == 200
    cluster.unbind("leaver")
    cluster.bind("leaver", "team-a", "experiments", "get", "list")
    soon(log, 403)
    cluster.unbind("leaver")
    soon(log, 404)
    cluster.bind("leaver", "team-a", "experiments")
    soon(log, 200)
    # Its token ends.
    del cluster.tokens[ann.token]
    soon(log, 401)


def test_a_namespace_that_loses_its_label_ends_soon(guarded, cluster, member):
    ann = member("lea", "team-b", "team-new")
    status = lambda name: lambda: ann.send("GET", ME, name).status_code  # noqa: E731
    # The server may remember the namespaces of the test before.
    soon(status("team-b"), 200)
    create(ann, "team-b", "of a label")
    cluster.namespaces["team-b"] = {"mlflow-enabled": "false"}
    soon(status("team-b"), 404)
    soon(ann.workspaces, [])
    # An admin reaches what is in it.
    search = {"headers": {"X-MLFLOW-WORKSPACE": "team-b"}, "body": {"max_results": 100}}
    found = guarded.people.must(ADMIN, "POST", f"{API}/experiments/search", **search)["experiments"]
    assert "of a label" in [experiment["name"] for experiment in found]
    # It comes back with what it had, and so does a new one.
    cluster.namespaces |= {"team-b": LABELS, "team-new": LABELS}
    soon(status("team-b"), 200)
    soon(status("team-new"), 200)
    assert "of a label" in ann.experiments("team-b") and ann.experiments("team-new") == []
    cluster.terminating.add("team-new")
    soon(status("team-new"), 404)


def test_without_an_answer_nothing_is_allowed(guarded, cluster, member):
    ann = member("ann", "team-a")
    ann.experiments("team-a")
    search = lambda: ann.send("POST", f"{API}/experiments/search", "team-a", body={"max_results": 1})  # noqa: E731
    for status in (500, 429):
        cluster.status = status
        soon(lambda: search().status_code, 503)
        answer = search()
        assert "Kubernetes API server" in answer.json()["message"], answer.text
        cluster.status = None
        soon(lambda: search().status_code, 200)
    # Without the right to list namespaces there are none.
    cluster.may_list = False
    soon(lambda: search().status_code, 503)
    assert "list the workspaces" in search().json()["message"]
    assert ann.send("GET", f"{API3}/workspaces").status_code == 503
    cluster.may_list = True
    soon(lambda: search().status_code, 200)


def test_a_failure_is_not_an_answer_for_others(guarded, cluster, member):
    """Who is known to be somebody is still asked for its rights."""
    ann = member("patient", "team-a")
    assert ann.send("GET", ME).status_code == 200
    cluster.status = 500
    answer = ann.send("GET", ME, "team-a")
    assert answer.status_code == 503, answer.text
    cluster.status = None
    soon(lambda: ann.send("GET", ME, "team-a").status_code, 200)


def test_a_request_names_its_workspace(member):
    ann = member("ann", "team-a")
    assert ann.must("GET", ME)["user"]["username"] == "ann"
    soon(ann.workspaces, ["team-a"])
    assert ann.must("GET", f"{API3}/server-info")["workspaces_enabled"] is True
    for method, path, rest in (
        ("POST", f"{API}/experiments/search", {"body": {"max_results": 1}}),
        ("POST", f"{API}/experiments/create", {"body": {"name": "nowhere"}}),
        ("GET", f"{API}/runs/get", {"query": {"run_id": "0" * 32}}),
    ):
        answer = ann.send(method, path, **rest)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer.text
        assert "Active workspace is required" in answer.json()["message"]


def test_only_tokens_of_the_cluster_have_rights(guarded, cluster, member):
    guarded.people.join("local")
    answer = guarded.people.send("local", "GET", ME, headers={"X-MLFLOW-WORKSPACE": "team-a"})
    assert answer.status_code == 403 and "token of the cluster" in answer.json()["message"]
    # What is granted in the users database counts for nothing.
    body = {"name": "member", "workspace": "team-a"}
    role = guarded.people.must(ADMIN, "POST", f"{API3}/roles/create", body=body)["role"]["id"]
    given = {"role_id": role, "resource_type": "workspace", "resource_pattern": "*", "permission": "MANAGE"}
    guarded.people.must(ADMIN, "POST", f"{API3}/roles/permissions/add", body=given)
    ann = Caller(guarded, "granted")
    assert ann.must("GET", ME)["user"]["username"] == "granted"
    guarded.people.must(ADMIN, "POST", f"{API3}/roles/assign", body={"username": "granted", "role_id": role})
    assert ann.send("GET", ME, "team-a").status_code == 404
    # An admin is one by a group of the cluster.
    boss = Caller(guarded, "boss", "platform")
    soon(boss.workspaces, ["team-a", "team-b"])
    create(boss, "team-a", "of the boss")


def test_nodes_and_the_control_plane_are_refused(guarded):
    for name in ("system:node:a", "system:kube-scheduler", "system:anonymous", ""):
        assert Caller(guarded, name).send("GET", ME).status_code == 401, name
    assert Caller(guarded, "x" * 300).send("GET", ME).status_code == 401


def test_a_proxy_passes_on_the_token_of_a_browser(guarded, member):
    ann = member("ann", "team-a")
    url = f"{guarded.url}{API}/experiments/search"
    headers = {"X-Forwarded-Access-Token": ann.token, "X-MLFLOW-WORKSPACE": "team-a"}
    send = lambda **more: requests.post(url, headers=headers | more, json={"max_results": 1}, timeout=60).status_code  # noqa: E731
    assert send() == 200
    assert send(Authorization="Basic YW5uOg==") == 200
    # The own token of a client is the one.
    assert send(Authorization="Bearer made up") == 401
    assert send(**{"X-Forwarded-Access-Token": "made up"}) == 401
    # Another page must not use what the proxy adds.
    assert send(Origin="https://elsewhere.example") == 403
    assert send(**{"Sec-Fetch-Site": "cross-site"}) == 403
    assert send(**{"Sec-Fetch-Site": "same-origin"}) == 200


def test_a_default_workspace_is_that_of_requests_that_name_none(tmp_path):
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        cluster.namespaces = {"team-a": LABELS, "team-b": LABELS}
        section = SECTION.format(cluster=cluster) + "default_workspace = team-a\n"
        people, _ = start(stack, "sqlite", tmp_path, section, "--enable-workspaces")
        guarded = SimpleNamespace(url=people.url, cluster=cluster, people=people)
        ann, bob = Caller(guarded, "ann"), Caller(guarded, "bob")
        cluster.bind("ann", "team-a", "experiments")
        cluster.bind("bob", "team-b", "experiments")
        created = ann.must("POST", f"{API}/experiments/create", body={"name": "of ann"})["experiment_id"]
        assert ann.experiments("team-a") == ["of ann"]
        answer = bob.send("GET", f"{API}/experiments/get", query={"experiment_id": created})
        assert answer.status_code == 400 and "Active workspace is required" in answer.text
        soon(bob.workspaces, ["team-b"])


@pytest.mark.parametrize(
    "section,args,words",
    [
        (SECTION, (), "--enable-workspaces"),
        (SECTION + "audiences = mlflow\n", ("--enable-workspaces",), "audiences"),
        (SECTION + "group_roles = a = b\n", ("--enable-workspaces",), "group_roles"),
        (SECTION.replace("workspace_selector", "#"), ("--enable-workspaces",), "workspace_selector"),
        (SECTION.replace("= namespaces", "= rows"), ("--enable-workspaces",), "rows"),
    ],
)
def test_settings_that_protect_nothing_are_refused(section, args, words, tmp_path):
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        with pytest.raises(RuntimeError, match=words):
            start(stack, "sqlite", tmp_path, section.format(cluster=cluster), *args)
