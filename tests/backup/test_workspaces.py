"""A backup has all workspaces: what is in them, their settings, and who may do what in which."""

import contextlib

import requests
from support import command
from support.servers import ferroflow

API, API3, FILES = "/api/2.0/mlflow", "/api/3.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
ADMIN, ON = "admin", ["--enable-workspaces", "--app-name", "basic-auth"]
WORKSPACES = ("default", "team", "other")


class Client:
    """A user in a workspace."""

    def __init__(self, server, username, workspace):
        self.url, self.session = server.url, requests.Session()
        self.session.trust_env = False
        self.session.auth = (username, f"the password of {username}")
        self.session.headers["X-MLFLOW-WORKSPACE"] = workspace

    def send(self, method, path, body=None, **more):
        given = {"params": body} if method == "GET" else {"json": body}
        return self.session.request(method, self.url + path, timeout=60, **(given if body is not None else {}), **more)

    def __call__(self, method, path, body=None, **more):
        answer = self.send(method, path, body, **more)
        assert answer.ok, f"{method} {path} {body}: {answer.status_code} {answer.text}"
        return answer.json() if answer.headers.get("Content-Type") == "application/json" else answer.content


@contextlib.contextmanager
def serve(home, args=ON):
    ini = home.folder / "auth.ini"
    ini.write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\nadmin_username = admin\nadmin_password = the password of admin\n"
        f"database_uri = sqlite:///{home.folder}/basic_auth.db\n"
    )
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(ini),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    }
    with ferroflow(f"sqlite:///{home.database}", home.artifacts, args=args, env=env) as server:
        yield server


