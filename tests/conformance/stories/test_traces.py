"""Traces: what the SDK's tracing writes, and what comes back."""

import asyncio
import concurrent.futures
import os
import subprocess
import sys
import time

import mlflow
import pytest
from helpers import UNICODE, refused
from mlflow.entities import SpanStatusCode, SpanType

pytestmark = pytest.mark.since(3)


def stored(trace_id: str | None = None):
    """A trace as the server has it: the last one, unless a story names another."""
    mlflow.flush_trace_async_logging()
    return mlflow.MlflowClient().get_trace(trace_id or mlflow.get_last_active_trace_id())


@mlflow.trace(span_type=SpanType.TOOL)
def look_up(city: str) -> dict:
    return {"city": city, "degrees": 21}


@mlflow.trace(name="agent", span_type=SpanType.AGENT)
def agent(question: str) -> str:
    found = look_up("Köln")
    with mlflow.start_span("answer", span_type=SpanType.LLM) as span:
        span.set_inputs({"question": question, "found": found})
        span.set_outputs("21 degrees")
    return "21 degrees"


def test_a_traced_function_is_a_trace_with_its_spans(experiment):
    agent("How warm is it?")
    trace = stored()
    assert trace.info.trace_location.mlflow_experiment.experiment_id == experiment
    assert trace.info.state == "OK"
    assert trace.info.execution_duration >= 0
    assert abs(trace.info.timestamp_ms / 1000 - time.time()) < 600
    root, tool, answer = trace.data.spans
    assert [span.name for span in trace.data.spans] == ["agent", "look_up", "answer"]
    assert (root.span_type, tool.span_type, answer.span_type) == (SpanType.AGENT, SpanType.TOOL, SpanType.LLM)
    assert (root.parent_id, tool.parent_id, answer.parent_id) == (None, root.span_id, root.span_id)
    assert (root.inputs, root.outputs) == ({"question": "How warm is it?"}, "21 degrees")
    assert tool.outputs == {"city": "Köln", "degrees": 21}
    assert root.start_time_ns <= tool.start_time_ns <= tool.end_time_ns <= root.end_time_ns
    assert "How warm is it?" in trace.info.request_preview
    assert "21 degrees" in trace.info.response_preview


def test_a_failure_is_told_with_its_exception():
    @mlflow.trace
    def broken():
        raise ValueError(f"nothing works {UNICODE}")

    with pytest.raises(ValueError, match="nothing works"):
        broken()
    trace = stored()
    assert trace.info.state == "ERROR"
    (span,) = trace.data.spans
    assert span.status.status_code == SpanStatusCode.ERROR
    (event,) = [event for event in span.events if event.name == "exception"]
    assert event.attributes["exception.message"] == f"nothing works {UNICODE}"
    assert "ValueError" in event.attributes["exception.type"]


def test_attributes_of_every_kind_come_back_as_they_were():
    values = {"text": UNICODE, "number": 7, "real": 0.25, "yes": True, "nothing": None, "list": [1, "b", None], "tree": {"a": {"b": [1]}}}
    with mlflow.start_span("values") as span:
        span.set_attributes(values)
        span.set_inputs(values)
    (found,) = stored().data.spans
    assert {key: found.attributes[key] for key in values} == values
    assert found.inputs == values


def test_a_long_text_comes_back_whole():
    text = "0123456789" * 30_000
    with mlflow.start_span("long") as span:
        span.set_inputs({"text": text})
        span.set_outputs(text)
    trace = stored()
    assert trace.data.spans[0].inputs == {"text": text}
    assert trace.data.spans[0].outputs == text
    assert len(trace.info.request_preview) <= 1000


def test_spans_of_many_levels_keep_their_parents():
    def level(depth: int):
        with mlflow.start_span(f"level {depth}"):
            if depth < 40:
                level(depth + 1)

    level(0)
    spans = stored().data.spans
    assert len(spans) == 41
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        depth = int(span.name.split()[1])
        assert (by_id[span.parent_id].name if span.parent_id else None) == (f"level {depth - 1}" if depth else None)


