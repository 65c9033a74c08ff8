"""Programs with OpenTelemetry's own SDK that export by gRPC: MLflow's SDK reads the traces."""

import contextlib
import os
import socket
import threading
from urllib.parse import urlparse

import grpc
import pytest
from helpers import in_workspace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytestmark = pytest.mark.since(3, 17)

COMPRESSIONS = [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]


@pytest.fixture
def provided(grpc_endpoint, experiment):
    """Makes providers whose spans go to the experiment."""
    made = []

    def provider(processor=SimpleSpanProcessor, endpoint=grpc_endpoint, **options):
        exporter = OTLPSpanExporter(endpoint, headers=in_workspace({"x-mlflow-experiment-id": experiment}), timeout=30, **options)
        provider = TracerProvider(resource=Resource({"service.name": "weather", "deployment": "test"}))
        provider.add_span_processor(processor(exporter))
        made.append(provider)
        return provider

    yield provider
    for provider in made:
        provider.shutdown()


def found(client, experiment):
    (trace,) = client.search_traces(locations=[experiment])
    return trace


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_spans_exported_by_grpc_are_a_trace(client, experiment, provided, compression):
    tracer = provided(compression=compression).get_tracer("stories")
    with tracer.start_as_current_span("request", attributes={"count": 3, "text": "x" * 300_000}) as root:
        with tracer.start_as_current_span("query") as child:
            child.add_event("row", {"n": 1})
    trace = found(client, experiment)
    assert trace.info.trace_id == f"tr-{root.get_span_context().trace_id:032x}"
    assert trace.info.tags["service.name"] == "weather"
    spans = {span.name: span for span in trace.data.spans}
    assert spans["query"].parent_id == spans["request"].span_id
    assert (spans["request"].attributes["count"], len(spans["request"].attributes["text"])) == (3, 300_000)
    assert [event.name for event in spans["query"].events] == ["row"]


def test_a_batch_exported_by_grpc_is_stored(client, experiment, provided):
    provider = provided(BatchSpanProcessor, compression=grpc.Compression.Gzip)
    tracer = provider.get_tracer("stories")
    for turn in range(300):
        with tracer.start_as_current_span(f"turn {turn}"):
            pass
    assert provider.force_flush()
    traces = client.search_traces(locations=[experiment], max_results=500, include_spans=False)
    assert len(traces) == 300


def test_the_run_of_the_metadata_has_the_trace(client, experiment, run, grpc_endpoint):
    headers = in_workspace({"x-mlflow-experiment-id": experiment, "x-mlflow-run-id": run})
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(grpc_endpoint, headers=headers)))
    with provider.get_tracer("stories").start_as_current_span("of a run"):
        pass
    provider.shutdown()
    (trace,) = client.search_traces(locations=[experiment], run_id=run)
    assert trace.data.spans[0].name == "of a run"


def test_a_grpc_exporter_tries_again_what_was_lost_on_the_way(client, experiment, grpc_endpoint, provided):
    with unreliable(grpc_endpoint, failures=2) as (address, connections):
        with provided(endpoint=address).get_tracer("stories").start_as_current_span("patient"):
            pass
    assert connections["refused"] == 2
    assert [span.name for span in found(client, experiment).data.spans] == ["patient"]


def test_a_grpc_exporter_learns_what_is_wrong(grpc_endpoint, experiment):
    exporter = OTLPSpanExporter(grpc_endpoint, headers=in_workspace({"x-mlflow-experiment-id": "987654321"}), timeout=5)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept := InMemorySpanExporter()))
    with provider.get_tracer("stories").start_as_current_span("lost"):
        pass
    assert exporter.export(kept.get_finished_spans()) == SpanExportResult.FAILURE
    exporter.shutdown()
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="s")
    with channel(grpc_endpoint) as opened:
        export = TraceServiceStub(opened).Export
        for metadata, code, words in [
            (in_workspace({"x-mlflow-experiment-id": "987654321"}), grpc.StatusCode.NOT_FOUND, "No Experiment with id=987654321 exists"),
            (in_workspace(), grpc.StatusCode.INVALID_ARGUMENT, "Missing required header"),
        ]:
            with pytest.raises(grpc.RpcError) as caught:
                export(request, metadata=list(metadata.items()), timeout=30)
            assert caught.value.code() == code
            assert words in caught.value.details()
        unknown = opened.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")
        with pytest.raises(grpc.RpcError) as caught:
            unknown(b"", timeout=30)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        # A request without spans is one.
        answer = export(ExportTraceServiceRequest(), metadata=list(in_workspace({"x-mlflow-experiment-id": experiment}).items()), timeout=30)
        assert not answer.HasField("partial_success")


def test_one_wrong_span_by_grpc_is_partial_success(client, grpc_endpoint, experiment):
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    good, wrong = os.urandom(16), b"short"
    for trace_id in (good, wrong):
        spans.add(trace_id=trace_id, span_id=os.urandom(8), name="s", start_time_unix_nano=1, end_time_unix_nano=2)
    with channel(grpc_endpoint) as opened:
        answer = TraceServiceStub(opened).Export(request, metadata=list(in_workspace({"x-mlflow-experiment-id": experiment}).items()), timeout=30)
    assert answer.partial_success.rejected_spans == 1
    assert "trace_id is not a valid id" in answer.partial_success.error_message
    assert found(client, experiment).info.trace_id == f"tr-{good.hex()}"


@contextlib.contextmanager
def channel(endpoint):
    """A channel of its own to the server."""
    with grpc.insecure_channel(urlparse(endpoint).netloc) as opened:
        yield opened


@contextlib.contextmanager
def unreliable(endpoint, failures):
    """The address of a relay to an endpoint that closes its first connections, and their number."""
    target = urlparse(endpoint)
    connections = {"refused": 0}
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source, sink):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def relay():
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                if connections["refused"] < failures:
                    connections["refused"] += 1
                    near.close()
                    continue
                far = socket.create_connection((target.hostname, target.port))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=relay, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
    finally:
        listener.close()
