"""The queries of the UI, and wrong ones."""

from step import Step, post

EXPERIMENT = """query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetExperiment(input: $input) { apiError { code message __typename } experiment { artifactLocation experimentId lifecycleStage name
    tags { key value __typename } effectiveTraceArchivalRetention __typename } __typename } }"""
RUN = """query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { apiError { helpUrl code message __typename } run {
  info { runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId __typename }
  experiment { experimentId name tags { key value __typename } artifactLocation lifecycleStage __typename }
  modelVersions { status version name source __typename }
  data { metrics { key value step timestamp __typename } params { key value __typename } tags { key value __typename } __typename }
  inputs { datasetInputs { dataset { digest name profile schema source sourceType __typename } tags { key value __typename } __typename } modelInputs { modelId __typename } __typename }
  outputs { modelOutputs { modelId step __typename } __typename } __typename } __typename } }"""
CHART = """query GetMetricHistoryBulkInterval($data: MlflowGetMetricHistoryBulkIntervalInput!) { mlflowGetMetricHistoryBulkInterval(input: $data) {
  __typename metrics { timestamp step runId key value __typename } apiError { code message } } }"""
SEARCH = """query SearchRuns($data: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $data) { apiError { code } runs { info { runName runId } experiment { name } inputs { datasetInputs { dataset { name } } } } } }"""


#: Both say what is wrong with the query.
WORDS = {"differs": "an error of a GraphQL query is told in other words", "expect": (200, None)}
LENIENT = {"differs": "a GraphQL query is answered as far as it can be; the reference refuses what its schema does not know", "expect": (200, None)}


def ask(query, variables=None, name=None, **rest):
    return Step("POST", "/graphql", {"query": query, "variables": variables or {}, "operationName": name}, **rest)


