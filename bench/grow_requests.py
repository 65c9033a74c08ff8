"""The requests that are measured as a database grows: first pages, point reads, writes, and the requests of charts."""

import urllib.parse
from dataclasses import dataclass

import grow_data
import registry
from grow_data import CHART_EXPERIMENT, CHART_RUNS, LARGE, LONG, WRITERS, WRITERS_EXPERIMENT, Data
from measurement import path

#: How many times as long as on the small database the median on the large one may take.
READ, WRITE = 2.0, 1.2
#: Milliseconds of a request of the charts.
CHART = 50
PAGE = 100


@dataclass(frozen=True)
class Ask:
    """A request, and what its median is compared with."""

    name: str
    part: str
    path: str
    #: None for a GET.
    bodies: list[dict] | None = None
    method: str = "POST"
    connections: int = 1
    #: The largest ratio; a deep page is compared with the first one.
    target: float = READ
    #: The largest median in milliseconds, in place of a ratio.
    most_ms: float | None = None
    #: The list in the answer that is a page, and the size of pages in the walk to the deep one; 0 for no walk.
    pages: str = ""
    step: int = 0
    #: The reference is asked too.
    by_reference: bool = False


#: Searches for runs whose deep page is measured, and those that the reference is asked too.
DEEP = ("first", "ui", "experiments_10", "filter_metric", "filter_metric_and_param", "filter_param", "filter_tag", "filter_name_like", "filter_status",
        "filter_start_time", "order_start_time_asc", "order_metric", "order_param", "order_tag", "order_tag_unique")
COMPARED = ("first", "filter_metric_and_param", "filter_param", "filter_tag", "filter_name", "order_metric")


def search_runs(name: str, filter: str = "", order_by=(), **rest) -> Ask:
    body = {"experiment_ids": [str(LARGE)], "max_results": PAGE, "filter": filter, "order_by": list(order_by), **rest}
    return Ask(f"runs_{name}", "runs", path("runs/search"), [body], pages="runs", step=5_000 if name in DEEP else 0, by_reference=name in COMPARED)


