"""The calls of the matrix: at least one for every route that is built."""

from dataclasses import dataclass, field
from typing import Any

API, API3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
AJAX, AJAX3 = "/ajax-api/2.0/mlflow", "/ajax-api/3.0/mlflow"
STORE = "/api/2.0/mlflow-artifacts/artifacts"

IS_PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}


@dataclass
class Call:
    """A request; ``{name}`` is what a :class:`scene.Scene` makes under that name."""

    method: str
    path: str
    query: Any = None
    body: Any = None
    raw: bytes | None = None
    headers: dict | None = None
    #: What is counted in a good answer: a path of keys to a list.
    count: str | None = None
    #: Why ferroflow answers otherwise on purpose, and what.
    differs: str | None = None
    expect: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = next((given for given in (self.query, self.body) if given is not None), None)
        return f"{self.method} {self.path}" + (f" {given}" if given is not None else "")


def get(path, query=None, **rest):
    return Call("GET", path, query=query, **rest)


def post(path, body=None, **rest):
    return Call("POST", path, body=body if body is not None else {}, **rest)


def patch(path, body=None, **rest):
    return Call("PATCH", path, body=body if body is not None else {}, **rest)


def delete(path, body=None, **rest):
    return Call("DELETE", path, body=body if body is not None else {}, **rest)


def graphql(query: str, variables: dict, **rest):
    return post("/graphql", {"query": query, "variables": variables}, **rest)


OWN_ROLES = "the reference shows the roles of a workspace, with what is granted to each user alone, to whoever has anything; ferroflow to its members"
LISTED = "the reference has no rule for this path and refuses everybody; ferroflow's is that of the other one"
SIGN_UP = "the reference has no rule for the form and refuses whoever may see it; ferroflow asks for the same as the page"

MOVED = "the reference moves a trace out of an experiment for whoever may write to another one; ferroflow asks whether the trace may be changed where it is"
NO_EXPERIMENT = "the reference fails for a trace without an experiment; ferroflow says what is missing"
NO_SPANS = "the reference fails for a trace whose spans are a file; ferroflow reads the file, and here there is none"

#: A request of an OpenTelemetry client.
SPANS = {"resourceSpans": [{"scopeSpans": [{"spans": [{
    "traceId": "00000000000000000000{unique}", "spanId": "0000000000000001", "name": "s", "startTimeUnixNano": "1760000000000000000",
    "endTimeUnixNano": "1760000000005000000",
}]}]}]}  # fmt: skip

#: A run of the prompt lab, without its experiment.
PROMPT_LAB = {
    "prompt_template": "Say {{ word }}", "prompt_parameters": [{"key": "word", "value": "x"}], "model_route": "chat",
    "model_input": "Say x", "model_output": "x", "mlflow_version": "2.7.1",
}  # fmt: skip

