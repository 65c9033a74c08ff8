"""Namespaces as workspaces: rights on single experiments reach their scorers, and who may update and not read writes and
is shown nothing."""

import itertools
import json

import pytest
import requests
from test_namespaces import PROMPT, Caller, cluster, create, guarded, member, run_in  # noqa: F401  (fixtures)
from test_oidc import API, API3, ME, soon

#: A value that a writer must not get to know.
SECRET = "kept from writers"

NUMBERS = itertools.count(1)

OTLP = {"Content-Type": "application/json", "x-mlflow-experiment-id": ""}


def scorer(name: str) -> str:
    """A scorer as the SDK writes it."""
    builtin = {"instructions": "Is {{ outputs }} polite?", "model": "openai:/gpt-4"}
    return json.dumps({"name": name, "mlflow_version": "3.17.2", "serialization_version": 1, "instructions_judge_pydantic_data": builtin})


def test_scorers_follow_the_experiments_that_a_role_names(guarded, cluster, member):  # noqa: F811
    owner = member("owner-of-scorers", "team-a")
    one, other = create(owner, "team-a", "judged-a"), create(owner, "team-a", "judged-b")

    def register(caller: Caller, experiment: str, name: str) -> int:
        body = {"experiment_id": experiment, "name": name, "serialized_scorer": scorer(name)}
        return caller.send("POST", f"{API3}/scorers/register", "team-a", body=body).status_code

    def listed(caller: Caller, **query) -> list[str] | int:
        answer = caller.send("GET", f"{API3}/scorers/list", "team-a", query=query)
        return [found["scorer_name"] for found in answer.json().get("scorers", [])] if answer.status_code == 200 else answer.status_code

    def get(caller: Caller, experiment: str, path: str = "get") -> int:
        query = {"experiment_id": experiment, "name": "polite"}
        return caller.send("GET", f"{API3}/scorers/{path}", "team-a", query=query).status_code

    def delete(caller: Caller, experiment: str, **version) -> int:
        body = {"experiment_id": experiment, "name": "polite"} | version
        return caller.send("DELETE", f"{API3}/scorers/delete", "team-a", body=body).status_code

    for experiment in (one, other):
        assert register(owner, experiment, "polite") == register(owner, experiment, "polite") == 200
    reader, editor = Caller(guarded, "reader-of-scorers"), Caller(guarded, "editor-of-scorers")
    cluster.bind("reader-of-scorers", "team-a", "experiments", "get", names=("judged-a",))
    cluster.bind("editor-of-scorers", "team-a", "experiments", "get", "update", names=("judged-a",))
    for caller in (reader, editor):
        assert listed(caller, experiment_id=one) == listed(caller) == ["polite"]
        assert listed(caller, experiment_ids=[one, other]) == ["polite"]
        assert listed(caller, experiment_id=other) == 403
        assert get(caller, one) == get(caller, one, "versions") == 200
        assert get(caller, other) == get(caller, other, "versions") == 403
        assert register(caller, other, "mine") == delete(caller, other) == 403
    assert register(reader, one, "mine") == delete(reader, one, version=1) == delete(reader, one) == 403
    assert register(editor, one, "mine") == 200 and listed(reader, experiment_id=one) == ["mine", "polite"]
    assert delete(editor, one, version=1) == delete(editor, one) == 200
    assert listed(reader, experiment_id=one) == ["mine"]
    # Rights on the whole namespace and on a name add up.
    both = Caller(guarded, "reader-and-editor")
    cluster.bind("reader-and-editor", "team-a", "experiments", "get", "list")
    cluster.bind("reader-and-editor", "team-a", "experiments", "update", names=("judged-b",))
    assert listed(both, experiment_id=one) == ["mine"] and listed(both, experiment_id=other) == ["polite"]
    assert register(both, one, "new") == 403 and register(both, other, "new") == 200
    assert delete(both, other) == 200
    # None of it in another namespace.
    assert member("scorers-elsewhere", "team-b").must("GET", f"{API3}/scorers/list", "team-b") == {}


