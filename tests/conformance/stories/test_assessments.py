"""Assessments: feedback of people and judges, and what was expected."""

import mlflow
import pytest
from helpers import UNICODE
from mlflow.entities import AssessmentError, AssessmentSource, Expectation, Feedback

pytestmark = pytest.mark.since(3, 5)

HUMAN = AssessmentSource(source_type="HUMAN", source_id="reviewer@example.com")
JUDGE = AssessmentSource(source_type="LLM_JUDGE", source_id="judge")


@pytest.fixture
def trace() -> str:
    """The id of a trace."""
    with mlflow.start_span("judged"):
        pass
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


def stored(trace: str) -> list:
    """The assessments of a trace as the server has them, by name."""
    return sorted(mlflow.MlflowClient().get_trace(trace).info.assessments, key=lambda found: found.name)


@pytest.mark.parametrize("value", [True, 0.75, 3, "fine", UNICODE, ["a", 1], {"score": {"deep": [1, 2]}}])
def test_feedback_of_every_kind_comes_back(trace, value):
    made = mlflow.log_feedback(
        trace_id=trace, name="quality", value=value, source=HUMAN, rationale=f"because {UNICODE}", metadata={"k": "v"}
    )
    (found,) = stored(trace)
    assert isinstance(found, Feedback)
    assert (found.assessment_id, found.trace_id) == (made.assessment_id, trace)
    assert (found.value, found.rationale, found.metadata) == (value, f"because {UNICODE}", {"k": "v"})
    assert (found.source.source_type, found.source.source_id) == ("HUMAN", "reviewer@example.com")
    assert found.create_time_ms > 1_600_000_000_000


@pytest.mark.parametrize("value", ["Köln", 42, ["a", "b"], {"facts": ["x", "y"]}])
def test_an_expectation_comes_back(trace, value):
    mlflow.log_expectation(trace_id=trace, name="answer", value=value, source=HUMAN)
    (found,) = stored(trace)
    assert isinstance(found, Expectation)
    assert (found.name, found.value) == ("answer", value)


def test_a_judge_that_failed_says_why(trace):
    error = AssessmentError(error_code="RATE_LIMIT", error_message="too many", stack_trace="line 1")
    mlflow.log_feedback(trace_id=trace, name="quality", error=error, source=JUDGE)
    (found,) = stored(trace)
    assert found.value is None
    assert (found.error.error_code, found.error.error_message) == ("RATE_LIMIT", "too many")


def test_an_assessment_is_changed(trace):
    made = mlflow.log_feedback(trace_id=trace, name="quality", value=1, source=HUMAN, metadata={"a": "1"})
    changed = Feedback(name="quality", value=2, source=HUMAN, rationale="on second thought", metadata={"b": "2"})
    mlflow.update_assessment(trace_id=trace, assessment_id=made.assessment_id, assessment=changed)
    (found,) = stored(trace)
    assert (found.assessment_id, found.value, found.rationale) == (made.assessment_id, 2, "on second thought")
    assert found.metadata == {"a": "1", "b": "2"}
    assert found.last_update_time_ms >= found.create_time_ms


def test_an_override_hides_what_it_replaces_until_it_goes(trace):
    first = mlflow.log_feedback(trace_id=trace, name="quality", value=False, source=JUDGE)
    second = mlflow.override_feedback(
        trace_id=trace, assessment_id=first.assessment_id, value=True, rationale="the judge is wrong", source=HUMAN
    )
    by_id = {found.assessment_id: found for found in stored(trace)}
    assert by_id[first.assessment_id].valid is False
    assert (by_id[second.assessment_id].valid, by_id[second.assessment_id].overrides) == (True, first.assessment_id)
    mlflow.delete_assessment(trace_id=trace, assessment_id=second.assessment_id)
    (found,) = stored(trace)
    assert (found.assessment_id, found.valid, found.value) == (first.assessment_id, True, False)


def test_an_assessment_is_read_and_deleted_by_its_id(trace):
    made = mlflow.log_feedback(trace_id=trace, name="quality", value=1)
    assert mlflow.get_assessment(trace_id=trace, assessment_id=made.assessment_id).value == 1
    mlflow.delete_assessment(trace_id=trace, assessment_id=made.assessment_id)
    assert stored(trace) == []
    with pytest.raises(mlflow.MlflowException, match="not found"):
        mlflow.get_assessment(trace_id=trace, assessment_id=made.assessment_id)


def test_a_trace_that_is_not_there_has_no_assessments():
    with pytest.raises(mlflow.MlflowException, match="not found"):
        mlflow.log_feedback(trace_id="tr-" + "0" * 32, name="quality", value=1)


def test_feedback_of_a_span_names_it():
    with mlflow.start_span("root"), mlflow.start_span("child") as child:
        pass
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_last_active_trace_id()
    mlflow.log_feedback(trace_id=trace, name="quality", value=1, span_id=child.span_id)
    (found,) = stored(trace)
    assert found.span_id == child.span_id


def test_many_assessments_of_one_name_stay_apart(trace):
    for value in range(5):
        mlflow.log_feedback(trace_id=trace, name="quality", value=value, source=AssessmentSource(source_type="HUMAN", source_id=f"r{value}"))
    mlflow.log_expectation(trace_id=trace, name="answer", value="x")
    assert [found.name for found in stored(trace)] == ["answer"] + ["quality"] * 5
    assert sorted(found.value for found in stored(trace) if found.name == "quality") == [0, 1, 2, 3, 4]
