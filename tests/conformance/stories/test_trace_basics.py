"""What tracing does alike in every SDK; old ones use the second version of the calls."""

import mlflow
import pytest
from helpers import UNICODE


@pytest.fixture
def trace_id(client, experiment) -> str:
    """The id of a trace of two spans."""
    with mlflow.start_span("root", attributes={"k": UNICODE}) as root:
        root.set_inputs({"q": 1})
        with mlflow.start_span("child") as child:
            child.set_outputs([1, 2])
        root.set_outputs("done")
    if hasattr(mlflow, "flush_trace_async_logging"):
        mlflow.flush_trace_async_logging()
    return root.request_id


def found(client, experiment, **options) -> list[str]:
    return [trace.info.request_id for trace in client.search_traces([experiment], **options)]


def test_a_trace_is_read_by_any_sdk(client, experiment, trace_id):
    trace = client.get_trace(trace_id)
    assert trace.info.experiment_id == experiment
    assert str(trace.info.status) in ("OK", "TraceStatus.OK", "SpanStatusCode.OK")
    root, child = trace.data.spans
    assert (root.name, child.name, child.parent_id) == ("root", "child", root.span_id)
    assert (root.inputs, root.outputs, child.outputs) == ({"q": 1}, "done", [1, 2])
    assert root.attributes["k"] == UNICODE


def test_a_trace_is_found_by_any_sdk(client, experiment, trace_id):
    assert found(client, experiment) == [trace_id]
    assert found(client, experiment, filter_string="attributes.status = 'OK'") == [trace_id]
    assert found(client, experiment, filter_string="attributes.status = 'ERROR'") == []


def test_any_sdk_tags_a_trace(client, experiment, trace_id):
    client.set_trace_tag(trace_id, "team", UNICODE)
    assert client.get_trace(trace_id).info.tags["team"] == UNICODE
    assert found(client, experiment, filter_string="tags.team LIKE '%模型%'") == [trace_id]
    client.delete_trace_tag(trace_id, "team")
    assert "team" not in client.get_trace(trace_id).info.tags


def test_any_sdk_deletes_a_trace(client, experiment, trace_id):
    assert client.delete_traces(experiment, max_traces=10, max_timestamp_millis=10**13) == 1
    assert found(client, experiment) == []
