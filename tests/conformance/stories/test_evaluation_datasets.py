"""Evaluation datasets: examples that a team keeps to judge its application by."""

import json

import mlflow
import pandas
import pytest
from helpers import UNICODE, refused, unique

pytestmark = pytest.mark.since(3, 17)


@pytest.fixture
def genai():
    return pytest.importorskip("mlflow.genai.datasets")


@pytest.fixture
def questions(genai, experiment):
    return genai.create_dataset(name=unique("questions"), experiment_id=experiment, tags={"team": "größe"})


def by_question(dataset) -> dict:
    return {row["inputs"]["question"]: row for row in dataset.to_df().to_dict("records")}


def test_a_dataset_is_found_again(genai, experiment, questions):
    found = genai.get_dataset(dataset_id=questions.dataset_id)
    assert (found.name, found.tags["team"], found.digest) == (questions.name, "größe", questions.digest)
    assert found.experiment_ids == [experiment]
    assert found.to_df().empty


def test_records_are_merged_by_their_inputs(genai, questions):
    questions.merge_records([
        {"inputs": {"question": UNICODE, "n": 10**30}, "expectations": {"answer": "a"}},
        {"inputs": {"question": "plain", "x": 1e100}, "outputs": {"answer": [1.0, None, True]}},
    ])  # fmt: skip
    questions.merge_records([
        {"inputs": {"n": 10**30, "question": UNICODE}, "expectations": {"length": 3}, "tags": {"seen": "twice"}},
        {"inputs": {"question": "new"}, "source": {"source_type": "DOCUMENT", "source_data": {"source_id": "doc 1"}}},
    ])  # fmt: skip
    found = by_question(genai.get_dataset(dataset_id=questions.dataset_id))
    assert set(found) == {UNICODE, "plain", "new"}
    assert found[UNICODE]["inputs"]["n"] == 10**30
    assert found[UNICODE]["expectations"] == {"answer": "a", "length": 3}
    assert found[UNICODE]["tags"]["seen"] == "twice"
    assert found[UNICODE]["source_type"] == "HUMAN"
    assert found["plain"]["inputs"]["x"] == 1e100
    assert found["plain"]["outputs"] == {"answer": [1.0, None, True]}
    assert (found["new"]["source_type"], found["new"]["source_id"]) == ("DOCUMENT", "doc 1")


def test_a_data_frame_becomes_records(genai, questions):
    frame = pandas.DataFrame({
        "inputs": [{"question": f"q{number}"} for number in range(5)],
        "expectations": [{"answer": number} for number in range(5)],
    })  # fmt: skip
    questions.merge_records(frame)
    found = by_question(genai.get_dataset(dataset_id=questions.dataset_id))
    assert {name: row["expectations"] for name, row in found.items()} == {f"q{n}": {"answer": n} for n in range(5)}


def test_schema_and_profile_follow_the_records(genai, questions):
    questions.merge_records([{"inputs": {"question": "a", "k": 1}, "outputs": "text", "expectations": {"ok": True}}])
    found = genai.get_dataset(dataset_id=questions.dataset_id)
    schema = json.loads(found.schema)
    assert schema["inputs"] == {"question": "string", "k": "integer"}
    assert (schema["outputs"], schema["expectations"]) == ("string", {"ok": "boolean"})
    assert json.loads(found.profile) == {"num_records": 1}
    assert found.digest != questions.digest


def test_sessions_and_traces_do_not_mix(genai, experiment):
    dataset = genai.create_dataset(name=unique("sessions"), experiment_id=experiment)
    dataset.merge_records([{"inputs": {"goal": "find articles", "persona": "student"}}])
    dataset = genai.get_dataset(dataset_id=dataset.dataset_id)
    with refused("INVALID_PARAMETER_VALUE", "granularity"):
        dataset.merge_records([{"inputs": {"question": "a"}}])
    assert len(genai.get_dataset(dataset_id=dataset.dataset_id).to_df()) == 1


def test_more_records_than_a_page(genai, questions):
    questions.merge_records([{"inputs": {"question": f"q{number}"}} for number in range(2300)])
    found = genai.get_dataset(dataset_id=questions.dataset_id)
    assert set(by_question(found)) == {f"q{number}" for number in range(2300)}
    ids = found.to_df()["dataset_record_id"].tolist()
    assert found.delete_records(ids[:2299]) == 2299
    assert len(genai.get_dataset(dataset_id=questions.dataset_id).to_df()) == 1


def test_tags_are_set_and_deleted(genai, questions):
    genai.set_dataset_tags(dataset_id=questions.dataset_id, tags={"stage": "draft", "n": 1.5, "team": None})
    assert genai.get_dataset(dataset_id=questions.dataset_id).tags.items() >= {"stage": "draft", "n": "1.5", "team": "größe"}.items()
    genai.delete_dataset_tag(dataset_id=questions.dataset_id, key="stage")
    assert "stage" not in genai.get_dataset(dataset_id=questions.dataset_id).tags


def test_datasets_are_searched(genai, experiment):
    names = [unique(f"s{number}") for number in range(5)]
    for number, name in enumerate(names):
        genai.create_dataset(name=name, experiment_id=experiment, tags={"half": str(number % 2)})
    search = lambda **rest: [found.name for found in genai.search_datasets(experiment_ids=experiment, **rest)]  # noqa: E731
    assert set(search()) == set(names)
    assert search(filter_string="tags.half = '1'", order_by=["name"]) == sorted([names[1], names[3]])
    assert search(filter_string=f"name = '{names[2]}'") == [names[2]]
    assert search(filter_string="name LIKE 's4%'") == [names[4]]
    assert search(max_results=2, order_by=["name ASC"]) == sorted(names)[:2]
    with refused("INVALID_PARAMETER_VALUE"):
        search(filter_string="digest = 'x'")


def test_a_dataset_belongs_to_several_experiments(genai, experiment, questions):
    other = mlflow.create_experiment(unique("other"))
    genai.add_dataset_to_experiments(dataset_id=questions.dataset_id, experiment_ids=[other])
    assert set(genai.get_dataset(dataset_id=questions.dataset_id).experiment_ids) == {experiment, other}
    assert [found.name for found in genai.search_datasets(experiment_ids=other)] == [questions.name]
    genai.remove_dataset_from_experiments(dataset_id=questions.dataset_id, experiment_ids=[experiment])
    assert genai.get_dataset(dataset_id=questions.dataset_id).experiment_ids == [other]
    with refused("RESOURCE_DOES_NOT_EXIST"):
        genai.add_dataset_to_experiments(dataset_id=questions.dataset_id, experiment_ids=["999999"])


def test_a_deleted_dataset_is_gone(genai, questions):
    genai.delete_dataset(dataset_id=questions.dataset_id)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        genai.get_dataset(dataset_id=questions.dataset_id)


def test_a_dataset_is_an_input_of_a_run(genai, client, questions):
    questions.merge_records([{"inputs": {"question": "a"}}])
    dataset = genai.get_dataset(dataset_id=questions.dataset_id)
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context="evaluation")
    (entry,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == (dataset.name, dataset.digest)
