"""Grants by the paths that releases before the reference had for each kind of resource, as their clients send them."""

import pytest
from people import ADMIN, People, settings
from support import servers

#: Kinds of 3.8 to 3.12: path, the parameters that name one, and what errors call it.
KINDS = {
    "scorer": ("scorers", {"experiment_id": "0", "scorer_name": "a b/c"}, "Scorer"),
    "gateway_secret": ("gateway/secrets", {"secret_id": "s-1"}, "Gateway secret"),
    "gateway_endpoint": ("gateway/endpoints", {"endpoint_id": "e-1"}, "Gateway endpoint"),
    "gateway_model_definition": (
        "gateway/model-definitions",
        {"model_definition_id": "d-1"},
        "Gateway model definition",
    ),
}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    env = settings(folder, f"sqlite:///{folder}/users.db")
    with servers.ferroflow(f"sqlite:///{folder}/x.db", args=["--app-name", "basic-auth"], env=env) as server:
        people = People(server.url)
        people.join("alice")
        yield people


@pytest.mark.parametrize("kind", KINDS)
def test_a_grant_is_made_read_changed_and_taken_back(kind, people):
    path, names, what = KINDS[kind]
    base = f"/api/3.0/mlflow/{path}/permissions"
    asked = names | {"username": "alice"}
    made = people.must(ADMIN, "POST", f"{base}/create", body=asked | {"permission": "READ"})
    found = people.must(ADMIN, "GET", f"{base}/get", query=asked)
    assert made == found
    assert found[f"{kind}_permission"] == names | {"permission": "READ", "user_id": found[f"{kind}_permission"]["user_id"]}
    taken = people.send(ADMIN, "POST", f"{base}/create", body=asked | {"permission": "READ"}).json()
    named = ", ".join(f"{key}={value}" for key, value in names.items())
    assert taken["error_code"] == "RESOURCE_ALREADY_EXISTS"
    assert taken["message"] == f"{what} permission ({named}, username=alice) already exists."
    assert people.must(ADMIN, "PATCH", f"{base}/update", body=asked | {"permission": "EDIT"}) == {}
    assert people.must(ADMIN, "GET", f"{base}/get", query=asked)[f"{kind}_permission"]["permission"] == "EDIT"
    # It is the grant that the calls of today know.
    listed = people.must(ADMIN, "GET", "/api/3.0/mlflow/users/permissions/list", query={"username": "alice"})
    kinds = {row["resource_type"]: row["permission"] for row in listed["permissions"]}
    assert kinds[kind] == "EDIT"
    # Who does not manage it may not share it.
    assert people.send("alice", "GET", f"{base}/get", query=asked).status_code == 403
    assert people.send(None, "GET", f"{base}/get", query=asked).status_code == 401
    people.must(ADMIN, "DELETE", f"{base}/delete", body=asked)
    gone = people.send(ADMIN, "GET", f"{base}/get", query=asked).json()
    comma = "," if kind == "scorer" else ""
    assert gone["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert gone["message"] == f"{what} permission with {named}{comma} and username=alice not found"
