"""Makes a database with an old release, by its own SDK and stores, and fills it with everything that it knows.

Run by the release's Python, so it is written for the oldest of them:

    python fill_release.py <database URI> <folder of artifacts> [<URI of the users database>]

What a release does not have is left out; whatever it has must work. The last line that it prints is JSON: the names
of what was filled, and the runs and model versions as this release finds them.
"""

import json
import os
import sys

os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# The threads that export spans lock each other out in PostgreSQL, and a trace is lost.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ["MLFLOW_CRYPTO_KEK_PASSPHRASE"] = "a passphrase of thirty-two letters"

import mlflow  # noqa: E402
from mlflow import entities  # noqa: E402

TEXT = "ünï 中 🧪 '\"\\%_"
FILLED = []


def part(needs):
    """Runs a function on an object that has a method, and notes it."""

    def run(function):
        name, owner = function.__name__, needs[0]
        if owner is not None and all(hasattr(owner, method) for method in needs[1:]):
            function()
            FILLED.append(name)
        return function

    return run


def main(uri, artifacts, users):
    mlflow.set_tracking_uri(uri)
    client = mlflow.tracking.MlflowClient(uri)
    store = tracking_store(client)
    experiment, empty, gone = (make_experiment(client, name, artifacts) for name in ("first " + TEXT, "e" * 250, "deleted"))
    client.delete_experiment(gone)
    runs = [log_run(client, experiment, number) for number in range(3)]
    log_run(client, empty, 3)
    client.delete_run(runs[2])
    run = runs[0]

    @part([client, "set_experiment_tag"])
    def experiment_tags():
        client.set_experiment_tag(experiment, "team", TEXT)
        client.set_experiment_tag(experiment, "k" * 250, "v" * 5_000)

    @part([client, "create_registered_model"])
    def registry():
        for name in ("model " + TEXT.replace("\\", "").replace("/", ""), "other"):
            client.create_registered_model(name)
            for number in range(3):
                client.create_model_version(name, artifacts + "/model", run)
        if hasattr(client, "transition_model_version_stage"):
            client.transition_model_version_stage("other", "1", "Production")
            client.transition_model_version_stage("other", "2", "Archived")
        client.update_registered_model("other", description=TEXT)
        client.delete_model_version("other", "3")

    @part([client, "set_model_version_tag"])
    def registry_tags():
        client.set_registered_model_tag("other", "team", TEXT)
        client.set_model_version_tag("other", "1", "checked", "v" * 5_000)

    @part([client, "set_registered_model_alias"])
    def aliases():
        client.set_registered_model_alias("other", "champion", "1")
        client.set_registered_model_alias("other", "ch-2", "2")

    @part([client, "log_inputs"])
    def inputs():
        datasets = [
            entities.Dataset("d" * number, "digest%d" % number, "local", TEXT, schema="{}", profile="p" * 1_000)
            for number in (1, 100)
        ]
        tags = [entities.InputTag("mlflow.data.context", "training")]
        client.log_inputs(run, [entities.DatasetInput(dataset, tags) for dataset in datasets])

    @part([mlflow, "start_span"])
    def traces():
        mlflow.set_experiment(experiment_id=experiment)
        for number in range(3):
            with mlflow.start_span("root " + TEXT) as span:
                span.set_inputs({"question": TEXT})
                with mlflow.start_span("child") as child:
                    child.set_attributes(
                        {
                            "mlflow.spanType": "LLM",
                            "mlflow.llm.model": "gpt-5",
                            "mlflow.llm.provider": "openai",
                            "mlflow.chat.tokenUsage": {"input_tokens": 3, "output_tokens": number, "total_tokens": 3 + number},
                            "mlflow.llm.cost": {"input_cost": 0.1, "output_cost": 0.25, "total_cost": 0.35},
                        }
                    )
                    child.set_outputs(["answer", number])
                if hasattr(mlflow, "update_current_trace") and number:
                    mlflow.update_current_trace({"number": str(number)})
        for flush in ("flush_trace_async_logging", "flush_async_logging"):
            if hasattr(mlflow, flush):
                getattr(mlflow, flush)()
        found = client.search_traces([experiment])
        assert len(found) == 3, found
        client.set_trace_tag(trace_id(found[0]), "reviewed", TEXT)

    @part([client, "create_logged_model", "log_outputs"])
    def logged_models():
        from mlflow.entities import LoggedModelOutput

        for number in range(2):
            model = client.create_logged_model(
                experiment, "model%d" % number, source_run_id=run, params={"depth": TEXT}, tags={"stage": "new"}
            )
            client.finalize_logged_model(model.model_id, "READY")
            client.log_metric(run, "auc", 0.5 + number, step=number, model_id=model.model_id)
            client.log_outputs(run, [LoggedModelOutput(model.model_id, step=number)])
        client.delete_logged_model(model.model_id)

    @part([client if "traces" in FILLED and hasattr(store, "create_assessment") else None])
    def assessments():
        trace = trace_id(client.search_traces([experiment])[0])
        source = entities.AssessmentSource(entities.AssessmentSourceType.HUMAN, "ada")
        for name, value in (("correct", True), ("score", 0.75), ("verdict", "yes"), ("parts", {"a": [1]})):
            mlflow.log_feedback(trace_id=trace, name=name, value=value, source=source, rationale=TEXT)
        mlflow.log_expectation(trace_id=trace, name="answer", value=TEXT, source=source)

    @part([store, "create_dataset", "upsert_dataset_records"])
    def evaluation_datasets():
        dataset = store.create_dataset("cases", tags={"team": TEXT}, experiment_ids=[experiment])
        records = [{"inputs": {"q": TEXT, "n": n}, "expectations": {"a": n}, "tags": {"t": "1"}} for n in range(3)]
        store.upsert_dataset_records(dataset.dataset_id, records)

    @part([client, "create_webhook"])
    def webhooks():
        # A secret is kept encrypted with a key that the server would know.
        client.create_webhook("hook", "https://1.1.1.1/hook", ["model_version.created"], description=TEXT)

    @part([store, "register_scorer"])
    def scorers():
        for version in range(2):
            store.register_scorer(experiment, "judge", json.dumps({"name": "judge", "version": version}))

    @part([client, "register_prompt"])
    def prompts():
        for version in range(2):
            client.register_prompt("greeting", "Hello {{name}} " + TEXT, "message %d" % version, tags={"a": "b"})

    @part([job_store(uri), "create_job"])
    def jobs():
        from mlflow.store.jobs.sqlalchemy_store import SqlAlchemyJobStore

        store = SqlAlchemyJobStore(uri)
        made = [store.create_job("train", json.dumps({"n": number})) for number in range(3)]
        store.start_job(made[0].job_id)
        store.start_job(made[1].job_id)
        store.finish_job(made[1].job_id, "done")

    @part([store, "create_gateway_secret"])
    def gateway():
        secret = store.create_gateway_secret("key", {"api_key": "sk-1234567890"}, provider="openai", created_by="ada")
        definition = store.create_gateway_model_definition("gpt", secret.secret_id, "openai", "gpt-5", created_by="ada")
        models = [definition.model_definition_id]
        if hasattr(entities, "GatewayEndpointModelConfig"):
            kind = entities.GatewayModelLinkageType.PRIMARY
            models = [entities.GatewayEndpointModelConfig(model, kind, 1.0) for model in models]
        endpoint = store.create_gateway_endpoint("chat", models, created_by="ada")
        from mlflow.entities import GatewayResourceType

        store.create_endpoint_binding(endpoint.endpoint_id, next(iter(GatewayResourceType)).value, "s-1")
        store.set_gateway_endpoint_tag(endpoint.endpoint_id, entities.GatewayEndpointTag("team", TEXT))

    @part([store, "create_issue"])
    def issues():
        store.create_issue(experiment, "slow", TEXT, source_run_id=run, root_causes=["a"], categories=["b"])

    @part([store, "get_or_create_user_queue"])
    def review_queues():
        queue = store.get_or_create_user_queue(experiment, user="ada")
        store.add_items_to_review_queue(queue.queue_id, item_ids=[trace_id(client.search_traces([experiment])[0])])

    if users:
        fill_users(users)
    print(json.dumps({"filled": FILLED, "runs": found_runs(client, [experiment, empty]), "versions": found_versions(client)}))


