"""Traces beside the reference: spans by OTLP, searches with each kind of filter, metrics, and one trace.

    cargo xtask bench --traces                                     1,000,000 traces on PostgreSQL, 200,000 on SQLite
    cargo xtask bench --traces -- --only ingest search_tag         what begins so
    cargo xtask bench --traces -- --small --out /tmp/bench         little data, to see that it works

Spans arrive as protobuf, five of 2 KB in each request, which is one new trace. The limit of ingest is one plain
connection that commits the same rows: by COPY on PostgreSQL, by prepared inserts on SQLite. Searches have pages of 100
traces; the deep page is the last one of a walk over at most `--pages` pages. Rounds of both servers take turns. The
reference is asked once for what takes it longer than a few seconds.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import traces_data  # noqa: E402
from backends import BACKENDS  # noqa: E402
from measurement import TICK, ask, cpu_seconds, load, tool  # noqa: E402
from side_by_side import machine, median, ms  # noqa: E402
from support import postgres, servers  # noqa: E402

SPANS, SPAN_BYTES = traces_data.SPANS, 2_000
PAGE = 100
#: Seconds that a server has for one answer.
PATIENCE = 60
#: What the issue demands: a share of the limit, and the CPU of the reference as a multiple of ferroflow's.
SHARE, CPU, POSTGRES_CPU = 0.6, 20, 2


# --- ingest -------------------------------------------------------------------------------------------------------


def export() -> bytes:
    """A request with the spans of a trace; the load generator gives it a fresh id."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request, start = ExportTraceServiceRequest(), time.time_ns()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(1, SPANS + 1):
        span = scope.spans.add(trace_id=b"ferroflow-trace!", span_id=number.to_bytes(8, "big"), name=f"step {number}",
                               start_time_unix_nano=start + number * 1_000_000, end_time_unix_nano=start + 900_000_000 - number)
        if number > 1:
            span.parent_span_id = (1).to_bytes(8, "big")
        values = {"mlflow.spanType": "AGENT" if number == 1 else "TOOL", "mlflow.spanInputs": {"question": "word " * 150},
                  "mlflow.spanOutputs": {"answer": "word " * 180}}
        for key, value in values.items():
            span.attributes.add(key=key).value.string_value = json.dumps(value)
        missing = SPAN_BYTES - span.ByteSize()
        span.attributes.add(key="note").value.string_value = json.dumps("x" * (missing - 20))
    return request.SerializeToString()


def send(server, folder: Path, connections: int, seconds: float, pid: int | None) -> dict:
    """The figures of spans: rate, and the CPU of the server and of PostgreSQL for one."""
    template = folder / "template"
    template.write_bytes(export())
    before, database = cpu_seconds(server.pid), database_seconds(pid)
    figures = tool("http", "--address", server.url.removeprefix("http://"), "--path", "/v1/traces", "--template", template, "--content-type",
                   "application/x-protobuf", "--header", "x-mlflow-experiment-id: 1", "--connections", connections, "--seconds", seconds)
    spans = max(figures["count"], 1) * SPANS
    figures["cpu_ms"] = (cpu_seconds(server.pid) - before) * 1000 / spans
    figures["postgres_cpu_ms"] = (database_seconds(pid) - database) * 1000 / spans
    figures["per_second"] *= SPANS
    return figures


def database_seconds(pid: int | None) -> float:
    """The CPU of PostgreSQL, that of sessions that have ended included."""
    if pid is None:
        return 0.0
    ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
    return cpu_seconds(pid) + sum(map(int, ended)) / TICK


def postmaster() -> int | None:
    """The main process of PostgreSQL, if it runs on this machine."""
    with contextlib.closing(postgres.connect(postgres.required("FERROFLOW_TEST_POSTGRES_URL"))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        with contextlib.suppress(OSError):
            return int(Path(f"/proc/{cursor.fetchone()[0]}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def first_trace(server) -> str:
    search = {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}}], "max_results": 1}
    return ask(server, "/api/3.0/mlflow/traces/search", search)["traces"][0]["trace_id"]


