"""How latencies grow with the database: first pages, point reads, writes and charts on a small and on large databases.

    cargo xtask bench --grow                                        1,000,000 runs on PostgreSQL, 100,000 on SQLite
    cargo xtask bench --grow -- --backend postgresql --scale 0.2 1   sizes beside the small one, which has 20,000 runs
    cargo xtask bench --grow -- --only runs_order own                what begins so; `own` is the cost of own indexes
    cargo xtask bench --grow -- --no-tuned                           not again with the indexes of `ferroflow db tune`
    cargo xtask bench --grow -- --keep postgresql://postgres@127.0.0.1/grow    the largest database stays, and is used again
    cargo xtask bench --grow -- --scale 0.01 --out /tmp/bench        little data, to see that it works

`grow_data.py` says what the databases have; at scale 1 the largest takes about 30 GB of disk in PostgreSQL, and 15 GB more
while it is made. A load that is interrupted continues with the same `--keep`. Servers on all sizes run at the same time and
are asked in turns, by one client except where a name says so. Ratios are medians on the largest database over those on the
smallest. At the end searches for runs, and the writes that have more to do then, are measured again with the indexes that the
documentation advises for large databases, which are dropped afterwards.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import grow_plans  # noqa: E402
import grow_requests  # noqa: E402
from grow_data import PARTS  # noqa: E402
from grow_load import TARGETS, Target  # noqa: E402
from grow_requests import PAGE, Ask  # noqa: E402
from measurement import ask, load  # noqa: E402
from side_by_side import machine, median, ms  # noqa: E402
from support import servers  # noqa: E402
from traces import Question, Reference  # noqa: E402

RESULTS = ROOT / "bench" / "results"
#: The scale of the small database; SQLite's databases are a tenth, the small one excepted.
SMALL, SQLITE = 0.02, 0.1
OWN = "own"
#: Requests that show what an index costs a writer.
OWN_WRITES = ("log_metric_1", "log_metric_16", "log_batch_100", "set_tag", "create_run", "update_run")


# --- measuring ----------------------------------------------------------------------------------------------------


def figures(server, folder: Path, asked: Ask, options) -> dict:
    try:
        return load(server, folder, asked.path, asked.bodies, method=asked.method, connections=asked.connections,
                    requests=100_000 if asked.connections > 1 else 200, seconds=options.seconds)
    except RuntimeError as error:
        return {"error": str(error)}


def first_ms(server, asked: Ask) -> float:
    """The time of the first answer, before the server remembers the steps of the histories."""
    start = time.monotonic()
    ask(server, asked.path)
    return (time.monotonic() - start) * 1000


def middle(rounds: list[dict]) -> dict:
    return next((one for one in rounds if "error" in one), None) or median(rounds)


def with_page(asked: Ask, size: int, token: str | None) -> tuple[str, list[dict] | None]:
    """The path and bodies of a page."""
    page = {"max_results": size} | ({"page_token": token} if token else {})
    if asked.bodies:
        return asked.path, [asked.bodies[0] | page]
    without = asked.path.replace(f"max_results={PAGE}", f"max_results={size}")
    return without + (f"&page_token={token}" if token else ""), None


def deep(server, asked: Ask, pages: int) -> tuple[Ask, int] | None:
    """The request for the last page of a walk over at most so many pages, and its number."""
    rows, token, target = 0, None, PAGE * (pages - 1)
    while rows < target:
        place, bodies = with_page(asked, min(asked.step, target - rows), token)
        try:
            answer = ask(server, place, bodies[0] if bodies else None)
        except OSError as error:
            print(f"{asked.name}: the walk ended after {rows} rows: {error}", flush=True)
            break
        if not answer.get("next_page_token"):
            break
        token, rows = answer["next_page_token"], rows + len(answer[asked.pages])
    if not token:
        return None
    place, bodies = with_page(asked, PAGE, token)
    return Ask(asked.name, asked.part, place, bodies, asked.method), rows // PAGE + 1


def by_reference(reference: Reference, folder: Path, asked: Ask) -> dict | None:
    """Its figures; None without an answer."""
    try:
        return asked_reference(reference, folder, asked)
    except (OSError, RuntimeError) as error:
        print(f"{asked.name}: the reference failed: {error}", flush=True)
        reference.close()
        return None


def asked_reference(reference: Reference, folder: Path, asked: Ask) -> dict | None:
    if asked.target == grow_requests.WRITE:
        if reference.server is None:
            reference.server = reference.stack.enter_context(servers.reference(reference.uri, reference.folder))
        return load(reference.server, folder, asked.path, asked.bodies, requests=200, seconds=3.0)
    return reference.figures(folder, Question(asked.name, asked.path, asked.bodies and asked.bodies[0], 0), asked.bodies and asked.bodies[0])


def measure(targets: list[Target], folder: Path, options, tuned: bool = False):
    """The figures of what is wanted on databases from the smallest to the largest."""
    asked_of = [{asked.name: asked for asked in grow_requests.asks(target.data) if wanted(asked.name, options) and (not tuned or is_tuned(asked))}
                for target in targets]
    sizes = [str(target.data.runs) for target in targets]
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(servers.ferroflow(target.uri, folder / f"ours-{target.data.scale:g}")) for target in targets]
        references = [Reference(target.uri, folder / f"theirs-{target.data.scale:g}") for target in targets]
        for reference in references:
            stack.callback(reference.close)
        for name, largest in asked_of[-1].items():
            if largest.part not in targets[-1].parts:
                continue
            rounds: dict[str, list[dict]] = {size: [] for size in sizes}
            first = {size: first_ms(server, of[name]) for size, server, of in zip(sizes, running, asked_of)} if largest.most_ms and not largest.bodies else None
            for _ in range(options.rounds):
                for size, server, of in zip(sizes, running, asked_of):
                    rounds[size].append(figures(server, folder, of[name], options))
            result = {"name": name, "ferroflow": {size: middle(seen) for size, seen in rounds.items()}}
            if first:
                result["first_ms"] = first
            if largest.step and "error" not in result["ferroflow"][sizes[-1]] and (found := deep(running[-1], largest, options.pages)):
                last, number = found
                result["deep"] = {"page": number} | middle([figures(running[-1], folder, last, options) for _ in range(options.rounds)])
            if largest.by_reference and options.reference and not tuned:
                result["reference"] = {size: by_reference(reference, folder, of[name]) for size, reference, of in zip(sizes, references, asked_of)}
            yield result | {"target": largest.target, "most_ms": largest.most_ms, "tuned": tuned}


def is_tuned(asked: Ask) -> bool:
    """Whether the indexes of `ferroflow db tune` are for it, or cost it something."""
    return asked.name.startswith("runs_") or asked.name in OWN_WRITES


@contextlib.contextmanager
def extra_indexes(targets: list[Target]):
    """The databases with the indexes that are created on demand; what these take in the largest one."""
    before = [{one["name"] for one in grow_plans.own_sizes(target)} for target in targets]
    try:
        for target in targets:
            start = time.monotonic()
            grow_plans.tune(target)
        yield {"sizes": [one for one in grow_plans.own_sizes(targets[-1]) if one["name"] not in before[-1]], "created_in_s": time.monotonic() - start}
    finally:
        for target, names in zip(targets, before):
            grow_plans.drop_own_indexes(target, keep=names)


def own_indexes(target: Target, folder: Path, options) -> dict:
    """The size of ferroflow's own indexes, and what they cost writers on PostgreSQL: without them and with them."""
    result = {"sizes": grow_plans.own_sizes(target)}
    if target.name != "postgresql":
        return result
    writes = [asked for asked in grow_requests.writes() if asked.name in OWN_WRITES]
    # A role that cannot create indexes: a server would create those that are missing.
    with grow_plans.plain_role(target) as uri:
        for state in ("with", "without"):
            if state == "without":
                grow_plans.drop_own_indexes(target)
            with servers.ferroflow(uri, folder / "own") as server:
                for asked in writes:
                    seen = [figures(server, folder, asked, options) for _ in range(options.rounds)]
                    result.setdefault("writes", {}).setdefault(asked.name, {})[state] = middle(seen)
    start = time.monotonic()
    grow_plans.create_own_indexes(target)
    return result | {"created_in_s": time.monotonic() - start}


