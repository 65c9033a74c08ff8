"""Model versions in GraphQL: of runs, and searched for."""

from step import Step, post

RUN = """query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { info { runUuid }
  modelVersions { name version status source runId currentStage description userId statusMessage runLink aliases modelId creationTimestamp lastUpdatedTimestamp
    tags { key value } modelParams { name } modelMetrics { key } deploymentJobState { jobId } __typename } } } }"""
JOB = "query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { modelVersions { deploymentJobState { jobState runState } } } } }"
RUNS = """query SearchRuns($data: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $data) { runs { info { runName } modelVersions { name version } } } }"""
SEARCH = """query ($data: MlflowSearchModelVersionsInput!) { mlflowSearchModelVersions(input: $data) {
  modelVersions { name version source status tags { key value } aliases } nextPageToken apiError { code message } } }"""


def ask(query, data, **rest):
    return Step("POST", "/graphql", {"query": query, "variables": {"data": data}}, **rest)


def steps():
    yield post("experiments/create", {"name": "registry graph"}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "one", "start_time": 1}, save={"run": "run.info.run_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "two", "start_time": 2}, save={"bare": "run.info.run_id"})
    yield post("registered-models/create", {"name": "graph.m"})
    yield post("registered-models/create", {"name": "graph.p", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]})
    yield post("model-versions/create", {"name": "graph.m", "source": "s3://b/1", "run_id": "{run}", "description": "d", "tags": [{"key": "k", "value": "v"}], "run_link": "l"})
    yield post("model-versions/create", {"name": "graph.p", "source": "dummy-source", "run_id": "{run}", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]})
    yield post("registered-models/alias", {"name": "graph.m", "alias": "best", "version": "1"})
    yield ask(RUN, {"runId": "{run}"})
    yield ask(JOB, {"runId": "{run}"}, differs="a state that no version has is null; the reference adds an error about its own types", expect=(200, None))
    yield ask(RUN, {"runId": "{bare}"})
    yield ask(RUNS, {"experimentIds": ["{exp}"]})
    yield ask(SEARCH, {"filter": "run_id = '{run}'"})
    yield ask(SEARCH, {"filter": "name LIKE 'graph.%' AND tags.`mlflow.prompt.is_prompt` = 'true'"})
    yield ask(SEARCH, {"filter": "name = 'graph.m'", "maxResults": 1, "orderBy": ["version_number ASC"]})
    yield post("model-versions/create", {"name": "graph.m", "source": "s3://b/2", "run_id": "{bare}"})
    yield ask(SEARCH, {"filter": "name = 'graph.m'", "maxResults": 1, "orderBy": ["version_number ASC"]})
    for data in ({"filter": "nope = 1"}, {"filter": "!!!"}, {"orderBy": ["nope"]}, {"maxResults": 0}, {"maxResults": -1}, {"pageToken": "x"}, {"filter": "name = 'graph.m'", "maxResults": 200_001}):
        yield ask(SEARCH, data)
    yield Step("DELETE", "/api/2.0/mlflow/model-versions/delete", {"name": "graph.m", "version": "1"})
    yield ask(RUN, {"runId": "{run}"})