def found_runs(client, experiments):
    """What a search gives of each run. 0.9.1 keeps the values of a run in lists."""
    found = {}
    for run in client.search_runs(experiments, ""):
        kinds = {}
        for kind in ("metrics", "params", "tags"):
            values = getattr(run.data, kind)
            kinds[kind] = values if isinstance(values, dict) else {value.key: value.value for value in values}
        found[getattr(run.info, "run_id", None) or run.info.run_uuid] = kinds
    return found


def found_versions(client):
    if "registry" not in FILLED:
        return {}
    versions = client.search_model_versions("name = 'other'")
    return {str(version.version): [version.current_stage, version.run_id] for version in versions}


def make_experiment(client, name, artifacts):
    client.create_experiment(name, artifacts)
    # 0.9.1 does not return the id.
    return str(client.get_experiment_by_name(name).experiment_id)


def log_run(client, experiment, number):
    extra = {} if hasattr(client, "get_metric_history") else {"user_id": "ada", "run_name": "old " + TEXT}
    info = client.create_run(experiment, start_time=1_500_000_000_000 + number, **extra).info
    run = getattr(info, "run_id", None) or info.run_uuid
    steps = {"step": 1} if hasattr(client, "get_metric_history") else {}
    for point in range(5):
        if steps:
            steps = {"step": point // 2}
        client.log_metric(run, "loss", 1.5 / (point + 1), timestamp=1_500_000_000 + point, **steps)
    client.log_metric(run, "k" * 200, -1e308, timestamp=1_500_000_000, **steps)
    if steps and "set_experiment_tag" in dir(client):
        # The first releases keep neither of them.
        client.log_metric(run, "nan", float("nan"), timestamp=1_500_000_000, **steps)
        client.log_metric(run, "inf", float("-inf"), timestamp=1_500_000_000, **steps)
    client.log_param(run, "lr", TEXT)
    client.log_param(run, "k" * 200, "v" * 250)
    client.set_tag(run, "mlflow.user", "ada")
    client.set_tag(run, "note", TEXT)
    client.set_terminated(run, ["FINISHED", "FAILED", "FINISHED", "KILLED" if steps and hasattr(client, "update_run") else "FINISHED"][number])
    return run


def tracking_store(client):
    inner = client._tracking_client if hasattr(client, "_tracking_client") else client
    return getattr(inner, "store", None)


def trace_id(trace):
    return getattr(trace.info, "trace_id", None) or trace.info.request_id


def job_store(uri):
    try:
        from mlflow.store.jobs.sqlalchemy_store import SqlAlchemyJobStore
    except ImportError:
        return None
    return SqlAlchemyJobStore(uri)


def fill_users(uri):
    """Users with a permission of every kind on everything that this release guards."""
    from mlflow.server.auth import permissions as known
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(uri)
    for number, name in enumerate(("ada", "grace", "ünï", "nobody")):
        store.create_user(name, "a long password %d" % number, is_admin=number == 0)
    # Later releases have a list of what can be granted, earlier ones grant what there is.
    permissions = sorted(getattr(known, "RESOURCE_GRANTABLE_PERMISSIONS", ["READ", "EDIT", "MANAGE", "NO_PERMISSIONS"]))
    for number, permission in enumerate(permissions):
        for name in ("grace", "ünï"):
            store.create_experiment_permission(str(number), name, permission)
            store.create_registered_model_permission("model %d %s" % (number, TEXT), name, permission)
            if hasattr(store, "create_scorer_permission"):
                store.create_scorer_permission(str(number), "judge/%d %s" % (number, TEXT), name, permission)
            if hasattr(store, "create_gateway_secret_permission"):
                store.create_gateway_secret_permission("s-%d" % number, name, permission)
                store.create_gateway_endpoint_permission("e-%d" % number, name, permission)
                store.create_gateway_model_definition_permission("d-%d" % number, name, permission)
            if hasattr(store, "set_workspace_permission"):
                # Later releases know two grants of a workspace, earlier ones all of them.
                kinds = ["USE", "MANAGE"] if hasattr(store, "create_role") else permissions
                store.set_workspace_permission("team-%d" % number, name, kinds[number % len(kinds)])
    FILLED.append("users")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