def runs(data: Data) -> list[Ask]:
    middle = data.time(data.runs // 4)
    some = ", ".join(f"'{data.run_of_large(number)}'" for number in range(1, 11))
    experiments = [str(LARGE), *(str(LARGE + number) for number in range(1, 10))]
    filters = {
        "metric": "metrics.`metric-3` > 0.5", "metric_few": "metrics.`metric-3` > 0.99", "metric_range": "metrics.`metric-3` > 0.4 AND metrics.`metric-3` < 0.5",
        "metric_equal": "metrics.`metric-3` = 0.5", "metric_missing": "metrics.missing > 0",
        "metric_and_param": "metrics.`metric-3` > 0.5 AND params.`param-2` = 'value-7'",
        "param": "params.`param-2` = 'value-7'", "param_not": "params.`param-2` != 'value-7'", "param_rare": "params.`param-9` = 'rare'",
        "param_like": "params.`param-2` LIKE '%lue-7'", "param_ilike": "params.`param-2` ILIKE 'VALUE-7'", "param_missing": "params.missing = 'x'",
        "param_two": "params.`param-2` = 'value-7' AND params.`param-3` = 'value-8'",
        "tag": "tags.`tag-1` = 'value-7'", "tag_few": "tags.`group` = 'group-7'", "tag_not": "tags.`tag-1` != 'value-7'",
        "tag_like": "tags.`tag-1` LIKE 'value-1%'", "tag_is_null": "tags.missing IS NULL", "tag_and_metric": "tags.`tag-1` = 'value-7' AND metrics.`metric-3` > 0.5",
        "children": f"tags.`mlflow.parentRunId` = '{data.run(0)}'",
        "name": "attributes.run_name = 'run-78'", "name_like": "attributes.run_name LIKE 'run-12%'", "name_ilike": "attributes.run_name ILIKE '%N-7%'",
        "status": "attributes.status = 'FAILED'", "status_few": "attributes.status = 'RUNNING'", "status_rare": "attributes.status = 'KILLED'",
        "user": "attributes.user_id = 'user-7'", "run_id": f"attributes.run_id IN ({some})",
        "artifact_uri": f"attributes.artifact_uri LIKE 'mlflow-artifacts:/{LARGE}/0%'",
        "start_time": f"attributes.start_time > {middle}", "start_time_old": f"attributes.start_time < {data.time(1_000)}",
        "end_time": f"attributes.end_time < {middle}",
        "dataset": "dataset.name = 'dataset-7'", "dataset_digest": "dataset.digest = 'digest-7'", "dataset_context": "dataset.context = 'training'",
    }
    orders = {
        "start_time_asc": "attributes.start_time ASC", "end_time": "attributes.end_time DESC", "name": "attributes.run_name ASC",
        "status": "attributes.status ASC", "user": "attributes.user_id DESC", "run_id": "attributes.run_id ASC",
        "artifact_uri": "attributes.artifact_uri ASC", "metric": "metrics.`metric-3` DESC", "metric_asc": "metrics.`metric-3` ASC",
        "metric_nan": "metrics.`metric-9` DESC", "param": "params.`param-2` ASC", "param_desc": "params.`param-2` DESC", "tag": "tags.`tag-1` ASC",
        "tag_unique": "tags.`mlflow.runName` DESC", "tag_rare": "tags.`mlflow.parentRunId` ASC",
    }
    return [
        search_runs("first"),
        search_runs("ui", "attributes.start_time > 0", ["attributes.start_time DESC"]),
        search_runs("experiments_10", experiment_ids=experiments),
        search_runs("small_experiment", experiment_ids=[str(LARGE + 1)]),
        search_runs("deleted", run_view_type="DELETED_ONLY"),
        search_runs("all_stages", run_view_type="ALL"),
        *(search_runs(f"filter_{name}", text) for name, text in filters.items()),
        *(search_runs(f"order_{name}", order_by=[text]) for name, text in orders.items()),
        search_runs("filter_param_order_metric", filters["param"], [orders["metric"]]),
        search_runs("filter_metric_order_metric", filters["metric"], [orders["metric"]]),
        search_runs("order_two", order_by=[orders["status"], orders["metric"]]),
    ]


def get(name: str, call: str, part: str = "runs", /, **rest) -> Ask:
    keep = {key: rest.pop(key) for key in ("most_ms", "pages", "step", "by_reference") if key in rest}
    query = urllib.parse.urlencode(rest, doseq=True)
    # The web UI's paths: the reference has `get-history-bulk` only there.
    return Ask(name, part, f"/ajax-api/2.0/mlflow/{call}" + (f"?{query}" if query else ""), method="GET", **keep)


def reads(data: Data) -> list[Ask]:
    trained = data.run_of_large(20 * 7)
    return [
        get("get_run", "runs/get", run_id=data.run_of_large(data.runs // 4), by_reference=True),
        get("get_experiment", "experiments/get", experiment_id=LARGE),
        get("get_experiment_by_name", "experiments/get-by-name", experiment_name="experiment-7"),
        get("history", "metrics/get-history", run_id=trained, metric_key="metric-3"),
        get("history_page_of_long", "metrics/get-history", run_id=LONG, metric_key="metric-3", max_results=1000),
        get("interval_of_long", "metrics/get-history-bulk-interval", run_ids=LONG, metric_key="metric-3", max_results=320),
        Ask("experiments_first", "runs", path("experiments/search"), [{"max_results": PAGE}], pages="experiments", step=1_000),
        Ask("experiments_name", "runs", path("experiments/search"), [{"max_results": PAGE, "filter": "name LIKE '%ment-1%'"}], pages="experiments", step=1_000),
        Ask("experiments_tag", "runs", path("experiments/search"), [{"max_results": PAGE, "filter": "tags.team = 'team-7'"}]),
        Ask("experiments_order_name", "runs", path("experiments/search"), [{"max_results": PAGE, "order_by": ["name ASC"]}]),
    ]


def charts(data: Data) -> list[Ask]:
    chart = [data.chart_run(number) for number in range(CHART_RUNS)]
    return [
        get("chart_interval_100_runs", "metrics/get-history-bulk-interval", run_ids=chart, metric_key="metric-0", max_results=320, most_ms=CHART, by_reference=True),
        get("chart_interval_10_runs", "metrics/get-history-bulk-interval", run_ids=chart[:10], metric_key="metric-0", max_results=320, most_ms=CHART),
        get("chart_zoomed_100_runs", "metrics/get-history-bulk-interval", run_ids=chart, metric_key="metric-0", max_results=320,
            start_step=data.chart_steps // 2, end_step=data.chart_steps // 2 + 500, most_ms=CHART),
        get("chart_bulk_100_runs", "metrics/get-history-bulk", run_id=chart, metric_key="metric-0", most_ms=CHART, by_reference=True),
        get("chart_history_1_run", "metrics/get-history", run_id=chart[0], metric_key="metric-0", most_ms=CHART, by_reference=True),
        Ask("chart_runs", "runs", path("runs/search"), [{"experiment_ids": [str(CHART_EXPERIMENT)], "max_results": PAGE}], most_ms=CHART),
    ]


def models(data: Data) -> list[Ask]:
    def search(name: str, filter: str = "", order_by=()) -> Ask:
        body = {"experiment_ids": [str(LARGE)], "max_results": PAGE, "filter": filter, "order_by": list(order_by)}
        return Ask(f"logged_models_{name}", "runs", path("logged-models/search"), [{key: value for key, value in body.items() if value}],
                   pages="models", step=1_000 if name == "first" else 0)

    return [
        search("first"), search("metric", "metrics.`metric-1` > 0.5"), search("param", "params.`param-1` = 'value-7'"),
        search("tag", "tags.`tag-1` = 'value-7'"), search("name", "name = 'model-7'"),
        search("order_metric", order_by=[{"field_name": "metrics.metric-1", "ascending": False}]),
        get("get_logged_model", f"logged-models/{data.logged_model(7)}"),
    ]


def registered(data: Data) -> list[Ask]:
    def search(name: str, step: int = 0, /, **query) -> Ask:
        return get(f"registered_models_{name}", "registered-models/search", "registry", max_results=PAGE, pages="registered_models", step=step, **query)

    def versions(name: str, step: int = 0, /, **query) -> Ask:
        return get(f"versions_{name}", "model-versions/search", "registry", max_results=PAGE, pages="model_versions", step=step, **query)

    one, many = registry.name("model", data.registered_models // 2), grow_data.MANY_VERSIONS
    return [
        search("first", 1_000), search("name", filter=f"name = '{one}'"), search("name_like", filter="name LIKE 'team-07-model-0%'"),
        search("name_ilike", filter="name ILIKE '%MODEL-0001%'"), search("tag", filter="tags.team = 'team-07'"),
        search("prompts", filter=f"tags.`{registry.PROMPT}` = 'true'"), search("order_updated", order_by="last_updated_timestamp DESC"),
        get("get_registered_model", "registered-models/get", "registry", name=one),
        get("get_many_versions", "registered-models/get", "registry", name=many),
        get("get_version", "model-versions/get", "registry", name=many, version=data.versions // 2),
        get("get_by_alias", "registered-models/alias", "registry", name=one, alias=registry.ALIAS),
        versions("first"), versions("of_many", 1_000, filter=f"name = '{many}'"), versions("of_one", filter=f"name = '{one}'"),
        versions("of_run", filter=f"run_id = '{data.registered_models // 2:032x}'"),
        versions("order_version", filter=f"name = '{many}'", order_by="version_number ASC"),
    ]


def traces(data: Data) -> list[Ask]:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}}

    def search(name: str, filter: str = "") -> Ask:
        body = {"locations": [location], "max_results": PAGE, "filter": filter, "order_by": ["timestamp DESC"]}
        return Ask(f"traces_{name}", "traces", "/api/3.0/mlflow/traces/search", [body], pages="traces", step=500)

    # The searches of traces are measured by `traces.py`; these show that runs beside them do not matter.
    return [search("first"), search("tag", "tags.env = 'dev'"), search("name", "name = 'agent-7'"), search("status", "status = 'ERROR'")]


def writes() -> list[Ask]:
    def log_metric(connections: int) -> Ask:
        bodies = [{"run_id": run, "key": "m", "value": "{n}", "timestamp": "{n}", "step": "{n}"} for run in WRITERS[:connections]]
        return Ask(f"log_metric_{connections}", "runs", path("runs/log-metric"), bodies, connections=connections, target=WRITE, by_reference=connections == 1)

    batch = [{"run_id": run, "metrics": [{"key": f"m{key}", "value": "{n}", "timestamp": "{n}", "step": "{n}"} for key in range(100)],
              "params": [{"key": "p-{n}", "value": "x"}], "tags": [{"key": "t-{n}", "value": "x"}]} for run in WRITERS[:4]]
    experiment = str(WRITERS_EXPERIMENT)
    return [
        log_metric(1), log_metric(16),
        Ask("log_batch_100", "runs", path("runs/log-batch"), batch, target=WRITE, by_reference=True),
        Ask("log_param", "runs", path("runs/log-parameter"), [{"run_id": run, "key": "p{n}", "value": "x"} for run in WRITERS[:4]], target=WRITE),
        Ask("set_tag", "runs", path("runs/set-tag"), [{"run_id": run, "key": "t{n}", "value": "x"} for run in WRITERS[:4]], target=WRITE),
        Ask("create_run", "runs", path("runs/create"), [{"experiment_id": experiment, "run_name": "new {n}", "start_time": "{n}"}], target=WRITE),
        Ask("update_run", "runs", path("runs/update"), [{"run_id": run, "status": "FINISHED", "end_time": "{n}"} for run in WRITERS[:4]], target=WRITE),
        Ask("create_version", "registry", path("model-versions/create"), [{"name": registry.name("model", 0), "source": registry.SOURCE}], target=READ),
        Ask("create_version_of_many", "registry", path("model-versions/create"), [{"name": grow_data.MANY_VERSIONS, "source": registry.SOURCE}], target=READ),
        Ask("create_registered_model", "registry", path("registered-models/create"), [{"name": "new {n}"}], target=READ),
    ]


def asks(data: Data) -> list[Ask]:
    return [*runs(data), *reads(data), *charts(data), *models(data), *registered(data), *traces(data), *writes()]