# --- the report ---------------------------------------------------------------------------------------------------


def wanted(name: str, options) -> bool:
    return not options.only or name.startswith(tuple(options.only))


def ratio(result: dict) -> float | None:
    """The median on the largest database over that on the smallest."""
    seen = list(result["ferroflow"].values())
    return None if any("error" in one for one in seen) else seen[-1]["p50_ms"] / seen[0]["p50_ms"]


def is_reached(result: dict) -> bool:
    times = ratio(result)
    if times is None:
        return False
    last = list(result["ferroflow"].values())[-1]["p50_ms"]
    deep_page = result.get("deep", {})
    if "error" in deep_page or deep_page and deep_page["p50_ms"] > 2 * last:
        return False
    return last <= result["most_ms"] if result["most_ms"] else times <= result["target"]


def cell(one: dict | None) -> str:
    return "no answer" if one is None else "error" if "error" in one else ms(one["p50_ms"])


def row(result: dict, beside: str | None = None) -> str:
    """A line of a table; ``beside`` in place of the reference's figures."""
    times, last = ratio(result), list(result["ferroflow"].values())[-1]
    page = ""
    if result.get("deep"):
        page = f"page {result['deep']['page']:,}: {cell(result['deep'])}"
        if "p50_ms" in result["deep"] and "p50_ms" in last:
            page += f", {result['deep']['p50_ms'] / last['p50_ms']:.1f}×"
    if "first_ms" in result:
        page = f"the first time: {' → '.join(map(ms, result['first_ms'].values()))}"
    theirs = " → ".join(cell(one) for one in result["reference"].values()) if result.get("reference") else ""
    theirs = theirs if beside is None else beside
    target = f"≤ {result['most_ms']} ms" if result["most_ms"] else f"≤ {result['target']:g}×"
    return (f"| {result['name']} ({result['backend']}) | {' | '.join(cell(one) for one in (list(result['ferroflow'].values())[0], last))} | "
            f"{'' if times is None else f'{times:.1f}×'} | {page} | {theirs} | {target} | {'reached' if is_reached(result) else '**not reached**'} |")


