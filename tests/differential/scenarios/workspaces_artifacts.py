"""Artifacts of workspaces: below `workspaces/<name>/`, written in every way, and never those of another one."""

from step import WORKSPACE, Step, api, get, post, within

from .artifacts import LITERAL

SERVERS = "workspaces"
API = "/api/3.0/mlflow/workspaces"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
SPACES = ("files-a", "files-b")
INVALID = (400, "INVALID_PARAMETER_VALUE")
TEXT = {"Content-Type": "text/plain"}

CASE = "the name of a workspace is read in any case of letters: some stores of artifacts do not tell them apart"
DOT = "a path that does not name its file plainly is refused"
WORDS = "what is wrong with a path is said in other words"
LOST = "the reference stores an upload below another path than it lists"
NESTED = "below a workspace there is no other one"
HOLE = "the reference lets the default workspace purge the files of another one, whose path it writes as `./workspaces/…`"
ALL = "the folder of all workspaces is nobody's; in the reference the default workspace lists and deletes it with everything in it"


def steps():
    for space in SPACES:
        yield Step("POST", API, {"name": space})
        yield from within(space, made(space))
    yield from legacy()
    for space in SPACES:
        yield from within(space, read(space))
    yield from within("files-b", read("files-a"))
    yield from read("files-a")
    yield from paths()
    yield from uploads()
    yield from own_root()
    yield from all_of_them()


def made(space):
    run, model = f"run-{space}", f"model-{space}"
    yield post("experiments/create", {"name": "with files"}, save={f"exp-{space}": "experiment_id"})
    yield post("runs/create", {"experiment_id": f"{{exp-{space}}}"}, save={run: "run.info.run_id"})
    yield post("logged-models", {"experiment_id": f"{{exp-{space}}}", "name": "m"}, save={model: "model.info.model_id"})
    # The SDK writes a path with the prefix, and one without it is of the workspace, too.
    yield Step("PUT", f"{PROXY}/workspaces/{space}/{{exp-{space}}}/{{{run}}}/artifacts/d/a.txt", raw=space.encode(), headers=TEXT)
    yield Step("PUT", f"{PROXY}/{{exp-{space}}}/{{{run}}}/artifacts/d/b.txt", raw=space.encode(), headers=TEXT)
    yield Step("PUT", f"{PROXY}/workspaces/{space}/{{exp-{space}}}/models/{{{model}}}/artifacts/MLmodel", raw=b"flavors: {}", headers=TEXT)
    yield Step("PUT", f"{PROXY}/plain/x.txt", raw=space.encode(), headers=TEXT)
    yield Step("POST", "/ajax-api/2.0/mlflow/upload-artifact", query={"run_uuid": f"{{{run}}}", "path": "up/x.txt"}, raw=b"data", headers=TEXT)