def test_a_generator_is_traced_until_its_end():
    @mlflow.trace(output_reducer=lambda chunks: "".join(chunks))
    def stream(text: str):
        yield from text.split(" ")

    assert list(stream("one two three")) == ["one", "two", "three"]
    trace = stored()
    assert trace.data.spans[0].outputs == "onetwothree"
    assert trace.info.state == "OK"


def test_coroutines_and_threads_have_traces_of_their_own(experiment, client):
    @mlflow.trace
    async def slow(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def all_of_them():
        return await asyncio.gather(*map(slow, range(5)))

    assert asyncio.run(all_of_them()) == [0, 1, 2, 3, 4]

    @mlflow.trace
    def work(number: int) -> int:
        return number * 10

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(work, range(5))) == [0, 10, 20, 30, 40]
    mlflow.flush_trace_async_logging()
    traces = client.search_traces(locations=[experiment])
    outputs = sorted(trace.data.spans[0].outputs for trace in traces)
    assert outputs == [0, 0, 1, 2, 3, 4, 10, 20, 30, 40]


def test_traces_are_sent_in_the_background(client, experiment):
    """As every program does that is not told otherwise. One that ends sends what waits."""
    program = """
import mlflow
for number in range(20):
    with mlflow.start_span(f"trace {number}") as span:
        span.set_inputs(number)
"""
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"}
    subprocess.run([sys.executable, "-c", program], env=environment | {"MLFLOW_EXPERIMENT_ID": experiment}, check=True)
    traces = client.search_traces(locations=[experiment])
    assert sorted(trace.data.spans[0].inputs for trace in traces) == list(range(20))


def test_tags_of_a_trace_are_set_and_removed(client):
    with mlflow.start_span("tagged"):
        mlflow.update_current_trace(tags={"team": "a", "Größe": UNICODE})
    trace = stored()
    assert trace.info.tags["team"] == "a"
    assert trace.info.tags["Größe"] == UNICODE
    mlflow.set_trace_tag(trace.info.trace_id, "team", "b")
    client.set_trace_tag(trace.info.trace_id, "late", "yes")
    client.delete_trace_tag(trace.info.trace_id, "Größe")
    tags = stored(trace.info.trace_id).info.tags
    assert (tags["team"], tags["late"]) == ("b", "yes")
    assert "Größe" not in tags


def test_a_tag_that_is_not_there_can_not_be_removed(client):
    with mlflow.start_span("bare"):
        pass
    trace = stored()
    with refused("RESOURCE_DOES_NOT_EXIST", "nobody"):
        client.delete_trace_tag(trace.info.trace_id, "nobody")


def test_metadata_session_and_user_are_kept():
    with mlflow.start_span("talk"):
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "session-1", "mlflow.trace.user": "user-1", "version": "7"})
    metadata = stored().info.trace_metadata
    assert metadata["mlflow.trace.session"] == "session-1"
    assert metadata["mlflow.trace.user"] == "user-1"
    assert metadata["version"] == "7"


def test_previews_may_be_chosen():
    with mlflow.start_span("preview") as span:
        span.set_inputs({"long": "x" * 5000})
        mlflow.update_current_trace(request_preview="the question", response_preview="the answer")
    info = stored().info
    assert (info.request_preview, info.response_preview) == ("the question", "the answer")


def test_a_trace_within_a_run_belongs_to_it(client, experiment):
    with mlflow.start_run() as run, mlflow.start_span("inside"):
        pass
    trace = stored()
    assert trace.info.trace_metadata["mlflow.sourceRun"] == run.info.run_id
    found = client.search_traces(locations=[experiment], run_id=run.info.run_id)
    assert [trace.info.trace_id for trace in found] == [trace.info.trace_id]


def test_spans_made_by_hand_are_a_trace(client, experiment):
    root = client.start_trace("by hand", inputs={"q": 1}, tags={"made": "by hand"})
    child = client.start_span("step", trace_id=root.trace_id, parent_id=root.span_id, attributes={"k": "v"})
    client.end_span(root.trace_id, child.span_id, outputs=[1, 2])
    client.end_trace(root.trace_id, outputs={"a": 2}, status="ERROR")
    trace = stored(root.trace_id)
    assert trace.info.state == "ERROR"
    assert trace.info.tags["made"] == "by hand"
    assert [span.name for span in trace.data.spans] == ["by hand", "step"]
    assert trace.data.spans[1].outputs == [1, 2]


