"""Requests that try to reach another workspace, and what is compared of their answers."""

import json
import re
import sqlite3
import uuid
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from calls import AJAX, API, API3, STORE, Call, delete, get, graphql, post
from people import People, within
from scene import Scene
from support import postgres

#: The workspace of those who ask, and the one that they have nothing to do with.
OURS, THEIRS = "ours", "theirs"

#: What exists on the server, whatever the workspace.
EVERYWHERE = {"other"}

#: What is named with another thing that is not there, but has the same name in it.
SAME = {"version", "prompt_version", "scorer"}

#: Calls about users and roles, which an admin makes for all workspaces.
OF_ADMINS = re.compile("/(users|roles)/|/signup")

#: Times, made-up ids and names, and the numbers of what was made.
VOLATILE = {
    r"\b1[0-9]{12}\b": "0",
    "[0-9a-f]{32}": "id",
    "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "id",
    '"(run_name|name|value)": "[a-z]+-[a-z]+-[0-9]+"': r'"\1": "name"',
    '"(id|role_id|user_id)": [0-9]+': r'"\1": 0',
    '"experiment_id": "[0-9]+"': '"experiment_id": "0"',
    '"digest": "[0-9a-f]{8}"': '"digest": "0"',
    "experiment '[0-9]+'": "experiment '0'",
    "mlflow-artifacts:/workspaces/[a-z]+/[0-9]+": "place",
}


def placeholders(call: Call) -> set[str]:
    return set(re.findall(r"\{([a-z_]+)\}", json.dumps([call.path, call.query, call.body, call.headers])))


def ghost(name: str, value: str) -> str:
    """A value of the same form that names nothing."""
    if name in SAME | EVERYWHERE:
        return value
    if value.isdigit():
        return str(900_000_000 + int(value))
    other = lambda char: "0123456789abcdef"[(int(char, 16) + 7) % 16]  # noqa: E731
    made = re.sub("[0-9a-f]{8,}", lambda found: "".join(map(other, found[0])), value)
    assert made != value, f"{name} = {value} has no counterpart"
    return made


def fill(value, values: dict[str, str]):
    if isinstance(value, str):
        return re.sub(r"\{([a-z_]+)\}", lambda found: values[found[1]], value)
    if isinstance(value, list):
        return [fill(item, values) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, values) for key, item in value.items()}
    return value


def masked(text: str, values: dict[str, str]) -> str:
    """An answer without the values that were sent and without what differs from one request to the next."""
    try:
        text = json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        pass
    for name, value in sorted(values.items(), key=lambda pair: -len(pair[1])):
        if name not in SAME:
            # Ids are texts in JSON: a number and a version are none.
            text = re.sub(rf'(?<![0-9A-Za-z])(?<!": ){re.escape(value)}(?![0-9A-Za-z]|\.[0-9])', f"<{name}>", text)
    for pattern, plain in VOLATILE.items():
        text = re.sub(pattern, plain, text)
    return text


def ask(people: People, who: str, call: Call, values: dict[str, str]):
    """The answer to a call in our workspace, and what is compared of it."""
    values = values | {"unique": uuid.uuid4().hex[:12]}
    answer = people.send(
        who, call.method, fill(call.path, values), query=fill(call.query, values), body=fill(call.body, values), raw=call.raw,
        headers=fill(call.headers, values) | within(OURS) if call.headers else within(OURS),
    )
    kind = answer.headers.get("Content-Type", "").split(";")[0]
    return SimpleNamespace(status=answer.status_code, text=answer.text, compared=(answer.status_code, kind, masked(answer.text, values)))


class Theirs:
    """What is in the other workspace."""

    def __init__(self, people: People, username: str):
        self.people, self.username = people, username
        self.scene = Scene(people, username, None, THEIRS)
        #: Scenes in which something was deleted.
        self.others: dict[str, Scene] = {}

    def values(self, call: Call) -> dict[str, str]:
        """What a call names there."""
        names = placeholders(call) - {"unique"}
        gone = sorted(name for name in names if name.startswith("gone_"))
        scene = self.scene
        if gone:
            scene = self.others.setdefault(gone[0], Scene(self.people, self.username, None, THEIRS))
        return {name: scene.get(name) for name in sorted(names)}

    def secrets(self, sent: dict[str, str]) -> list[str]:
        """What an answer must not have: ids and names that were not sent."""
        scenes = [self.scene, *self.others.values()]
        made = {value for scene in scenes for name, value in scene.made.items() if name not in EVERYWHERE and len(value) >= 8}
        return sorted(value for value in made if not any(value in text for text in sent.values()))


