"""The steps of ``test_calls``."""

from dataclasses import dataclass, field
from typing import Any

from people import ADMIN, password

API, API3 = "/api/2.0/mlflow", "/api/3.0/mlflow"

OLDER = "the reference has dropped the calls of older clients, which ferroflow still answers"
PROMPTS = "the reference does not let prompts be shared; ferroflow does"
ALIAS = "the reference looks for a grant on the id as it is written; ferroflow knows which experiment that is"
CHECKED = "the reference checks one id and changes another; ferroflow checks both"
ALL = "the reference checks the first of several ids; ferroflow checks all of them"
OWN_ROLES = "the reference shows what is granted to each user alone to all members of the workspace; ferroflow to those who manage it"
ONCE = "the reference decodes a path twice; ferroflow once, so that this is a directory called %31 and none of an experiment"
REGISTERED = "the reference lets whoever registers a version manage the scorer; ferroflow only the one who made it"
ONE_VERSION = "the reference takes the grants on a scorer away with one of its versions; ferroflow with the last of it"
SIGN_UP = "the reference's form must come with the cookie of its page; ferroflow's token needs none"


@dataclass
class Step:
    who: str | None
    method: str
    path: str
    query: Any = None
    body: Any = None
    raw: bytes | None = None
    headers: dict | None = None
    save: dict = field(default_factory=dict)
    differs: str | None = None

    def __str__(self) -> str:
        given = next((given for given in (self.query, self.body, self.raw) if given is not None), "")
        return f"{self.who}: {self.method} {self.path} {given}".rstrip()


def get(who, path, query=None, **rest):
    return Step(who, "GET", path, query=query, **rest)


def post(who, path, body=None, **rest):
    return Step(who, "POST", path, body=body if body is not None or "raw" in rest else {}, **rest)


def patch(who, path, body=None, **rest):
    return Step(who, "PATCH", path, body=body or {}, **rest)


def delete(who, path, body=None, **rest):
    return Step(who, "DELETE", path, body=body or {}, **rest)


def join(username):
    return post(ADMIN, f"{API}/users/create", {"username": username, "password": password(username)})


def may(permission, kind, id_, username, **rest):
    body = {"username": username, "resource_type": kind, "resource_id": id_, "permission": permission}
    return post(ADMIN, f"{API3}/users/permissions/grant", body, **rest)


def rights(who, kind, id_, username, **rest):
    query = {"username": username, "resource_type": kind, "resource_id": id_}
    return get(who, f"{API3}/users/permissions/get", query, **rest)