def ingest(kind, folder: Path, options):
    """Every round has new databases: an index that has grown is slower, for each of them alike."""
    connections = [number for number in (1, 4, 16, 64) if wanted(f"ingest_{number}", options)]
    if not connections:
        return
    backend = kind(folder, traces_data.Data(kind.name, 1_000).fill)
    pid = postmaster() if kind.name == "postgresql" else None
    limits = {1_000: []} if kind.name == "sqlite" else {100: [], 1_000: []}
    rounds = {number: {"ferroflow": [], "reference": []} for number in connections}
    with contextlib.ExitStack() as stack:
        theirs, _ = stack.enter_context(backend.copy())
        reference = stack.enter_context(servers.reference(theirs, folder / "theirs"))
        for _ in range(options.rounds):
            with backend.copy() as (uri, plain), servers.ferroflow(uri, folder / "ours") as server:
                send(server, folder, 1, 0.2, pid)
                trace = first_trace(server)
                for number in connections:
                    rounds[number]["ferroflow"].append(send(server, folder, number, options.seconds, pid))
                    rounds[number]["reference"].append(send(reference, folder, number, options.seconds, pid))
                    for spans, seen in limits.items():
                        figures = tool("spans", *plain, "--trace", trace, "--traces", spans // SPANS, "--seconds", options.seconds)
                        seen.append(figures | {"per_second": figures["per_second"] * spans})
    backend.drop()
    for number in connections:
        yield {"backend": kind.name, "name": f"ingest_{number}", "limits": {str(spans): median(seen) for spans, seen in limits.items()}} | {
            who: median(figures) for who, figures in rounds[number].items()}


# --- questions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A request that reads."""

    name: str
    path: str
    #: `None` for a GET.
    body: dict | None
    #: Milliseconds that the median may take.
    target: float
    is_search: bool = False


def searches(data: traces_data.Data, day: str):
    """Filters with the milliseconds that a page of each may take."""
    return {
        "all": ("", 20), "status": ("status = 'ERROR'", 20), "name": ("name = 'agent-7'", 20), "time": (day, 20),
        "tag": ("tags.env = 'dev'", 20), "tag_rare": ("tags.env = 'canary'", 20), "tag_rare_key": ("tags.flag = 'x'", 20),
        "tag_like": ("tags.env ILIKE '%DEV%'", 20),
        "metadata": ("metadata.`mlflow.trace.user` = 'user-77'", 20), "metadata_rare": (f"metadata.`mlflow.modelId` = '{traces_data.MODEL}'", 20),
        "session": ("metadata.mlflow.trace.session = 'session-77'", 20), "run": (f"attributes.run_id = '{traces_data.RUN}'", 20),
        "id": (f"request_id = '{data.id_of(70)}'", 20), "duration": ("attributes.execution_time_ms > 5000", 20),
        "span_name": ("span.name = 'tool-7'", 20), "span_name_rare": ("span.name = 'rare_tool'", 20),
        "span_type": ("span.type = 'RETRIEVER'", 20), "span_status": ("span.status = 'ERROR'", 20),
        "span_attribute": ("span.attributes.customer = 'hay'", 20), "feedback": ("feedback.quality = '1'", 20),
        "feedback_rare": ("feedback.quality = '0'", 20),
        "text": (f"trace.text ILIKE '%needle%' AND {day}", 100), "text_missing": (f"trace.text ILIKE '%no such word%' AND {day}", 100),
        "span_name_day": (f"span.name = 'rare_tool' AND {day}", 100),
        "span_attribute_day": (f"span.attributes.customer = 'needle' AND {day}", 100),
    }


def questions(data: traces_data.Data) -> list[Question]:
    middle = data.end - 10 * traces_data.DAY_MS
    day = f"attributes.timestamp_ms > {middle} AND attributes.timestamp_ms < {middle + traces_data.DAY_MS}"
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}}
    found = []
    for name, (filter_string, target) in searches(data, day).items():
        body = {"locations": [location], "max_results": PAGE, "filter": filter_string, "order_by": ["timestamp DESC"]}
        found.append(Question(f"search_{name}", "/api/3.0/mlflow/traces/search", body, target, is_search=True))
    both = [location | {"mlflow_experiment": {"experiment_id": number}} for number in ("1", "2")]
    for name, filter_string in {"two_experiments": "", "two_experiments_tag": "tags.env = 'dev'"}.items():
        body = {"locations": both, "max_results": PAGE, "filter": filter_string, "order_by": ["timestamp DESC"]}
        found.append(Question(f"search_{name}", "/api/3.0/mlflow/traces/search", body, 20, is_search=True))
    percentiles = [{"aggregation_type": "PERCENTILE", "percentile_value": value} for value in (50, 90, 99)]
    sums = [{"aggregation_type": "SUM"}, {"aggregation_type": "AVG"}]
    count = [{"aggregation_type": "COUNT"}]
    for name, view, metric, aggregations, rest in [
        ("traces", "TRACES", "trace_count", count, {"time_interval_seconds": 86_400}),
        ("errors", "TRACES", "trace_count", count, {"time_interval_seconds": 86_400, "dimensions": ["trace_status"]}),
        ("latency", "TRACES", "latency", percentiles, {"time_interval_seconds": 86_400}),
        ("tokens", "TRACES", "total_tokens", sums, {"time_interval_seconds": 86_400}),
        ("cost", "SPANS", "total_cost", sums, {"time_interval_seconds": 86_400}),
        ("cost_by_model", "SPANS", "total_cost", sums, {"dimensions": ["span_model_name"]}),
        ("tools", "SPANS", "span_count", count, {"dimensions": ["span_name", "span_status"], "filters": ['span.type = "TOOL"']}),
        ("tool_latency", "SPANS", "latency", [{"aggregation_type": "AVG"}], {"dimensions": ["span_name"], "filters": ['span.type = "TOOL"']}),
        ("feedback", "ASSESSMENTS", "assessment_value", [{"aggregation_type": "AVG"}],
         {"dimensions": ["assessment_name"], "filters": ['assessment.type = "feedback"']}),
    ]:
        body = {"experiment_ids": ["1"], "view_type": view, "metric_name": metric, "aggregations": aggregations, "max_results": 1000,
                "start_time_ms": data.start, "end_time_ms": data.end, **rest}
        found.append(Question(f"metrics_{name}", "/api/3.0/mlflow/traces/metrics", body, 1_000))
    trace = data.id_of(data.count // 2 // 10 * 10)
    found.append(Question("get", f"/api/3.0/mlflow/traces/get?trace_id={trace}", None, 2))
    found.append(Question("info", f"/api/3.0/mlflow/traces/{trace}", None, 2))
    return found


def deep(server, question: Question, pages: int) -> tuple[dict, int]:
    """The body for the last page of a walk, and how many pages are before it."""
    body, done = question.body, 0
    while done + 1 < pages:
        token = ask(server, question.path, body).get("next_page_token")
        if not token:
            break
        body, done = question.body | {"page_token": token}, done + 1
    return body, done


class Reference:
    """The reference; started again when it does not answer, because its only worker goes on."""

    def __init__(self, uri: str, folder: Path):
        self.uri, self.folder, self.stack, self.server = uri, folder, contextlib.ExitStack(), None

    def figures(self, folder: Path, question: Question, body: dict | None) -> dict | None:
        """`None` without an answer."""
        if self.server is None:
            self.server = self.stack.enter_context(servers.reference(self.uri, self.folder))
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server.url + question.path, data, {"Content-Type": "application/json"})
        before, start = cpu_seconds(self.server.pid), time.monotonic()
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).read()
        except OSError:
            self.close()
            return None
        took = time.monotonic() - start
        if took > 3:
            return {"p50_ms": took * 1000, "cpu_ms": (cpu_seconds(self.server.pid) - before) * 1000, "count": 1}
        return read(self.server, folder, question, body, 1.0)

    def close(self):
        if self.server is not None:
            self.server.kill()
            self.server = None
        with contextlib.suppress(Exception):
            self.stack.close()


