"""Print the reference's REST messages as JSON: the calls its server routes, and every message and enum they reach."""

import importlib
import importlib.metadata
import importlib.util
import json
import sys
import types

# Its messages alone: all of the package takes ten seconds to import.
package = types.ModuleType("mlflow")
package.__path__ = list(importlib.util.find_spec("mlflow").submodule_search_locations)
sys.modules["mlflow"] = package
from mlflow.protos import databricks_pb2

SERVICES = ["service.MlflowService", "model_registry.ModelRegistryService",
            "mlflow_artifacts.MlflowArtifactsService", "webhooks.WebhookService"]
calls, messages, enums = [], {}, {}


def visit_enum(enum):
    enums[enum.full_name] = {"file": enum.file.name, "values": [[v.name, v.number] for v in enum.values]}


def visit(message):
    if message.full_name in messages or message.full_name.startswith("google.protobuf."):
        return
    entry = messages[message.full_name] = {"file": message.file.name, "fields": [],
                                           "map_entry": message.GetOptions().map_entry}
    for field in message.fields:
        kind = field.message_type or field.enum_type
        entry["fields"].append({
            "name": field.name, "json_name": field.json_name, "type": field.type, "repeated": field.is_repeated,
            "kind": kind.full_name if kind else None,
            "oneof": field.containing_oneof.name if field.containing_oneof else None,
            "default": field.default_value if field.has_default_value else None})
        if field.enum_type:
            visit_enum(field.enum_type)
        if field.message_type:
            visit(field.message_type)


for service in SERVICES:
    module, name = service.split(".")
    methods = importlib.import_module(f"mlflow.protos.{module}_pb2").DESCRIPTOR.services_by_name[name].methods
    for method in methods:
        routes = [{"method": e.method, "path": e.path, "version": e.since.major}
                  for e in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints]
        calls.append({"request": method.input_type.full_name, "response": method.output_type.full_name,
                      "routes": routes})
        visit(method.input_type)
        visit(method.output_type)

print(json.dumps({"version": importlib.metadata.version("mlflow"), "calls": calls, "messages": messages, "enums": enums}))