def steps():
    yield post("experiments/create", {"name": "graph", "tags": [{"key": "a", "value": "b"}]}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}", "run_name": "g", "start_time": 5}, save={"run": "run.info.run_id"})
    yield post("runs/log-batch", {"run_id": "{run}", "metrics": [{"key": "m", "value": i, "timestamp": i, "step": i} for i in range(20)] + [{"key": "inf", "value": "Infinity", "timestamp": 1}],
                                  "params": [{"key": "p", "value": "1"}]})
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "/x"}
    yield post("runs/log-inputs", {"run_id": "{run}", "datasets": [{"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "train"}]}]})
    yield ask(EXPERIMENT, {"input": {"experimentId": "{exp}"}}, "MlflowGetExperimentQuery")
    yield ask(EXPERIMENT, {"input": {"experimentId": "99999"}}, "MlflowGetExperimentQuery")
    yield ask(RUN, {"data": {"runId": "{run}"}}, "GetRun")
    yield ask(RUN, {"data": {"runId": "nope"}}, "GetRun")
    yield ask(CHART, {"data": {"runIds": ["{run}"], "metricKey": "m", "maxResults": 320}})
    yield ask(CHART, {"data": {"runIds": ["{run}"], "metricKey": "inf", "maxResults": 320}})
    yield ask(SEARCH, {"data": {"experimentIds": ["{exp}"], "filter": "metrics.m > 1"}})
    yield ask(SEARCH, {"data": {"experimentIds": ["{exp}"], "filter": "!!!"}})
    yield ask('{ test(inputString: "x") { output } }')
    yield ask('query { a: test(inputString: "x") { output } b: test(inputString: "y") { out: output __typename } __typename }')
    yield ask('mutation { testMutation(inputString: "x") { output } }',
              differs="the reference does not resolve its own test field", expect=(200, None))
    yield ask("fragment F on Test { output } query { test(inputString: \"x\") { ...F ... on Test { __typename } } }")
    yield ask("{ nope }")
    yield ask("{ mlflowGetRun(input: {runId: \"{run}\"}) { run { info { nope } } } }")
    yield ask("{ test(inputString: \"x\") }")
    yield ask("{ " + " ".join(f"a{i}: test(inputString: \"x\") {{ output }}" for i in range(11)) + " }")
    yield ask("query A { __typename } query B { __typename }", name="C")
    yield ask("{", differs="a syntax error is an error of the client", expect=(400, "BAD_REQUEST"))
    yield Step("POST", "/graphql", raw=b"", differs="a missing query is an error of the client", expect=(400, "BAD_REQUEST"))
    yield from more()


def more():
    versions = "query ($data: MlflowSearchModelVersionsInput!) { mlflowSearchModelVersions(input: $data) { modelVersions { name version } nextPageToken apiError { code } } }"
    files = "query ($data: MlflowListArtifactsInput!) { mlflowListArtifacts(input: $data) { rootUri files { path isDir fileSize } nextPageToken apiError { code message } } }"
    datasets = "mutation ($data: MlflowSearchDatasetsInput!) { mlflowSearchDatasets(input: $data) { datasetSummaries { experimentId name digest context } apiError { code } } }"
    yield ask(versions, {"data": {"filter": "run_id = '{run}'"}})
    yield ask(versions, {"data": {}})
    yield ask(files, {"data": {"runId": "{run}"}})
    yield ask(files, {"data": {"runId": "{run}", "path": "../x"}})
    yield ask(files, {"data": {"runId": "nope"}})
    yield ask(datasets, {"data": {"experimentIds": ["{exp}"]}})
    yield ask(datasets, {"data": {"experimentIds": []}})
    yield ask("mutation ($data: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $data) { runs { info { runName } } nextPageToken } }", {"data": {"experimentIds": ["{exp}"]}})
    for data in ({}, {"runId": None}, {"runUuid": "{run}"}, {"runId": "nope"}):
        yield ask(RUN, {"data": data}, "GetRun")
    for data in ({"runId": 1}, {"runId": ["{run}"]}, None, "x", []):
        yield ask(RUN, {"data": data}, "GetRun", **WORDS)
    yield ask(RUN, {}, "GetRun", **WORDS)
    for data in ({"run_id": "{run}"}, {"runId": "{run}", "x": 1}):
        yield ask(RUN, {"data": data}, "GetRun", **LENIENT)
    yield ask(RUN, None, "Other")
    yield Step("POST", "/graphql", {"query": RUN.replace("$data", "$d"), "variables": {"d": {"runId": "{run}"}}})
    for data in ({"runIds": ["{run}"]}, {"metricKey": "m"}, {"runIds": [], "metricKey": "m"}, {"runIds": ["nope"], "metricKey": "m"},
                 {"runIds": ["{run}"], "metricKey": "nope"}, {"runIds": ["{run}"] * 101, "metricKey": "m"}):  # fmt: skip
        yield ask(CHART, {"data": data})
    yield ask(CHART, {"data": {"runIds": "{run}", "metricKey": "m"}}, **WORDS)
    yield ask(CHART, {"data": {"runIds": ["{run}"], "metricKey": "m", "maxResults": "x"}}, **WORDS)
    for data in ({}, {"experimentIds": ["x"]}, {"experimentIds": ["{exp}"], "maxResults": 1}, {"experimentIds": ["{exp}"], "maxResults": 50001},
                 {"experimentIds": ["{exp}"], "orderBy": ["metrics.m DESC"]}, {"experimentIds": ["{exp}"], "orderBy": ["nope"]},
                 {"experimentIds": ["{exp}"], "pageToken": "x"}, {"experimentIds": ["{exp}"], "filter": "attributes.run_id IN ('{run}')"}):  # fmt: skip
        yield ask(SEARCH, {"data": data})
    yield ask(SEARCH, {"data": {"experimentIds": ["{exp}"], "runViewType": "ALL"}}, differs="the reference can not read the enums of its own schema", expect=(200, None))
    yield ask(SEARCH, {"data": {"experimentIds": ["{exp}"], "runViewType": "NOPE"}}, **WORDS)
    experiment = '{ mlflowGetExperiment(input: {experimentId: "%s"}) { experiment { name } } }'
    for text in (experiment % "{exp}", experiment % "x", experiment % "", "{ mlflowGetExperiment(input: {}) { experiment { name } } }",
                 "{ __typename }", "{ ...F }", "fragment F on Query { ...F } { ...F }", "subscription { x }", "mutation { nope }",
                 "{ " + "test { " * 12 + "output" + " }" * 13, "{ " + " ".join(f"a{i}: __typename" for i in range(1001)) + " }", '{ test(inputString: "\\u00fc \\n") { output } }',
                 "{ test(inputString: \"\"\"b\"\"\") { output } }", "# comment\n{ __typename }", "{,__typename,}"):  # fmt: skip
        yield ask(text)
    for text in ("{ mlflowGetExperiment { experiment { name } } }", "fragment F on Nope { x } { ...F }", "query A { __typename } query A { __typename }", "query A { __typename } { __typename }"):
        yield ask(text, **WORDS)
    for text in ("query($a: Int!) { __typename }", "query($a: Nope) { __typename }", "{ test(inputString: 1) { output } }", "{ test(nope: 1) { output } }", "{ test(inputString: $x) { output } }",
                 "{ __typename @skip(if: true) }", "{ a: __typename @include(if: false) b: __typename }", "{ __typename @nope }", '{ test(inputString: "a") { output: __typename output } }'):  # fmt: skip
        yield ask(text, **LENIENT)
    for text in ("query { __schema { queryType { name } } }", '{ __type(name: "Test") { name } }'):
        yield ask(text, differs="the schema can not be asked for", expect=(200, None))
    yield ask("query A { __typename } query B { b: __typename }", name="B")
    yield ask("query A { __typename } query B { b: __typename }")
    yield ask("query A { __typename }", name="")
    why = {"differs": "the body names no query that could be read", "expect": (400, "BAD_REQUEST")}
    for raw in (b"{", b"[]", b"[{}]", b"null", b"{}", b'{"query": null}', b'{"query": 1}', b'{"query": ""}', b"query=x"):
        yield Step("POST", "/graphql", raw=raw, **why)
    yield Step("POST", "/graphql", {"query": "{ __typename }", "variables": None, "operationName": None, "extensions": {}})
    yield Step("POST", "/graphql", {"query": "{ __typename }"}, headers={"Content-Type": "text/plain"})
    yield Step("POST", "/graphql", raw=b"{ __typename }", headers={"Content-Type": "application/graphql"})
    yield Step("POST", "/graphql", [{"query": "{ __typename }"}])
