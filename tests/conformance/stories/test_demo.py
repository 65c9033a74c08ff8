"""Sample data, which the home page of the UI generates: what is there afterwards, and that it can be deleted."""

import mlflow
import pytest
import requests
from helpers import in_workspace

pytestmark = pytest.mark.since(3, 17)


def post(url: str, path: str) -> dict:
    answer = requests.post(f"{url}/ajax-api/3.0/mlflow/demo/{path}", headers=in_workspace(), timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def demo(url) -> str:
    """The experiment with the sample data, which is gone after the story."""
    made = post(url, "generate")
    assert made["status"] == "created"
    assert made["navigation_url"] == f"/experiments/{made['experiment_id']}"
    assert {"prompts", "traces", "custom_view", "saved_views", "evaluation", "judges", "issues", "review_queues"} == set(made["features_generated"])
    yield made["experiment_id"]
    post(url, "delete")


def test_sample_data_fills_the_pages_and_is_deleted(url, client, demo):
    from mlflow.genai import review_queues

    experiment = client.get_experiment(demo)
    assert experiment.name == "MLflow Demo"
    start, end = (int(experiment.tags[f"mlflow.demo.{edge}_time_ms"]) for edge in ("start", "end"))
    assert end - start > 4 * 24 * 3_600_000

    traces = mlflow.search_traces(locations=[demo], return_type="list", max_results=500)
    assert len(traces) >= 40
    kinds = {span.span_type for trace in traces for span in trace.data.spans}
    assert {"AGENT", "CHAIN", "CHAT_MODEL", "EMBEDDING", "LLM", "RETRIEVER", "TOOL"} <= kinds
    assert all(trace.info.token_usage["total_tokens"] > 0 for trace in traces)
    assert all(trace.info.cost["total_cost"] > 0 for trace in traces)
    assert all(trace.info.request_preview and trace.info.response_preview for trace in traces)
    assert len(mlflow.search_sessions(locations=[demo])) >= 6
    assert {found.source.source_type for trace in traces for found in trace.info.assessments} >= {"LLM_JUDGE"}

    runs = client.search_runs([demo], filter_string="params.demo = 'true'")
    assert len(runs) >= 3
    assert all(0 <= run.data.metrics["correctness/mean"] <= 1 for run in runs)
    datasets = mlflow.genai.datasets.search_datasets(experiment_ids=[demo])
    assert len(datasets) >= 2
    assert all(len(dataset.to_df()) >= 7 for dataset in datasets)

    prompts = mlflow.genai.search_prompts(filter_string="name LIKE 'mlflow-demo.%'")
    assert len(prompts) == 3
    for prompt in prompts:
        first, last = (mlflow.genai.load_prompt(f"prompts:/{prompt.name}/{version}") for version in (1, 4))
        assert (first.is_text_prompt, last.is_text_prompt) == (True, False)
        assert mlflow.genai.load_prompt(f"prompts:/{prompt.name}@production").version == 4
    schemas = mlflow.genai.label_schemas.list_label_schemas(demo)
    assert len([schema for schema in schemas if not schema.is_default]) >= 3

    assert len(mlflow.genai.scorers.list_scorers(experiment_id=demo)) == 4
    queues = review_queues.list_review_queues(experiment_id=demo)
    items = [item for queue in queues for item in review_queues.list_review_queue_items(queue.queue_id)]
    assert (len(queues), len(items)) == (4, 27)
    assert {item.status.value.lower() for item in items} == {"pending", "complete", "declined"}

    again = post(url, "generate")
    assert again == {"status": "exists", "experiment_id": demo, "features_generated": [], "navigation_url": f"/experiments/{demo}"}
    assert len(mlflow.search_traces(locations=[demo], return_type="list", max_results=500)) == len(traces)

    assert {"prompts", "traces", "evaluation", "issues"} <= set(post(url, "delete")["features_deleted"])
    assert client.get_experiment(demo).lifecycle_stage == "deleted"
    assert not mlflow.genai.search_prompts(filter_string="name LIKE 'mlflow-demo.%'")
    # It comes back in the same experiment.
    assert post(url, "generate")["experiment_id"] == demo
    assert len(mlflow.search_traces(locations=[demo], return_type="list", max_results=500)) == len(traces)
