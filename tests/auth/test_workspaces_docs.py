"""The page about workspaces: its programs, commands, settings and manifests, used as they are written there."""

import os
import re
import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import yaml
from api_server import api_server, person
from people import ADMIN, People, password, settings
from support import command, oidc, required, servers
from test_oidc import API, API3, start

PAGE = (Path(__file__).parents[2] / "docs/workspaces.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:5000"


def blocks(language: str, heading: str | None = None) -> list[str]:
    """The blocks of a language, of the whole page or below a heading."""
    text = PAGE
    if heading is not None:
        [text] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^  ", "", block, flags=re.MULTILINE) if block.startswith("  ") else block for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)]


def run(program: str, url: str, **env: str) -> str:
    """Runs a program of the page against a server, with the newest SDK."""
    env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"} | env
    line = [required("FERROFLOW_REFERENCE_PYTHON"), "-c", program.replace(ADDRESS, url)]
    ran = subprocess.run(line, env=env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


class Member:
    """Who sends requests in a workspace."""

    def __init__(self, url: str, **credentials):
        self.url, self.credentials = url, credentials

    def send(self, method: str, path: str, workspace: str, **rest) -> requests.Response:
        headers = {"X-MLFLOW-WORKSPACE": workspace} | self.credentials.get("headers", {})
        auth = self.credentials.get("auth")
        return requests.request(method, self.url + path, headers=headers, auth=auth, timeout=60, **rest)

    def creates(self, workspace: str, name: str) -> int:
        return self.send("POST", f"{API}/experiments/create", workspace, json={"name": name}).status_code

    def finds(self, workspace: str, name: str) -> int:
        return self.send("GET", f"{API}/experiments/get-by-name", workspace, params={"experiment_name": name}).status_code

    def renames(self, workspace: str, name: str) -> int:
        found = self.send("GET", f"{API}/experiments/get-by-name", workspace, params={"experiment_name": name}).json()
        body = {"experiment_id": found["experiment"]["experiment_id"], "new_name": f"{name}, renamed"}
        return self.send("POST", f"{API}/experiments/update", workspace, json=body).status_code


def test_a_server_gets_workspaces_and_loses_them_again(tmp_path):
    database = f"sqlite:///{tmp_path}/mlflow.db"
    switch, *others = blocks("sh", "Switch them on")
    assert shlex.split(switch)[:2] == ["ferroflow", "server"]
    with servers.ferroflow(database, tmp_path / "artifacts") as server:
        made = requests.post(f"{server.url}{API}/experiments/create", json={"name": "before"}, timeout=60).json()
        body = {"name": "team's", "tags": [{"key": "team", "value": "sandbox"}]}
        requests.post(f"{server.url}{API}/registered-models/create", json=body, timeout=60).raise_for_status()
    with servers.ferroflow(database, tmp_path / "artifacts", args=shlex.split(switch)[2:]) as server:
        [program] = blocks("python", "Switch them on")
        run(program, server.url)
        [update] = blocks("python", "Artifacts")
        preamble = "import mlflow\nmlflow.set_tracking_uri('http://127.0.0.1:5000')\n"
        run(preamble + update, server.url)
        anybody = Member(server.url)
        assert anybody.finds("sandbox", "first") == 200 and anybody.finds("default", "first") == 404
    [moves] = blocks("sh", "Move what there is")
    for line in moves.splitlines():
        command.run(*shlex.split(line)[1:], cwd=tmp_path)
    with servers.ferroflow(database, tmp_path / "artifacts", args=shlex.split(switch)[2:]) as server:
        anybody = Member(server.url)
        found = anybody.send("GET", f"{API}/experiments/get", "sandbox", params={"experiment_id": made["experiment_id"]})
        assert found.json()["experiment"]["name"] == "before"
        assert anybody.send("GET", f"{API}/registered-models/get", "sandbox", params={"name": "team's"}).status_code == 200
        assert anybody.finds("default", "before") == 404
    for purge in blocks("sh", "Run it"):
        command.run(*shlex.split(purge)[1:], cwd=tmp_path)
    # A server without workspaces does not start on it before everything is in one.
    with pytest.raises(RuntimeError, match="workspace"), servers.ferroflow(database, tmp_path / "artifacts"):
        pass
    for line in "".join(others).splitlines():
        command.run(*shlex.split(line)[1:], cwd=tmp_path)
    with servers.ferroflow(database, tmp_path / "artifacts") as server:
        query = {"experiment_name": "before"}
        assert requests.get(f"{server.url}{API}/experiments/get-by-name", params=query, timeout=60).status_code == 200


def teams(url: str, program: str) -> None:
    run(program, url, MLFLOW_TRACKING_USERNAME=ADMIN, MLFLOW_TRACKING_PASSWORD=password(ADMIN))


def test_five_teams_with_passwords(tmp_path):
    [program] = blocks("python", "Five teams with passwords")
    env = settings(tmp_path, f"sqlite:///{tmp_path}/users.db", default="READ")
    args = ["--app-name", "basic-auth", "--enable-workspaces"]
    with servers.ferroflow(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts", args=args, env=env) as server:
        teams(server.url, program)
        ann, ali, bob = (Member(server.url, auth=(name, f"a first password of {name}")) for name in ("ann", "ali", "bob"))
        assert ali.creates("vision", "of ali") == 200
        assert ann.finds("vision", "of ali") == ann.renames("vision", "of ali") == 200
        # Another team has the same name for something else, and finds nothing of it.
        assert bob.finds("vision", "of ali, renamed") == bob.creates("vision", "mine") == 404
        assert bob.finds("speech", "of ali, renamed") == 404 and bob.creates("speech", "of ali, renamed") == 200
        # The manager of a team adds to it.
        roles = ann.send("GET", f"{API3}/roles/list", "vision", params={"workspace": "vision"}).json()["roles"]
        [role] = [role["id"] for role in roles if role["name"] == "member"]
        assign = {"json": {"username": "bob", "role_id": role}}
        assert ali.send("POST", f"{API3}/roles/assign", "vision", **assign).status_code == 403
        assert ann.send("POST", f"{API3}/roles/assign", "vision", **assign).status_code == 200
        assert bob.finds("vision", "of ali, renamed") == 200


def test_five_teams_by_the_groups_of_a_provider(tmp_path):
    [program] = blocks("python", "Five teams with passwords")
    [section] = blocks("ini", "Five teams by the groups of a provider")
    program = re.sub(r"\[(\"\w+\"(, )?)+\],$", "[],", program, flags=re.MULTILINE)
    assert '"vision": [],' in program
    with ExitStack() as stack:
        provider = stack.enter_context(oidc.provider())
        provider.update()
        section = section.replace("https://login.example.com", provider.issuer).replace("audience = mlflow", f"audience = {oidc.AUDIENCE}")
        people, _ = start(stack, "sqlite", tmp_path, section, "--enable-workspaces")
        teams(people.url, program)

        def member(name: str, *groups: str) -> Member:
            token = provider.key.sign(provider.claims(name, groups=list(groups)))
            return Member(people.url, headers={"Authorization": f"Bearer {token}"})

        ann, bob = member("ann", "team-vision"), member("bob", "team-speech", "team-vision-leads")
        assert ann.creates("vision", "of ann") == 200 and ann.creates("speech", "of ann") == 404
        assert bob.finds("vision", "of ann") == 200 and bob.creates("speech", "of bob") == 200
        # Who has left the group has left the workspace.
        assert member("bob", "team-speech").finds("vision", "of ann") == 404


def test_five_teams_by_namespaces(tmp_path):
    # The roles of the teams, and that of an agent; the values of the chart are not for the cluster.
    manifests = namespaces()
    [section] = blocks("ini", "Five teams by namespaces")
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        apply(cluster, manifests)
        assert set(cluster.namespaces) == {"vision"}
        where = f"api_server = {cluster.url}\nca_file = {cluster.ca_file}\ntoken_file = {cluster.token_file}\n"
        people, _ = start(stack, "sqlite", tmp_path, section + where, "--enable-workspaces")

        def member(name: str, *groups: str) -> Member:
            cluster.tokens[name] = person(name, *groups)
            return Member(people.url, headers={"Authorization": f"Bearer {name}"})

        ann, cai, bob = member("ann", "team-vision"), member("cai", "team-search"), member("bob", "team-speech")
        pod = member("system:serviceaccount:vision:train", "system:serviceaccounts:vision")
        assert pod.creates("vision", "of a pod") == 200
        assert ann.renames("vision", "of a pod") == 200
        assert cai.finds("vision", "of a pod, renamed") == 200 and cai.renames("vision", "of a pod, renamed") == 403
        assert bob.finds("vision", "of a pod, renamed") == 404
        assert shown(people, cluster) == [("vision", "Everything with pictures")]
        assert ann.creates("vision", "agent") == 200
        agent = member("system:serviceaccount:agents:agent")
        assert agent.finds("vision", "agent") == 200 and agent.finds("vision", "of a pod, renamed") == 403
        assert agent.creates("vision", "of the agent") == 403


def test_namespaces_have_buckets_of_their_own(tmp_path):
    heading = "Buckets of namespaces"
    objects, rules = (list(yaml.safe_load_all(block)) for block in blocks("yaml", heading))
    [section] = blocks("ini", heading)
    config, secret = ({one["kind"]: one for one in objects}[kind] for kind in ("MLflowConfig", "Secret"))
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        apply(cluster, namespaces())
        cluster.configs["vision"], cluster.secrets["vision"] = config["spec"], secret["stringData"]
        # The rights of the page are those that the server needs, by name.
        assert {(rule["resources"][0], rule["resourceNames"][0]) for rule in rules[0]} == {
            ("mlflowconfigs", config["metadata"]["name"]),
            ("secrets", secret["metadata"]["name"]),
        }
        where = f"api_server = {cluster.url}\nca_file = {cluster.ca_file}\ntoken_file = {cluster.token_file}\n"
        people, _ = start(stack, "sqlite", tmp_path, section + where, "--enable-workspaces")
        cluster.tokens["ann"] = person("ann", "team-vision")
        ann = Member(people.url, headers={"Authorization": "Bearer ann"})
        made = ann.send("POST", f"{API}/experiments/create", "vision", json={"name": "there"}).json()["experiment_id"]
        found = ann.send("GET", f"{API}/experiments/get", "vision", params={"experiment_id": made}).json()["experiment"]
        assert found["artifact_location"] == f"s3://bucket-of-vision/experiments/{made}"
        assert "`s3://bucket-of-vision/experiments/7`" in PAGE


def test_a_proxy_names_the_callers(tmp_path):
    heading = "Namespaces behind a proxy"
    [section], [line] = blocks("ini", heading), blocks("sh", heading)
    _, _, _, _, *args = shlex.split(line)
    assert line.startswith("ferroflow server --app-name basic-auth ")
    [rules] = [yaml.safe_load(block) for block in blocks("yaml", heading)]
    assert {rule["resources"][0] for rule in rules} == {"subjectaccessreviews", "subjectrulesreviews"}
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        apply(cluster, namespaces())
        where = f"api_server = {cluster.url}\nca_file = {cluster.ca_file}\ntoken_file = {cluster.token_file}\n"
        people, _ = start(stack, "sqlite", tmp_path, section + where, *args)

        def member(name: str, *groups: str) -> Member:
            return Member(people.url, headers={"X-Remote-User": name, "X-Remote-Groups": "|".join(groups)})

        ann, cai, bob = member("ann", "x", "team-vision"), member("cai", "team-search"), member("bob", "team-speech")
        assert ann.creates("vision", "of ann") == 200 and ann.renames("vision", "of ann") == 200
        assert cai.finds("vision", "of ann, renamed") == 200 and cai.creates("vision", "of cai") == 403
        assert bob.finds("vision", "of ann, renamed") == 404


def test_another_server_has_the_workspaces(tmp_path):
    [line] = blocks("sh", "The workspaces of another server")
    variables = dict(word.split("=", 1) for word in shlex.split(line) if word.startswith("MLFLOW_"))
    assert variables["MLFLOW_TRACKING_USERNAME"] == ADMIN
    variables["MLFLOW_TRACKING_PASSWORD"] = password(ADMIN)
    env = settings(tmp_path, f"sqlite:///{tmp_path}/users.db")
    args = ["--app-name", "basic-auth", "--enable-workspaces"]
    with servers.ferroflow(f"sqlite:///{tmp_path}/other.db", tmp_path / "a", args=args, env=env) as other:
        options = [word.replace("https://mlflow.example.com", other.url) for word in shlex.split(line) if not word.startswith("MLFLOW_")]
        assert options[:2] == ["ferroflow", "server"]
        made = requests.post(f"{other.url}{API3}/workspaces", json={"name": "shared"}, auth=(ADMIN, password(ADMIN)), timeout=60)
        assert made.status_code == 201
        with servers.ferroflow(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "b", args=options[2:], env=variables) as server:
            assert Member(server.url).creates("shared", "mine") == 200 and Member(server.url).creates("other", "mine") == 404


def namespaces() -> list[dict]:
    """The roles and the namespace of the page."""
    return [document for block in blocks("yaml", "Five teams by namespaces")[:2] for document in yaml.safe_load_all(block)]


def test_workspaces_have_a_database_of_their_own(tmp_path):
    [line] = blocks("sh", "A database of their own")
    args = [arg.replace("sqlite:///", f"sqlite:///{tmp_path}/") for arg in shlex.split(line)[2:]]
    for number in (1, 2):
        # Two servers with databases of their own.
        with servers.ferroflow(f"sqlite:///{tmp_path}/mlflow-{number}.db", tmp_path / "artifacts", args=args) as server:
            if number == 1:
                requests.post(f"{server.url}{API3}/workspaces", json={"name": "shared"}, timeout=60).raise_for_status()
            anybody = Member(server.url)
            assert anybody.creates("shared", "mine") == 200 and anybody.finds("default", "mine") == 404
            assert requests.get(f"{server.url}/readyz", timeout=60).status_code == 200
    command.run("backup", str(tmp_path / "backups"), "--no-artifacts", "--backend-store-uri", args[-1], cwd=tmp_path)


def shown(people: People, cluster) -> list[tuple[str, str]]:
    cluster.tokens["ann"] = person("ann", "team-vision")
    answer = requests.get(f"{people.url}{API3}/workspaces", headers={"Authorization": "Bearer ann"}, timeout=60)
    return [(found["name"], found["description"]) for found in answer.json()["workspaces"]]


def apply(cluster, manifests: list[dict]) -> None:
    """Makes of the manifests what the cluster would."""
    roles = {one["metadata"]["name"]: one["rules"] for one in manifests if one["kind"] in ("ClusterRole", "Role")}
    for one in manifests:
        metadata = one["metadata"]
        if one["kind"] == "Namespace":
            cluster.namespaces[metadata["name"]] = metadata["labels"]
            cluster.annotations[metadata["name"]] = metadata["annotations"]
        if one["kind"] == "RoleBinding":
            for rule in roles[one["roleRef"]["name"]]:
                assert rule["apiGroups"] == ["mlflow.kubeflow.org"]
                for subject in one["subjects"]:
                    is_account = subject["kind"] == "ServiceAccount"
                    who = f"system:serviceaccount:{subject['namespace']}:{subject['name']}" if is_account else subject["name"]
                    for resource in rule["resources"]:
                        names = tuple(rule.get("resourceNames", ()))
                        cluster.bind(who, metadata["namespace"], resource, *rule["verbs"], names=names)