def rows(backend: str) -> dict[str, Counter]:
    """All rows of a database by table, without ferroflow's own."""
    if backend.startswith("sqlite:"):
        connection = sqlite3.connect(backend.removeprefix("sqlite:///"))
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    else:
        connection = postgres.connect(backend)
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    try:
        cursor = connection.cursor()
        cursor.execute(tables)
        names = [name for (name,) in cursor.fetchall() if not name.startswith("ff_")]
        found = {}
        for name in names:
            cursor.execute(f'SELECT * FROM "{name}"')
            found[name] = Counter(repr(row) for row in cursor.fetchall())
        return found
    finally:
        connection.close()


def files(folder: Path) -> Counter:
    return Counter((str(path.relative_to(folder)), path.read_bytes()) for path in folder.rglob("*") if path.is_file())


#: Searches and lists that name nothing.
EVERYTHING = [
    get(f"{API}/experiments/search", {"max_results": 1000}),
    post(f"{API}/experiments/search", {"max_results": 1000, "view_type": "ALL"}),
    post(f"{API}/runs/search", {}),
    get(f"{API}/registered-models/search", {"max_results": 1000}),
    get(f"{API}/registered-models/search", {"filter": "tags.`mlflow.prompt.is_prompt` = 'true'"}),
    get(f"{API}/model-versions/search", {"max_results": 1000}),
    get(f"{API}/model-versions/search", {"filter": "tags.`mlflow.prompt.is_prompt` = 'true'"}),
    post(f"{API3}/datasets/search", {}),
    post(f"{API3}/issues/search", {}),
    post(f"{API3}/scorers/list", {}),
    get(f"{API3}/roles/list", {"workspace": OURS}),
    get(f"{API3}/workspaces"),
    get(STORE),
    get(STORE, {"path": "workspaces"}),
    get(STORE, {"path": f"workspaces/{OURS}"}),
    graphql("query { mlflowSearchRuns(input: {}) { runs { info { runId } } } }", {}),
]

#: Requests for files of the other workspace, by what its folder may be written as.
FOLDERS = ["workspaces/{there}", "Workspaces/{there}", "WORKSPACES/{there}", "./workspaces/{there}", "x/../workspaces/{there}", "workspaces%2F{there}", "workspaces//{there}"]
FILES = [
    *(get(STORE, {"path": f"{folder}/{{exp}}/{{run}}/artifacts"}) for folder in FOLDERS),
    *(get(f"{STORE}/{folder}/{{exp}}/{{run}}/artifacts/file.txt") for folder in FOLDERS),
    *(Call("PUT", f"{STORE}/{folder}/{{exp}}/{{run}}/artifacts/file.txt", raw=b"changed") for folder in FOLDERS),
    *(Call("DELETE", f"{STORE}/{folder}/{{exp}}/{{run}}/artifacts/file.txt") for folder in FOLDERS),
    post("/api/2.0/mlflow-artifacts/mpu/create/workspaces/{there}/{exp}/{run}/artifacts", {"path": "file.txt", "num_parts": 1}),
    get("/api/2.0/mlflow-artifacts/presigned/workspaces/{there}/{exp}/{run}/artifacts/file.txt"),
    get("/get-artifact", {"run_id": "{our_run}", "path": "../../../../{there}/{exp}/{run}/artifacts/file.txt"}),
]