def read(server, folder: Path, question: Question, body: dict | None, seconds: float) -> dict:
    bodies = None if body is None else [body]
    return load(server, folder, question.path, bodies, method="GET" if body is None else "POST", requests=200, seconds=seconds)


def ask_all(kind, folder: Path, count: int, options):
    data = traces_data.Data(kind.name, count)
    chosen = [question for question in questions(data) if wanted(question.name, options)]
    if not chosen:
        return
    folder.mkdir()
    backend = kind(folder, data.fill)
    uri = backend.original if kind.name == "postgresql" else f"sqlite:///{backend.original}"
    reference = Reference(uri, folder / "theirs")
    try:
        with servers.ferroflow(uri, folder / "ours") as server:
            for question in chosen:
                places = [(question.name, question.body, 0)]
                if question.is_search:
                    body, pages = deep(server, question, options.pages)
                    if pages:
                        places.append((f"{question.name}_page_{pages + 1}", body, pages))
                for name, body, pages in places:
                    offset = {"page_token": b64encode(json.dumps({"offset": pages * PAGE}).encode()).decode()} if pages else {}
                    ours, theirs = [], []
                    for _ in range(options.rounds):
                        ours.append(read(server, folder, question, body, 1.0))
                        if options.reference and not (theirs and (theirs[0] is None or theirs[0]["count"] == 1)):
                            theirs.append(reference.figures(folder, question, body if body is None else body | offset))
                    theirs = [figures for figures in theirs if figures]
                    yield {"backend": kind.name, "name": name, "target_ms": question.target, "traces": count, "ferroflow": median(ours),
                           "reference": median(theirs) if theirs else None, "reference_was_asked": options.reference}
    finally:
        reference.close()
        backend.drop()


