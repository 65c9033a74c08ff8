"""Prints what shows the results at a glance, as JSON: `bench/RESULTS.md` with its plots, and the figures of README and docs.

`cargo xtask generate` writes them, so that every figure comes from `bench/results/*.json`.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import grow  # noqa: E402
import grow_data  # noqa: E402
import long_run  # noqa: E402
import traces  # noqa: E402
from plots import Plot, Series, svg  # noqa: E402
from side_by_side import datasets, judge, ms  # noqa: E402

RESULTS = ROOT / "bench" / "results"
#: What the plot of growth shows, and what the reference is asked too.
GROWTH = {"runs_first": "newest runs", "runs_order_metric": "runs by a metric", "runs_filter_metric_and_param": "runs by metric and param", "get_run": "one run",
          "log_metric_1": "log-metric"}
MISSING = "Not measured yet.\n"
#: Requests whose cost `docs/sizing.md` tells.
COSTS = {"log_metric_1": "log-metric, one client", "log_metric_64": "log-metric, 64 clients", "log_batch_100": "log-batch of 100 metrics",
         "search_by_metric": "runs/search, a page of 100", "get_run_1000_metrics": "runs/get of 1,000 metrics", "history_100000": "get-history of 100,000 points",
         "search_models_first_50000": "registered-models/search", "create_version_50000": "model-versions/create"}


def read(name: str) -> dict:
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {"machine": {}, "results": []}


class Page:
    """The results, and what is said of them."""

    def __init__(self):
        self.beside, self.throughput, self.growth, self.long_run, self.traces = map(read, ("results", "throughput", "growth", "long_run", "traces"))
        # Those with indexes that are created on demand are told in `growth.md` only.
        self.growth["results"] = [one for one in self.growth["results"] if not one.get("tuned")]
        self.measurements = {measurement.name: measurement for data in datasets(small=False) for measurement in data.measurements}

    def of(self, name: str, backend: str = "postgresql") -> dict | None:
        return next((one for one in self.beside["results"] if (one["name"], one["backend"]) == (name, backend)), None)

    def grown(self, name: str, backend: str = "postgresql") -> dict | None:
        return next((one for one in self.growth["results"] if (one["name"], one["backend"]) == (name, backend)), None)

    def at(self, request: str, connections: int) -> dict | None:
        return next((one for one in self.throughput["results"]
                     if (one["backend"], one["request"], one.get("connections")) == ("postgresql", request, connections)), None)

    # --- the table ------------------------------------------------------------------------------------------------

    def table(self) -> list[str]:
        rows = [self.start(), *self.rates(), *(self.median_row(name, words) for name, words in {
            "search_by_metric": "100 of 20,000 runs, by a metric", "search_filtered": "100 of 20,000 runs, by metric and param",
            "history_100000": "a history of 100,000 points", "search_models_first_50000": "100 of 50,000 models"}.items()),
            *self.sizes(), self.spans(), self.training()]
        return ["| on PostgreSQL | ferroflow | MLflow | ratio | plain connections to the database |", "| --- | --- | --- | --- | --- |", *filter(None, rows)]

    def start(self) -> str | None:
        if not (one := self.of("start")):
            return None
        ours, theirs = one["ferroflow"], one["reference"]
        return (f"| start, idle memory | {ms(ours['start_s'] * 1000)}, {ours['pss_mib']:.0f} MiB | {theirs['start_s']:.1f} s, {theirs['pss_mib']:.0f} MiB | "
                f"{theirs['start_s'] / ours['start_s']:.0f}× sooner, 1/{theirs['pss_mib'] / ours['pss_mib']:.0f} of the memory | |")

    def rates(self):
        for request, words in {"log-metric": "log-metric", "runs/get": "runs/get", "runs/search": "runs/search, a page of 100"}.items():
            for connections in (1, 16, 64):
                if (one := self.at(request, connections)) and not any("error" in one[who] for who in ("ferroflow", "reference")):
                    cells = [f"{one[who]['per_second']:,.0f}/s, p99 {ms(one[who]['p99_ms'])}" for who in ("ferroflow", "reference", "limit")]
                    times = one["ferroflow"]["per_second"] / one["reference"]["per_second"]
                    yield f"| {words}, {connections} connection{'s' * (connections > 1)} | {cells[0]} | {cells[1]} | {times:.0f}× | {cells[2]} |"

    def median_row(self, name: str, words: str) -> str | None:
        if not (one := self.of(name)):
            return None
        ours, theirs, limit = one["ferroflow"], one["reference"], one["limit"]
        return f"| {words} | {ms(ours['p50_ms'])} | {ms(theirs['p50_ms'])} | {theirs['p50_ms'] / ours['p50_ms']:.0f}× | {ms(limit['p50_ms'])} |"

    def sizes(self):
        for name, words in GROWTH.items():
            one = self.grown(name)
            if not one or grow.ratio(one) is None:
                continue
            size = list(one["ferroflow"])[-1]
            theirs = (one.get("reference") or {}).get(size)
            words = f"{words}, among {int(size):,} runs"
            if theirs and "p50_ms" in theirs:
                yield f"| {words} | {grow.cell(one['ferroflow'][size])} | {grow.cell(theirs)} | {theirs['p50_ms'] / one['ferroflow'][size]['p50_ms']:.0f}× | |"
            else:
                yield f"| {words} | {grow.cell(one['ferroflow'][size])} | {'no answer in 60 s' if one.get('reference') else 'not asked'} | | |"

    def spans(self) -> str | None:
        one = next((one for one in self.traces["results"] if (one["name"], one["backend"]) == ("ingest_16", "postgresql")), None)
        if not one or not one["reference"]:
            return None
        ours, theirs, best = one["ferroflow"], one["reference"], max(limit["per_second"] for limit in one["limits"].values())
        return (f"| spans by OTLP, 16 connections | {ours['per_second']:,.0f}/s | {theirs['per_second']:,.0f}/s | "
                f"{ours['per_second'] / theirs['per_second']:.0f}× | {best:,.0f}/s |")

    def training(self) -> str | None:
        if not (one := self.of("training")):
            return None
        ours, theirs = one["ferroflow"], one["reference"]
        return (f"| a training with the SDK, of which the SDK takes most | {ms(ours['p50_ms'])} | {ms(theirs['p50_ms'])} | "
                f"{theirs['p50_ms'] / ours['p50_ms']:.1f}× | |")

    # --- what is not won ------------------------------------------------------------------------------------------

    def losses(self) -> list[str]:
        """Where the limit or a target is not reached, worst first within each file."""
        lines = []
        for one in self.beside["results"]:
            reached, cells = judge(one, self.measurements)
            if not reached:
                lines.append(f"- [`{one['name']}`](results/results.md) on {one['backend']}: {cells[0]}; {', '.join(cell for cell in cells[2:4] if cell)}. Target {cells[4]}.")
        missed = sorted((one for one in self.growth["results"] if not grow.is_reached(one)), key=lambda one: grow.ratio(one) or 1e9, reverse=True)
        for one in missed[:10]:
            cells = [cell.strip() for cell in grow.row(one).strip("| ").split("|")]
            lines.append(f"- [`{one['name']}`](results/growth.md) on {one['backend']}: {cells[1]} → {cells[2]}, {cells[3] or 'failed'}"
                         f"{', ' + cells[4] if cells[4] else ''}. Target {cells[6]}.")
        if len(missed) > 10:
            lines.append(f"- {len(missed) - 10} more that [grow](results/growth.md) beyond their target, less than these.")
        for one in self.long_run["results"]:
            lines += [f"- [A long run](results/long_run.md) on {one['backend']}: {name}: {seen}. Target {target}."
                      for name, seen, target, ok in long_run.verdicts(one) if not ok]
        missed_traces = [one for one in self.traces["results"] if traces.row(one).rstrip(" |").endswith("**not reached**")]
        if missed_traces:
            names = ", ".join(f"`{one['name']}` ({one['backend']})" for one in missed_traces)
            lines.append(f"- [Traces](results/traces.md): {names}.")
        return lines

    # --- plots ----------------------------------------------------------------------------------------------------

    def throughput_plot(self) -> str | None:
        plot = Plot("Throughput against latency, 1 to 64 connections, PostgreSQL", "requests a second", "99th percentile in ms", log_x=True, log_y=True)
        for colour, request in enumerate(("log-metric", "runs/get", "runs/search")):
            for who, words in {"ferroflow": "ferroflow", "reference": "MLflow"}.items():
                seen = [one[who] for one in self.throughput["results"] if (one["backend"], one["request"]) == ("postgresql", request)]
                points = [(figures["per_second"], figures["p99_ms"]) for figures in seen if "error" not in figures]
                if points:
                    plot.series.append(Series(f"{request}, {words}", points, colour, is_dashed=who == "reference"))
        return svg([plot]) if plot.series else None

    def growth_plot(self) -> str | None:
        plot = Plot("Size against latency, one client, PostgreSQL", "runs in the database", "median in ms", log_x=True, log_y=True)
        for colour, (name, words) in enumerate(GROWTH.items()):
            one = self.grown(name)
            for who, whose in {"ferroflow": "ferroflow", "reference": "MLflow"}.items():
                points = [(int(size), figures["p50_ms"]) for size, figures in ((one or {}).get(who) or {}).items() if figures and "p50_ms" in figures]
                if len(points) > 1:
                    plot.series.append(Series(f"{words}, {whose}", points, colour, is_dashed=who == "reference"))
        return svg([plot]) if plot.series else None

    # --- texts ----------------------------------------------------------------------------------------------------

    def conditions(self) -> list[str]:
        lines = []
        for name, words, file in ((self.beside, "beside the reference", "results"), (self.throughput, "throughput", "throughput"), (self.growth, "growth", "growth"),
                                  (self.long_run, "long run", "long_run"), (self.traces, "traces", "traces")):
            about = name["machine"]
            if about:
                reference = f", {about['reference']}" if "reference" in about and file != "long_run" else ""
                lines.append(f"| [{words}](results/{file}.md) | {about['date']}, {about['commit']} | {about['cores']} cores, {about['cpu']}{reference} | `{about['command'].strip()}` |")
        return ["| figures | when | where, and the reference | command |", "| --- | --- | --- | --- |", *lines]

    def results_md(self) -> str:
        plots = [f"![{words}](results/{file}.svg)\n" for plot, words, file in (
            (self.throughput_plot(), "Throughput against the 99th percentile", "throughput"), (self.growth_plot(), "Size against the median", "growth")) if plot]
        losses = self.losses()
        return "\n".join([
            "# Results", "", "`cargo xtask generate` writes this page from `bench/results/*.json`. Both servers, the load and the database share one",
            "machine. The last column is the same work by plain connections without a server: the limit.", "",
            *self.table(), "", *plots,
            "## What is lost", "", *(losses or ["Every target is reached."]), "",
            "## Where the figures come from", "", *self.conditions()]) + "\n"

    def readme(self) -> str:
        """Three figures: throughput, growth, and what an idle server takes."""
        lines = []
        one = self.at("log-metric", 64)
        if one and "error" not in one["reference"]:
            ours, theirs = one["ferroflow"], one["reference"]
            lines.append(f"- **{ours['per_second']:,.0f} metrics a second** on PostgreSQL with 64 clients, each committed, p99 {ms(ours['p99_ms'])}; MLflow with {one['workers']} "
                         f"workers: {theirs['per_second']:,.0f}, p99 {ms(theirs['p99_ms'])}.")
        elif one := self.of("log_metric_64"):
            lines.append(f"- **{one['ferroflow']['per_second']:,.0f} metrics a second** on PostgreSQL with 64 clients, each committed; MLflow with one worker: "
                         f"{one['reference']['per_second']:,.0f}.")
        one = self.grown("runs_first")
        if one and grow.ratio(one):
            sizes = list(one["ferroflow"])
            first, last = one["ferroflow"][sizes[0]], one["ferroflow"][sizes[-1]]
            lines.append(f"- **{ms(last['p50_ms'])} for the newest 100 of {int(sizes[-1]):,} runs**; among {int(sizes[0]):,} it is {ms(first['p50_ms'])}.")
        elif one := self.of("search_by_metric"):
            lines.append(f"- **{ms(one['ferroflow']['p50_ms'])} for 100 of 20,000 runs by a metric**; MLflow: {ms(one['reference']['p50_ms'])}.")
        if one := self.of("start"):
            ours, theirs = one["ferroflow"], one["reference"]
            lines.append(f"- **{ms(ours['start_s'] * 1000)} to start, {ours['pss_mib']:.0f} MiB idle**; MLflow with one worker: {theirs['start_s']:.1f} s, "
                         f"{theirs['pss_mib']:.0f} MiB.")
        return "\n".join(lines) + "\n"

    # --- docs/sizing.md -------------------------------------------------------------------------------------------

    def costs(self) -> str:
        """What a request costs the server, and how many of them one processor of it answers."""
        lines = ["| request | server's CPU on PostgreSQL | on SQLite, the database included | a processor of the server on PostgreSQL |", "| --- | --- | --- | --- |"]
        for name, words in COSTS.items():
            on = {backend: one["ferroflow"]["cpu_ms"] for backend in ("postgresql", "sqlite") if (one := self.of(name, backend))}
            if len(on) == 2:
                lines.append(f"| {words} | {ms(on['postgresql'])} | {ms(on['sqlite'])} | {1000 / on['postgresql']:,.0f}/s |")
        for one in self.traces["results"]:
            if (one["name"], one["backend"]) == ("ingest_16", "postgresql"):
                cost = one["ferroflow"]
                lines.append(f"| a span by OTLP, 16 clients | {ms(cost['cpu_ms'])}, and {ms(cost['postgres_cpu_ms'])} of PostgreSQL | | {1000 / cost['cpu_ms']:,.0f}/s |")
        return "\n".join(lines) + "\n"

    def bytes(self) -> str:
        """What a row takes on disk."""
        seen = {backend: made[-1].get("tables", {}) for backend, made in self.growth.get("databases", {}).items() if made}
        lines = []
        for table, words in grow_data.MEASURED.items():
            cells = [f"{one['bytes'] / one['rows']:,.0f} bytes" if (one := seen.get(backend, {}).get(table)) and one["rows"] > 0 else "" for backend in ("postgresql", "sqlite")]
            if any(cells):
                lines.append(f"| {words} (`{table}`) | {' | '.join(cells)} |")
        return "\n".join(["| row, with its indexes | PostgreSQL | SQLite |", "| --- | --- | --- |", *lines]) + "\n" if lines else MISSING

    def sizes_told(self) -> str:
        """What grows with the database, and what does not."""
        lines = []
        for backend in ("postgresql", "sqlite"):
            results = [one for one in self.growth["results"] if one["backend"] == backend and grow.ratio(one)]
            if not results:
                continue
            sizes = list(results[0]["ferroflow"])
            kinds = {"reads": lambda one: one["target"] != grow.grow_requests.WRITE and not one["most_ms"], "writes": lambda one: one["target"] == grow.grow_requests.WRITE}
            for words, belongs in kinds.items():
                times = sorted(map(grow.ratio, filter(belongs, results)))
                if times:
                    lines.append(f"| {words} on {backend}, {int(sizes[0]):,} to {int(sizes[-1]):,} runs | {times[len(times) // 2]:.1f}× | {times[len(times) * 9 // 10]:.1f}× | {times[-1]:.1f}× |")
        return "\n".join(["| | median request | one of ten takes more than | the worst |", "| --- | --- | --- | --- |", *lines]) + "\n" if lines else MISSING

    def own(self) -> str:
        """What ferroflow's own indexes take, and what they cost writers."""
        lines = []
        for backend, own in self.growth.get("own", {}).items():
            total = sum(one["bytes"] for one in own["sizes"])
            tables = sum({one["table"]: one["table_bytes"] or 0 for one in own["sizes"]}.values())
            cost = [both["with"]["p50_ms"] / both["without"]["p50_ms"] for both in own.get("writes", {}).values() if all("p50_ms" in one for one in both.values())]
            writes = f"{min(cost):.2f}× to {max(cost):.2f}×" if cost else ""
            lines.append(f"| {backend} | {total / 1e9:.2f} GB | {total / tables if tables else 0:.0%} of their tables | {writes} |")
        return "\n".join(["| | size | | time of writes, with them to without |", "| --- | --- | --- | --- |", *lines]) + "\n" if lines else MISSING

    def memory(self) -> str:
        lines = []
        if one := self.of("start"):
            lines.append(f"| idle | {one['ferroflow']['pss_mib']:.0f} MiB |")
        for one in self.throughput["results"]:
            if one["request"] == "memory" and one["backend"] == "postgresql":
                lines.append(f"| after 64 clients at full speed | {one['ferroflow']['pss_mib']:.0f} MiB |")
        for one in self.long_run["results"]:
            most = max(sample["memory_mib"] for sample in one["samples"])
            lines.append(f"| at most in {one['minutes']:g} minutes of {one['asked_per_second']:g} requests/s on {one['backend']} | {most:.0f} MiB |")
        return "\n".join(["| a server | memory |", "| --- | --- |", *lines]) + "\n" if lines else MISSING


def main():
    page = Page()
    plots = {f"bench/results/{name}.svg": plot for name, plot in (("throughput", page.throughput_plot()), ("growth", page.growth_plot())) if plot}
    sizing = {"costs": page.costs(), "memory": page.memory(), "bytes": page.bytes(), "growth": page.sizes_told(), "own": page.own()}
    parts = {"README.md": {"figures": page.readme()}, "docs/sizing.md": sizing}
    json.dump({"whole": {"bench/RESULTS.md": page.results_md(), **plots}, "parts": parts}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