STEPS = [
    # Users
    join("alice"),
    join("bob"),
    join("carol"),
    join("alice"),
    post(ADMIN, f"{API}/users/create", {"username": "", "password": "long enough to be one"}),
    post(ADMIN, f"{API}/users/create", {"username": "dave", "password": ""}),
    post(ADMIN, f"{API}/users/create", {"username": "dave", "password": "eleven char"}),
    post(ADMIN, f"{API}/users/create", {"username": "dave"}),
    post(ADMIN, f"{API}/users/create", {}),
    post(ADMIN, f"{API}/users/create", raw=b"username=dave", headers={"Content-Type": "text/plain"}),
    post("alice", f"{API}/users/create", {"username": "dave", "password": "long enough to be one"}),
    get(ADMIN, f"{API}/users/get", {"username": "alice"}),
    get(ADMIN, f"{API}/users/get", {"username": "nobody"}),
    get(ADMIN, f"{API}/users/get"),
    get("alice", f"{API}/users/get", {"username": "alice"}),
    get("alice", f"{API}/users/get", {"username": "bob"}),
    get("alice", f"{API}/users/get"),
    get(ADMIN, "/ajax-api/2.0/mlflow/users/current"),
    get("alice", "/ajax-api/2.0/mlflow/users/current"),
    get("alice", f"{API}/users/list"),
    patch("bob", f"{API}/users/update-password", {"username": "bob", "password": "another long password"}),
    patch("bob", f"{API}/users/update-password", {"username": "bob", "password": "another long password", "current_password": "wrong"}),
    patch("bob", f"{API}/users/update-password", {"username": "bob", "password": password("bob"), "current_password": password("bob")}),
    patch("bob", f"{API}/users/update-password", {"username": "bob", "password": "short", "current_password": password("bob")}),
    patch("bob", f"{API}/users/update-password", {"username": "alice", "password": "another long password"}),
    patch("bob", f"{API}/users/update-password", {"username": "bob"}),
    patch(ADMIN, f"{API}/users/update-password", {"username": "carol", "password": "another long password"}),
    get("carol", f"{API}/users/get", {"username": "carol"}),
    patch(ADMIN, f"{API}/users/update-password", {"username": "carol", "password": password("carol")}),
    get("carol", f"{API}/users/get", {"username": "carol"}),
    patch(ADMIN, f"{API}/users/update-password", {"username": "nobody", "password": "another long password"}),
    patch("alice", f"{API}/users/update-admin", {"username": "alice", "is_admin": True}),
    patch(ADMIN, f"{API}/users/update-admin", {"username": "nobody", "is_admin": True}),
    patch(ADMIN, f"{API}/users/update-admin", {"username": "carol"}),
    patch(ADMIN, f"{API}/users/update-admin", {"username": "carol", "is_admin": True}),
    get("carol", f"{API}/users/get", {"username": "bob"}),
    patch(ADMIN, f"{API}/users/update-admin", {"username": "carol", "is_admin": False}),
    get("carol", f"{API}/users/get", {"username": "bob"}),
    delete("alice", f"{API}/users/delete", {"username": "bob"}),
    delete(ADMIN, f"{API}/users/delete", {"username": ADMIN}),
    delete(ADMIN, f"{API}/users/delete", {"username": "nobody"}),
    delete(ADMIN, f"{API}/users/delete", {}),
    delete(ADMIN, f"{API}/users/delete", {"username": "carol"}),
    get("carol", f"{API}/users/get", {"username": "carol"}),
    join("carol"),
    # Who makes something manages it
    post("alice", f"{API}/experiments/create", {"name": "of alice"}, save={"exp": "experiment_id"}),
    get("bob", f"{API}/experiments/get-by-name", {"experiment_name": "of alice"}),
    get("alice", f"{API3}/users/current/permissions"),
    rights("alice", "experiment", "{exp}", "alice"),
    rights("bob", "experiment", "{exp}", "alice"),
    rights(ADMIN, "experiment", "{exp}", "bob"),
    rights(ADMIN, "experiment", "99999", "alice"),
    rights(ADMIN, "experiment", "{exp}", "nobody"),
    rights(ADMIN, "workspace", "*", "alice"),
    rights(ADMIN, "unknown", "1", "alice"),
    rights(ADMIN, "run", "1", "alice"),
    rights(ADMIN, "run", "*", "alice"),
    rights(ADMIN, "scorer", "nothing", "alice"),
    rights(ADMIN, "scorer", "{exp}/x", "alice"),
    # Grants to users
    may("READ", "experiment", "{exp}", "bob"),
    may("EDIT", "experiment", "{exp}", "bob"),
    rights("bob", "experiment", "{exp}", "bob"),
    post("alice", f"{API3}/users/permissions/revoke", {"username": "bob", "resource_type": "experiment", "resource_id": "{exp}"}),
    post("alice", f"{API3}/users/permissions/revoke", {"username": "bob", "resource_type": "experiment", "resource_id": "{exp}"}),
    post("bob", f"{API3}/users/permissions/grant", {"username": "bob", "resource_type": "experiment", "resource_id": "{exp}", "permission": "MANAGE"}),
    post("alice", f"{API3}/users/permissions/grant", {"username": "bob", "resource_type": "experiment", "resource_id": "{exp}", "permission": "EDIT"}),
    may("ALL", "experiment", "{exp}", "bob"),
    may("NO_PERMISSIONS", "experiment", "{exp}", "carol"),
    may("READ", "unknown", "1", "bob"),
    may("READ", "run", "1", "bob"),
    may("READ", "workspace", "*", "bob"),
    may("USE", "workspace", "*", "bob"),
    may("READ", "experiment", "{exp}", "nobody"),
    post(ADMIN, f"{API3}/users/permissions/grant", {"username": "bob"}),
    get(ADMIN, f"{API3}/users/permissions/list", {"username": "bob"}),
    get("carol", f"{API3}/users/permissions/list", {"username": "bob"}),
    # What is granted on what lies in an experiment
    post("bob", f"{API}/runs/create", {"experiment_id": "{exp}"}, save={"run": "run.info.run_id"}),
    may("DENY", "run", "*", "bob"),
    get("bob", f"{API}/runs/get", {"run_id": "{run}"}),
    post("bob", f"{API}/runs/create", {"experiment_id": "{exp}"}),
    post("bob", f"{API}/runs/search", {"experiment_ids": ["{exp}"]}),
    post("bob", f"{API}/runs/log-batch", {"run_id": "{run}"}),
    get("bob", f"{API}/model-versions/search", {"filter": "run_id = '{run}'"}),
    post("bob", f"{API}/logged-models/search", {"experiment_ids": ["{exp}"], "filter": "source_run_id = '{run}'"}),
    get("bob", "/api/2.0/mlflow-artifacts/artifacts", {"path": "{exp}/{run}/artifacts"}),
    post(ADMIN, f"{API3}/users/permissions/revoke", {"username": "bob", "resource_type": "run", "resource_id": "*"}),
    may("READ", "run", "*", "bob"),
    post("bob", f"{API}/runs/set-tag", {"run_id": "{run}", "key": "a", "value": "b"}),
    get("bob", f"{API}/runs/get", {"run_id": "0" * 32}),
    may("DENY", "logged_model", "*", "bob"),
    post("bob", f"{API}/logged-models", {"experiment_id": "{exp}"}),
    post("bob", f"{API}/logged-models/search", {"experiment_ids": ["{exp}"]}),
    # Ids in other clothes
    may("DENY", "experiment", "0", "carol"),
    get("carol", f"{API}/experiments/get", {"experiment_id": "0"}),
    get("carol", f"{API}/experiments/get", {"experiment_id": "00"}),
    post(ADMIN, f"{API3}/roles/create", {"name": "readers of all", "workspace": "default"}, save={"readers": "role.id"}),
    post(ADMIN, f"{API3}/roles/permissions/add", {"role_id": "{readers}", "resource_type": "experiment", "resource_pattern": "*", "permission": "READ"}),
    post(ADMIN, f"{API3}/roles/assign", {"username": "carol", "role_id": "{readers}"}),
    get("carol", f"{API}/experiments/get", {"experiment_id": "{exp}"}),
    get("carol", f"{API}/experiments/get", {"experiment_id": "0"}),
    get("carol", f"{API}/experiments/get", {"experiment_id": "00"}, differs=ALIAS),
    post("carol", f"{API}/runs/search", {"experiment_ids": ["0", "00"]}),
    post("alice", f"{API}/logged-models", {"experiment_id": "{exp}", "name": "m"}, save={"mine": "model.info.model_id"}),
    post(ADMIN, f"{API}/logged-models", {"experiment_id": "0", "name": "m"}, save={"theirs": "model.info.model_id"}),
    patch("alice", f"{API}/logged-models/{{mine}}", {"model_id": "{theirs}", "status": "LOGGED_MODEL_READY"}, differs=CHECKED),
    patch("alice", f"{API}/logged-models/{{theirs}}", {"model_id": "{mine}", "status": "LOGGED_MODEL_READY"}),
    # Paths that lead somewhere else than they seem to
    may("DENY", "experiment", "{exp}", "carol"),
    get("carol", "/api/2.0/mlflow-artifacts/artifacts", {"path": "{exp}"}),
    get("carol", "/api/2.0/mlflow-artifacts/artifacts", {"path": "./{exp}"}),
    get("carol", "/api/2.0/mlflow-artifacts/artifacts", {"path": "%2531"}, differs=ONCE),
    get("carol", "/api/2.0/mlflow-artifacts/artifacts", {"path": "x/../{exp}"}),
    get("alice", "/get-artifact", {"run_id": "{run}", "path": "x", "run_uuid": "0" * 32}, differs=ALL),
    # Roles
    post(ADMIN, f"{API3}/roles/create", {"name": "readers of all", "workspace": "default"}),
    post(ADMIN, f"{API3}/roles/create", {"name": " ", "workspace": "default"}),
    post(ADMIN, f"{API3}/roles/create", {"name": "x", "workspace": ""}),
    post(ADMIN, f"{API3}/roles/create", {"name": "x"}),
    post(ADMIN, f"{API3}/roles/create", {"name": "x", "workspace": "default", "description": 3}),
    post(ADMIN, f"{API3}/roles/create", {"name": "__user_1__", "workspace": "default"}),
    post("alice", f"{API3}/roles/create", {"name": "x"}),
    post("alice", f"{API3}/roles/create", {"name": "x", "workspace": "default"}),
    get("alice", f"{API3}/roles/get", {"role_id": "999"}),
    get(ADMIN, f"{API3}/roles/get", {"role_id": "999"}),
    get(ADMIN, f"{API3}/roles/get", {"role_id": "x"}),
    get(ADMIN, f"{API3}/roles/get", {"role_id": "{readers}"}),
    get("carol", f"{API3}/roles/get", {"role_id": "{readers}"}),
    get("carol", f"{API3}/roles/list", {"workspace": "default"}, differs=OWN_ROLES),
    get("carol", f"{API3}/roles/list", {"workspace": "other"}),
    get("carol", f"{API3}/roles/list"),
    get(ADMIN, f"{API3}/roles/list", {"workspace": "other"}),
    get(ADMIN, f"{API3}/roles/list", {"workspace": ""}),
    patch(ADMIN, f"{API3}/roles/update", {"role_id": "{readers}", "description": "They read."}),
    patch(ADMIN, f"{API3}/roles/update", {"role_id": "{readers}"}),
    patch(ADMIN, f"{API3}/roles/update", {"role_id": "{readers}", "name": ""}),
    patch(ADMIN, f"{API3}/roles/update", {"role_id": "{readers}", "name": "__user_x"}),
    patch(ADMIN, f"{API3}/roles/update", {"role_id": 999, "name": "y"}),
    post(ADMIN, f"{API3}/roles/create", {"name": "second", "workspace": "default", "description": "x"}, save={"second": "role.id"}),
    patch(ADMIN, f"{API3}/roles/update", {"role_id": "{second}", "name": "readers of all"}),
    post(ADMIN, f"{API3}/roles/permissions/add", {"role_id": "{second}", "resource_type": "experiment", "resource_pattern": "{exp}", "permission": "EDIT"}, save={"allowed": "role_permission.id"}),
    post(ADMIN, f"{API3}/roles/permissions/add", {"role_id": "{second}", "resource_type": "experiment", "resource_pattern": "{exp}", "permission": "READ"}),
    post(ADMIN, f"{API3}/roles/permissions/add", {"role_id": "{second}", "resource_type": "run", "resource_pattern": "1", "permission": "READ"}),
    post(ADMIN, f"{API3}/roles/permissions/add", {"role_id": "{second}", "resource_type": "workspace", "resource_pattern": "*", "permission": "READ"}),
    post(ADMIN, f"{API3}/roles/permissions/add", {"role_id": 999, "resource_type": "run", "resource_pattern": "*", "permission": "READ"}),
    post(ADMIN, f"{API3}/roles/permissions/add", {"role_id": "{second}"}),
    patch(ADMIN, f"{API3}/roles/permissions/update", {"role_permission_id": "{allowed}", "permission": "MANAGE"}),
    patch(ADMIN, f"{API3}/roles/permissions/update", {"role_permission_id": "{allowed}", "permission": "x"}),
    patch(ADMIN, f"{API3}/roles/permissions/update", {"role_permission_id": 999, "permission": "READ"}),
    get(ADMIN, f"{API3}/roles/permissions/list", {"role_id": "{second}"}),
    get(ADMIN, f"{API3}/roles/permissions/list", {"role_id": "999"}),
    post(ADMIN, f"{API3}/roles/assign", {"username": "bob", "role_id": "{second}"}),
    post(ADMIN, f"{API3}/roles/assign", {"username": "bob", "role_id": "{second}"}),
    post(ADMIN, f"{API3}/roles/assign", {"username": "nobody", "role_id": "{second}"}),
    post(ADMIN, f"{API3}/roles/assign", {"username": "bob", "role_id": 999}),
    rights("bob", "experiment", "{exp}", "bob"),
    get("bob", f"{API3}/users/roles/list", {"username": "bob"}),
    get("alice", f"{API3}/users/roles/list", {"username": "bob"}),
    get(ADMIN, f"{API3}/roles/users/list", {"role_id": "{second}"}),
    get(ADMIN, f"{API3}/roles/users/list", {"role_id": "999"}),
    delete(ADMIN, f"{API3}/roles/permissions/remove", {"role_permission_id": "{allowed}"}),
    delete(ADMIN, f"{API3}/roles/permissions/remove", {"role_permission_id": "{allowed}"}),
    delete(ADMIN, f"{API3}/roles/unassign", {"username": "bob", "role_id": "{second}"}),
    delete(ADMIN, f"{API3}/roles/unassign", {"username": "bob", "role_id": "{second}"}),
    # Who manages a workspace
    post(ADMIN, f"{API3}/roles/permissions/add", {"role_id": "{second}", "resource_type": "workspace", "resource_pattern": "*", "permission": "MANAGE"}),
    post(ADMIN, f"{API3}/roles/assign", {"username": "bob", "role_id": "{second}"}),
    get("bob", f"{API}/runs/get", {"run_id": "0" * 32}),
    post("bob", f"{API}/users/create", {"username": "erin", "password": password("erin")}),
    post("bob", f"{API3}/roles/create", {"name": "of bob", "workspace": "default"}),
    post("bob", f"{API3}/roles/create", {"name": "of bob", "workspace": "other"}),
    get("bob", f"{API3}/users/roles/list", {"username": "carol"}),
    get("bob", f"{API}/experiments/get", {"experiment_id": "{exp}"}),
    get("bob", f"{API}/webhooks"),
    delete("bob", f"{API}/users/delete", {"username": "erin"}),
    delete(ADMIN, f"{API3}/roles/delete", {"role_id": "{second}"}),
    delete(ADMIN, f"{API3}/roles/delete", {"role_id": "{second}"}),
    get("bob", f"{API3}/users/roles/list", {"username": "carol"}),
    # A name that comes again is another one's
    post("alice", f"{API}/registered-models/create", {"name": "model"}),
    may("EDIT", "registered_model", "model", "bob"),
    post("alice", f"{API}/registered-models/rename", {"name": "model", "new_name": "renamed"}),
    rights("bob", "registered_model", "renamed", "bob"),
    rights("bob", "registered_model", "model", "bob"),
    delete("alice", f"{API}/registered-models/delete", {"name": "renamed"}),
    post(ADMIN, f"{API}/registered-models/create", {"name": "renamed"}),
    rights("bob", "registered_model", "renamed", "bob"),
    get("alice", f"{API}/registered-models/get", {"name": "renamed"}),
    post("alice", f"{API}/registered-models/create", {"name": "prompt", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}),
    get("alice", f"{API}/registered-models/get", {"name": "prompt"}),
    get("bob", f"{API}/registered-models/get", {"name": "prompt"}),
    rights("alice", "prompt", "prompt", "alice", differs=PROMPTS),
    post("alice", f"{API3}/users/permissions/grant", {"username": "bob", "resource_type": "prompt", "resource_id": "prompt", "permission": "READ"}, differs=PROMPTS),
    # What older clients call
    post("alice", f"{API}/experiments/permissions/create", {"experiment_id": "{exp}", "username": "carol", "permission": "EDIT"}, differs=OLDER),
    post("alice", f"{API}/experiments/permissions/create", {"experiment_id": "{exp}", "username": "carol", "permission": "EDIT"}, differs=OLDER),
    get("alice", f"{API}/experiments/permissions/get", {"experiment_id": "{exp}", "username": "carol"}, differs=OLDER),
    patch("alice", f"{API}/experiments/permissions/update", {"experiment_id": "{exp}", "username": "carol", "permission": "READ"}, differs=OLDER),
    delete("alice", f"{API}/experiments/permissions/delete", {"experiment_id": "{exp}", "username": "carol"}, differs=OLDER),
    get("alice", f"{API}/experiments/permissions/get", {"experiment_id": "{exp}", "username": "carol"}, differs=OLDER),
    get("carol", f"{API}/experiments/permissions/get", {"experiment_id": "{exp}", "username": "alice"}),
    # The form
    get("alice", "/signup"),
    post(ADMIN, f"{API}/users/create-ui", raw=b"username=frank&password=long+enough+to+be", headers={"Content-Type": "application/x-www-form-urlencoded"}, differs=SIGN_UP),
    # Reviews: who asks, who reviews and to whom it is attributed
    post("alice", f"{API}/experiments/create", {"name": "reviews"}, save={"reviews": "experiment_id"}),
    post("alice", f"{API3}/review-queues/create", {"experiment_id": "{reviews}", "name": "Night", "queue_type": "CUSTOM", "created_by": "mallory", "users": ["Carol"]}, save={"queue": "review_queue.queue_id"}),
    get("carol", f"{API3}/review-queues/get", {"queue_id": "{queue}"}),
    get("carol", f"{API3}/review-queues/list", {"experiment_id": "{reviews}"}),
    post("alice", f"{API3}/traces", {"trace": {"trace_info": {"trace_id": "tr-reviewed", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{reviews}"}}}}}),
    post("alice", f"{API3}/review-queues/items/add", {"queue_id": "{queue}", "item_ids": ["tr-reviewed"]}),
    post("carol", f"{API3}/review-queues/items/set-status", {"queue_id": "{queue}", "item_id": "tr-reviewed", "status": "COMPLETE"}),
    may("EDIT", "experiment", "{reviews}", "carol"),
    post("carol", f"{API3}/review-queues/items/set-status", {"queue_id": "{queue}", "item_id": "tr-reviewed", "status": "COMPLETE", "completed_by": "mallory"}),
    post("alice", f"{API3}/review-queues/items/set-status", {"queue_id": "{queue}", "item_id": "tr-reviewed", "status": "DECLINED"}),
    post("carol", f"{API3}/review-queues/items/set-status", {"queue_id": "{queue}", "item_id": "tr-reviewed", "status": "PENDING", "completed_by": "mallory"}),
    post("carol", f"{API3}/review-queues/update", {"queue_id": "{queue}", "name": "Day"}),
    post("alice", f"{API3}/review-queues/update", {"queue_id": "{queue}", "new_owner": "CAROL"}),
    post("carol", f"{API3}/review-queues/update", {"queue_id": "{queue}", "name": "Day"}),
    post("carol", f"{API3}/review-queues/update", {"queue_id": "{queue}", "name": " ALICE"}),
    post("carol", f"{API3}/review-queues/update", {"queue_id": "{queue}", "new_owner": "alice"}),
    post("carol", f"{API3}/review-queues/create", {"experiment_id": "{reviews}", "name": "Bob", "queue_type": "CUSTOM"}),
    post(ADMIN, f"{API3}/review-queues/create", {"experiment_id": "{reviews}", "name": "Bob", "queue_type": "CUSTOM"}),
    may("DENY", "review_queue", "*", "carol"),
    get("carol", f"{API3}/review-queues/get", {"queue_id": "{queue}"}),
    get("carol", f"{API3}/review-queues/list", {"experiment_id": "{reviews}"}),
    # Scorers
    post("carol", f"{API3}/scorers/register", {"experiment_id": "{reviews}", "name": "a/b", "serialized_scorer": "{}"}),
    rights(ADMIN, "scorer", "{reviews}/a%2Fb", "carol"),
    get("carol", f"{API3}/scorers/versions", {"experiment_id": "{reviews}", "name": "a/b"}),
    get("alice", f"{API3}/scorers/versions", {"experiment_id": "{reviews}", "name": "a/b"}),
    post("alice", f"{API3}/scorers/register", {"experiment_id": "{reviews}", "name": "a/b", "serialized_scorer": "{}"}),
    rights(ADMIN, "scorer", "{reviews}/a%2Fb", "alice", differs=REGISTERED),
    delete("carol", f"{API3}/scorers/delete", {"experiment_id": "{reviews}", "name": "a/b", "version": 2}),
    rights(ADMIN, "scorer", "{reviews}/a%2Fb", "carol", differs=ONE_VERSION),
    delete("carol", f"{API3}/scorers/delete", {"experiment_id": "{reviews}", "name": "a/b"}, differs=ONE_VERSION),
    rights(ADMIN, "scorer", "{reviews}/a%2Fb", "carol"),
]