def worst(results: list[dict], count: int = 10) -> list[dict]:
    """Those that grow most, of the ones that read, and of charts those that take too long."""
    reads = [one for one in results if ratio(one) and one["target"] != grow_requests.WRITE and not (one["most_ms"] and is_reached(one))]
    return sorted(reads, key=ratio, reverse=True)[:count]


def text(about: dict, document: dict) -> str:
    lines = ["# What growth costs", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    for backend, made in document["databases"].items():
        for one in made:
            lines.append(f"- {backend}, scale {one['scale']:g}: {one['runs']:,} runs, {one['points']:,} points, {one['traces']:,} traces; "
                         f"{one['bytes'] / 1e9:.2f} GB, loaded in {one['seconds']:.0f} s")
    for backend in document["databases"]:
        every = [result for result in document["results"] if result["backend"] == backend]
        results, tuned = ([result for result in every if bool(result.get("tuned")) == is_one] for is_one in (False, True))
        reached = sum(map(is_reached, results))
        sizes = [f"{int(size):,} runs" for size in every[0]["ferroflow"]] if every else ["", ""]
        lines += ["", f"## {backend}", "", f"{reached} of {len(results)} targets are reached. Medians of one client; the reference in the same run, "
                  "on each size.", "", f"| request | {sizes[0]} | {sizes[-1]} | ratio | deep page, of page 1; or the first answer | reference | target | |",
                  "| --- | --- | --- | --- | --- | --- | --- | --- |", *map(row, results)]
        if tuned:
            lines += tuned_lines(backend, results, tuned, sizes, document["tuned"].get(backend))
        own = document["own"].get(backend)
        if own:
            lines += ["", "### Own indexes", "", f"In the largest database{created(own)}.", "", "| index | table | size | of the table |", "| --- | --- | --- | --- |"]
            lines += [f"| {one['name']} | {one['table']} | {one['bytes'] / 1e6:,.1f} MB | {share(one)} |" for one in own["sizes"]]
        if own and "writes" in own:
            lines += ["", "| write | with | without | |", "| --- | --- | --- | --- |"]
            for name, both in own["writes"].items():
                cost = f"{both['with']['p50_ms'] / both['without']['p50_ms']:.2f}×" if all("p50_ms" in one for one in both.values()) else ""
                lines.append(f"| {name} | {cell(both['with'])} | {cell(both['without'])} | {cost} |")
        plans = document["plans"].get(backend, {})
        if plans:
            lines += ["", "### Plans of those that grow most", ""]
            for name, plan in plans.items():
                lines += [f"`{name}`:", "", "```", *plan, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def tuned_lines(backend: str, results: list[dict], tuned: list[dict], sizes: list[str], extra: dict | None) -> list[str]:
    without = {result["name"]: cell(list(result["ferroflow"].values())[-1]) for result in results}
    lines = ["", f"### With `ferroflow db tune {' '.join(grow_plans.EXTRAS[backend])}`", "",
             f"{sum(map(is_reached, tuned))} of {len(tuned)} targets are reached.", "",
             f"| request | {sizes[0]} | {sizes[-1]} | ratio | deep page, of page 1 | {sizes[-1]}, without these indexes | target | |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |", *(row(result, without.get(result["name"], "")) for result in tuned)]
    if extra:
        lines += ["", f"In the largest database{created(extra)}.", "", "| index | table | size | of the table |", "| --- | --- | --- | --- |"]
        lines += [f"| {one['name']} | {one['table']} | {one['bytes'] / 1e6:,.1f} MB | {share(one)} |" for one in extra["sizes"]]
    return lines


def created(own: dict) -> str:
    return f", where all of them are created in {own['created_in_s']:.0f} s" if "created_in_s" in own else ""


def share(one: dict) -> str:
    return f"{one['bytes'] / one['table_bytes']:.0%}" if one.get("table_bytes") else ""


class Report:
    """What is known, written after each measurement; what is not measured this time stays."""

    def __init__(self, about: dict, out: Path):
        self.about, self.out, self.file = about, out, out / "growth.json"
        known = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.document = {"machine": about, "databases": {}, "results": [], "own": {}, "tuned": {}, "plans": {}} | {
            key: value for key, value in known.items() if key != "machine"}

    def add(self, result: dict) -> None:
        key = lambda one: (one["backend"], one["name"], bool(one.get("tuned")))  # noqa: E731
        results = {key(one): one for one in self.document["results"]} | {key(result): result}
        self.document["results"] = list(results.values())
        print(row(result), flush=True)
        self.write()

    def write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.document, indent=1) + "\n")
        (self.out / "growth.md").write_text(text(self.about, self.document))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=TARGETS)
    parser.add_argument("--scale", type=float, nargs="+", default=[1.0], help="of the databases beside the small one, on PostgreSQL; a tenth on SQLite")
    parser.add_argument("--keep", metavar="URI", help="the largest database: created or continued, and kept")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--only", nargs="+", help="measurements whose names begin so")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7, help="of each measurement in each round")
    parser.add_argument("--pages", type=int, default=1_000, help="the deep page is at most this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--load-only", action="store_true", help="make the databases, note their sizes, and measure nothing")
    parser.add_argument("--no-reference", dest="reference", action="store_false", help="do not ask the reference")
    parser.add_argument("--no-tuned", dest="tuned", action="store_false", help="do not measure again with the indexes that are created on demand")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.keep:
        options.backend = "sqlite" if options.keep.startswith("sqlite") else "postgresql"
    if max(options.scale) < 0.1 and options.out == RESULTS:
        parser.error("a small --scale needs --out: its figures do not belong to the others")
    about = machine() | {"command": "cargo xtask bench --grow " + " ".join(sys.argv[1:]), "rounds": options.rounds}
    report = Report(about, options.out)
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as folder:
        for kind in TARGETS.values():
            if options.backend in (None, kind.name):
                one_backend(kind, Path(folder), report, options)