def legacy():
    """The default workspace has its files where they were before there were workspaces."""
    yield post("runs/create", {"experiment_id": "0"}, save={"run": "run.info.run_id", "root": "run.info.artifact_uri"})
    yield Step("PUT", f"{PROXY}/0/{{run}}/artifacts/a.txt", raw=b"default", headers=TEXT)
    yield Step("PUT", f"{PROXY}/workspaces/default/0/{{run}}/artifacts/b.txt", raw=b"default", headers=TEXT)
    yield get("artifacts/list", {"run_id": "{run}"})
    yield get("/get-artifact", {"run_id": "{run}", "path": "a.txt"})
    yield get("/get-artifact", {"run_id": "{run}", "path": "b.txt"})
    yield Step("GET", f"{PROXY}/0/{{run}}/artifacts/a.txt")
    yield Step("GET", f"{PROXY}/workspaces/default/0/{{run}}/artifacts/b.txt")
    yield Step("GET", PROXY, query={"path": "0/{run}/artifacts"})
    yield Step("GET", PROXY, query={"path": "workspaces/default/0/{run}/artifacts"})
    yield post("experiments/create", {"name": "new files"}, save={"new": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{new}"}, save={"fresh": "run.info.run_id"})
    yield Step("POST", "/ajax-api/2.0/mlflow/upload-artifact", query={"run_uuid": "{fresh}", "path": "x.txt"}, raw=b"data", headers=TEXT)
    yield get("artifacts/list", {"run_id": "{fresh}"}, differs=LOST, expect=(200, None))
    yield Step("GET", PROXY, query={"path": "workspaces/default/{new}/{fresh}/artifacts"}, differs=LOST, expect=(200, None))


def read(space):
    """The files of a workspace in every way, by itself or by another one."""
    exp, run, model = f"{{exp-{space}}}", f"{{run-{space}}}", f"{{model-{space}}}"
    yield get("artifacts/list", {"run_id": run})
    yield get("artifacts/list", {"run_id": run, "path": "d"})
    yield get("/get-artifact", {"run_id": run, "path": "d/a.txt"})
    yield get("/get-artifact", {"run_id": run, "path": "d/b.txt"})
    yield get("/get-artifact", {"run_id": run, "path": "up/x.txt"})
    yield Step("GET", api(f"logged-models/{model}/artifacts/directories"))
    yield Step("GET", f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files", query={"artifact_file_path": "MLmodel"})
    yield Step("GET", f"{PROXY}/workspaces/{space}/{exp}/{run}/artifacts/d/a.txt")
    yield Step("GET", f"{PROXY}/{exp}/{run}/artifacts/d/a.txt")
    yield Step("GET", f"{PROXY}/plain/x.txt")
    yield Step("GET", PROXY, query={"path": f"workspaces/{space}/{exp}/{run}/artifacts/d"})
    yield Step("GET", PROXY, query={"path": f"workspaces/{space}/plain"})
    yield Step("GET", PROXY, query={"path": "plain"})
    yield post("artifacts/presigned-download-url", {"run_id": run, "path": "d/a.txt"})
    yield post("artifacts/presigned-upload-url", {"run_id": run, "path": "d/a.txt"})
    yield post("artifacts/presigned-upload-url", {"model_id": model, "path": "d/a.txt"})


#: Ways to the file of another workspace, as they stand in a URL, and why ferroflow may answer otherwise.
WAYS = {
    "workspaces/": WORDS, "workspaces//plain/x.txt": WORDS, "workspaces/files-a": None, "workspaces/files-a/plain/x.txt": None, "/workspaces/files-a/plain/x.txt": DOT, "workspaces/files-a/../files-a/plain/x.txt": None,
    "plain/../../files-a/plain/x.txt": None, "../files-a/plain/x.txt": None, "workspaces/files-b/../files-a/plain/x.txt": None, "%77orkspaces/files-a/plain/x.txt": LITERAL, "workspaces%2ffiles-a%2fplain%2fx.txt": DOT,
    "./workspaces/files-a/plain/x.txt": DOT, "WORKSPACES/files-a/plain/x.txt": CASE, "Workspaces/files-a/plain/x.txt": CASE, "workspaces/FILES-A/plain/x.txt": CASE, "workspaces/Files-a/plain/x.txt": CASE, "workspaces/nowhere/x.txt": None,
    "workspaces/files-b/plain/x.txt": None, "workspaces/files-b": None, "workspaces/files-b/workspaces/files-a/plain/x.txt": NESTED, "workspaces2/files-a/x.txt": None, "workspaces/files-a%2f..%2ffiles-b/plain/x.txt": None,
    "workspaces%00/files-a/x": None, "workspaces/default/x.txt": None,
}  # fmt: skip


def paths():
    for space in ("files-b", None):
        for path, why in WAYS.items():
            headers = {} if space is None else {WORKSPACE: space}
            yield Step("GET", f"{PROXY}/{path}", headers=headers, differs=why)
            yield Step("PUT", f"{PROXY}/{path}", raw=b"stolen", headers=headers | TEXT, differs=why)
            yield Step("DELETE", f"{PROXY}/{path}", headers=headers, differs=why)
            yield Step("GET", PROXY, query={"path": path}, headers=headers, differs=why)
    yield from within("files-a", [Step("GET", f"{PROXY}/plain/x.txt", differs=HOLE, expect=(200, None)), Step("GET", PROXY), Step("GET", PROXY, query={"path": ""}), Step("GET", PROXY, query={"path": "workspaces/files-a"})])
    yield from within("files-b", [Step("GET", f"{PROXY}/plain/x.txt"), Step("DELETE", f"{PROXY}/plain"), Step("GET", f"{PROXY}/plain/x.txt"), Step("GET", PROXY, query={"path": "plain"})])
    yield from within("files-a", [Step("GET", f"{PROXY}/plain/x.txt", differs=HOLE, expect=(200, None))])


def uploads():
    upload = "/ajax-api/2.0/mlflow/upload-artifact"
    for headers in ({WORKSPACE: "files-b"}, {}):
        yield Step("POST", upload, query={"run_uuid": "{run-files-a}", "path": "x.txt"}, raw=b"stolen", headers=headers | TEXT)
        for call in ("create", "complete", "abort"):
            for path in ("workspaces/files-a/{exp-files-a}/{run-files-a}/artifacts", "{exp-files-a}/{run-files-a}/artifacts", "WORKSPACES/files-a/x"):
                yield Step("POST", f"/api/2.0/mlflow-artifacts/mpu/{call}/{path}", {"path": "x", "num_parts": 2, "upload_id": "u", "parts": []}, headers=headers, differs=CASE if "WORK" in path else None)
        for path in ("workspaces/files-a/x", "WORKSPACES/files-a/x", "x"):
            yield Step("GET", f"/api/2.0/mlflow-artifacts/presigned/{path}", headers=headers, differs=CASE if "WORK" in path else None)
    yield get("artifacts/list", {"run_id": "{run-files-a}"}, headers={WORKSPACE: "files-a"})


def own_root():
    """A workspace whose artifacts are somewhere else than the server's."""
    yield Step("POST", API, {"name": "files-own", "default_artifact_root": "mlflow-artifacts:/team/own"})
    yield from within("files-own", [
        post("experiments/create", {"name": "elsewhere"}, save={"own": "experiment_id"}),
        post("runs/create", {"experiment_id": "{own}"}, save={"mine": "run.info.run_id"}),
        Step("POST", "/ajax-api/2.0/mlflow/upload-artifact", query={"run_uuid": "{mine}", "path": "x.txt"}, raw=b"data", headers=TEXT),
        get("artifacts/list", {"run_id": "{mine}"}, differs=LOST, expect=(200, None)),
        get("/get-artifact", {"run_id": "{mine}", "path": "x.txt"}, differs=LOST, expect=(200, None)),
        Step("GET", PROXY, query={"path": "team/own/{own}/{mine}/artifacts"}, differs=LOST, expect=(200, None)),
        Step("GET", PROXY, query={"path": "workspaces/files-own/team/own/{own}/{mine}/artifacts"}, differs=LOST, expect=(200, None)),
    ])  # fmt: skip


def all_of_them():
    """The folder that has those of all workspaces: last, because the reference purges it."""
    for headers in ({WORKSPACE: "files-b"}, {}):
        yield Step("GET", f"{PROXY}/workspaces", headers=headers)
        yield Step("PUT", f"{PROXY}/workspaces", raw=b"stolen", headers=headers | TEXT)
        rest = {} if headers else {"differs": ALL, "expect": INVALID}
        yield Step("GET", PROXY, query={"path": "workspaces"}, headers=headers, **rest)
        yield Step("DELETE", f"{PROXY}/workspaces", headers=headers, **rest)