@pytest.fixture
def story(guarded, cluster, member):  # noqa: F811
    """What an owner has stored in an experiment, a model and a dataset, with the secret wherever one can be."""
    owner = member("owner-of-story", "team-a")
    cluster.bind("owner-of-story", "team-a", "datasets")
    number = next(NUMBERS)
    experiment = create(owner, "team-a", f"written {number}")
    run = run_in(owner, "team-a", experiment)
    for path, body in (
        ("runs/set-tag", {"run_id": run, "key": "t", "value": SECRET}),
        ("runs/log-parameter", {"run_id": run, "key": "p", "value": SECRET}),
        ("runs/update", {"run_id": run, "run_name": SECRET}),
        ("experiments/set-experiment-tag", {"experiment_id": experiment, "key": "t", "value": SECRET}),
    ):
        owner.must("POST", f"{API}/{path}", "team-a", body=body)
    model = {"name": f"written-{number}"}
    owner.must("POST", f"{API}/registered-models/create", "team-a", body=model | PROMPT | {"description": SECRET})
    owner.must("POST", f"{API}/model-versions/create", "team-a", body=model | PROMPT | {"source": "dummy-source", "description": SECRET})
    new = {"name": model["name"], "experiment_ids": [experiment], "tags": json.dumps({"t": SECRET})}
    dataset = owner.must("POST", f"{API3}/datasets/create", "team-a", body=new)["dataset"]["dataset_id"]
    return owner, experiment, run, model, dataset


def start(experiment: str, trace: str, **more) -> dict:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {"trace_id": trace, "trace_location": location, "request_time": "2026-11-30T10:00:00Z", "state": "OK"}
    return {"trace": {"trace_info": info | more}}


