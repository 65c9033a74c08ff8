"""The pages of the official UI that have most to show, beside the reference: the time until they are painted.

    cargo xtask bench --ui                                 100,000 traces, a trace of 5,000 spans, 10,000 runs, on SQLite
    cargo xtask bench --ui -- --small --out /tmp/bench

Both servers serve the same files, which the browser has in its cache. Visits take turns; each is a fresh tab. What
travels is what the page's calls answered, as it was on the wire.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser"), str(ROOT / "bench")]

import runs  # noqa: E402
import traces_data  # noqa: E402
from backends import Sqlite  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402
from side_by_side import machine, ms  # noqa: E402
from support import required, servers  # noqa: E402
from web_ui import remember  # noqa: E402

#: Milliseconds that a page has.
PATIENCE = 120_000
FLAGS = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-sandbox", "--disable-gpu", "--no-first-run"]
LARGE = "f" * 32


@dataclass(frozen=True)
class View:
    """A page, and what is visible when it is painted."""

    name: str
    fragment: str
    is_painted: Callable[[Page], None]


def trace_rows(page: Page) -> None:
    page.get_by_role("row").filter(has_text="question ").first.wait_for(timeout=PATIENCE)


def spans_shown(page: Page) -> None:
    page.get_by_role("dialog").get_by_text("step 2", exact=True).first.wait_for(timeout=PATIENCE)


def run_rows(page: Page) -> None:
    page.locator(".ag-center-cols-container [role=row], [role=row]").filter(has_text="run").nth(5).wait_for(timeout=PATIENCE)


def charts(page: Page) -> None:
    page.locator(".js-plotly-plot").first.wait_for(timeout=PATIENCE)


def large_trace(url: str, spans: int) -> None:
    start = time.time_ns()
    made = [
        {"traceId": LARGE, "spanId": f"{number:016x}", "name": f"step {number}", "startTimeUnixNano": str(start + number * 1_000),
         "endTimeUnixNano": str(start + 900_000_000 - number), "attributes": [
             {"key": "mlflow.spanInputs", "value": {"stringValue": json.dumps({"question": "word " * 60})}}]}
        | ({"parentSpanId": f"{max(number // 10, 1):016x}"} if number > 1 else {})
        for number in range(1, spans + 1)
    ]
    for first in range(0, spans, 1_000):
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": made[first:first + 1_000]}]}]}).encode()
        headers = {"Content-Type": "application/json", "x-mlflow-experiment-id": "1"}
        urllib.request.urlopen(urllib.request.Request(url + "/v1/traces", body, headers), timeout=300).close()


def visit(browser, context, url: str, view: View) -> dict:
    """A page in a new tab: milliseconds until it is painted, and the bytes of its calls."""
    page, weight = context.new_page(), 0
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    calls = {}

    def answered(event):
        if "/ajax-api/" in event["response"]["url"] or "/graphql" in event["response"]["url"]:
            calls[event["requestId"]] = True

    def finished(event):
        nonlocal weight
        if event["requestId"] in calls:
            weight += event["encodedDataLength"]

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", finished)
    start = time.monotonic()
    page.goto(f"{url}/#{view.fragment}")
    view.is_painted(page)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    took = (time.monotonic() - start) * 1000
    page.close()
    return {"ms": took, "bytes": weight, "calls": len(calls)}


def middle(figures: list[dict]) -> dict:
    return sorted(figures, key=lambda figure: figure["ms"])[len(figures) // 2]


def measure(folder: Path, options):
    count = 1_000 if options.small else 100_000
    data, some = traces_data.Data("sqlite", count), runs.dataset(200 if options.small else 10_000, 1_000)

    def fill(execute, many):
        data.fill(execute, many)
        some.fill(execute, many)

    backend = Sqlite(folder, fill)
    views = [
        View(f"table of {count:,} traces", "/experiments/1/traces", trace_rows),
        View("trace of 5,000 spans", f"/experiments/1/traces?selectedEvaluationId=tr-{LARGE}", spans_shown),
        View("table of runs", f"/experiments/{options.experiment}/runs", run_rows),
        View("charts of runs", f"/experiments/{options.experiment}/runs?compareRunsMode=CHART", charts),
    ]
    with contextlib.ExitStack() as stack:
        mine, theirs = (stack.enter_context(backend.copy())[0] for _ in range(2))
        ours = stack.enter_context(servers.ferroflow(mine, folder / "ours", args=["--ui-dir", required("FERROFLOW_UI_DIR")]))
        reference = stack.enter_context(servers.reference(theirs, folder / "theirs"))
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=required("FERROFLOW_CHROMIUM"), args=FLAGS)
        both = {}
        for name, server in {"ferroflow": ours, "reference": reference}.items():
            large_trace(server.url, 50 if options.small else 5_000)
            context = browser.new_context(viewport={"width": 1600, "height": 1000}, timezone_id="UTC", locale="en-GB")
            remember(context, server.url)
            both[name] = (server, context)
        for view in views:
            seen = {"ferroflow": [], "reference": []}
            for turn in range(options.rounds + 1):
                for name, (server, context) in both.items():
                    kind = "genai" if "trace" in view.name else "machine_learning"
                    kept = {"mlflow.workflowType_v1": json.dumps(kind), "mlflow.detectIssues.guidanceShown_v1": "true"}
                    context.add_init_script(f"Object.entries({json.dumps(kept)}).forEach(([name, value]) => localStorage.setItem(name, value))")
                    try:
                        figures = visit(browser, context, server.url, view)
                    except Exception as error:  # noqa: BLE001
                        if name == "ferroflow":
                            raise
                        print(f"{view.name}: the reference did not paint it: {error}", flush=True)
                        continue
                    # The first visit fills the cache.
                    if turn:
                        seen[name].append(figures)
            yield {"name": view.name} | {name: middle(figures) if figures else None for name, figures in seen.items()}
        browser.close()
    backend.drop()


def row(result: dict) -> str:
    ours, theirs = result["ferroflow"], result["reference"]
    cell = lambda figures: f"{ms(figures['ms'])}, {figures['bytes'] / 1000:.0f} kB in {figures['calls']} calls" if figures else "not painted"  # noqa: E731
    ratio = f"{theirs['ms'] / ours['ms']:.1f}×" if theirs else ""
    return f"| {result['name']} | {cell(ours)} | {cell(theirs)} | {ratio} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--experiment", default="0", help="the experiment of the runs")
    parser.add_argument("--small", action="store_true", help="little data: shows that it works, and its figures mean nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    if options.small and options.out == ROOT / "bench" / "results":
        parser.error("--small needs --out: its figures do not belong to the others")
    about = machine() | {"command": "cargo xtask bench --ui " + " ".join(sys.argv[1:]), "rounds": options.rounds}
    results = []
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
        for result in measure(Path(folder), options):
            results.append(result)
            print(row(result), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ui.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    head = ["# Pages of the UI beside the reference", "", *(f"- {key}: {value}" for key, value in about.items()), "",
            "| page | ferroflow | reference | ratio |", "| --- | --- | --- | --- |"]
    (options.out / "ui.md").write_text("\n".join([*head, *map(row, results)]) + "\n")


if __name__ == "__main__":
    main()