#: Requests that name something of our own beside something of the other workspace. ``our_…`` is our own.
MIXED = [
    get(f"{API}/metrics/get-history-bulk-interval", {"run_ids": ["{our_run}", "{run}"], "metric_key": "m"}),
    get(f"{AJAX}/metrics/get-history-bulk", {"run_id": ["{our_run}", "{run}"], "metric_key": "m"}),
    graphql(
        "query q($d: MlflowGetMetricHistoryBulkIntervalInput!) { mlflowGetMetricHistoryBulkInterval(input: $d) { metrics { key } } }",
        {"d": {"runIds": ["{our_run}", "{run}"], "metricKey": "m"}},
    ),
    post(f"{API}/runs/search", {"experiment_ids": ["{our_exp}", "{exp}"]}),
    post(f"{API}/runs/log-batch", {"run_id": "{our_run}", "metrics": [{"key": "b", "value": 1, "timestamp": 1, "step": 0, "model_id": "{logged}"}]}),
    post(f"{API}/runs/log-metric", {"run_id": "{our_run}", "key": "b", "value": 1, "timestamp": 1, "step": 0, "model_id": "{logged}"}),
    post(f"{API}/runs/log-inputs", {"run_id": "{our_run}", "models": [{"model_id": "{our_logged}"}, {"model_id": "{logged}"}]}),
    post(f"{API}/runs/outputs", {"run_id": "{our_run}", "models": [{"model_id": "{logged}", "step": 0}]}),
    post(f"{API}/runs/set-tag", {"run_id": "{our_run}", "key": "mlflow.parentRunId", "value": "{run}"}),
    post(f"{API}/runs/create", {"experiment_id": "{our_exp}", "tags": [{"key": "mlflow.parentRunId", "value": "{run}"}]}),
    post(f"{API}/logged-models", {"experiment_id": "{our_exp}", "name": "new", "source_run_id": "{run}"}),
    post(f"{API}/logged-models/search", {"experiment_ids": ["{our_exp}", "{exp}"]}),
    post(f"{API}/artifacts/presigned-upload-url", {"run_id": "{our_run}", "model_id": "{logged}", "path": "new.txt"}),
    post(f"{API}/experiments/update", {"experiment_id": "{our_exp}", "new_name": "{exp_name}"}),
    post(f"{API}/experiments/create", {"name": "{exp_name}"}),
    # Models and prompts: names, sources, aliases
    post(f"{API}/registered-models/create", {"name": "{registered}"}),
    post(f"{API}/registered-models/rename", {"name": "{our_registered}", "new_name": "{registered}"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "mlflow-artifacts:/workspaces/{there}/{exp}/{run}/artifacts", "run_id": "{run}"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "mlflow-artifacts:/workspaces/{there}/{exp}/{run}/artifacts", "run_id": "{our_run}"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "mlflow-artifacts:/workspaces/{there}/{exp}/{run}/artifacts"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "runs:/{run}/model"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "runs:/{run}/model", "run_id": "{run}"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "models:/{logged}"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "models:/{logged}", "model_id": "{logged}"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "models:/{our_logged}", "model_id": "{logged}"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "models:/{registered}/{version}"}),
    post(f"{API}/model-versions/create", {"name": "{our_registered}", "source": "models:/{registered}@best", "tags": [{"key": "x", "value": "{version}"}]}),
    get(f"{API}/registered-models/alias", {"name": "{registered}", "alias": "best", "x": "{version}"}),
    # Traces
    get(f"{API3}/traces/batchGet", {"trace_ids": ["{our_trace}", "{trace}"]}),
    post(f"{API3}/traces/batchGetInfos", {"trace_ids": ["{our_trace}", "{trace}"]}),
    post(f"{API3}/traces/delete-traces", {"experiment_id": "{our_exp}", "request_ids": ["{our_trace}", "{trace}"]}),
    post(f"{API}/traces/link-to-run", {"trace_ids": ["{our_trace}", "{trace}"], "run_id": "{our_run}"}),
    post(f"{API}/traces/link-to-run", {"trace_ids": ["{our_trace}"], "run_id": "{run}"}),
    post(f"{API}/traces/link-prompts", {"trace_id": "{our_trace}", "prompt_versions": [{"name": "{prompt}", "version": "{prompt_version}"}]}),
    post(f"{API3}/traces/{{our_trace}}/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}, "trace_id": "{trace}"}}),
    post(f"{API3}/traces/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": id_}} for id_ in ("{our_exp}", "{exp}")]}),
    post(f"{API3}/traces/metrics", {"experiment_ids": ["{our_exp}", "{exp}"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}]}),
    # Evaluation
    post(f"{API3}/datasets/create", {"name": "new", "experiment_ids": ["{our_exp}", "{exp}"]}),
    post(f"{API3}/datasets/search", {"experiment_ids": ["{our_exp}", "{exp}"]}),
    post(f"{API3}/datasets/{{our_dataset}}/add-experiments", {"experiment_ids": ["{exp}"]}),
    post(f"{API3}/datasets/{{our_dataset}}/remove-experiments", {"experiment_ids": ["{exp}"]}),
    post(f"{API3}/datasets/{{dataset}}/add-experiments", {"experiment_ids": ["{our_exp}"]}),
    get(f"{API3}/scorers/online-configs", {"scorer_ids": ["{our_scored}", "{scored}"]}),
    post(f"{API3}/review-queues/items/add", {"queue_id": "{our_queue}", "item_ids": ["{trace}"]}),
    post(f"{API3}/issues", {"experiment_id": "{our_exp}", "name": "new", "description": "x", "source_run_id": "{run}"}),
    # Grants
    post(f"{API3}/users/permissions/grant", {"username": "{other}", "resource_type": "prompt", "resource_id": "{prompt}", "permission": "READ"}),
    post(f"{API3}/users/permissions/grant", {"username": "{other}", "resource_type": "scorer", "resource_id": "{exp}/{scorer}", "permission": "READ"}),
    get(f"{API3}/users/permissions/get", {"username": "boss", "resource_type": "registered_model", "resource_id": "{registered}"}),
    post(f"{API3}/roles/assign", {"role_id": "{our_role}", "username": "{other}", "x": "{exp}"}),
    delete(f"{API3}/roles/delete", {"role_id": "{role}", "workspace": OURS}),
    post(f"{API3}/roles/permissions/add", {"role_id": "{role}", "workspace": OURS, "resource_type": "run", "resource_pattern": "*", "permission": "READ"}),
]