def fill(client, name):
    """One of each kind; the names are the same in each workspace."""
    experiment = client("POST", f"{API}/experiments/create", {"name": "same"})["experiment_id"]
    run = client("POST", f"{API}/runs/create", {"experiment_id": experiment, "run_name": name})["run"]["info"]
    for step in range(3):
        client("POST", f"{API}/runs/log-metric", {"run_id": run["run_id"], "key": "m", "value": step, "timestamp": 1, "step": step})
    client("POST", f"{API}/runs/log-parameter", {"run_id": run["run_id"], "key": "where", "value": name})
    client("PUT", f"{FILES}/{run['artifact_uri'].partition(':/')[2]}/a.txt", data=name.encode())
    client("POST", f"{API}/logged-models", {"experiment_id": experiment, "name": name})
    client("POST", f"{API}/registered-models/create", {"name": "same", "description": name})
    client("POST", f"{API}/model-versions/create", {"name": "same", "source": run["artifact_uri"], "run_id": run["run_id"]})
    client("POST", f"{API}/registered-models/alias", {"name": "same", "alias": "best", "version": "1"})
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {"trace_id": f"tr-{name.encode().hex():0>32}", "trace_location": location, "tags": {"where": name}}
    client("POST", f"{API3}/traces", {"trace": {"trace_info": info}})
    client("POST", f"{API3}/datasets/create", {"name": "same", "experiment_ids": [experiment]})
    hook = {"name": name, "url": "https://93.184.216.34/hook", "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}], "secret": "s"}
    client("POST", f"{API}/webhooks", hook)


def everything(server):
    """What an admin sees of each workspace."""
    found = {}
    for name in WORKSPACES:
        client = Client(server, ADMIN, name)
        experiments = client("POST", f"{API}/experiments/search", {"max_results": 100})["experiments"]
        ids = [experiment["experiment_id"] for experiment in experiments]
        locations = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": id_}} for id_ in ids]
        runs = client("POST", f"{API}/runs/search", {"experiment_ids": ids})["runs"]
        found[name] = {
            "experiments": experiments,
            "runs": runs,
            "histories": [client("GET", f"{API}/metrics/get-history", {"run_id": run["info"]["run_id"], "metric_key": "m"}) for run in runs],
            "files": [client("GET", "/get-artifact", {"run_id": run["info"]["run_id"], "path": "a.txt"}) for run in runs],
            "logged models": client("POST", f"{API}/logged-models/search", {"experiment_ids": ids}),
            "models": client("GET", f"{API}/registered-models/search"),
            "versions": client("GET", f"{API}/model-versions/search"),
            "alias": client("GET", f"{API}/registered-models/alias", {"name": "same", "alias": "best"}),
            "traces": client("POST", f"{API3}/traces/search", {"locations": locations}),
            "datasets": client("POST", f"{API3}/datasets/search", {"experiment_ids": ids}),
            "webhooks": client("GET", f"{API}/webhooks"),
            "roles": client("GET", f"{API3}/roles/list", {"workspace": name}),
        }
        assert len(runs) == 1 and found[name]["files"] == [name.encode()]
    return found | {"workspaces": Client(server, ADMIN, "default")("GET", f"{API3}/workspaces")}


def rights(server):
    """The statuses of two users in each workspace: of what they read and write."""
    found = {}
    for user in ("ann", "bob"):
        for workspace in WORKSPACES:
            client = Client(server, user, workspace)
            read = client.send("GET", f"{API}/experiments/get-by-name", {"experiment_name": "same"}).status_code
            write = client.send("POST", f"{API}/registered-models/set-tag", {"name": "same", "key": "k", "value": "v"}).status_code
            found[user, workspace] = (read, write)
    return found


def give(admin, username, workspace, role, *permissions):
    made = admin("POST", f"{API3}/roles/create", {"name": role, "workspace": workspace})["role"]["id"]
    for kind, permission in permissions:
        admin("POST", f"{API3}/roles/permissions/add", {"role_id": made, "resource_type": kind, "resource_pattern": "*", "permission": permission})
    admin("POST", f"{API3}/roles/assign", {"username": username, "role_id": made})


def users_of(home):
    return ["--users-store-uri", f"sqlite:///{home.folder}/basic_auth.db"]


def test_three_workspaces_and_their_users_come_back(home, other, place):
    with serve(home) as server:
        admin = Client(server, ADMIN, "default")
        # One with a root of its own in the served store, and settings of its archive.
        admin("POST", f"{API3}/workspaces", {"name": "team", "description": "d", "default_artifact_root": "mlflow-artifacts:/own"})
        admin("POST", f"{API3}/workspaces", {"name": "other", "trace_archival_config": {"retention": "30d"}})
        for name in WORKSPACES:
            fill(Client(server, ADMIN, name), name)
        for name in ("ann", "bob"):
            admin("POST", f"{API}/users/create", {"username": name, "password": f"the password of {name}"})
        give(admin, "ann", "team", "writer", ("workspace", "USE"), ("experiment", "EDIT"), ("registered_model", "EDIT"))
        give(admin, "ann", "other", "writer", ("workspace", "USE"), ("experiment", "READ"))
        give(admin, "bob", "other", "registrar", ("workspace", "USE"), ("registered_model", "EDIT"))
        may = rights(server)
        assert may["ann", "team"] == (200, 200) and may["bob", "team"] == (404, 404)
        before = everything(server)
        command.run("backup", place, *home.flags, *users_of(home))

    said = other.restore(place, *users_of(other))
    assert "3 runs" in said and "3 users" in said
    with serve(other) as restored:
        assert everything(restored) == before
        assert rights(restored) == may
        # It goes on as before: in the folder of its workspace, with a number of its own.
        team = Client(restored, ADMIN, "team")
        new = team("POST", f"{API}/experiments/create", {"name": "new"})["experiment_id"]
        assert new not in [experiment["experiment_id"] for name in WORKSPACES for experiment in before[name]["experiments"]]
        assert team("GET", f"{API}/experiments/get", {"experiment_id": new})["experiment"]["artifact_location"] == f"mlflow-artifacts:/own/{new}"
        Client(restored, ADMIN, "default")("DELETE", f"{API3}/workspaces/other?mode=CASCADE")
    # A server without workspaces would show what is in them as its own.
    said = command.refused("server", "--port", 1, "--backend-store-uri", f"sqlite:///{other.database}")
    assert "workspace" in said


def test_grants_and_their_workspaces_are_told_apart(home, place):
    """Roles of one name are in several workspaces, and so are models."""
    with serve(home) as server:
        admin = Client(server, ADMIN, "default")
        for name in ("team", "other"):
            admin("POST", f"{API3}/workspaces", {"name": name})
            admin("POST", f"{API}/users/create", {"username": f"of-{name}", "password": f"the password of of-{name}"})
        team, others = Client(server, ADMIN, "team"), Client(server, ADMIN, "other")
        team("POST", f"{API}/registered-models/create", {"name": "same"})
        for name, client in (("team", team), ("other", others)):
            give(admin, f"of-{name}", name, "writer", ("workspace", "USE"), ("experiment", "EDIT"))
            grant = {"username": f"of-{name}", "resource_type": "registered_model", "resource_id": "same", "permission": "MANAGE"}
            if client is team:
                client("POST", f"{API3}/users/permissions/grant", grant)
        command.run("backup", place, *home.flags, *users_of(home))
        # Since then there is a model of the same name in the other workspace, and a role is taken.
        others("POST", f"{API}/registered-models/create", {"name": "same"})
        others("POST", f"{API3}/users/permissions/grant", grant)
        role = next(role for role in admin("GET", f"{API3}/roles/list", {"workspace": "team"})["roles"] if role["name"] == "writer")
        admin("DELETE", f"{API3}/roles/unassign", {"username": "of-team", "role_id": role["id"]})

    out = home.restore(place, *users_of(home), "--keep-users", "--force")
    assert "registered_model same in the workspace other: not in the backup" in out
    assert "registered_model same in the workspace team" not in out
    out = home.restore(place, *users_of(home), "--force")
    assert "'of-team' has again: EDIT on every experiment by the role writer in the workspace team" in out
