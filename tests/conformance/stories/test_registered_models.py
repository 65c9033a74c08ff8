"""Registered models: made, described, renamed, tagged, deleted; the aliases of their versions."""

import threading

import mlflow
import pytest
from helpers import UNICODE, refused, unique

#: Nothing reads it: these stories are about the registry alone.
SOURCE = "s3://bucket/model"


@pytest.fixture
def name(client) -> str:
    """The name of a registered model without versions."""
    return client.create_registered_model(unique("model")).name


def test_a_registered_model_remembers_what_it_was_given(client):
    name = unique(UNICODE)
    made = client.create_registered_model(name, tags={"team": "vision", "größe": UNICODE}, description="A **bold** one")
    stored = client.get_registered_model(name)
    assert (made.name, stored.name, stored.description) == (name, name, "A **bold** one")
    assert stored.tags == {"team": "vision", "größe": UNICODE}
    assert stored.creation_timestamp == stored.last_updated_timestamp > 1_600_000_000_000
    assert (list(stored.latest_versions), stored.aliases) == ([], {})


def test_two_registered_models_cannot_share_a_name(client, name):
    client.set_registered_model_tag(name, "first", "1")
    with refused("RESOURCE_ALREADY_EXISTS", rf"Registered Model \(name={name}\) already exists"):
        client.create_registered_model(name, tags={"second": "2"})
    assert client.get_registered_model(name).tags == {"first": "1"}


def test_names_of_registered_models_are_compared_as_written(client, name):
    assert client.create_registered_model(name.upper()).name == name.upper()
    assert client.create_registered_model(f" {name} ").name == f" {name} "


@pytest.mark.parametrize("wrong", ["", "  ", "a/b", "models:/a", "a:b", ".", ".."])
def test_a_registered_model_needs_a_good_name(client, wrong):
    with refused("INVALID_PARAMETER_VALUE", "name"):
        client.create_registered_model(wrong)


def test_a_registered_model_is_described(client, name):
    before = client.get_registered_model(name)
    assert client.update_registered_model(name, "Forests of 2026").description == "Forests of 2026"
    after = client.get_registered_model(name)
    assert (after.description, after.creation_timestamp) == ("Forests of 2026", before.creation_timestamp)
    assert after.last_updated_timestamp >= before.last_updated_timestamp


def test_a_renamed_model_takes_everything_along(client, name):
    client.create_model_version(name, SOURCE, tags={"of": "version"})
    client.set_registered_model_tag(name, "of", "model")
    client.set_registered_model_alias(name, "champion", "1")
    new_name = unique("renamed ß")
    client.rename_registered_model(name, new_name)
    model = client.get_registered_model(new_name)
    assert (model.name, model.tags) == (new_name, {"of": "model"})
    version = client.get_model_version_by_alias(new_name, "champion")
    assert (version.name, version.tags, version.source) == (new_name, {"of": "version"}, SOURCE)
    with refused("RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found"):
        client.get_registered_model(name)


def test_a_model_is_not_renamed_to_a_name_that_is_taken(client, name):
    taken = client.create_registered_model(unique("taken"), description="was here first").name
    client.create_model_version(name, SOURCE)
    with refused("RESOURCE_ALREADY_EXISTS", "already exists"):
        client.rename_registered_model(name, taken)
    assert client.get_registered_model(taken).description == "was here first"
    assert client.get_model_version(name, "1").name == name


@pytest.mark.parametrize("wrong", ["a/b", "a:b", "."])
def test_a_model_is_not_renamed_to_a_bad_name(client, name, wrong):
    with refused("INVALID_PARAMETER_VALUE", "name"):
        client.rename_registered_model(name, wrong)
    assert client.get_registered_model(name).name == name


def test_a_deleted_model_leaves_nothing(client, name):
    client.set_registered_model_tag(name, "gone", "1")
    client.create_model_version(name, SOURCE, tags={"gone": "1"})
    client.set_registered_model_alias(name, "gone", "1")
    client.delete_registered_model(name)
    with refused("RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found"):
        client.get_registered_model(name)
    assert client.search_registered_models(f"name = '{name}'") == []
    assert client.search_model_versions(f"name = '{name}'") == []

    again = client.create_registered_model(name)
    assert (again.tags, again.aliases) == ({}, {})
    version = client.create_model_version(name, SOURCE)
    assert (int(version.version), version.tags) == (1, {})


