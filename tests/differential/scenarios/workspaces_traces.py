"""Traces, assessments and OTLP in two workspaces, and the ids of each in the other."""

from step import WORKSPACE, Step, delete, get, patch, post, within

from .assessments import change, expectation, feedback
from .otlp import EMPTY, FORM, PROTOBUF, export, protobuf, request, span, trace
from .trace_metrics import METRICS, kinds
from .trace_search import CORRELATION, SEARCH
from .traces import V2, V3, at, info, start
from .workspaces_tracking import AS_UNKNOWN

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"
SPACES = ("trace-a", "trace-b")
MISSING = (404, "RESOURCE_DOES_NOT_EXIST")
STOLEN = "an id that is taken in another workspace is refused; the reference drops the spans and answers as if it had stored them"


def steps():
    for number, space in enumerate(SPACES):
        yield Step("POST", API, {"name": space})
        yield from within(space, made(space, number))
    for space in SPACES:
        yield from within(space, found())
    yield from found()
    yield from within("trace-b", across("trace-a"))
    yield from across("trace-a")
    yield from spans()
    yield from taken()
    yield from deleted()


def made(space, number):
    exp, run = f"{{exp-{space}}}", f"{{run-{space}}}"
    yield post("experiments/create", {"name": "traced"}, save={f"exp-{space}": "experiment_id"})
    yield post("runs/create", {"experiment_id": exp}, save={f"run-{space}": "run.info.run_id"})
    more = {"tags": {"mlflow.traceName": "agent", "of": space}, "trace_metadata": {"mlflow.trace.session": "s", "mlflow.sourceRun": run}}
    yield start(info(f"tr-{space}", exp, **more))
    yield start(info(f"tr-{space}-2", exp, state="ERROR"))
    yield post(V2, {"experiment_id": exp, "timestamp_ms": 1000}, save={f"old-{space}": "trace_info.request_id"})
    yield post(f"{V3}/tr-{space}/assessments", {"assessment": feedback(True, assessment_id=f"a-{space}")})
    yield post(f"{V3}/tr-{space}/assessments", {"assessment": expectation("x", assessment_id=f"e-{space}")})
    yield post(f"{V2}/link-to-run", {"trace_ids": [f"tr-{space}"], "run_id": run})
    yield export(protobuf(800 + number, pairs={"a": space}), experiment=exp, headers=PROTOBUF)
    yield export(request(span(810 + number)), experiment=exp, headers={"Content-Type": "application/json"}, differs=EMPTY)
    yield get(f"{V3}/tr-{space}")
    yield get(f"{V3}/get", {"trace_id": f"tr-{trace(800 + number)}"})
    yield get("/ajax-api/2.0/mlflow/get-trace-artifact", {"request_id": f"tr-{trace(800 + number)}"})


def found():
    """Searches in both experiments: each workspace's own."""
    both = ["{exp-trace-a}", "{exp-trace-b}"]
    locations = [at(experiment) for experiment in both]
    yield post(SEARCH, {"locations": locations, "order_by": ["timestamp", "request_id"]})
    yield post(SEARCH, {"locations": locations, "filter": "tags.of LIKE 'trace%'"})
    yield post(SEARCH, {"locations": locations, "filter": "feedback.good = 'true'"})
    yield post(SEARCH, {"locations": locations, "max_results": 1})
    yield post(SEARCH, {"locations": locations, "filter": "run_id = '{run-trace-a}'"})
    yield get(V2, {"experiment_ids": both, "order_by": "timestamp_ms"})
    yield post(CORRELATION, {"experiment_ids": both, "filter_string1": "status = 'OK'", "filter_string2": "tags.of = 'trace-a'"})
    for view, metric in (("TRACES", "trace_count"), ("SPANS", "span_count"), ("ASSESSMENTS", "assessment_count")):
        yield post(METRICS, {"experiment_ids": both, "view_type": view, "metric_name": metric, "aggregations": kinds("COUNT")})
    ids = ["tr-trace-a", "tr-trace-b", f"tr-{trace(800)}", f"tr-{trace(801)}"]
    yield post(f"{V3}/batchGetInfos", {"trace_ids": ids})
    yield post(f"{V3}/batchGetInfos", {"trace_ids": ids, "experiment_ids": both})
    yield get(f"{V3}/batchGet", {"trace_ids": ids[2:]})


