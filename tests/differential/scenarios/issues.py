"""Issues: their life, searches, and what is wrong with requests."""

from step import Step

API = "/api/3.0/mlflow/issues"
BROKEN = "the reference answers 500 for a value that its enumeration does not have"
INVALID = (400, "INVALID_PARAMETER_VALUE")


def create(name="slow", path=API, **more):
    save = more.pop("save", {})
    rest = {key: more.pop(key) for key in ("differs", "expect") if key in more}
    body = {"experiment_id": "{exp}", "name": name, "description": "It is slow.", **more}
    return Step("POST", path, body, save={save: "issue.issue_id"} if save else {}, **rest)


def search(**body):
    return Step("POST", f"{API}/search", {"experiment_id": "{exp}", **body})


def update(issue="{issue}", **body):
    return Step("PATCH", f"{API}/{issue}", {"issue_id": issue, **body})


def steps():
    yield Step("POST", "/api/2.0/mlflow/experiments/create", {"name": "with issues"}, save={"exp": "experiment_id"})
    yield Step("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "{exp}"}, save={"run": "run.info.run_id"})
    yield search()
    yield create(save="issue")
    yield Step("GET", f"{API}/{{issue}}")
    more = {"root_causes": ["größe", 'a "b"'], "categories": ["x", "y"], "created_by": "ann", "source_run_id": "{run}"}
    yield create("wrong answer", severity="high", status="resolved", save="other", **more)
    yield Step("GET", f"{API}/{{other}}")
    yield create("empty", root_causes=[], categories=[], created_by="", source_run_id="", severity="low")
    yield create("nothing", severity="not_an_issue", status="rejected")
    yield create("middle", severity="medium", save="middle")
    yield search()
    yield search(include_trace_count=True)
    yield search(max_results=2, include_trace_count=False)
    yield search(max_results=1)
    for filter_ in (
        "status = 'pending'", "status != 'pending'", "source_run_id = '{run}'", "source_run_id != '{run}'", "status = pending",
        "status = ' pending '", "status = 'pending' AND source_run_id = 'x'", "`status` = 'pending'",
        "name = 'x'", "attributes.status = 'pending'", "status LIKE 'p%'", "status IN ('pending')", "status > 'a'",
        "status IS NULL", "status", "status = 'a' OR status = 'b'", "(",
    ):  # fmt: skip
        yield search(filter_string=filter_)
    body = {"experiment_id": "{exp}", "filter_string": "'status' = 'pending'"}
    yield Step("POST", f"{API}/search", body, differs="the reference names a class of its parser, ferroflow the text")
    for size in (0, -1, 50001, "x"):
        yield search(max_results=size)
    yield search(page_token="nonsense")
    yield Step("POST", f"{API}/search", {"experiment_id": "99999"})
    yield Step("POST", f"{API}/search", {"experiment_id": "x"})
    yield update(name="very slow", severity="high")
    yield update(description="It is very slow.", status="rejected")
    yield update(name="", description="")
    yield update()
    yield Step("GET", f"{API}/{{issue}}")
    yield Step("PATCH", f"{API}/{{issue}}", {"name": "without its id"})
    yield update("iss-nothing", name="x")
    yield Step("GET", f"{API}/iss-nothing")
    for bad in ({"status": "closed"}, {"severity": "worst"}, {"status": ""}):
        yield Step("PATCH", f"{API}/{{issue}}", {"issue_id": "{issue}", **bad}, differs=BROKEN, expect=INVALID)
        yield create("bad", **bad, differs=BROKEN, expect=INVALID)
    yield update(name=5)
    yield create("")
    yield create(5)
    yield create("n", description="")
    yield create("n", root_causes="x")
    yield create("n", source_run_id="0" * 32)
    yield create("n", experiment_id="99999")
    yield create("n", experiment_id="x")
    yield Step("POST", API, {})
    yield Step("POST", API, {"name": "n", "description": "d"})
    yield Step("POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": "{exp}"})
    yield create("late")
    yield search(max_results=1)