def scales(kind: type[Target], options) -> list[float]:
    """From the smallest, which is the same for both databases unless all are little."""
    wanted_ = sorted(round(scale * SQLITE, 6) if kind.name == "sqlite" else scale for scale in options.scale)
    return [min(SMALL, wanted_[0] / 2), *wanted_]


def one_backend(kind: type[Target], folder: Path, report: Report, options) -> None:
    (folder / kind.name).mkdir()
    with contextlib.ExitStack() as stack:
        targets = []
        for scale in (sizes := scales(kind, options)):
            targets.append(kind(folder / kind.name, scale, options.seed, list(options.parts), options.keep if scale == sizes[-1] else None))
            stack.callback(targets[-1].drop)
        if kind.name == "postgresql" and not targets[0].is_durable() and options.out == RESULTS:
            raise SystemExit("PostgreSQL does not flush commits to disk (fsync, synchronous_commit): its figures need another --out")
        made = []
        for target in targets:
            seconds, data = target.load(), target.data
            made.append({"scale": data.scale, "runs": data.runs, "points": data.points(), "traces": data.traces * ("traces" in target.parts),
                         "bytes": target.size(), "seconds": round(seconds, 1)})
            print(made[-1], flush=True)
        made[-1]["tables"] = targets[-1].tables()
        report.document["databases"][kind.name] = kept_seconds(report.document["databases"].get(kind.name, []), made)
        report.write()
        if options.load_only:
            return
        results = []
        for result in measure(targets, folder / kind.name, options):
            results.append(result | {"backend": kind.name, "commit": report.about["commit"]})
            report.add(results[-1])
        if kind.name == "postgresql" and results:
            by_name = {asked.name: asked for asked in grow_requests.asks(targets[-1].data)}
            slow = [by_name[result["name"]] for result in worst(results)]
            report.document["plans"][kind.name] = grow_plans.plans(targets[-1], slow, folder / kind.name)
            report.write()
        if wanted(OWN, options):
            report.document["own"][kind.name] = own_indexes(targets[-1], folder / kind.name, options)
            report.write()
        if options.tuned and "runs" in options.parts and any(is_tuned(asked) and wanted(asked.name, options) for asked in grow_requests.asks(targets[-1].data)):
            with extra_indexes(targets) as report.document["tuned"][kind.name]:
                for result in measure(targets, folder / kind.name, options, tuned=True):
                    report.add(result | {"backend": kind.name, "commit": report.about["commit"]})


def kept_seconds(before: list[dict], made: list[dict]) -> list[dict]:
    """A database that was kept tells how long its load took."""
    took = {one["scale"]: one["seconds"] for one in before}
    return [one | {"seconds": max(one["seconds"], took.get(one["scale"], 0))} for one in made]


if __name__ == "__main__":
    main()
