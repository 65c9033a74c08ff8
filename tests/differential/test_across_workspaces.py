"""What the reference cannot be compared in: page tokens that were made in another workspace, and writes of several
workspaces at the same time, which the server writes in batches."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import postgres, servers, spaces
from support.spaces import Caller

HERE, THERE = "here", "there"
V3 = "/api/3.0/mlflow"
#: Things of each kind in each workspace: more than a page has.
COUNT = 4


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def url(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"across-{request.param}")
    with (
        postgres.database(request.param, folder, "across") as uri,
        servers.ferroflow(uri, folder / "artifacts", args=["--enable-workspaces"]) as server,
    ):
        for space in (HERE, THERE):
            spaces.create(server.url, space)
        yield server.url


@pytest.fixture(scope="module")
def filled(url):
    """The experiment of each workspace. Whatever is in one has the name of its workspace in its own."""
    experiments = {}
    for space in (HERE, THERE):
        caller = Caller(url, space)
        names = [f"{number} of {space}" for number in range(COUNT)]
        for name in names:
            experiments[space] = caller.post("experiments/create", name=name)["experiment_id"]
            caller.post("registered-models/create", name=name)
            caller.post(f"{V3}/datasets/create", name=name, tags="{}")
            caller.post("webhooks", name=name.replace(" ", "-"), url="https://93.184.216.34/hook", events=[{"entity": "PROMPT", "action": "CREATED"}])
        experiment = experiments[space]
        for name in names:
            run = caller.post("runs/create", experiment_id=experiment, run_name=name)["run"]["info"]["run_id"]
            caller.post("logged-models", experiment_id=experiment, name=name, source_run_id=run)
            caller.post("model-versions/create", name=names[0], source=f"s3://bucket/{name}", run_id=run)
            caller.post("runs/log-batch", run_id=run, metrics=[{"key": "m", "value": step, "timestamp": step, "step": step} for step in range(COUNT)])
            info = {"trace_id": f"tr-{name.replace(' ', '-')}", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}, "tags": {"of": name}}
            caller.post(f"{V3}/traces", trace={"trace_info": info})
            caller.post(f"{V3}/issues", experiment_id=experiment, name=name, description=space)
            caller.post(f"{V3}/label-schemas/create", experiment_id=experiment, name=name, type="FEEDBACK", input={"text": {}})
            caller.post(f"{V3}/review-queues/create", experiment_id=experiment, name=name, queue_type="CUSTOM")
    return experiments


#: Calls with pages; `{exp}` is the experiment of the caller's workspace.
PAGES = [
    ("POST", "experiments/search", {}),
    ("POST", "runs/search", {"experiment_ids": ["{exp}"]}),
    ("POST", "logged-models/search", {"experiment_ids": ["{exp}"]}),
    ("GET", "registered-models/search", {}),
    ("GET", "model-versions/search", {}),
    ("GET", "webhooks", {}),
    ("POST", f"{V3}/traces/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{exp}"}}]}),
    ("GET", "/api/2.0/mlflow/traces", {"experiment_ids": ["{exp}"]}),
    ("POST", f"{V3}/datasets/search", {}),
    ("POST", f"{V3}/issues/search", {"experiment_id": "{exp}"}),
    ("GET", f"{V3}/label-schemas/list", {"experiment_id": "{exp}"}),
    ("GET", f"{V3}/review-queues/list", {"experiment_id": "{exp}"}),
]  # fmt: skip


def page(caller, experiment, method, path, given, **more):
    def put(value):
        if isinstance(value, dict):
            return {key: put(item) for key, item in value.items()}
        if isinstance(value, list):
            return [put(item) for item in value]
        return value.replace("{exp}", experiment) if isinstance(value, str) else value

    asked = put(given) | more
    return caller.ask(method, path, asked if method == "POST" else None, asked if method == "GET" else None)


@pytest.mark.rotates(every=4)
@pytest.mark.parametrize("method, path, given", PAGES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_page_token_of_another_workspace_leads_nowhere_else(url, filled, method, path, given):
    tokens = {}
    for space, experiment in filled.items():
        first = page(Caller(url, space), experiment, method, path, given, max_results=2)
        assert first.status_code == 200, first.text
        assert f"of {space}" in first.text or f"of-{space}" in first.text
        tokens[space] = first.json()["next_page_token"]
    for space, other in itertools.permutations((HERE, THERE, None), 2):
        if other is None:
            continue
        # In the default workspace, too, which has an experiment of its own.
        answer = page(Caller(url, space), filled.get(space, "0"), method, path, given, max_results=2, page_token=tokens[other])
        assert answer.status_code < 500, answer.text
        assert f"of {other}" not in answer.text and f"of-{other}" not in answer.text, answer.text


@pytest.mark.rotates(every=4)
def test_writes_of_several_workspaces_at_once_go_where_they_belong(url, filled):
    """Half of them name the run of another workspace: each is refused, and none of its neighbours in the batch."""
    runs = {space: [Caller(url, space).post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"] for _ in range(4)] for space, experiment in filled.items()}
    writes = [
        (owner, sender, run, number)
        for number in range(6)
        for owner, its in runs.items()
        for run in its
        for sender in (HERE, THERE, None)
    ]  # fmt: skip

    def write(which):
        owner, sender, run, number = which
        caller = Caller(url, sender)
        key = f"{sender}-{number}"
        answers = [
            caller.ask("POST", "runs/log-metric", {"run_id": run, "key": key, "value": number, "timestamp": 1, "step": 0}),
            caller.ask("POST", "runs/log-parameter", {"run_id": run, "key": key, "value": "x"}),
            caller.ask("POST", "runs/set-tag", {"run_id": run, "key": key, "value": "x"}),
            caller.ask("POST", "runs/log-batch", {"run_id": run, "metrics": [{"key": f"b-{key}", "value": 1, "timestamp": 1, "step": 0}]}),
        ]
        return {answer.status_code for answer in answers}

    with ThreadPoolExecutor(24) as pool:
        statuses = list(pool.map(write, writes))
    for (owner, sender, run, number), found in zip(writes, statuses, strict=True):
        assert found == ({200} if owner == sender else {404}), f"{sender} wrote to a run of {owner}"
    for space, its in runs.items():
        for run in its:
            data = Caller(url, space).get("runs/get", run_id=run)["run"]["data"]
            keys = {f"{space}-{number}" for number in range(6)}
            assert {metric["key"] for metric in data["metrics"]} == keys | {f"b-{key}" for key in keys}
            assert {param["key"] for param in data["params"]} == keys
            assert keys <= {tag["key"] for tag in data["tags"]}
            assert not any(tag["key"].startswith(("None", THERE if space == HERE else HERE)) for tag in data["tags"])