def across(space):
    """Every call with an id of another workspace."""
    exp, run, id_, old = f"{{exp-{space}}}", f"{{run-{space}}}", f"tr-{space}", f"{{old-{space}}}"
    otel = f"tr-{trace(800)}"
    yield get(f"{V3}/{id_}")
    yield get(f"{V2}/{id_}/info")
    yield get(f"{V3}/get", {"trace_id": otel})
    yield get("/ajax-api/2.0/mlflow/get-trace-artifact", {"request_id": otel}, differs=AS_UNKNOWN, expect=MISSING)
    yield get(f"{V3}/batchGet", {"trace_ids": [otel]})
    yield patch(f"{V2}/{old}", {"timestamp_ms": 1250, "status": "OK"})
    for version in (V2, V3):
        yield patch(f"{version}/{id_}/tags", {"key": "stolen", "value": "x"})
        yield Step("DELETE", f"{version}/{id_}/tags", {"key": "of"}, differs=AS_UNKNOWN, expect=MISSING)
        yield post(f"{version}/delete-traces", {"experiment_id": exp, "request_ids": [id_]})
        yield post(f"{version}/delete-traces", {"experiment_id": exp, "max_timestamp_millis": 9_000_000_000_000})
    yield post(f"{V3}/{id_}/assessments", {"assessment": feedback(1)})
    yield get(f"{V3}/{id_}/assessments/a-{space}", differs=AS_UNKNOWN, expect=MISSING)
    yield change(f"a-{space}", feedback("no"), "feedback", f"{V3}/{id_}/assessments", differs=AS_UNKNOWN, expect=MISSING)
    yield delete(f"{V3}/{id_}/assessments/a-{space}", differs=AS_UNKNOWN, expect=(200, None))
    yield start(info("tr-intruder", exp))
    yield post(V2, {"experiment_id": exp, "timestamp_ms": 1})
    yield post(f"{V2}/link-to-run", {"trace_ids": [id_], "run_id": run})
    yield post(SEARCH, {"locations": [at(exp)]})
    yield get(V2, {"experiment_ids": [exp]})
    yield post(SEARCH, {"locations": [at("0")], "filter": f"request_id = '{id_}'"})


def spans():
    """OTLP goes where its headers say: the experiment must be one of the workspace."""
    for space in (*SPACES, None, "nowhere", "Not-A-Name", ""):
        headers = {WORKSPACE: space} | PROTOBUF
        yield export(protobuf(820), experiment="{exp-trace-a}", headers=headers, differs=FORM)
        yield export(b"\xff\xff\xff", experiment="{exp-trace-a}", headers=headers, differs=FORM)
        yield export(request(), experiment="{exp-trace-a}", headers={WORKSPACE: space, "Content-Type": "application/json"}, differs=FORM)
    for space in (*SPACES, None):
        yield get(f"{V3}/get", {"trace_id": f"tr-{trace(820)}"}, headers={WORKSPACE: space})
    # More spans of a trace, from another workspace and from its own.
    yield export(protobuf(800, 2), experiment="{exp-trace-b}", headers={WORKSPACE: "trace-b"} | PROTOBUF, differs=STOLEN, expect=(404, None))
    yield export(protobuf(800, 3), experiment="0", headers=PROTOBUF, differs=STOLEN, expect=(404, None))
    yield export(protobuf(800, 4), experiment="{exp-trace-a}", headers={WORKSPACE: "trace-a"} | PROTOBUF)
    yield get(f"{V3}/get", {"trace_id": f"tr-{trace(800)}"}, headers={WORKSPACE: "trace-a"})
    yield get(f"{V3}/get", {"trace_id": f"tr-{trace(800)}"}, headers={WORKSPACE: "trace-b"})
    yield get(f"{V3}/get", {"trace_id": f"tr-{trace(800)}"})


def taken():
    """An id that a trace, or an assessment, of another workspace has."""
    yield from within("trace-b", [
        start(info("tr-trace-a", "{exp-trace-b}", tags={"stolen": "x"})),
        post(f"{V3}/tr-trace-b/assessments", {"assessment": feedback(2, assessment_id="a-trace-a")}),
        post(f"{V3}/tr-trace-b/assessments", {"assessment": feedback(2, overrides="a-trace-a")}),
        post(f"{V2}/link-to-run", {"trace_ids": ["tr-trace-a"], "run_id": "{run-trace-b}"}),
        post(f"{V2}/link-to-run", {"trace_ids": ["tr-trace-b"], "run_id": "{run-trace-a}"}),
        get(f"{V3}/tr-trace-a"),
    ])  # fmt: skip
    yield from within("trace-a", [get(f"{V3}/tr-trace-a"), get(f"{V3}/tr-trace-a/assessments/a-trace-a")])


def deleted():
    yield from within("trace-b", [post(f"{V3}/delete-traces", {"experiment_id": "{exp-trace-b}", "request_ids": ["tr-trace-a", "tr-trace-b", "tr-trace-b-2"]})])
    for space in SPACES:
        yield from within(space, [get(f"{V3}/tr-trace-a"), get(f"{V3}/tr-trace-b")])
    yield from within("trace-b", [post("experiments/delete", {"experiment_id": "{exp-trace-b}"}), get(f"{V3}/get", {"trace_id": f"tr-{trace(801)}"}), start(info("tr-late", "{exp-trace-b}"))])
