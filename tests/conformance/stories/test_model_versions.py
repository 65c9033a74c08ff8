"""Versions of registered models: where they come from, stages, tags, copies."""

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


@pytest.fixture
def versions(client, name) -> str:
    """The name of a registered model with three versions."""
    for _ in range(3):
        client.create_model_version(name, SOURCE)
    return name


def numbers(found) -> list[int]:
    return [int(version.version) for version in found]


def stages(client, name) -> dict[int, str]:
    return {int(v.version): v.current_stage for v in client.search_model_versions(f"name = '{name}'")}


def test_a_version_remembers_what_it_was_given(client, name, run):
    source = f"runs:/{run}/model"
    made = client.create_model_version(
        name, source, run_id=run, tags={"größe": UNICODE}, run_link="https://example.org/run", description="First"
    )
    stored = client.get_model_version(name, made.version)
    for version in (made, stored):
        assert (version.name, int(version.version), version.source, version.run_id) == (name, 1, source, run)
        assert (version.description, version.run_link) == ("First", "https://example.org/run")
        assert (version.tags, version.aliases) == ({"größe": UNICODE}, [])
        assert (version.status, version.current_stage) == ("READY", "None")
        assert version.creation_timestamp == version.last_updated_timestamp > 1_600_000_000_000


def test_versions_count_from_one_and_a_number_is_used_once(client, name):
    assert numbers(client.create_model_version(name, SOURCE) for _ in range(3)) == [1, 2, 3]
    client.delete_model_version(name, "3")
    assert int(client.create_model_version(name, SOURCE).version) == 4
    assert sorted(stages(client, name)) == [1, 2, 4]


def test_versions_made_at_once_have_numbers_of_their_own(client, name):
    made = []

    def create():
        try:
            made.append(int(client.create_model_version(name, SOURCE).version))
        except mlflow.MlflowException as error:
            # A server may give up; it may not give a number twice.
            assert "creation error" in str(error), error

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == sorted(stages(client, name)) == list(range(1, len(made) + 1))


def test_a_new_version_moves_the_time_of_its_model(client, name):
    before = client.get_registered_model(name).last_updated_timestamp
    version = client.create_model_version(name, SOURCE)
    model = client.get_registered_model(name)
    assert model.last_updated_timestamp == version.creation_timestamp >= before
    assert numbers(model.latest_versions) == [1]


def test_a_version_is_described(client, versions):
    assert client.update_model_version(versions, "2", "The good one").description == "The good one"
    stored = client.get_model_version(versions, "2")
    assert stored.description == "The good one"
    assert stored.last_updated_timestamp >= stored.creation_timestamp
    assert not client.get_model_version(versions, "1").description


def test_tags_of_a_version_can_change_and_go(client, versions):
    client.set_model_version_tag(versions, "1", "stays", "1")
    client.set_model_version_tag(versions, "1", "stays", UNICODE)
    client.set_model_version_tag(versions, "1", "goes", "1")
    client.delete_model_version_tag(versions, "1", "goes")
    # What is gone already may go again.
    client.delete_model_version_tag(versions, "1", "goes")
    assert client.get_model_version(versions, "1").tags == {"stays": UNICODE}
    assert client.get_model_version(versions, "2").tags == {}


def test_a_version_is_tagged_by_its_stage(client, versions):
    client.transition_model_version_stage(versions, "2", "Staging")
    client.set_model_version_tag(versions, key="tested", value="yes", stage="Staging")
    assert client.get_model_version(versions, "2").tags == {"tested": "yes"}
    client.delete_model_version_tag(versions, key="tested", stage="Staging")
    assert client.get_model_version(versions, "2").tags == {}


def test_tags_of_a_version_have_limits(client, versions):
    client.set_model_version_tag(versions, "1", "k" * 250, "v" * 5000)
    for key, value in (("k" * 251, "v"), ("k", "v" * 100_001), ("", "v")):
        with refused("INVALID_PARAMETER_VALUE"):
            client.set_model_version_tag(versions, "1", key, value)
    assert client.get_model_version(versions, "1").tags == {"k" * 250: "v" * 5000}


def test_a_deleted_version_is_gone(client, versions):
    client.delete_model_version(versions, "2")
    with refused("RESOURCE_DOES_NOT_EXIST", rf"Model Version \(name={versions}, version=2\) not found"):
        client.get_model_version(versions, "2")
    assert sorted(stages(client, versions)) == [1, 3]
    client.delete_model_version(versions, "3")
    assert numbers(client.get_registered_model(versions).latest_versions) == [1]


def test_an_unknown_version_is_not_found(client, versions):
    asks = (
        lambda version: client.get_model_version(versions, version),
        lambda version: client.update_model_version(versions, version, "description"),
        lambda version: client.delete_model_version(versions, version),
        lambda version: client.transition_model_version_stage(versions, version, "Staging"),
        lambda version: client.set_model_version_tag(versions, version, "k", "v"),
        lambda version: client.delete_model_version_tag(versions, version, "k"),
        lambda version: client.get_model_version_download_uri(versions, version),
    )
    for ask in asks:
        with refused("RESOURCE_DOES_NOT_EXIST", rf"Model Version \(name={versions}, version=9\) not found"):
            ask("9")


def test_a_version_is_a_whole_number(client, versions):
    for wrong in ("first", "1.5", "0x1"):
        with refused("INVALID_PARAMETER_VALUE", f"(?i)version.*{wrong}|{wrong}.*version"):
            client.get_model_version(versions, wrong)


