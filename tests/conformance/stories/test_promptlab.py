"""Runs of the UI's prompt lab, as the SDK reads them."""

import mlflow
import pytest
import requests
from helpers import UNICODE, in_workspace

pytestmark = pytest.mark.since(3, 17)


@pytest.fixture
def request_body(experiment) -> dict:
    return {
        "experiment_id": experiment,
        "run_name": "first try",
        "tags": [],
        "prompt_template": f"Say {{{{ word }}}}:\n'{UNICODE}'",
        "prompt_parameters": [{"key": "word", "value": UNICODE}],
        "model_route": "chat",
        "model_parameters": [{"key": "temperature", "value": 0.01}],
        "model_input": f"Say {UNICODE}",
        "model_output": "ja: \"gut\" # %",
        "model_output_parameters": [{"key": "tokens", "value": 12}],
        "mlflow_version": "2.7.1",
    }


@pytest.fixture
def made(url, request_body) -> str:
    """The id of a run of the prompt lab."""
    answer = requests.post(f"{url}/ajax-api/2.0/mlflow/runs/create-promptlab-run", json=request_body, headers=in_workspace(), timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["run"]["info"]["run_id"]


def test_the_run_has_what_was_tried(client, made, request_body):
    run = client.get_run(made)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first try")
    assert run.data.params == {"temperature": "0.01", "model_route": "chat", "prompt_template": request_body["prompt_template"]}
    assert run.data.tags["mlflow.runSourceType"] == "PROMPT_ENGINEERING"


def test_the_answer_is_a_table(made, request_body):
    table = mlflow.load_table("eval_results_table.json", run_ids=[made])
    (row,) = table.to_dict("records")
    assert row == {"word": UNICODE, "prompt": request_body["model_input"], "output": request_body["model_output"], "tokens": 12}


def test_the_prompt_is_a_model(made, request_body):
    model = mlflow.pyfunc.load_model(f"runs:/{made}/model")
    assert model.metadata.run_id == made
    assert model.metadata.signature.inputs.input_names() == ["word"]
    assert model.metadata.signature.outputs.input_names() == ["output"]
    loaded = model._model_impl
    assert loaded.prompt_template == request_body["prompt_template"]
    assert [(one.key, one.value) for one in loaded.prompt_parameters] == [("word", UNICODE)]
    assert [(one.key, one.value) for one in loaded.model_parameters] == [("temperature", "0.01")]
    assert mlflow.models.Model.load(f"runs:/{made}/model").load_input_example() == {"inputs": [UNICODE]}
