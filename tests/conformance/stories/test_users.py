"""Users log in, share what they made, and see nothing else, with the client that each SDK brings for that."""

import os

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

# The SDK's client for users imports all of its server.
pytestmark = [pytest.mark.heavy, pytest.mark.without_workspaces]

ADMIN = ("admin", "the admin's password")


@pytest.fixture
def guarded(request, monkeypatch):
    """Logs in at the server with users; nobody stays logged in behind the story."""
    # Importing the client imports a server too, in the older ones.
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "x")
    uri = request.config.getoption("--users-uri")

    def log_in(name, password):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        mlflow.set_tracking_uri(uri)
        return MlflowClient(uri, uri)

    log_in.uri = uri
    return log_in


@pytest.fixture
def users(guarded, tmp_path, monkeypatch):
    """The SDK's client for users, and the names of two new ones."""
    monkeypatch.chdir(tmp_path)
    from mlflow.server import get_app_client

    guarded(*ADMIN)
    client = get_app_client("basic-auth", guarded.uri)
    names = [f"{name}-{os.urandom(4).hex()}" for name in ("alice", "bob")]
    for name in names:
        made = client.create_user(name, f"the password of {name}")
        assert made.username == name and not made.is_admin
    return client, *names


def refused(work, *args, **kwargs):
    with pytest.raises(MlflowException, match="403"):
        work(*args, **kwargs)


def test_an_admin_makes_changes_and_deletes_users(guarded, users):
    client, alice, bob = users
    assert client.get_user(alice).username == alice
    client.update_user_admin(alice, True)
    assert client.get_user(alice).is_admin
    client.update_user_password(bob, "another long password")
    guarded(bob, "another long password")
    assert client.get_user(bob).username == bob
    refused(client.get_user, alice)
    guarded(*ADMIN)
    client.delete_user(bob)
    with pytest.raises(MlflowException):
        client.get_user(bob)


def test_who_makes_an_experiment_shares_it(guarded, users):
    client, alice, bob = users
    as_alice = guarded(alice, f"the password of {alice}")
    experiment = as_alice.create_experiment(f"of {alice}")
    run = as_alice.create_run(experiment).info.run_id
    as_bob = guarded(bob, f"the password of {bob}")
    refused(as_bob.get_run, run)
    refused(as_bob.log_metric, run, "m", 1)
    assert as_bob.search_experiments() == [] and list(as_bob.search_runs([experiment])) == []
    guarded(alice, f"the password of {alice}")
    share(client, bob, "experiment", experiment, "READ")
    as_bob = guarded(bob, f"the password of {bob}")
    assert as_bob.get_run(run).info.run_id == run
    assert [found.experiment_id for found in as_bob.search_experiments()] == [experiment]
    refused(as_bob.log_metric, run, "m", 1)
    refused(share, client, bob, "experiment", experiment, "MANAGE")


def test_who_makes_a_model_shares_it(guarded, users):
    client, alice, bob = users
    as_alice = guarded(alice, f"the password of {alice}")
    as_alice.create_registered_model(f"of {alice}")
    as_bob = guarded(bob, f"the password of {bob}")
    refused(as_bob.get_registered_model, f"of {alice}")
    guarded(alice, f"the password of {alice}")
    share(client, bob, "registered_model", f"of {alice}", "EDIT")
    as_bob = guarded(bob, f"the password of {bob}")
    as_bob.update_registered_model(f"of {alice}", description="by bob")
    refused(as_bob.delete_registered_model, f"of {alice}")
    assert [model.name for model in as_bob.search_registered_models()] == [f"of {alice}"]


def share(client, username, kind, id_, permission):
    if hasattr(client, "grant_user_permission"):
        client.grant_user_permission(username, kind, id_, permission)
    elif kind == "experiment":
        made = client.create_experiment_permission(id_, username, permission)
        assert (made.experiment_id, made.permission) == (id_, permission)
        client.update_experiment_permission(id_, username, permission)
        assert client.get_experiment_permission(id_, username).permission == permission
    else:
        made = client.create_registered_model_permission(id_, username, permission)
        assert (made.name, made.permission) == (id_, permission)
        client.update_registered_model_permission(id_, username, permission)
        assert client.get_registered_model_permission(id_, username).permission == permission


@pytest.mark.since(3, 17)
def test_a_role_allows_several_users_the_same(guarded, users):
    client, alice, bob = users
    experiment = guarded(*ADMIN).create_experiment(f"for {alice} and {bob}")
    role = client.create_role(name=f"role of {alice}", workspace="default", description="They write.")
    allowed = client.add_role_permission(role.id, "experiment", experiment, "READ")
    client.update_role_permission(allowed.id, "EDIT")
    for name in (alice, bob):
        client.assign_role(name, role.id)
    assert len(client.list_role_users(role.id)) == 2
    assert [found.name for found in client.list_user_roles(bob)] == [role.name]
    guarded(bob, f"the password of {bob}").create_run(experiment)
    assert client.get_user_permission(bob, "experiment", experiment).permission == "EDIT"
    guarded(*ADMIN)
    client.unassign_role(bob, role.id)
    client.remove_role_permission(allowed.id)
    assert client.list_role_permissions(role.id) == []
    client.delete_role(role.id)