def test_a_version_moves_from_stage_to_stage(client, versions):
    for stage in ("Staging", "Production", "Archived", "None"):
        moved = client.transition_model_version_stage(versions, "2", stage.lower())
        assert (int(moved.version), moved.current_stage) == (2, stage)
        assert client.get_model_version(versions, "2").current_stage == stage
    with refused("INVALID_PARAMETER_VALUE", "Invalid Model Version stage: nowhere.*None, Staging, Production, Archived"):
        client.transition_model_version_stage(versions, "2", "nowhere")


def test_who_held_the_stage_can_be_archived(client, versions):
    client.transition_model_version_stage(versions, "1", "Production")
    client.transition_model_version_stage(versions, "2", "Production")
    assert stages(client, versions) == {1: "Production", 2: "Production", 3: "None"}
    client.transition_model_version_stage(versions, "3", "production", archive_existing_versions=True)
    assert stages(client, versions) == {1: "Archived", 2: "Archived", 3: "Production"}
    # What holds it already is not archived.
    client.transition_model_version_stage(versions, "3", "Production", archive_existing_versions=True)
    assert stages(client, versions)[3] == "Production"


@pytest.mark.parametrize("stage", ["None", "Archived"])
def test_only_active_stages_archive_others(client, versions, stage):
    with pytest.raises(mlflow.MlflowException):
        client.transition_model_version_stage(versions, "1", stage, archive_existing_versions=True)
    assert stages(client, versions)[1] == "None"


def test_the_latest_version_of_each_stage_is_known(client, name):
    for stage in ("Production", "Staging", "Production", "Staging", "None", "Archived"):
        version = client.create_model_version(name, SOURCE)
        client.transition_model_version_stage(name, version.version, stage)

    def latest(asked=None):
        return {v.current_stage: int(v.version) for v in client.get_latest_versions(name, asked)}

    assert latest() == {"None": 5, "Staging": 4, "Production": 3, "Archived": 6}
    assert latest(["production"]) == {"Production": 3}
    assert latest(["Staging", "Archived"]) == {"Staging": 4, "Archived": 6}
    with refused("INVALID_PARAMETER_VALUE", "Invalid Model Version stage"):
        latest(["Nowhere"])
    held = {v.current_stage: int(v.version) for v in client.get_registered_model(name).latest_versions}
    assert held == latest()


def test_a_version_knows_where_its_files_are(client, name, run):
    for source, run_id in ((SOURCE, None), (f"runs:/{run}/model", run)):
        version = client.create_model_version(name, source, run_id=run_id)
        assert client.get_model_version_download_uri(name, version.version) == source


def test_a_version_may_come_from_the_artifacts_of_its_run(client, name, run):
    uri = client.get_run(run).info.artifact_uri
    version = client.create_model_version(name, f"{uri}/model", run_id=run)
    assert (version.source, version.run_id) == (f"{uri}/model", run)


def test_a_version_does_not_come_from_where_its_run_has_nothing(client, name, run, experiment):
    other = client.create_run(experiment).info
    wrong = (
        "/etc",
        "file:///etc",
        "./model",
        "s3://bucket/../other",
        "mlflow-artifacts:/../../etc",
        f"{client.get_run(run).info.artifact_uri}/../../x",
        f"{other.artifact_uri}/model",
        f"runs:/{other.run_id}/model",
    )
    for source in wrong:
        with refused("INVALID_PARAMETER_VALUE", "Invalid model version source"):
            client.create_model_version(name, source, run_id=run)
    with refused("INVALID_PARAMETER_VALUE", "Invalid model version source"):
        client.create_model_version(name, f"runs:/{run}/model")
    assert stages(client, name) == {}


def test_a_copy_points_to_the_version_it_was_made_from(client, name, run):
    uri = f"runs:/{run}/model"
    original = client.create_model_version(name, uri, run_id=run, tags={"color": "red"}, description="The original")
    target = unique("copy")
    copy = client.copy_model_version(f"models:/{name}/{original.version}", target)
    assert (copy.name, int(copy.version), copy.run_id) == (target, 1, run)
    assert (copy.source, copy.tags, copy.description) == (f"models:/{name}/1", {"color": "red"}, "The original")
    assert client.get_model_version_download_uri(target, "1") == uri

    # A copy of it by an alias, into a model that is there.
    client.set_registered_model_alias(target, "champion", "1")
    second = client.copy_model_version(f"models:/{target}@champion", target)
    assert (int(second.version), second.source) == (2, f"models:/{target}/1")
    # Copies do not need what they were made from.
    client.delete_registered_model(name)
    assert client.get_model_version_download_uri(target, "2") == uri


def test_what_is_not_there_is_not_copied(client, versions):
    for wrong in (f"models:/{versions}/9", f"models:/{versions}@nobody", f"models:/{unique('nobody')}/1"):
        with pytest.raises(mlflow.MlflowException, match="(?i)failed to fetch model version.*not found"):
            client.copy_model_version(wrong, unique("copy"))
    with pytest.raises(mlflow.MlflowException, match="Unsupported source model URI"):
        client.copy_model_version("runs:/abc/model", unique("copy"))


@pytest.mark.since(3)
def test_a_version_of_a_logged_model_belongs_to_its_run(client, name):
    with mlflow.start_run() as run:
        model = mlflow.create_external_model(name="forest")
    version = client.create_model_version(name, f"models:/{model.model_id}", model_id=model.model_id)
    assert version.run_id == run.info.run_id
    assert client.get_model_version_download_uri(name, "1") == model.artifact_location
    tag = mlflow.get_logged_model(model.model_id).tags["mlflow.modelVersions"]
    assert name in tag
    with refused("INVALID_PARAMETER_VALUE", "Invalid model version source"):
        client.create_model_version(name, f"models:/{model.model_id}")