CALLS = [
    # Experiments
    post(f"{API}/experiments/create", {"name": "new {unique}"}),
    get(f"{API}/experiments/get", {"experiment_id": "{exp}"}),
    get(f"{AJAX}/experiments/get", {"experiment_id": "{exp}"}),
    get(f"{API}/experiments/get", {"experiment_id": "99999"}),
    get(f"{API}/experiments/get-by-name", {"experiment_name": "{exp_name}", "x": "{exp}"}),
    get(f"{API}/experiments/get-by-name", {"experiment_name": "nothing"}),
    get(f"{API}/experiments/search", {"max_results": 1000, "filter": "name = '{exp_name}'", "x": "{exp}"}, count="experiments"),
    post(f"{API}/experiments/search", {"max_results": 1000, "filter": "name = '{exp_name}' AND name != '{exp}'"}, count="experiments"),
    post(f"{API}/experiments/update", {"experiment_id": "{exp}", "new_name": "renamed {unique}"}),
    post(f"{API}/experiments/delete", {"experiment_id": "{exp}"}),
    post(f"{API}/experiments/restore", {"experiment_id": "{gone_exp}"}),
    post(f"{API}/experiments/set-experiment-tag", {"experiment_id": "{exp}", "key": "k", "value": "v"}),
    post(f"{API}/experiments/delete-experiment-tag", {"experiment_id": "{exp}", "key": "tag"}),
    post(f"{AJAX}/experiments/search-datasets", {"experiment_ids": ["{exp}"]}),
    # Runs
    post(f"{API}/runs/create", {"experiment_id": "{exp}"}),
    get(f"{API}/runs/get", {"run_id": "{run}"}),
    get(f"{API}/runs/get", {"run_uuid": "{run}"}),
    get(f"{API}/runs/get", {"run_id": "0" * 32}),
    post(f"{API}/runs/search", {"experiment_ids": ["{exp}"], "filter": "run_id = '{run}'"}, count="runs"),
    post(f"{API}/runs/update", {"run_id": "{run}", "status": "FINISHED"}),
    post(f"{API}/runs/delete", {"run_id": "{run}"}),
    post(f"{API}/runs/restore", {"run_id": "{gone_run}"}),
    post(f"{API}/runs/log-metric", {"run_id": "{run}", "key": "a", "value": 1, "timestamp": 1}),
    post(f"{API}/runs/log-parameter", {"run_id": "{run}", "key": "a", "value": "1"}),
    post(f"{API}/runs/set-tag", {"run_id": "{run}", "key": "a", "value": "1"}),
    post(f"{API}/runs/delete-tag", {"run_id": "{run}", "key": "tag"}),
    post(f"{API}/runs/log-batch", {"run_id": "{run}", "params": [{"key": "b", "value": "1"}]}),
    post(f"{API}/runs/log-batch", {"run_id": "{run}", "metrics": [{"key": "b", "value": 1, "timestamp": 1, "step": 0, "model_id": "{logged}"}]}),
    post(f"{API}/runs/log-batch", {"run_id": "{run}", "metrics": [{"key": "b", "value": 1, "timestamp": 1, "step": 0, "model_id": "m-nothing"}]}),
    post(f"{API}/runs/log-model", {"run_id": "{run}", "model_json": "nothing"}),
    post(f"{API}/runs/log-inputs", {"run_id": "{run}", "models": [{"model_id": "{logged}"}]}),
    post(f"{API}/runs/outputs", {"run_id": "{run}", "models": [{"model_id": "{logged}", "step": 0}]}),
    post(f"{AJAX}/runs/create-promptlab-run", {"experiment_id": "{exp}", **PROMPT_LAB}),
    post(f"{AJAX}/runs/create-promptlab-run", PROMPT_LAB),
    get(f"{API}/metrics/get-history", {"run_id": "{run}", "metric_key": "m"}),
    get(f"{AJAX}/metrics/get-history-bulk", {"run_id": "{run}", "metric_key": "m"}),
    get(f"{API}/metrics/get-history-bulk-interval", {"run_ids": "{run}", "metric_key": "m"}),
    # Logged models
    post(f"{API}/logged-models", {"experiment_id": "{exp}", "name": "new"}),
    post(f"{API}/logged-models", {"experiment_id": "{exp}", "name": "new", "source_run_id": "{run}"}),
    get(f"{API}/logged-models/{{logged}}"),
    get(f"{API}/logged-models/m-nothing"),
    patch(f"{API}/logged-models/{{logged}}", {"model_id": "{logged}", "status": "LOGGED_MODEL_READY"}),
    delete(f"{API}/logged-models/{{logged}}"),
    post(f"{API}/logged-models/{{logged}}/params", {"model_id": "{logged}", "params": [{"key": "p", "value": "1"}]}),
    patch(f"{API}/logged-models/{{logged}}/tags", {"tags": [{"key": "t", "value": "1"}]}),
    delete(f"{API}/logged-models/{{logged}}/tags/tag"),
    post(f"{API}/logged-models/search", {"experiment_ids": ["{exp}"], "filter": "model_id = '{logged}'"}, count="models"),
    get(f"{API}/logged-models/{{logged}}/artifacts/directories"),
    get(f"{AJAX}/logged-models/{{logged}}/artifacts/files", {"artifact_file_path": "file.txt"}),
    # Evaluation datasets
    post(f"{API3}/datasets/create", {"name": "new", "experiment_ids": ["{exp}"]}),
    post(f"{API3}/datasets/create", {"name": "new", "experiment_ids": ["{exp}", "{elsewhere}"]}),
    post(f"{API3}/datasets/create", {"name": "new"}),
    post(f"{API3}/datasets/search", {"experiment_ids": ["{exp}"], "filter_string": "name != '{dataset}'"}, count="datasets"),
    get(f"{AJAX3}/datasets/search", {"experiment_ids": "{exp}", "filter_string": "name != '{dataset}'"}, count="datasets"),
    post(f"{API3}/datasets/search", {"experiment_ids": ["{exp}", "{elsewhere}"]}, count="datasets"),
    post(f"{API3}/datasets/search", {}),
    get(f"{API3}/datasets/{{dataset}}"),
    get(f"{API3}/datasets/{{shared_dataset}}"),
    get(f"{API3}/datasets/d-nothing"),
    delete(f"{API3}/datasets/{{dataset}}"),
    delete(f"{API3}/datasets/d-nothing"),
    patch(f"{API3}/datasets/{{dataset}}/tags", {"tags": '{"k": "v"}'}),
    delete(f"{API3}/datasets/{{dataset}}/tags/tag"),
    get(f"{API3}/datasets/{{dataset}}/records"),
    get(f"{API3}/datasets/{{shared_dataset}}/records"),
    post(f"{API3}/datasets/{{dataset}}/records", {"records": '[{"inputs": {"b": 1}}]'}),
    delete(f"{API3}/datasets/{{dataset}}/records", {"dataset_record_ids": ["dr-nothing"]}),
    get(f"{API3}/datasets/{{dataset}}/experiment-ids"),
    post(f"{API3}/datasets/{{dataset}}/add-experiments", {"experiment_ids": ["{exp}"]}),
    post(f"{API3}/datasets/{{dataset}}/add-experiments", {"experiment_ids": ["{elsewhere}"]}),
    post(f"{API3}/datasets/{{dataset}}/add-experiments", {}),
    post(f"{API3}/datasets/{{dataset}}/remove-experiments", {"experiment_ids": ["{exp}"]}),
    post(f"{API3}/datasets/{{dataset}}/remove-experiments", {"experiment_ids": ["{elsewhere}"]}),
    # Label schemas
    post(f"{API3}/label-schemas/create", {"experiment_id": "{exp}", "name": "new", "type": "FEEDBACK", "input": {"text": {}}}),
    get(f"{API3}/label-schemas/get", {"schema_id": "{schema}"}),
    get(f"{API3}/label-schemas/get", {"schema_id": "ls-nothing"}),
    get(f"{API3}/label-schemas/get-by-name", {"experiment_id": "{exp}", "name": "good?", "x": "{schema}"}),
    get(f"{AJAX3}/label-schemas/list", {"experiment_id": "{exp}", "x": "{schema}"}, count="label_schemas"),
    patch(f"{API3}/label-schemas/update", {"schema_id": "{schema}", "name": "better?"}),
    patch(f"{API3}/label-schemas/update", {"schema_id": "ls-nothing", "name": "better?"}),
    delete(f"{API3}/label-schemas/delete", {"schema_id": "{schema}"}),
    delete(f"{API3}/label-schemas/delete", {"schema_id": "ls-nothing"}),
    # Issues
    post(f"{API3}/issues", {"experiment_id": "{exp}", "name": "new", "description": "x"}),
    post(f"{API3}/issues", {"name": "new", "description": "x"}, differs="ferroflow checks the parameters of a request first, and says which one is missing"),
    get(f"{API3}/issues/{{issue}}"),
    get(f"{API3}/issues/iss-nothing"),
    patch(f"{API3}/issues/{{issue}}", {"issue_id": "{issue}", "name": "slower"}),
    patch(f"{API3}/issues/iss-nothing", {"issue_id": "iss-nothing", "name": "slower"}),
    post(f"{AJAX3}/issues/search", {"experiment_id": "{exp}", "filter_string": "status != '{issue}'"}, count="issues"),
    post(f"{API3}/issues/search", {"experiment_id": "{exp}", "filter_string": "source_run_id != '{issue}'"}, count="issues"),
    post(f"{API3}/issues/search", {}),
    # Review queues
    post(f"{API3}/review-queues/create", {"experiment_id": "{exp}", "name": "new", "queue_type": "CUSTOM"}),
    post(f"{API3}/review-queues/create", {"experiment_id": "{exp}", "name": " EDITOR ", "queue_type": "CUSTOM"}),
    post(f"{API3}/review-queues/get-or-create-user", {"experiment_id": "{exp}", "user": "ann"}),
    *(get(f"{API3}/review-queues/get", {"queue_id": queue}) for queue in ("{queue}", "{my_queue}", "{owned_queue}", "{user_queue}", "rq-nothing")),
    get(f"{AJAX3}/review-queues/get-by-name", {"experiment_id": "{exp}", "name": "Foreign Queue", "x": "{queue}"}),
    get(f"{API3}/review-queues/get-by-name", {"experiment_id": "{exp}", "name": "My Queue", "x": "{my_queue}"}),
    get(f"{API3}/review-queues/get-by-name", {"experiment_id": "{exp}", "name": "owned queue", "x": "{owned_queue}"}),
    get(f"{API3}/review-queues/get-by-name", {"experiment_id": "{exp}", "name": "nothing"}),
    get(f"{AJAX3}/review-queues/list", {"experiment_id": "{exp}", "x": "{queue} {my_queue}"}, count="review_queues"),
    *(post(f"{API3}/review-queues/update", {"queue_id": queue, "name": "renamed"}) for queue in ("{queue}", "{my_queue}", "{owned_queue}", "rq-nothing")),
    post(f"{API3}/review-queues/update", {"queue_id": "{owned_queue}", "new_owner": "ann"}),
    post(f"{API3}/review-queues/update", {"queue_id": "{owned_queue}", "newOwner": "ann"}),
    post(f"{API3}/review-queues/update", {"queue_id": "{owned_queue}", "name": "Manager"}),
    *(post(f"{API3}/review-queues/items/add", {"queue_id": queue, "item_ids": ["{trace}"]}) for queue in ("{queue}", "{my_queue}", "rq-nothing")),
    *(get(f"{API3}/review-queues/items/list", {"queue_id": queue}, count="items") for queue in ("{queue}", "{my_queue}", "{owned_queue}")),
    *(post(f"{API3}/review-queues/items/set-status", {"queue_id": queue, "item_id": "{trace}", "status": "COMPLETE", "completed_by": "mallory"}) for queue in ("{queue}", "{my_queue}", "{owned_queue}")),
    post(f"{API3}/review-queues/items/set-status", {"queue_id": "{my_queue}", "item_id": "{trace}", "status": "PENDING"}),
    *(post(f"{API3}/review-queues/items/remove", {"queue_id": queue, "item_ids": ["{trace}"]}) for queue in ("{queue}", "{my_queue}", "{owned_queue}")),
    *(post(f"{API3}/review-queues/delete", {"queue_id": queue}) for queue in ("{queue}", "{my_queue}", "{owned_queue}", "{user_queue}", "rq-nothing")),
    # Scorers
    post(f"{API3}/scorers/register", {"experiment_id": "{exp}", "name": "new", "serialized_scorer": "{}"}),
    post(f"{API3}/scorers/register", {"experiment_id": "{exp}", "name": "{scorer}", "serialized_scorer": "{}"}),
    get(f"{API3}/scorers/list", {"experiment_id": "{exp}", "x": "{scorer}"}, count="scorers"),
    get(f"{AJAX3}/scorers/list", {"experiment_ids": ["{exp}"], "x": "{scorer}"}, count="scorers"),
    get(f"{API3}/scorers/versions", {"experiment_id": "{exp}", "name": "{scorer}"}, count="scorers"),
    get(f"{API3}/scorers/get", {"experiment_id": "{exp}", "name": "{scorer}"}),
    get(f"{API3}/scorers/get", {"experiment_id": "{exp}", "name": "nothing"}),
    delete(f"{API3}/scorers/delete", {"experiment_id": "{exp}", "name": "{scorer}"}),
    delete(f"{API3}/scorers/delete", {"experiment_id": "{exp}", "name": "{scorer}", "version": 1}),
    Call("PUT", f"{API3}/scorers/online-config", body={"experiment_id": "{exp}", "name": "{scorer}", "sample_rate": 0}),
    get(f"{API3}/scorers/online-configs", {"scorer_ids": ["{scored}"]}, count="configs"),
    get(f"{AJAX3}/scorers/online-configs", {"scorer_ids": ["{scored}", "{foreign_scored}"]}),
    get(f"{API3}/scorers/online-configs", {"scorer_ids": ["nothing"]}),
    # Registered models
    post(f"{API}/registered-models/create", {"name": "new {unique}"}),
    post(f"{API}/registered-models/create", {"name": "new prompt {unique}", "tags": [IS_PROMPT]}),
    get(f"{API}/registered-models/get", {"name": "{registered}"}),
    get(f"{API}/registered-models/get", {"name": "nothing"}),
    get(f"{API}/registered-models/search", {"filter": "name = '{registered}'"}, count="registered_models"),
    patch(f"{API}/registered-models/update", {"name": "{registered}", "description": "x"}),
    post(f"{API}/registered-models/rename", {"name": "{registered}", "new_name": "renamed {unique}"}),
    delete(f"{API}/registered-models/delete", {"name": "{registered}"}),
    delete(f"{API}/registered-models/delete", {"name": "nothing"}),
    get(f"{API}/registered-models/get-latest-versions", {"name": "{registered}"}),
    post(f"{API}/registered-models/get-latest-versions", {"name": "{registered}"}),
    post(f"{API}/registered-models/set-tag", {"name": "{registered}", "key": "k", "value": "v"}),
    delete(f"{API}/registered-models/delete-tag", {"name": "{registered}", "key": "tag"}),
    post(f"{API}/registered-models/alias", {"name": "{registered}", "alias": "new", "version": "{version}"}),
    delete(f"{API}/registered-models/alias", {"name": "{registered}", "alias": "best", "version": "{version}"}),
    get(f"{API}/registered-models/alias", {"name": "{registered}", "alias": "best", "x": "{version}"}),
    # Model versions
    post(f"{API}/model-versions/create", {"name": "{registered}", "source": "mlflow-artifacts:/{exp}/{run}/artifacts", "run_id": "{run}"}),
    post(f"{API}/model-versions/create", {"name": "{registered}", "source": "models:/{logged}", "model_id": "{logged}"}),
    get(f"{API}/model-versions/get", {"name": "{registered}", "version": "{version}"}),
    get(f"{API}/model-versions/get", {"name": "nothing", "version": "1"}),
    get(f"{API}/model-versions/get-download-uri", {"name": "{registered}", "version": "{version}"}),
    get(f"{API}/model-versions/search", {"filter": "name = '{registered}' AND name != '{version}'"}, count="model_versions"),
    patch(f"{API}/model-versions/update", {"name": "{registered}", "version": "{version}", "description": "x"}),
    post(f"{API}/model-versions/transition-stage", {"name": "{registered}", "version": "{version}", "stage": "Staging", "archive_existing_versions": False}),
    post(f"{API}/model-versions/set-tag", {"name": "{registered}", "version": "{version}", "key": "k", "value": "v"}),
    delete(f"{API}/model-versions/delete-tag", {"name": "{registered}", "version": "{version}", "key": "tag"}),
    delete(f"{API}/model-versions/delete", {"name": "{registered}", "version": "{version}"}),
    get("/model-versions/get-artifact", {"name": "{registered}", "version": "{version}", "path": "file.txt"}),
    get("/model-versions/get-artifact", {"version": "1", "path": "file.txt"}),
    # Prompts are granted on as prompts
    get(f"{API}/registered-models/get", {"name": "{prompt}"}),
    get(f"{API}/registered-models/search", {"filter": "name = '{prompt}' AND tags.`mlflow.prompt.is_prompt` = 'true'"}, count="registered_models"),
    get(f"{API}/model-versions/get", {"name": "{prompt}", "version": "{prompt_version}"}),
    get(f"{API}/model-versions/search", {"filter": "name = '{prompt}' AND name != '{prompt_version}' AND tags.`mlflow.prompt.is_prompt` = 'true'"}, count="model_versions"),
    patch(f"{API}/registered-models/update", {"name": "{prompt}", "description": "x"}),
    delete(f"{API}/registered-models/delete", {"name": "{prompt}"}),
    # Artifacts
    get(f"{API}/artifacts/list", {"run_id": "{run}"}, count="files"),
    get("/get-artifact", {"run_id": "{run}", "path": "file.txt"}),
    get("/get-artifact", {"run_uuid": "{run}", "path": "file.txt"}),
    get("/get-artifact", {"path": "file.txt"}),
    Call("POST", f"{AJAX}/upload-artifact", query={"run_uuid": "{run}", "path": "new.txt"}, raw=b"text"),
    get(STORE),
    get(STORE, {"path": "{exp}"}),
    get(STORE, {"path": "{exp}/{run}/artifacts"}, count="files"),
    get(f"{STORE}/{{exp}}/{{run}}/artifacts/file.txt"),
    get(f"{STORE}/{{exp}}/models/{{logged}}/artifacts/file.txt"),
    Call("PUT", f"{STORE}/{{exp}}/{{run}}/artifacts/new.txt", raw=b"text"),
    Call("PUT", f"{STORE}/{{exp}}/new.txt", raw=b"text"),
    Call("PUT", f"{STORE}/elsewhere/new.txt", raw=b"text"),
    # Transfers past the server: the store of the matrix has none, which is said to whoever could have one.
    post("/api/2.0/mlflow-artifacts/mpu/create/{exp}/{run}/artifacts", {"path": "new.txt", "num_parts": 1}),
    post("/api/2.0/mlflow-artifacts/mpu/complete/{exp}/{run}/artifacts", {"path": "new.txt", "upload_id": "x", "parts": []}),
    post("/api/2.0/mlflow-artifacts/mpu/abort/{exp}/{run}/artifacts", {"path": "new.txt", "upload_id": "x"}),
    get("/api/2.0/mlflow-artifacts/presigned/{exp}/{run}/artifacts/file.txt"),
    post(f"{API}/artifacts/presigned-download-url", {"run_id": "{run}", "path": "file.txt"}),
    post(f"{API}/artifacts/presigned-upload-url", {"run_id": "{run}", "path": "new.txt"}),
    post(f"{API}/artifacts/presigned-upload-url", {"model_id": "{logged}", "path": "new.txt"}),
    Call("DELETE", f"{STORE}/{{exp}}/{{run}}/artifacts/file.txt"),
    Call("DELETE", f"{STORE}/{{exp}}/{{run}}"),
    # OpenTelemetry
    post("/v1/traces", SPANS, headers={"x-mlflow-experiment-id": "{exp}"}),
    post("/v1/traces", SPANS | {"x": "an experiment that is not there"}, headers={"x-mlflow-experiment-id": "99999"}),
    # GraphQL
    graphql("query q($d: MlflowGetExperimentInput!) { mlflowGetExperiment(input: $d) { experiment { name } } }", {"d": {"experimentId": "{exp}"}}, count="data.mlflowGetExperiment.experiment"),
    graphql("query q($d: MlflowGetRunInput!) { mlflowGetRun(input: $d) { run { info { status } } } }", {"d": {"runId": "{run}"}}, count="data.mlflowGetRun.run"),
    graphql("query q($d: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $d) { runs { info { status } } } }", {"d": {"experimentIds": ["{exp}"], "filter": "run_id = '{run}'"}}, count="data.mlflowSearchRuns.runs"),
    graphql("query q($d: MlflowSearchModelVersionsInput!) { mlflowSearchModelVersions(input: $d) { modelVersions { name } } }", {"d": {"filter": "name = '{registered}' AND name != '{version}'"}}, count="data.mlflowSearchModelVersions.modelVersions"),
    graphql("query q($d: MlflowListArtifactsInput!) { mlflowListArtifacts(input: $d) { files { path } } }", {"d": {"runId": "{run}"}}, count="data.mlflowListArtifacts.files"),
    graphql("query q($d: MlflowGetMetricHistoryBulkIntervalInput!) { mlflowGetMetricHistoryBulkInterval(input: $d) { metrics { key } } }", {"d": {"runIds": ["{run}"], "metricKey": "m"}}, count="data.mlflowGetMetricHistoryBulkInterval.metrics"),
    # Webhooks
    post(f"{API}/webhooks", {"name": "new", "url": "https://93.184.216.34/x", "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]}),
    get(f"{API}/webhooks"),
    get(f"{API}/webhooks/{{hook}}"),
    patch(f"{API}/webhooks/{{hook}}", {"name": "renamed"}),
    delete(f"{API}/webhooks/{{hook}}"),
    # Users
    post(f"{API}/users/create", {"username": "new-{unique}", "password": "a long enough password"}),
    get(f"{API}/users/get", {"username": "{other}"}),
    get(f"{API}/users/get", {"username": "admin"}),
    get(f"{API}/users/list"),
    get(f"{AJAX}/users/current"),
    patch(f"{API}/users/update-password", {"username": "{other}", "password": "another long password"}),
    patch(f"{API}/users/update-admin", {"username": "{other}", "is_admin": True}),
    delete(f"{API}/users/delete", {"username": "{other}"}),
    get("/signup"),
    get(f"{API3}/users/current/permissions"),
    get(f"{API3}/users/permissions/list", {"username": "{other}"}),
    get(f"{API3}/users/permissions/get", {"username": "{other}", "resource_type": "experiment", "resource_id": "{exp}"}),
    post(f"{API3}/users/permissions/grant", {"username": "{other}", "resource_type": "experiment", "resource_id": "{exp}", "permission": "READ"}),
    post(f"{API3}/users/permissions/grant", {"username": "{other}", "resource_type": "experiment", "resource_id": "*", "permission": "READ"}),
    post(f"{API3}/users/permissions/grant", {"username": "{other}", "resource_type": "registered_model", "resource_id": "{registered}", "permission": "READ"}),
    post(f"{API3}/users/permissions/grant", {"username": "{other}", "resource_type": "workspace", "resource_id": "*", "permission": "USE"}),
    post(f"{API3}/users/permissions/revoke", {"username": "{other}", "resource_type": "experiment", "resource_id": "{exp}"}),
    # Roles
    post(f"{API3}/roles/create", {"name": "new {unique}", "workspace": "default"}),
    get(f"{API3}/roles/get", {"role_id": "{role}"}, differs=OWN_ROLES),
    get(f"{API3}/roles/list"),
    get(f"{API3}/roles/list", {"workspace": "default"}, differs=OWN_ROLES),
    patch(f"{API3}/roles/update", {"role_id": "{role}", "description": "x"}),
    delete(f"{API3}/roles/delete", {"role_id": "{role}"}),
    post(f"{API3}/roles/assign", {"role_id": "{role}", "username": "{other}"}),
    delete(f"{API3}/roles/unassign", {"role_id": "{assigned}", "username": "{other}"}),
    get(f"{API3}/roles/users/list", {"role_id": "{role}"}),
    get(f"{API3}/users/roles/list", {"username": "{other}"}),
    post(f"{API3}/roles/permissions/add", {"role_id": "{role}", "resource_type": "experiment", "resource_pattern": "{exp}", "permission": "EDIT"}),
    delete(f"{API3}/roles/permissions/remove", {"role_permission_id": "{role_permission}"}),
    get(f"{API3}/roles/permissions/list", {"role_id": "{role}"}, differs=OWN_ROLES),
    patch(f"{API3}/roles/permissions/update", {"role_permission_id": "{role_permission}", "permission": "EDIT"}),
    # Pages, and what every page asks for
    get("/"),
    get("/version"),
    get("/health"),
    get("/metrics", differs="the reference has no metrics"),
    get(f"{API3}/server-info"),
    get(f"{AJAX3}/ui-telemetry"),
    post(f"{AJAX3}/ui-telemetry"),
    get(f"{AJAX}/gateway-proxy", {"gateway_path": "api/2.0/endpoints/"}),
    # Every user may generate sample data, and admins delete it; here there is none.
    post(f"{AJAX3}/demo/generate", {"features": []}),
    post(f"{AJAX3}/demo/delete"),
    # Traces and assessments
    post(f"{API3}/traces", {"trace": {"trace_info": {"trace_id": "tr-{unique}", "trace_location": {"type": 1, "mlflow_experiment": {"experiment_id": "{exp}"}}}}}),
    post(f"{API3}/traces", {"trace": {"trace_info": {"trace_id": "tr-{unique}", "trace_location": {"type": 1, "mlflow_experiment": {"experiment_id": "{exp}"}}, "assessments": [{"feedback": {"value": 1}}]}}}),
    post(f"{API3}/traces", {"trace": {"trace_info": {"trace_id": "{trace}", "trace_location": {"type": 1, "mlflow_experiment": {"experiment_id": "{exp}"}}}}}),
    post(f"{API3}/traces", {"trace": {"trace_info": {"trace_id": "{foreign_trace}", "trace_location": {"type": 1, "mlflow_experiment": {"experiment_id": "{exp}"}}}}}, differs=MOVED),
    post(f"{API3}/traces", {"trace": {"trace_info": {"trace_id": "tr-{unique}"}}}, differs=NO_EXPERIMENT),
    get(f"{API3}/traces/{{trace}}"),
    get(f"{API3}/traces/{{foreign_trace}}"),
    get(f"{API3}/traces/tr-nothing"),
    get(f"{API3}/traces/get", {"trace_id": "{trace}", "allow_partial": "true"}, differs=NO_SPANS),
    get(f"{API3}/traces/batchGet", {"trace_ids": ["{trace}"]}, differs=NO_SPANS),
    get(f"{API3}/traces/batchGet", {"trace_ids": ["{trace}", "{foreign_trace}"]}, differs=NO_SPANS),
    post(f"{API3}/traces/batchGetInfos", {"trace_ids": ["{trace}"]}, count="trace_infos"),
    post(f"{API3}/traces/batchGetInfos", {"trace_ids": ["{trace}", "{foreign_trace}"]}, count="trace_infos"),
    post(f"{API3}/traces/delete-traces", {"experiment_id": "{exp}", "request_ids": ["{trace}"]}, count="traces_deleted"),
    post(f"{API3}/traces/delete-traces", {"experiment_id": "{exp}", "request_ids": ["{foreign_trace}"]}),
    post(f"{API3}/traces/delete-traces", {"request_ids": ["{trace}"]}),
    patch(f"{API3}/traces/{{trace}}/tags", {"key": "a", "value": "1"}),
    patch(f"{API3}/traces/{{foreign_trace}}/tags", {"key": "a", "value": "1"}),
    delete(f"{API3}/traces/{{trace}}/tags", {"key": "tag"}),
    post(f"{API}/traces/link-to-run", {"trace_ids": ["{trace}"], "run_id": "{run}"}),
    post(f"{API}/traces/link-to-run", {"trace_ids": ["{foreign_trace}"], "run_id": "{run}"}),
    post(f"{API}/traces/link-to-run", {"trace_ids": ["tr-nothing"], "run_id": "{run}"}),
    post(f"{API}/traces/link-prompts", {"trace_id": "{trace}", "prompt_versions": [{"name": "p", "version": "1"}]}),
    post(f"{API}/traces", {"experiment_id": "{exp}", "timestamp_ms": 1}),
    post(f"{API}/traces", {"timestamp_ms": 1}, differs=NO_EXPERIMENT),
    patch(f"{API}/traces/{{trace}}", {"timestamp_ms": 5, "status": "OK"}),
    get(f"{API}/traces/{{trace}}/info"),
    post(f"{API}/traces/delete-traces", {"experiment_id": "{exp}", "max_timestamp_millis": 9}, count="traces_deleted"),
    patch(f"{API}/traces/{{trace}}/tags", {"key": "a", "value": "1"}),
    delete(f"{API}/traces/{{trace}}/tags", {"key": "tag"}),
    get(f"{API}/get-online-trace-details"),
    get(f"{API}/unified-traces"),
    post(f"{API3}/traces/{{trace}}/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}}}),
    post(f"{API3}/traces/{{foreign_trace}}/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}, "trace_id": "{trace}"}}),
    post(f"{API3}/traces/tr-nothing/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}}}),
    get(f"{API3}/traces/{{trace}}/assessments/{{assessment}}"),
    patch(f"{API3}/traces/{{trace}}/assessments/{{assessment}}", {"assessment": {"rationale": "x"}, "update_mask": "rationale"}),
    delete(f"{API3}/traces/{{trace}}/assessments/{{assessment}}"),
    delete(f"{API3}/traces/{{foreign_trace}}/assessments/{{assessment}}"),
    get(f"{AJAX}/get-trace-artifact", {"request_id": "tr-nothing"}),
    get(f"{AJAX3}/get-trace-artifact", {"request_id": "tr-nothing"}),
    get(f"{AJAX}/get-trace-artifact"),
    post(f"{API}/traces/link-prompts", {"trace_id": "tr-nothing", "prompt_versions": []}),
    # Searches and metrics of traces: what a filter or an order names must be readable, too.
    *(
        post(f"{API3}/traces/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{exp}"}}], **change}, count="traces")
        for change in (
            {}, {"filter": "feedback.a = 'x'"}, {"filter": "run_id = 'x'"}, {"filter": "metadata.mlflow.modelId = 'x'"}, {"filter": "tags.a = 'x'"}, {"filter": "nope"}, {"order_by": ["run_id"]},
            {"order_by": ["name"]}, {"order_by": ["request_metadata.mlflow.modelId DESC"]},
        )
    ),
    post(f"{AJAX3}/traces/search", {"locations": []}),
    post(f"{API3}/traces/search", {"locations": [{"mlflowExperiment": {"experimentId": "{exp}"}}]}),
    get(f"{API}/traces", {"experiment_ids": "{exp}"}, count="traces"),
    get(f"{API}/traces", {"experiment_ids": "{exp}", "filter": "expectation.a = 'x'", "order_by": "run_id"}, count="traces"),
    *(
        post(f"{API3}/traces/metrics", {"experiment_ids": ["{exp}"], "view_type": view, "metric_name": metric, "aggregations": [{"aggregation_type": "COUNT"}]})
        for view, metric in (("TRACES", "trace_count"), ("SPANS", "span_count"), ("ASSESSMENTS", "assessment_count"))
    ),
    post(f"{API3}/traces/calculate-filter-correlation", {"experiment_ids": ["{exp}"], "filter_string1": "status = 'OK'", "filter_string2": "tags.a = 'x'"}),
    post(f"{API3}/traces/calculate-filter-correlation", {"experiment_ids": ["{exp}"], "filter_string1": "status = 'OK'", "filter_string2": "feedback.a = 'x'"}),
    get(f"{API}/nothing/at/all"),
]
