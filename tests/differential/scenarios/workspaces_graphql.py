"""GraphQL in two workspaces: each query finds what is in its own."""

from step import Step, post, within

from .graphql import CHART, EXPERIMENT, RUN, SEARCH, ask
from .registry_graphql import RUNS
from .registry_graphql import SEARCH as VERSIONS
from .workspaces_tracking import AS_UNKNOWN

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"
SPACES = ("graph-a", "graph-b")
DATASETS = "mutation ($data: MlflowSearchDatasetsInput!) { mlflowSearchDatasets(input: $data) { datasetSummaries { name digest context } apiError { code message } } }"
ARTIFACTS = "query ($data: MlflowListArtifactsInput!) { mlflowListArtifacts(input: $data) { files { path isDir fileSize } apiError { code message } } }"


def steps():
    for space in SPACES:
        yield Step("POST", API, {"name": space})
        yield from within(space, made(space))
    for space in SPACES:
        yield from within(space, found())
    yield from found()


def made(space):
    exp, run = f"{{exp-{space}}}", f"{{run-{space}}}"
    yield post("experiments/create", {"name": "graph", "tags": [{"key": "of", "value": space}]}, save={f"exp-{space}": "experiment_id"})
    yield post("runs/create", {"experiment_id": exp, "run_name": space, "start_time": 5}, save={f"run-{space}": "run.info.run_id"})
    yield post("runs/log-batch", {"run_id": run, "metrics": [{"key": "m", "value": i, "timestamp": i, "step": i} for i in range(3)]})
    dataset = {"name": "d", "digest": space, "source_type": "local", "source": "/x"}
    yield post("runs/log-inputs", {"run_id": run, "datasets": [{"dataset": dataset}]})
    yield post("registered-models/create", {"name": "graph.shared"})
    yield post("model-versions/create", {"name": "graph.shared", "source": f"s3://{space}/x", "run_id": run})


def found():
    both = [f"{{exp-{space}}}" for space in SPACES]
    for space in SPACES:
        exp, run = f"{{exp-{space}}}", f"{{run-{space}}}"
        yield ask(EXPERIMENT, {"input": {"experimentId": exp}})
        yield ask(RUN, {"data": {"runId": run}})
        yield ask(VERSIONS, {"data": {"filter": f"run_id = '{run}'"}})
        yield ask(ARTIFACTS, {"data": {"runId": run}})
        yield ask(DATASETS, {"data": {"experimentIds": [exp]}})
    runs = [f"{{run-{space}}}" for space in SPACES]
    yield ask(CHART, {"data": {"runIds": runs, "metricKey": "m", "maxResults": 10}}, differs=AS_UNKNOWN, expect=(200, None))
    yield ask(CHART, {"data": {"runIds": runs[:1], "metricKey": "m", "maxResults": 10}}, differs=AS_UNKNOWN)
    yield ask(SEARCH, {"data": {"experimentIds": both}})
    yield ask(SEARCH, {"data": {"experimentIds": both[:1]}})
    yield ask(RUNS, {"data": {"experimentIds": both}})
    yield ask(VERSIONS, {"data": {"filter": "name = 'graph.shared'"}})
    yield ask(DATASETS, {"data": {"experimentIds": both}})
    yield ask("query { " + " ".join(f'r{n}: mlflowGetRun(input: {{runId: "{run}"}}) {{ run {{ info {{ runName }} }} apiError {{ code }} }}' for n, run in enumerate(runs)) + " }")
