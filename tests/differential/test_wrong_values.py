"""No client makes the server fail: every call that has a message, with wrong values and in every state of what it names.

A 5xx is a defect, or a dependency that is away; what a client does wrong is 4xx. 501 is a call that is not built.
"""

import copy
import json
import random
import re

import pytest
import requests
from google.protobuf.descriptor import FieldDescriptor
from mlflow.protos import databricks_pb2, mlflow_artifacts_pb2, model_registry_pb2, service_pb2, webhooks_pb2
from support import postgres, servers

SERVICES = (
    service_pb2.DESCRIPTOR.services_by_name["MlflowService"],
    model_registry_pb2.DESCRIPTOR.services_by_name["ModelRegistryService"],
    mlflow_artifacts_pb2.DESCRIPTOR.services_by_name["MlflowArtifactsService"],
    webhooks_pb2.DESCRIPTOR.services_by_name["WebhookService"],
)

#: Values that are wrong somewhere: in type, in range, in length, in what texts can hold.
WRONG = (
    None, "", " ", "0", "-1", "nope", "a/b", "../x", "%2e%2e", "'", "a\u0000b", "ü雪😀", "\ud800", "x" * 300, "x" * 6000, "NaN", "null", "*", ":", "1e400",
    0, 1, -1, 2**31, 2**63 - 1, -(2**63), 2**63, 2**70, 1.5, -0.0, 1e308, True, [], [[]], [None], ["x"] * 3, {}, {"a": None}, {"": ""}, [{}], [{"key": "k"}],
)  # fmt: skip

#: Searches in their own languages.
TEXTS = {
    "filter": ("name = 'x'", "name LIKE '%'", "metrics.m > 1", "params.p = 'x'", "tags.`a b` ILIKE 'x'", "run_id IN ('a')", "attributes.start_time > -1", "metrics.m > 1e400",
               "name = 'x' AND", "((", "x", "params.p > 1", "attributes.status = 'x'", "version_number > 99999999999999999999", "tags.a IS NULL", "name = '\u0000'"),  # fmt: skip
    "filter_string": ("tags.a = 'x'", "status = 'OK'", "x >", "timestamp_ms > 99999999999999999999"),
    "order_by": (["name ASC"], ["metrics.m DESC"], ["x"], ["name", "name"], ["attributes.start_time asc,"], ["params.`a`"], ["metrics.m"] * 3),
    "page_token": ("x", "eyJ9", "AAAA", "MTA=", "ZXlKOQ==", "-"),
}  # fmt: skip

SEED, TURNS = 20, 24


def calls(space):
    for service in SERVICES:
        for method in service.methods:
            for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
                version = endpoint.since.major
                path = endpoint.path if endpoint.path.startswith("/") else f"/{endpoint.path}"
                # Without workspaces they answer 503, as the reference does.
                if "/workspaces" in path and space is None:
                    continue
                yield endpoint.method, f"/api/{version}.0{path}", method.input_type


def states(post):
    """What there is, in each of its states."""
    ids = {"experiment_id": ["0", "404"], "run_id": ["0" * 32], "model_id": ["m-" + "0" * 32], "name": ["nope"], "version": ["1", "404"]}
    for state in ("active", "deleted"):
        experiment = post("experiments/create", name=f"e-{state}")["experiment_id"]
        run = post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        post("runs/log-batch", run_id=run, metrics=[{"key": "m", "value": 1, "timestamp": 1, "step": 0}], params=[{"key": "p", "value": "x"}])
        model = post("logged-models", experiment_id=experiment, name="l", source_run_id=run)["model"]["info"]["model_id"]
        ids["experiment_id"].append(experiment)
        ids["run_id"].append(run)
        ids["model_id"].append(model)
        post("registered-models/create", name=f"r-{state}")
        post("model-versions/create", name=f"r-{state}", source=f"models:/{model}", model_id=model)
        post("registered-models/alias", name=f"r-{state}", alias="a", version="1")
        ids["name"].append(f"r-{state}")
    lone = post("runs/create", experiment_id=ids["experiment_id"][2])["run"]["info"]["run_id"]
    post("runs/delete", run_id=lone)
    post("experiments/delete", experiment_id=ids["experiment_id"][3])
    ids["run_id"].append(lone)
    ids |= {
        "run_uuid": ids["run_id"], "run_ids": ids["run_id"], "experiment_ids": ids["experiment_id"], "new_name": ids["name"] + ["e-active", "other"],
        "names": ids["name"], "source": ["models:/r-active/1", "s3://b/x", "models:/x"], "alias": ["a", "v1", "latest"], "stage": ["Production", "Archived", "x"],
        "key": ["m", "mlflow.note.content", "a/b"], "value": ["x", 1], "metric_key": ["m"], "path": ["a", "a/b.txt"], "status": ["FINISHED", "READY", 3],
        "url": ["https://example.com/x"], "artifact_location": ["s3://b/x", "mlflow-artifacts:/x"], "max_results": [1, 0, 50000],
    }  # fmt: skip
    return ids


