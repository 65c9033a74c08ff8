"""Datasets that a run was trained and tested on."""

import json

import mlflow
import numpy
import pandas
import pytest
import requests
from helpers import UNICODE, in_workspace, refused
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Dataset, DatasetInput, InputTag


@pytest.fixture
def houses():
    frame = pandas.DataFrame({"rooms": [2.0, 3.0, 5.0], "größe": [55.5, 80.0, 140.25], "city": ["Oslo", "模型", "x"]})
    return mlflow.data.from_pandas(frame, source="https://example.com/houses.csv", name="houses", targets="rooms")


def inputs(client, run):
    """Name, digest and context of each dataset of a run."""
    found = []
    for entry in client.get_run(run).inputs.dataset_inputs:
        tags = {tag.key: tag.value for tag in entry.tags}
        found.append((entry.dataset.name, entry.dataset.digest, tags.get("mlflow.data.context")))
    return sorted(found)


def given(name, digest, **more) -> Dataset:
    return Dataset(**{"name": name, "digest": digest, "source_type": "local", "source": "{}", **more})


def test_a_dataset_is_remembered_with_its_schema_and_source(client, houses):
    with mlflow.start_run() as run:
        mlflow.log_input(houses, context="training")
    (entry,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("houses", houses.digest)
    assert entry.dataset.source_type == "http"
    assert json.loads(entry.dataset.source) == {"url": "https://example.com/houses.csv"}
    columns = json.loads(entry.dataset.schema)["mlflow_colspec"]
    assert [column["name"] for column in columns] == ["rooms", "größe", "city"]
    assert json.loads(entry.dataset.profile) == {"num_rows": 3, "num_elements": 9}
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "training")]
    assert mlflow.data.get_source(entry).url == "https://example.com/houses.csv"


def test_a_run_has_a_dataset_for_training_and_one_for_testing(client):
    train, test = (mlflow.data.from_numpy(numpy.arange(n * 1.0), name=f"part {n}") for n in (8, 2))
    with mlflow.start_run() as run:
        mlflow.log_input(train, context="training")
        mlflow.log_input(test, context="testing", tags={"fold": "0", "größe": UNICODE})
    assert inputs(client, run.info.run_id) == [("part 2", test.digest, "testing"), ("part 8", train.digest, "training")]
    entries = client.get_run(run.info.run_id).inputs.dataset_inputs
    tags = {tag.key: tag.value for entry in entries if entry.dataset.name == "part 2" for tag in entry.tags}
    assert tags == {"mlflow.data.context": "testing", "fold": "0", "größe": UNICODE}


def test_the_same_dataset_twice_is_one_input(client, houses):
    with mlflow.start_run() as run:
        for _ in range(3):
            mlflow.log_input(houses, context="training")
    assert inputs(client, run.info.run_id) == [("houses", houses.digest, "training")]


def test_many_runs_share_a_dataset(client, experiment, houses):
    runs = []
    for _ in range(3):
        with mlflow.start_run() as run:
            mlflow.log_input(houses, context="training")
        runs.append(run.info.run_id)
    found = client.search_runs([experiment], f"dataset.digest = '{houses.digest}'")
    assert sorted(run.info.run_id for run in found) == sorted(runs)
    assert all(inputs(client, run) == [("houses", houses.digest, "training")] for run in runs)


def test_runs_are_found_by_their_datasets(client, experiment):
    for run_name, dataset, digest, context in (
        ("a", "mnist", "d1", "training"),
        ("b", "mnist", "d2", "testing"),
        ("c", "Mnist-small", "d3", "training"),
        ("d", None, None, None),
    ):
        run = client.create_run(experiment, run_name=run_name).info.run_id
        if dataset:
            tags = [InputTag("mlflow.data.context", context)]
            client.log_inputs(run, [DatasetInput(given(dataset, digest), tags)])

    def found(condition):
        return "".join(run.info.run_name for run in client.search_runs([experiment], condition, order_by=["run_name"]))

    assert found("dataset.name = 'mnist'") == "ab"
    assert found("datasets.name != 'mnist'") == "c"
    assert found("dataset.name LIKE 'm%'") == "ab"
    assert found("dataset.name ILIKE 'm%'") == "abc"
    assert found("dataset.name IN ('mnist', 'other')") == "ab"
    assert found("dataset.digest IN ('d1', 'd3')") == "ac"
    assert found("datasets.context = 'training'") == "ac"
    assert found("dataset.name = 'mnist' AND dataset.context = 'testing'") == "b"
    with refused("INVALID_PARAMETER_VALUE", "(?i)dataset"):
        client.search_runs([experiment], "dataset.size = 'x'")


def test_a_run_may_have_many_datasets(client, run):
    for part in (range(40), range(30, 50)):
        client.log_inputs(run, [DatasetInput(given(f"part-{number:02}", "d"), []) for number in part])
    assert [name for name, _, _ in inputs(client, run)] == [f"part-{number:02}" for number in range(50)]


def test_a_dataset_without_data_is_known_by_its_source(client):
    dataset = MetaDataset(CodeDatasetSource({"mlflow.source.name": "prepare.py"}), name="generated")
    with mlflow.start_run() as run:
        mlflow.log_input(dataset)
    (entry,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.source_type) == ("generated", "code")
    assert json.loads(entry.dataset.source)["tags"] == {"mlflow.source.name": "prepare.py"}


def test_a_dataset_cannot_be_too_long(client, run):
    for wrong, words in (
        (given("n" * 501, "d"), "'name' exceeds the maximum length of 500"),
        (given("n", "d" * 37), "'digest' exceeds the maximum length of 36"),
        (given("n", "d", source="s" * 65_536), "'source' exceeds the maximum length of 65535"),
    ):
        with refused("INVALID_PARAMETER_VALUE", words):
            client.log_inputs(run, [DatasetInput(wrong, [])])
    assert inputs(client, run) == []


def test_a_dataset_holds_long_texts(client, run):
    longest = given("n" * 500, "d" * 36, schema="s" * 65_535, profile="p" * 65_535, source="q" * 65_535)
    client.log_inputs(run, [DatasetInput(longest, [InputTag("k" * 255, "v" * 500)])])
    (entry,) = client.get_run(run).inputs.dataset_inputs
    assert dict(entry.dataset) == dict(longest)
    assert [(tag.key, tag.value) for tag in entry.tags] == [("k" * 255, "v" * 500)]


def test_a_deleted_run_takes_no_dataset(client, run):
    client.delete_run(run)
    with refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state"):
        client.log_inputs(run, [DatasetInput(given("n", "d"), [])])


def test_datasets_of_an_experiment_are_offered_for_choice(client, url, experiment, run):
    tags = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(run, [DatasetInput(given("first", "d1"), tags), DatasetInput(given("second", "d2"), [])])
    path = "/ajax-api/2.0/mlflow/experiments/search-datasets"
    answer = requests.post(url + path, json={"experiment_ids": [experiment]}, headers=in_workspace(), timeout=60)
    summaries = answer.json()["dataset_summaries"]
    found = {(entry["experiment_id"], entry["name"], entry["digest"], entry.get("context")) for entry in summaries}
    assert found == {(experiment, "first", "d1", "training"), (experiment, "second", "d2", None)}