def test_an_unknown_registered_model_is_not_found(client):
    nobody = unique("nobody")
    asks = (
        lambda: client.get_registered_model(nobody),
        lambda: client.update_registered_model(nobody, "description"),
        lambda: client.rename_registered_model(nobody, unique("else")),
        lambda: client.delete_registered_model(nobody),
        lambda: client.set_registered_model_tag(nobody, "k", "v"),
        lambda: client.delete_registered_model_tag(nobody, "k"),
        lambda: client.set_registered_model_alias(nobody, "champion", "1"),
        lambda: client.delete_registered_model_alias(nobody, "champion"),
        lambda: client.get_model_version_by_alias(nobody, "champion"),
        lambda: client.get_latest_versions(nobody),
        lambda: client.create_model_version(nobody, SOURCE),
    )
    for ask in asks:
        with refused("RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={nobody} not found"):
            ask()


def test_tags_of_a_registered_model_can_change_and_go(client, name):
    client.set_registered_model_tag(name, "stays", "1")
    client.set_registered_model_tag(name, "stays", "größer")
    client.set_registered_model_tag(name, "goes", "1")
    client.delete_registered_model_tag(name, "goes")
    # What is gone already may go again.
    client.delete_registered_model_tag(name, "goes")
    assert client.get_registered_model(name).tags == {"stays": "größer"}


def test_tags_of_a_registered_model_have_limits(client, name):
    # The least that every generation of the SDK lets through.
    client.set_registered_model_tag(name, "k" * 250, "v" * 5000)
    assert client.get_registered_model(name).tags == {"k" * 250: "v" * 5000}
    for key, value in (("k" * 251, "v"), ("k", "v" * 100_001), ("", "v"), ("a,b", "v")):
        with refused("INVALID_PARAMETER_VALUE"):
            client.set_registered_model_tag(name, key, value)
    with refused("INVALID_PARAMETER_VALUE"):
        client.create_registered_model(unique("tagged"), tags={"k" * 251: "v"})
    assert set(client.get_registered_model(name).tags) == {"k" * 250}


@pytest.fixture
def versions(client, name) -> str:
    """The name of a registered model with three versions."""
    for _ in range(3):
        client.create_model_version(name, SOURCE)
    return name


def aliases(client, name) -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}


def test_an_alias_names_one_version_at_a_time(client, versions):
    client.set_registered_model_alias(versions, "champion", "1")
    client.set_registered_model_alias(versions, "challenger", "2")
    client.set_registered_model_alias(versions, "champion", "2")
    assert aliases(client, versions) == {"champion": 2, "challenger": 2}
    assert int(client.get_model_version_by_alias(versions, "champion").version) == 2
    assert client.get_model_version(versions, "1").aliases == []
    assert sorted(client.get_model_version(versions, "2").aliases) == ["challenger", "champion"]


def test_an_alias_goes_alone_or_with_its_version(client, versions):
    for alias, version in (("a", "1"), ("b", "2"), ("c", "2"), ("d", "3")):
        client.set_registered_model_alias(versions, alias, version)
    client.delete_registered_model_alias(versions, "a")
    # What is gone already may go again.
    client.delete_registered_model_alias(versions, "a")
    client.delete_model_version(versions, "2")
    assert aliases(client, versions) == {"d": 3}
    for alias in ("a", "b"):
        with refused("INVALID_PARAMETER_VALUE", f"Registered model alias {alias} not found"):
            client.get_model_version_by_alias(versions, alias)


def test_an_alias_needs_a_version_that_exists(client, versions):
    with refused("RESOURCE_DOES_NOT_EXIST", rf"Model Version \(name={versions}, version=4\) not found"):
        client.set_registered_model_alias(versions, "champion", "4")
    assert aliases(client, versions) == {}


@pytest.mark.parametrize("wrong", ["", "a b", "a/b", "a.b", "a" * 256, "latest", "LATEST", "v1", "V23"])
def test_an_alias_needs_a_good_name(client, versions, wrong):
    with refused("INVALID_PARAMETER_VALUE", "(?i)alias"):
        client.set_registered_model_alias(versions, wrong, "1")
    assert aliases(client, versions) == {}


def test_an_alias_is_a_word_of_any_language(client, versions):
    for alias in ("a" * 255, "A-b_9", "v", "1", "größe", "模型"):
        client.set_registered_model_alias(versions, alias, "3")
        assert int(client.get_model_version_by_alias(versions, alias).version) == 3


@pytest.mark.since(3)
def test_the_alias_latest_is_the_newest_version(client, versions):
    client.transition_model_version_stage(versions, "1", "Production")
    assert int(client.get_model_version_by_alias(versions, "latest").version) == 3
    client.delete_model_version(versions, "3")
    assert int(client.get_model_version_by_alias(versions, "Latest").version) == 2


def test_a_model_registered_by_many_at_once_is_registered_once(client):
    name, made = unique("race"), []

    def register():
        try:
            made.append(client.create_registered_model(name))
        except mlflow.MlflowException as error:
            assert error.error_code == "RESOURCE_ALREADY_EXISTS", error

    threads = [threading.Thread(target=register) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
