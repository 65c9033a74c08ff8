"""`mlflow.genai.evaluate` with scorers of the client's own code, and issues of what it finds."""

import mlflow
import pytest
from helpers import UNICODE, refused, unique
from mlflow.entities import AssessmentSource

pytestmark = pytest.mark.since(3, 17)

CAPITALS = {"Portugal": "Lisbon", "Norway": "Oslo", "Größe 雪": "Bergen"}


@pytest.fixture
def genai(experiment):
    """For an empty experiment, which is the active one."""
    return pytest.importorskip("mlflow.genai")


@pytest.fixture
def scorers(genai):
    @genai.scorer
    def correct(outputs, expectations) -> bool:
        return expectations["capital"] in outputs

    @genai.scorer
    def length(outputs) -> int:
        return len(outputs)

    @genai.scorer
    def remarks(outputs):
        source = AssessmentSource(source_type="CODE", source_id="rules")
        return [
            mlflow.entities.Feedback(name="ends well", value=outputs.endswith("."), rationale=UNICODE, source=source),
            mlflow.entities.Feedback(name="mood", value="calm", metadata={"by": "rules"}, source=source),
        ]

    return [correct, length, remarks]


@pytest.fixture
def dataset(genai, experiment):
    made = genai.datasets.create_dataset(name=unique("capitals"), experiment_id=experiment)
    made.merge_records([
        {"inputs": {"country": country}, "expectations": {"capital": capital}} for country, capital in CAPITALS.items()
    ])  # fmt: skip
    return genai.datasets.get_dataset(dataset_id=made.dataset_id)


def agent(country: str) -> str:
    return f"It is {'Oslo' if country == 'Norway' else 'Lisbon'}."


def said(trace) -> dict:
    return {found.name: found for found in trace.info.assessments}


def test_an_agent_is_evaluated_with_a_dataset(genai, client, experiment, dataset, scorers):
    result = genai.evaluate(data=dataset, predict_fn=agent, scorers=scorers)
    assert result.metrics["correct/mean"] == pytest.approx(2 / 3)
    run = client.get_run(result.run_id)
    assert run.data.metrics == result.metrics
    assert (run.info.status, run.data.tags["mlflow.runType"]) == ("FINISHED", "genai_evaluate")
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == (dataset.name, dataset.digest)

    traces = mlflow.search_traces(locations=[experiment], run_id=result.run_id, return_type="list")
    assert {trace.data.spans[0].inputs["country"]: said(trace)["correct"].value for trace in traces} == {
        "Portugal": True, "Norway": True, "Größe 雪": False,
    }  # fmt: skip
    for trace in traces:
        found = said(trace)
        assert set(found) == {"capital", "correct", "length", "ends well", "mood"}
        assert (found["ends well"].rationale, found["ends well"].source.source_id) == (UNICODE, "rules")
        assert found["mood"].metadata["by"] == "rules"
        assert found["length"].value == len(trace.data.spans[0].outputs)
        assert found["capital"].value == CAPITALS[trace.data.spans[0].inputs["country"]]
        assert {found[name].metadata["mlflow.assessment.sourceRunId"] for name in ("correct", "mood")} == {result.run_id}


def test_answers_are_evaluated_without_an_agent(genai, experiment, scorers):
    data = [{"inputs": {"country": "Norway"}, "outputs": "Oslo", "expectations": {"capital": "Oslo"}, "tags": {"set": "small"}}]
    result = genai.evaluate(data=data, scorers=scorers)
    assert (result.metrics["correct/mean"], result.metrics["length/mean"]) == (1.0, 4.0)
    (trace,) = mlflow.search_traces(locations=[experiment], run_id=result.run_id, return_type="list")
    assert (trace.info.tags["set"], said(trace)["ends well"].value) == ("small", False)


def test_traces_are_evaluated_again(genai, experiment, scorers):
    for _ in range(2):
        with mlflow.start_span("agent") as span:
            span.set_inputs({"country": "Norway"})
            span.set_outputs("Oslo.")
    traces = mlflow.search_traces(locations=[experiment], return_type="list")
    first = genai.evaluate(data=traces, scorers=scorers[1:])
    again = genai.evaluate(data=mlflow.search_traces(locations=[experiment], return_type="list"), scorers=scorers[1:])
    assert first.metrics == again.metrics == {"length/mean": 5.0, "ends well/mean": 1.0}
    found = mlflow.search_traces(locations=[experiment], return_type="list")
    assert len(found) == 2
    for trace in found:
        runs = [one.metadata["mlflow.assessment.sourceRunId"] for one in trace.info.assessments if one.name == "length"]
        assert set(runs) == {first.run_id, again.run_id}


def test_a_scorer_that_fails_is_an_error_of_its_own(genai, experiment):
    @genai.scorer
    def broken(outputs):
        raise ValueError(f"no {UNICODE}")

    result = genai.evaluate(data=[{"inputs": {"a": 1}, "outputs": "x"}], scorers=[broken])
    assert "broken/mean" not in result.metrics
    (trace,) = mlflow.search_traces(locations=[experiment], run_id=result.run_id, return_type="list")
    assert UNICODE in said(trace)["broken"].error.error_message


def test_a_deleted_run_takes_its_feedback_along(genai, client, experiment):
    @genai.scorer
    def fine(outputs) -> bool:
        return True

    result = genai.evaluate(data=[{"inputs": {"a": 1}, "outputs": "x"}], scorers=[fine])
    client.delete_run(result.run_id)
    (trace,) = mlflow.search_traces(locations=[experiment], return_type="list")
    assert trace.info.assessments == []


def test_an_issue_is_linked_to_the_traces_that_show_it(client, experiment):
    from mlflow.tracing.client import TracingClient
    from mlflow.tracking._tracking_service.utils import _get_store

    with mlflow.start_span("agent") as span:
        trace_id = span.trace_id
    store = _get_store()
    issue = store.create_issue(
        experiment_id=experiment, name=UNICODE, description="It names another city.", status=mlflow.entities.issue.IssueStatus.PENDING,
        severity=mlflow.entities.issue.IssueSeverity.HIGH, root_causes=["memory"], categories=["correctness"], created_by="ann",
    )  # fmt: skip
    assert TracingClient()._get_issue(issue.issue_id).name == UNICODE
    mlflow.log_issue(trace_id=trace_id, issue_id=issue.issue_id, rationale="It says Bergen.")
    (found,) = client.get_trace(trace_id).info.assessments
    assert (found.name, found.issue_name, found.rationale) == (issue.issue_id, UNICODE, "It says Bergen.")
    with refused("INVALID_PARAMETER_VALUE", "does not match"):
        mlflow.log_issue(trace_id=trace_id, issue_id=issue.issue_id, issue_name="another")
    with refused("RESOURCE_DOES_NOT_EXIST"):
        mlflow.log_issue(trace_id=trace_id, issue_id="iss-nothing")
    changed = store.update_issue(issue_id=issue.issue_id, status=mlflow.entities.issue.IssueStatus.RESOLVED)
    assert changed.status == mlflow.entities.issue.IssueStatus.RESOLVED
    assert [one.issue_id for one in store.search_issues(experiment_id=experiment)] == [issue.issue_id]
    found = mlflow.search_traces(locations=[experiment], filter_string=f"issue.id = '{issue.issue_id}'", return_type="list")
    assert [one.info.trace_id for one in found] == [trace_id]
