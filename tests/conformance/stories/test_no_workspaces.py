"""A server without workspaces, with an SDK that knows of them."""

import mlflow
import pytest
from helpers import refused

pytestmark = [pytest.mark.since(3, 17), pytest.mark.without_workspaces]


@pytest.fixture(autouse=True)
def no_workspace():
    """No later story is in a workspace."""
    yield
    mlflow.set_workspace(None)


def test_a_server_without_workspaces_says_so(client, experiment):
    # The SDK asks the server whether it has workspaces before it names one.
    for name in ("team", "default"):
        mlflow.set_workspace(name)
        with refused("FEATURE_DISABLED"):
            client.get_experiment(experiment)
    mlflow.set_workspace(None)
    assert client.get_experiment(experiment).experiment_id == experiment


def test_a_server_without_workspaces_has_none_to_list(client):
    for ask in (client.list_workspaces, lambda: client.create_workspace("team"), lambda: client.get_workspace("default")):
        with pytest.raises(mlflow.MlflowException):
            ask()