@pytest.mark.since(3, 5)
def test_tokens_of_calls_are_summed_up():
    with mlflow.start_span("chain"):
        for count in (10, 32):
            with mlflow.start_span("call", span_type=SpanType.CHAT_MODEL) as span:
                span.set_attribute(
                    "mlflow.chat.tokenUsage", {"input_tokens": count, "output_tokens": 1, "total_tokens": count + 1}
                )
    usage = stored().info.token_usage
    assert {key: usage[key] for key in ("input_tokens", "output_tokens", "total_tokens")} == {
        "input_tokens": 42,
        "output_tokens": 2,
        "total_tokens": 44,
    }


@pytest.mark.since(3, 5)
def test_a_copy_of_a_trace_is_another_trace(experiment):
    agent("original")
    original = stored()
    copied = mlflow.log_trace(name="copied", request="q", response="r", tags={"from": original.info.trace_id})
    trace = stored(copied)
    assert copied != original.info.trace_id
    assert (trace.data.spans[0].inputs, trace.data.spans[0].outputs) == ("q", "r")
    assert trace.info.tags["from"] == original.info.trace_id


def test_a_trace_that_is_not_there_is_told(client):
    with pytest.raises(mlflow.MlflowException, match="not found"):
        client.get_trace("tr-" + "0" * 32)


def test_traces_are_deleted_by_id_and_by_age(client, experiment):
    ids = []
    for number in range(4):
        with mlflow.start_span(f"old {number}"):
            pass
        ids.append(stored().info.trace_id)
    assert client.delete_traces(experiment, trace_ids=ids[:1]) == 1
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000, max_traces=2) == 2
    left = client.search_traces(locations=[experiment])
    assert [trace.info.trace_id for trace in left] == ids[3:]
    with pytest.raises(mlflow.MlflowException, match="not found"):
        client.get_trace(ids[0])


def test_the_traces_of_another_experiment_are_not_deleted(client, experiment):
    with mlflow.start_span("mine"):
        pass
    trace_id = stored().info.trace_id
    assert client.delete_traces("0", trace_ids=[trace_id]) == 0
    assert stored(trace_id).info.trace_id == trace_id


@pytest.mark.since(3, 17)
def test_a_trace_goes_on_in_another_process(experiment):
    """Headers carry the context, as between two services."""
    from mlflow.tracing import (
        get_tracing_context_headers_for_http_request,
        set_tracing_context_from_http_request_headers,
    )

    with mlflow.start_span("client") as outer:
        headers = get_tracing_context_headers_for_http_request()
        with set_tracing_context_from_http_request_headers(headers), mlflow.start_span("server") as inner:
            assert inner.trace_id == outer.trace_id
    trace = stored()
    spans = {span.name: span for span in trace.data.spans}
    assert spans["server"].parent_id == spans["client"].span_id


@pytest.mark.since(3, 5)
def test_traces_are_linked_to_a_run_later(client, experiment, run):
    ids = []
    for number in range(3):
        with mlflow.start_span(f"linked {number}"):
            pass
        ids.append(stored().info.trace_id)
    client.link_traces_to_run(ids[:2], run)
    found = client.search_traces(locations=[experiment], run_id=run)
    assert {trace.info.trace_id for trace in found} == set(ids[:2])


@pytest.mark.since(3, 5)
def test_prompts_used_in_a_trace_are_linked_to_it(experiment):
    name = f"traced-{os.urandom(4).hex()}"
    mlflow.register_prompt(name, "Say {{ word }}")

    @mlflow.trace
    def use():
        return mlflow.load_prompt(f"prompts:/{name}/1").format(word="hello")

    assert use() == "Say hello"
    trace = stored()
    assert name in trace.info.tags["mlflow.linkedPrompts"]