def spans(trace: str) -> dict:
    span = {"traceId": trace, "spanId": "00000000000000aa", "name": "s", "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


@pytest.mark.parametrize("names", [False, True], ids=["whole namespace", "by name"])
def test_who_may_update_and_not_read_writes_and_is_shown_nothing(guarded, cluster, story, names):  # noqa: F811
    owner, experiment, run, model, dataset = story
    name = f"blind-{next(NUMBERS)}"
    writer = Caller(guarded, name)
    own = owner.must("GET", f"{API}/experiments/get", "team-a", query={"experiment_id": experiment})["experiment"]["name"]
    for resource, named in (("experiments", own), ("registeredmodels", model["name"]), ("datasets", model["name"])):
        cluster.bind(name, "team-a", resource, "update", names=(named,) if names else ())

    def send(method: str, path: str, **rest) -> requests.Response:
        answer = writer.send(method, path, "team-a", **rest)
        assert SECRET not in answer.text, path
        return answer

    # It is in the workspace, which it is not shown.
    assert writer.workspaces() == []
    assert send("GET", ME).status_code == 200 and send("GET", f"{API3}/workspaces/team-a").status_code == 404
    trace, batch = f"tr-{next(NUMBERS):032x}", {"run_id": run, "metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}]}
    for method, path, body in (
        ("POST", f"{API}/runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1}),
        ("POST", f"{API}/runs/log-parameter", {"run_id": run, "key": "q", "value": "1"}),
        ("POST", f"{API}/runs/log-batch", batch),
        ("POST", f"{API}/runs/set-tag", {"run_id": run, "key": "u", "value": "1"}),
        ("POST", f"{API}/runs/log-inputs", {"run_id": run, "datasets": []}),
        ("POST", f"{API}/experiments/set-experiment-tag", {"experiment_id": experiment, "key": "u", "value": "1"}),
        ("POST", f"{API}/registered-models/set-tag", model | {"key": "u", "value": "1"}),
        ("POST", f"{API}/model-versions/set-tag", model | {"version": "1", "key": "u", "value": "1"}),
        ("POST", f"{API}/registered-models/alias", model | {"alias": "best", "version": "1"}),
        ("PATCH", f"{API3}/datasets/{dataset}/tags", {"tags": json.dumps({"u": "1"})}),
    ):
        answer = send(method, path, body=body)
        assert (answer.status_code, answer.json()) == (200, {}), (path, answer.text)
    # A run of its own, from its start to its end.
    mine = send("POST", f"{API}/runs/create", body={"experiment_id": experiment, "start_time": 1, "run_name": "of a writer"}).json()["run"]
    assert mine["info"]["run_name"] == "of a writer"
    uri = mine["info"]["artifact_uri"].removeprefix("mlflow-artifacts:")
    headers = {"Authorization": f"Bearer {writer.token}", "X-MLFLOW-WORKSPACE": "team-a"}
    upload = requests.put(f"{guarded.url}/api/2.0/mlflow-artifacts/artifacts{uri}/a.txt", data=b"hello", headers=headers, timeout=60)
    assert upload.status_code == 200, upload.text
    ended = send("POST", f"{API}/runs/update", body={"run_id": mine["info"]["run_id"], "status": "FINISHED"})
    assert (ended.status_code, ended.json()) == (200, {})
    found = owner.must("GET", f"{API}/runs/get", "team-a", query={"run_id": mine["info"]["run_id"]})["run"]
    assert found["info"]["status"] == "FINISHED"
    # The names of runs of others are not told by a change.
    assert send("POST", f"{API}/runs/update", body={"run_id": run, "status": "RUNNING"}).json() == {}
    # Records: not even how many of them were there.
    record = {"records": json.dumps([{"inputs": {"a": 1}}])}
    for _ in range(2):
        answer = send("POST", f"{API3}/datasets/{dataset}/records", body=record)
        assert (answer.status_code, answer.json()) == (200, {}), answer.text
    # Traces, by both protocols.
    otlp = OTLP | {"x-mlflow-experiment-id": experiment}
    answer = send("POST", "/v1/traces", body=spans(trace[3:]), headers=otlp)
    assert answer.status_code == 200, answer.text
    owner.must("PATCH", f"{API3}/traces/{trace}/tags", "team-a", body={"key": "t", "value": SECRET})
    started = send("POST", f"{API3}/traces", body=start(experiment, trace, tags={"mine": "1"}))
    assert started.status_code == 200, started.text
    shown = started.json()["trace"]["trace_info"]["tags"]
    assert set(shown) == {"mine", "mlflow.artifactLocation"}
    stored = owner.must("GET", f"{API3}/traces/{trace}", "team-a")["trace"]["trace_info"]["tags"]
    assert stored["mine"] == "1" and stored["t"] == SECRET
    # An error has no stored value: that of a param is told to those who may read it.
    taken = {"run_id": run, "key": "p", "value": "other"}
    assert SECRET in owner.send("POST", f"{API}/runs/log-parameter", "team-a", body=taken).text
    answer = send("POST", f"{API}/runs/log-parameter", body=taken)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "not told" in answer.json()["message"]


def test_who_may_not_read_reads_nothing(guarded, cluster, story):  # noqa: F811
    owner, experiment, run, model, dataset = story
    trace = f"tr-{next(NUMBERS):032x}"
    owner.must("POST", f"{API3}/traces", "team-a", body=start(experiment, trace, tags={"t": SECRET}))
    name = f"blind-reader-{next(NUMBERS)}"
    writer = Caller(guarded, name)
    for resource in ("experiments", "registeredmodels", "datasets"):
        cluster.bind(name, "team-a", resource, "update")
    one_run, one_trace = {"query": {"run_id": run}}, {"query": {"trace_id": trace}}
    version = {"query": model | {"version": "1"}}
    for method, path, rest in (
        ("GET", f"{API}/experiments/get", {"query": {"experiment_id": experiment}}),
        ("POST", f"{API}/experiments/update", {"body": {"experiment_id": experiment, "new_name": "mine"}}),
        ("POST", f"{API}/experiments/delete", {"body": {"experiment_id": experiment}}),
        ("POST", f"{API}/experiments/create", {"body": {"name": "new of a writer"}}),
        ("GET", f"{API}/runs/get", one_run),
        ("POST", f"{API}/runs/delete", {"body": {"run_id": run}}),
        ("POST", f"{API}/runs/delete-tag", {"body": {"run_id": run, "key": "t"}}),
        ("GET", f"{API}/metrics/get-history", {"query": {"run_id": run, "metric_key": "m"}}),
        ("GET", f"{API}/artifacts/list", one_run),
        ("GET", "/get-artifact", {"query": {"run_id": run, "path": "a.txt"}}),
        ("GET", f"{API3}/traces/{trace}", {}),
        ("GET", f"{API3}/traces/get", one_trace),
        ("DELETE", f"{API3}/traces/{trace}/tags", {"body": {"key": "t"}}),
        ("POST", f"{API}/logged-models", {"body": {"experiment_id": experiment, "name": "m"}}),
        ("GET", f"{API}/registered-models/get", {"query": model}),
        ("PATCH", f"{API}/registered-models/update", {"body": model | {"description": "mine"}}),
        ("POST", f"{API}/registered-models/rename", {"body": model | {"new_name": "mine"}}),
        ("GET", f"{API}/model-versions/get", version),
        ("PATCH", f"{API}/model-versions/update", {"body": model | {"version": "1", "description": "mine"}}),
        ("GET", f"{API}/model-versions/get-download-uri", version),
        ("POST", f"{API}/model-versions/create", {"body": model | PROMPT | {"source": "dummy-source"}}),
        ("GET", f"{API3}/datasets/{dataset}", {}),
        ("GET", f"{API3}/datasets/{dataset}/records", {}),
        ("POST", f"{API3}/datasets/search", {"body": {"experiment_ids": [experiment]}}),
        ("POST", f"{API3}/datasets/{dataset}/add-experiments", {"body": {"experiment_ids": [experiment]}}),
        ("GET", f"{API3}/scorers/list", {"query": {"experiment_id": experiment}}),
        ("POST", f"{API3}/scorers/register", {"body": {"experiment_id": experiment, "name": "s", "serialized_scorer": scorer("s")}}),
        ("DELETE", f"{API}/mlflow-artifacts/artifacts/{experiment}".replace("/mlflow/mlflow", "/mlflow"), {}),
    ):
        answer = writer.send(method, path, "team-a", **rest)
        assert answer.status_code in (403, 404), (path, answer.text)
        assert SECRET not in answer.text
    # Lists are empty.
    for path, body in (
        ("experiments/search", {"max_results": 100}),
        ("runs/search", {"experiment_ids": [experiment]}),
        ("logged-models/search", {"experiment_ids": [experiment]}),
    ):
        found = writer.send("POST", f"{API}/{path}", "team-a", body=body)
        assert (found.status_code, found.json()) == (200, {}), (path, found.text)
    location = start(experiment, "")["trace"]["trace_info"]["trace_location"]
    assert writer.send("POST", f"{API3}/traces/search", "team-a", body={"locations": [location]}).status_code == 403
    query = 'query { mlflowGetRun(input: {runId: "%s"}) { run { data { tags { key value } } } } }' % run
    assert SECRET not in writer.send("POST", "/graphql", "team-a", body={"query": query}).text


def test_a_writer_moves_nothing_to_where_it_reads(guarded, cluster, story, member):  # noqa: F811
    """Who starts a trace under an id that exists moves it into the experiment: not from one that it may not read."""
    owner, experiment, *_ = story
    trace = f"tr-{next(NUMBERS):032x}"
    owner.must("POST", f"{API3}/traces", "team-a", body=start(experiment, trace, tags={"t": SECRET}))
    name = f"mover-{next(NUMBERS)}"
    readable = create(owner, "team-a", f"readable {name}")
    mover = Caller(guarded, name)
    cluster.bind(name, "team-a", "experiments", "update")
    cluster.bind(name, "team-a", "experiments", "get", "update", names=(f"readable {name}",))
    soon(lambda: mover.send("GET", f"{API}/experiments/get", "team-a", query={"experiment_id": readable}).status_code, 200)
    answer = mover.send("POST", f"{API3}/traces", "team-a", body=start(readable, trace))
    assert answer.status_code == 403 and SECRET not in answer.text
    assert mover.send("GET", f"{API3}/traces/{trace}", "team-a").status_code == 403
    kept = owner.must("GET", f"{API3}/traces/{trace}", "team-a")["trace"]["trace_info"]
    assert kept["trace_location"]["mlflow_experiment"]["experiment_id"] == experiment
