"""Programs with OpenTelemetry's own SDK: its exporter sends traces, MLflow's SDK reads them."""

import time

import mlflow
import pytest
from helpers import in_workspace
from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

pytestmark = pytest.mark.since(3, 17)


@pytest.fixture
def exported(url, experiment):
    """A tracer whose spans go to the experiment, each in a request of its own as it ends."""
    made = []

    def tracer(**options):
        exporter = OTLPSpanExporter(f"{url}/v1/traces", headers=in_workspace({"x-mlflow-experiment-id": experiment}), **options)
        provider = TracerProvider(resource=Resource({"service.name": "weather", "deployment": "test"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        made.append(provider)
        return provider.get_tracer("stories")

    yield tracer
    for provider in made:
        provider.shutdown()


def found(client, experiment):
    (trace,) = client.search_traces(locations=[experiment])
    return trace


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_exported_spans_are_a_trace(client, experiment, exported, compression):
    tracer = exported(compression=compression)
    with tracer.start_as_current_span("request", attributes={"http.method": "GET", "count": 3}) as root:
        with tracer.start_as_current_span("query", kind=api.SpanKind.CLIENT) as child:
            child.add_event("row", {"n": 1})
    trace = found(client, experiment)
    assert trace.info.trace_id == f"tr-{root.get_span_context().trace_id:032x}"
    assert trace.info.state == "OK"
    spans = {span.name: span for span in trace.data.spans}
    assert spans["query"].parent_id == spans["request"].span_id
    assert spans["request"].attributes["count"] == 3
    assert [event.name for event in spans["query"].events] == ["row"]


def test_an_exported_failure_is_one(client, experiment, exported):
    with pytest.raises(ValueError, match="broken"), exported().start_as_current_span("request"):
        raise ValueError("broken")
    trace = found(client, experiment)
    assert trace.info.state == "ERROR"
    assert [event.name for event in trace.data.spans[0].events] == ["exception"]


def test_spans_by_the_conventions_for_generative_ai_are_understood(client, experiment, exported):
    tracer = exported()
    with tracer.start_as_current_span("invoke_agent helper", attributes={"gen_ai.operation.name": "invoke_agent"}):
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 30,
            "gen_ai.usage.output_tokens": 12,
        }
        with tracer.start_as_current_span("chat gpt-4o-mini", attributes=attributes):
            pass
    trace = found(client, experiment)
    spans = {span.name: span for span in trace.data.spans}
    assert spans["chat gpt-4o-mini"].span_type == "CHAT_MODEL"
    assert trace.info.token_usage == {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}


def test_an_exporter_learns_that_its_experiment_is_missing(url):
    exporter = OTLPSpanExporter(f"{url}/v1/traces", headers=in_workspace({"x-mlflow-experiment-id": "987654321"}), timeout=5)
    provider = TracerProvider()
    results = []

    class Watching(SimpleSpanProcessor):
        def on_end(self, span):
            results.append(exporter.export([span]))

    provider.add_span_processor(Watching(exporter))
    with provider.get_tracer("stories").start_as_current_span("lost"):
        pass
    assert results == [SpanExportResult.FAILURE]


def test_a_trace_of_two_services_is_one(client, experiment, exported):
    first, second = exported(), exported()
    with first.start_as_current_span("front") as outer:
        with second.start_as_current_span("back"):
            time.sleep(0.001)
    trace = found(client, experiment)
    assert trace.info.trace_id == f"tr-{outer.get_span_context().trace_id:032x}"
    assert {span.name for span in trace.data.spans} == {"front", "back"}


def test_spans_of_mlflow_and_opentelemetry_share_an_experiment(client, experiment, exported):
    with exported().start_as_current_span("otel"):
        pass
    with mlflow.start_span("mlflow"):
        pass
    mlflow.flush_trace_async_logging()
    names = {trace.data.spans[0].name for trace in client.search_traces(locations=[experiment])}
    assert names == {"otel", "mlflow"}
