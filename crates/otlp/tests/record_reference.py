"""Makes data/reference.json: what the reference stores of the requests in the other files of data/.

Run it with a Python that has mlflow==3.17.2, in any empty folder:

    python record_reference.py

Each case is a list of OTLP/JSON requests, sent one after the other to an empty experiment. The result of a case is
what the tables of spans, traces, tags and metadata contain then, or the error. Prices are those of data/prices.json.
"""

import base64
import json
import logging
import os
import tempfile
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_MODEL_CATALOG_URI"] = ""

from google.protobuf.json_format import Parse
from mlflow.entities.span import Span
from mlflow.server import otel_api
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracing.utils import dump_span_attribute_value
from mlflow.tracing.utils.otlp import _decode_otel_proto_anyvalue
from mlflow.utils import providers
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

logging.disable(logging.CRITICAL)

DATA = Path(__file__).parent / "data"
OTHER_FILES = {"reference.json", "prices.json"}
OWN_TAGS = {"mlflow.artifactLocation", "mlflow.trace.spansLocation"}
PRICES = json.loads((DATA / "prices.json").read_text())

providers._list_provider_names = lambda: sorted(PRICES)
providers._load_bundled_provider = lambda name: providers._parse_catalog_models({"models": PRICES.get(name, {})})


def spans(body):
    """The spans of a request, as server/otel_api.py makes them."""
    request = ExportTraceServiceRequest()
    converted = otel_api._convert_otlp_json_ids_to_base64(json.dumps(body).encode())
    Parse(converted, request, ignore_unknown_fields=True)
    found = []
    for group in request.resource_spans:
        service = None
        for attribute in group.resource.attributes:
            if attribute.key == "service.name":
                value = _decode_otel_proto_anyvalue(attribute.value)
                if value is not None and str(value) in otel_api._KNOWN_SERVICE_NAMES:
                    service = str(value)
                break
        for scope in group.scope_spans:
            for proto in scope.spans:
                span = Span.from_otel_proto(proto, resource=group.resource)
                if span.parent_id is None and service:
                    span._span._attributes["service.name"] = dump_span_attribute_value(service)
                found.append(span)
    return found


def rows(session, model, skip):
    names = [column.name for column in model.__table__.columns if column.name not in skip]
    attributes = {
        column.name: model.__mapper__.get_property_by_column(column).key for column in model.__table__.columns
    }
    return [{name: getattr(row, attributes[name]) for name in names} for row in session.query(model)]


def plain(row):
    return {
        key: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for key, value in row.items()
        if value is not None
    }


def stored(store, requests):
    try:
        for request in requests:
            store.log_spans("0", spans(request))
    except Exception as error:
        result = {"error": type(error).__name__}
    else:
        with store.ManagedSessionMaker() as session:
            result = {
                "spans": rows(session, models.SqlSpan, {"experiment_id"}),
                "traces": rows(session, models.SqlTraceInfo, {"experiment_id"}),
                "tags": [row for row in rows(session, models.SqlTraceTag, ()) if row["key"] not in OWN_TAGS],
                "metadata": rows(session, models.SqlTraceMetadata, ()),
            }
        result = {name: [plain(row) for row in found] for name, found in result.items()}
    with store.ManagedSessionMaker() as session:
        for model in (models.SqlSpan, models.SqlTraceTag, models.SqlTraceMetadata, models.SqlTraceInfo):
            session.query(model).delete()
    return result


def main():
    folder = tempfile.mkdtemp()
    store = SqlAlchemyStore(f"sqlite:///{folder}/tracking.db", f"{folder}/artifacts")
    results = {}
    for file in sorted(DATA.glob("*.json")):
        if file.name in OTHER_FILES:
            continue
        cases = json.loads(file.read_text())
        results[file.stem] = {name: stored(store, requests) for name, requests in cases.items()}
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (DATA / "reference.json").write_text(text + "\n")


main()