# --- the report ---------------------------------------------------------------------------------------------------


def wanted(name: str, options) -> bool:
    return not options.only or name.startswith(tuple(options.only))


def row(result: dict) -> str:
    ours, theirs = result["ferroflow"], result["reference"]
    if "limits" in result:
        best = max(figures["per_second"] for figures in result["limits"].values())
        share, cpu = ours["per_second"] / best, theirs["cpu_ms"] / max(ours["cpu_ms"], 1e-3)
        database = theirs["postgres_cpu_ms"] / max(ours["postgres_cpu_ms"], 1e-3) if ours["postgres_cpu_ms"] else None
        reached = share >= SHARE and cpu >= CPU and (database is None or database >= POSTGRES_CPU)
        limits = ", ".join(f"{figures['per_second']:.0f}/s by {spans}" for spans, figures in result["limits"].items())
        postgres_cpu = lambda figures: f", {ms(figures['postgres_cpu_ms'])} of PostgreSQL" if database else ""  # noqa: E731
        cells = [*(f"{figures['per_second']:.0f} spans/s, {ms(figures['cpu_ms'])} CPU{postgres_cpu(figures)}" for figures in (ours, theirs)),
                 f"{ours['per_second'] / theirs['per_second']:.1f}×, CPU 1/{cpu:.0f}" + (f" and 1/{database:.1f}" if database else ""),
                 f"{limits}: {share:.0%}", f"≥ {SHARE:.0%}, CPU ≤ 1/{CPU}" + (f" and 1/{POSTGRES_CPU}" if database else "")]
    else:
        reached = ours["p50_ms"] <= result["target_ms"]
        if theirs:
            ratio, text = f"{theirs['p50_ms'] / ours['p50_ms']:.1f}×", f"{ms(theirs['p50_ms'])}, {ms(theirs['cpu_ms'])} CPU"
        else:
            ratio, text = "", f"no answer in {PATIENCE} s" if result.get("reference_was_asked", True) else "not asked"
        cells = [f"{ms(ours['p50_ms'])}, {ms(ours['cpu_ms'])} CPU", text, ratio, "", f"≤ {result['target_ms']} ms"]
    return f"| {result['name']} ({result['backend']}) | {' | '.join(cells)} | {'reached' if reached else '**not reached**'} |"


def report(results: list[dict], about: dict, out: Path):
    """Written after each measurement; what is not measured this time stays."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "traces.json"
    known = {(old["backend"], old["name"]): old for old in json.loads(file.read_text())["results"]} if file.exists() else {}
    known |= {(result["backend"], result["name"]): result for result in results}
    file.write_text(json.dumps({"machine": about, "results": list(known.values())}, indent=1) + "\n")
    head = ["# Traces beside the reference", "", *(f"- {key}: {value}" for key, value in about.items()), "",
            "| measurement | ferroflow | reference | ratio | limit | target | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    (out / "traces.md").write_text("\n".join([*head, *map(row, known.values())]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="measurements whose names begin so")
    parser.add_argument("--backend", choices=[kind.name for kind in BACKENDS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of ingest, for each number of connections")
    parser.add_argument("--pages", type=int, default=1_000, help="the deep page is at most this one")
    parser.add_argument("--traces", type=int, nargs=2, default=(200_000, 1_000_000), help="on SQLite and on PostgreSQL")
    parser.add_argument("--no-reference", dest="reference", action="store_false", help="do not ask the reference what ferroflow is asked")
    parser.add_argument("--small", action="store_true", help="little data: shows that it works, and its figures mean nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    if options.small:
        if options.out == ROOT / "bench" / "results":
            parser.error("--small needs --out: its figures do not belong to the others")
        options.rounds, options.seconds, options.pages, options.traces = 1, 0.5, 10, (2_000, 2_000)
    about = machine() | {"command": "cargo xtask bench --traces " + " ".join(sys.argv[1:]), "rounds": options.rounds, "bytes of a span": SPAN_BYTES}
    results = []
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
        for kind, count in zip(BACKENDS, options.traces, strict=True):
            if options.backend not in (None, kind.name):
                continue
            (Path(folder) / kind.name).mkdir()
            for measured in (ingest(kind, Path(folder) / kind.name, options), ask_all(kind, Path(folder) / f"{kind.name}-many", count, options)):
                for result in measured:
                    results.append(result)
                    print(row(result), flush=True)
                    report(results, about, options.out)


if __name__ == "__main__":
    main()
