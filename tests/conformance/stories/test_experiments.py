"""Experiments: made, found, renamed, tagged, deleted and brought back."""

import os

import mlflow
import pytest
from helpers import UNICODE, refused, unique
from mlflow.entities import ViewType


@pytest.mark.default_workspace
def test_a_fresh_server_has_the_default_experiment(client):
    default = client.get_experiment("0")
    assert default.name == "Default"
    assert default.lifecycle_stage == "active"


def test_an_experiment_remembers_its_name_tags_and_times(client):
    name = unique("remembered")
    experiment_id = client.create_experiment(name, tags={"team": "vision", "empty": ""})
    experiment = client.get_experiment(experiment_id)
    assert experiment.name == name
    assert experiment.tags == {"team": "vision", "empty": ""}
    assert experiment.lifecycle_stage == "active"
    assert experiment.creation_time == experiment.last_update_time > 1_600_000_000_000
    assert experiment.artifact_location.endswith(f"/{experiment_id}")


def test_an_experiment_is_found_by_its_name(client):
    name = unique(UNICODE)
    experiment_id = client.create_experiment(name)
    assert client.get_experiment_by_name(name).experiment_id == experiment_id
    assert client.get_experiment_by_name(unique("nobody")) is None


def test_two_experiments_cannot_share_a_name(client):
    name = unique("taken")
    client.create_experiment(name)
    with refused("RESOURCE_ALREADY_EXISTS", "already exists"):
        client.create_experiment(name)


def test_an_experiment_needs_a_name(client):
    with refused("INVALID_PARAMETER_VALUE", "Missing value for required parameter 'name'"):
        client.create_experiment("")


@pytest.mark.without_workspaces
def test_an_experiment_keeps_the_artifact_location_it_was_given(client, tmp_path):
    location = (tmp_path / "own").as_uri()
    experiment_id = client.create_experiment(unique("own place"), artifact_location=location)
    assert client.get_experiment(experiment_id).artifact_location == location
    run = client.create_run(experiment_id)
    assert run.info.artifact_uri == f"{location}/{run.info.run_id}/artifacts"


def test_an_experiment_can_be_renamed(client, experiment):
    name = unique("renamed")
    client.rename_experiment(experiment, name)
    renamed = client.get_experiment(experiment)
    assert renamed.name == name
    assert renamed.last_update_time >= renamed.creation_time
    assert client.get_experiment_by_name(name).experiment_id == experiment


@pytest.mark.default_workspace
def test_an_experiment_cannot_take_the_name_of_another(client, experiment):
    other = client.get_experiment("0").name
    with pytest.raises(mlflow.MlflowException):
        client.rename_experiment(experiment, other)
    assert client.get_experiment(experiment).name != other


def test_a_tag_of_an_experiment_can_be_set_again(client, experiment):
    client.set_experiment_tag(experiment, "owner", "ada")
    client.set_experiment_tag(experiment, "owner", UNICODE)
    assert client.get_experiment(experiment).tags == {"owner": UNICODE}


def test_tags_of_the_active_experiment_can_be_set_together(client, experiment):
    mlflow.set_experiment_tags({"a": "1", "b": 2})
    assert client.get_experiment(experiment).tags == {"a": "1", "b": "2"}


@pytest.mark.since(3)
def test_a_tag_of_an_experiment_can_be_deleted(client, experiment):
    client.set_experiment_tag(experiment, "stays", "1")
    client.set_experiment_tag(experiment, "goes", "1")
    client.delete_experiment_tag(experiment, "goes")
    assert client.get_experiment(experiment).tags == {"stays": "1"}


def test_a_deleted_experiment_can_be_restored_with_its_runs(client, experiment, run):
    client.delete_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    client.restore_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "active"
    assert client.get_run(run).info.lifecycle_stage == "active"


def test_a_deleted_experiment_takes_no_new_run_and_no_new_name(client, experiment):
    client.delete_experiment(experiment)
    with refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state"):
        client.create_run(experiment)
    name = client.get_experiment(experiment).name
    with pytest.raises(mlflow.MlflowException):
        client.rename_experiment(experiment, unique("never"))
    assert client.get_experiment(experiment).name == name


def test_a_deleted_experiment_cannot_become_the_active_one(client, experiment):
    client.delete_experiment(experiment)
    with pytest.raises(mlflow.MlflowException, match="deleted experiment"):
        mlflow.set_experiment(experiment_id=experiment)


def test_an_unknown_experiment_is_not_found(client):
    for ask in (client.get_experiment, client.delete_experiment, client.restore_experiment, client.create_run):
        with refused("RESOURCE_DOES_NOT_EXIST", "No Experiment with id=987654321 exists"):
            ask("987654321")


def test_set_experiment_makes_one_and_finds_it_again():
    name = unique("on demand")
    made = mlflow.set_experiment(name)
    assert mlflow.set_experiment(name).experiment_id == made.experiment_id
    with mlflow.start_run() as run:
        assert run.info.experiment_id == made.experiment_id


def test_experiments_are_searched_by_name_and_tag():
    mark = os.urandom(6).hex()
    for number, color in enumerate(("red", "green", "Red")):
        mlflow.create_experiment(f"{mark}-{number}", tags={"color": color, "my tag": mark})

    def names(filter_string):
        found = mlflow.search_experiments(filter_string=filter_string, order_by=["name ASC"])
        return [experiment.name.removeprefix(f"{mark}-") for experiment in found]

    assert names(f"name LIKE '{mark}%'") == ["0", "1", "2"]
    assert names(f"name ILIKE '{mark.upper()}%'") == ["0", "1", "2"]
    assert names(f"attribute.name = '{mark}-1'") == ["1"]
    assert names(f"tags.`my tag` = '{mark}' AND tags.color = 'red'") == ["0"]
    assert names(f"tags.`my tag` = '{mark}' AND tags.color ILIKE 'red'") == ["0", "2"]
    assert names(f"tags.`my tag` = '{mark}' AND tags.color != 'red'") == ["1", "2"]


def test_experiments_are_paged_and_the_newest_come_first(client):
    mark = os.urandom(6).hex()
    made = [client.create_experiment(f"{mark}-{number}") for number in range(5)]
    seen, token, pages = [], None, 0
    while pages == 0 or token:
        page = client.search_experiments(filter_string=f"name LIKE '{mark}%'", max_results=2, page_token=token)
        seen += [experiment.experiment_id for experiment in page]
        token, pages = page.token, pages + 1
    assert pages == 3
    assert seen == made[::-1]


def test_deleted_experiments_are_seen_only_by_who_asks_for_them(client):
    mark = os.urandom(6).hex()
    alive, dead = (client.create_experiment(f"{mark}-{number}") for number in range(2))
    client.delete_experiment(dead)

    def found(view):
        return {e.experiment_id for e in client.search_experiments(view, filter_string=f"name LIKE '{mark}%'")}

    assert found(ViewType.ACTIVE_ONLY) == {alive}
    assert found(ViewType.DELETED_ONLY) == {dead}
    assert found(ViewType.ALL) == {alive, dead}


def test_a_bad_search_of_experiments_says_what_is_wrong(client):
    for wrong in ("nme = 'x'", "name = x", "name > 'x'", "tags.a.b"):
        with refused("INVALID_PARAMETER_VALUE"):
            client.search_experiments(filter_string=wrong)
    with refused("INVALID_PARAMETER_VALUE", "max_results"):
        client.search_experiments(max_results=0)