def message(descriptor, ids, choose, depth=0):
    """A message that is mostly right."""
    found = {}
    for field in descriptor.fields:
        if choose.random() < (0.25 if depth else 0.1):
            continue
        found[field.name] = value(field, ids, choose, depth)
    return found


def value(field, ids, choose, depth):
    if field.name in TEXTS and choose.random() < 0.7:
        return choose.choice(TEXTS[field.name])
    one = single(field, ids, choose, depth)
    return [one, single(field, ids, choose, depth)][: choose.randint(0, 2)] if field.is_repeated else one


def single(field, ids, choose, depth):
    if field.name in ids:
        return choose.choice(ids[field.name])
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return message(field.message_type, ids, choose, depth + 1) if depth < 3 else {}
    if field.type == FieldDescriptor.TYPE_ENUM:
        return choose.choice(field.enum_type.values).name
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return choose.choice(("x", "key", "text"))
    return choose.choice((1, 2, 1_700_000_000_000))


def spoil(body, choose):
    """One value, somewhere, made wrong."""
    keys = list(body)
    if not keys:
        return
    key = choose.choice(keys)
    inner = body[key][0] if isinstance(body[key], list) and body[key] else body[key]
    if isinstance(inner, dict) and choose.random() < 0.7:
        spoil(inner, choose)
    else:
        body[key] = copy.deepcopy(choose.choice(WRONG))


@pytest.mark.rotates(every=4)
@pytest.mark.parametrize("dialect, space", [("sqlite", None), ("postgresql", None), ("sqlite", "team"), ("postgresql", "team")])
def test_no_client_makes_the_server_fail(dialect, space, tmp_path):
    choose = random.Random(SEED)
    failed, answered = [], 0
    args = ["--enable-workspaces"] if space else []
    with postgres.database(dialect, tmp_path, "wrong") as uri, servers.ferroflow(uri, tmp_path / "artifacts", args=args) as server, requests.Session() as session:
        if space:
            for name in (space, "spare"):
                session.post(f"{server.url}/api/3.0/mlflow/workspaces", json={"name": name}, timeout=60).raise_for_status()
            session.headers["X-MLFLOW-WORKSPACE"] = space

        def send(method, path, body):
            # A GET carries its parameters in the query, as clients send them.
            text = json.dumps(body, ensure_ascii=True)
            if method == "GET":
                flat = {key: value for key, value in body.items() if not isinstance(value, dict)}
                query = {key: json.dumps(value) if isinstance(value, (bool, type(None))) else value for key, value in flat.items()}
                query = json.loads(json.dumps(query).replace("\\ud800", "?"))
                return session.get(server.url + path, params=query, timeout=60)
            return session.request(method, server.url + path, data=text, headers={"Content-Type": "application/json"}, timeout=60)

        def post(path, **body):
            answer = send("POST", f"/api/2.0/mlflow/{path}", body)
            assert answer.status_code == 200, f"{path} {body}: {answer.text}"
            return answer.json()

        def place(name):
            return choose.choice([*ids.get(name, ["x", "..%2fx"]), "nope", "%00", "%ff", "-1"])

        ids = states(post)
        if space:
            # The one of the requests stays.
            ids |= {"workspace_name": ["spare", "default"], "default_artifact_root": ["s3://b/x", "relative"], "location": ["s3://b/x", "x"], "retention": ["1d", "x"]}
        for method, template, descriptor in calls(space):
            for turn in range(TURNS):
                body = message(descriptor, ids, choose)
                for _ in range(choose.randint(0, 2)):
                    spoil(body, choose)
                path = re.sub("[<{](?:path:)?([a-z_.]+)[>}]", lambda name: place(name[1]), template)
                answer = send(method, path, body)
                answered += 1
                if answer.status_code >= 500 and answer.status_code != 501:
                    failed.append(f"{method} {path} {json.dumps(body)[:600]}: {answer.status_code} {answer.text[:300]}")
        assert answered > 2000
        assert failed == [], "\n".join(failed[:40]) + f"\n{server.logs[-3000:]}"
