"""Programs with OpenTelemetry's SDK for JavaScript: its three exporters send traces, MLflow's SDK reads them."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import required

pytestmark = pytest.mark.since(3, 17)

PROGRAM = Path(__file__).parent / "otlp_javascript.cjs"


def export(protocol, compression, endpoint, experiment):
    """Runs the program; its answer has the id of the trace and what went wrong."""
    environment = os.environ | {"NODE_PATH": required("FERROFLOW_OTEL_JS")}
    command = ["node", PROGRAM, protocol, compression, endpoint, experiment]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def assert_exported(client, experiment, told):
    """The experiment has the program's trace, whole."""
    assert (told["exports"], told["error"]) == (2, None)
    (trace,) = client.search_traces(locations=[experiment])
    assert trace.info.trace_id == f"tr-{told['trace']}"
    spans = {span.name: span for span in trace.data.spans}
    root, chat = spans["request"], spans["chat small-model"]
    assert (root.parent_id, chat.parent_id) == (None, root.span_id)
    assert root.attributes["question"] == "wie wird das Wetter? ☂"
    assert (root.attributes["count"], root.attributes["ratio"]) == (3, 0.5)
    assert chat.attributes["words"] == ["sun", "rain"]
    assert (chat.span_type, chat.status.status_code, chat.status.description) == ("CHAT_MODEL", "ERROR", "out of clouds")
    assert [event.name for event in chat.events] == ["token", "exception"]
    assert trace.info.token_usage == {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["json", "protobuf"])
def test_spans_exported_by_javascript_are_a_trace(client, experiment, url, protocol, compression):
    told = export(protocol, compression, f"{url}/v1/traces", experiment)
    assert_exported(client, experiment, told)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_exported_by_javascript_and_grpc_are_a_trace(client, experiment, grpc_endpoint, compression):
    told = export("grpc", compression, grpc_endpoint, experiment)
    assert_exported(client, experiment, told)


def test_a_javascript_exporter_learns_that_its_experiment_is_missing(url, grpc_endpoint):
    for protocol, endpoint in [("json", f"{url}/v1/traces"), ("protobuf", f"{url}/v1/traces"), ("grpc", grpc_endpoint)]:
        told = export(protocol, "none", endpoint, "987654321")
        assert told["error"], protocol
