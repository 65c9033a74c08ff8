"""Artifacts of a server with workspaces: each has its folder, and no path leads from one to another.

The same calls are sent to the reference, where it answers the same.
"""

import shutil
import subprocess

import pytest
import requests
from folders import names
from mlflow import MlflowClient
from support import required, stores
from support.servers import MAKERS, ferroflow

pytestmark = pytest.mark.rotates(every=2)

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MPU = "/api/2.0/mlflow-artifacts/mpu"
PRESIGNED = "/api/2.0/mlflow-artifacts/presigned"
ON = ["--enable-workspaces"]

#: Workspace, path, and the status and the contents of a file there.
READS = [
    ("team", "workspaces/team/7/a.txt", 200),
    ("team", "7/a.txt", 200),
    ("team", "7//a.txt", 200),
    ("team", "/7/a.txt", 400),
    ("team", "workspaces/team/7/b.txt", 404),
    ("team", "workspaces/other/7/a.txt", 400),
    ("team", "workspaces/nowhere/7/a.txt", 400),
    ("team", "workspaces/Team/7/a.txt", 400),
    ("team", "workspaces", 400),
    ("team", "workspaces/", 400),
    ("team", "Workspaces/team/7/a.txt", 404),
    ("other", "7/a.txt", 404),
    ("other", "workspaces/team/7/a.txt", 400),
    ("other", "workspaces/team/nothing", 400),
    ("other", "workspaces/../workspaces/team/7/a.txt", 400),
    ("other", "../team/7/a.txt", 400),
    ("other", "%2e%2e/team/7/a.txt", 400),
    ("default", "workspaces/team/7/a.txt", 400),
    ("default", "old.txt", 200),
    ("team", "old.txt", 404),
]

#: Other forms of the folder, which the reference takes for other folders, and some of which it reads.
DISGUISED = ["./workspaces/team/7/a.txt", "Workspaces/team/7/a.txt", "WORKSPACES/team/7/a.txt", "%77orkspaces/team/7/a.txt", "%2577orkspaces/team/7/a.txt"]


class Client:
    """Sends requests in a workspace."""

    def __init__(self, server, workspace):
        self.url, self.headers = server.url, {"X-MLFLOW-WORKSPACE": workspace} if workspace else {}

    def __call__(self, method, path, **args):
        # `requests` would resolve `..` and `%2e`: the path is sent as it is.
        request = requests.Request(method, self.url, headers=self.headers, **args).prepare()
        query = request.url.partition("?")[2]
        request.url = self.url + path + ("?" + query if query else "")
        with requests.Session() as session:
            return session.send(request)

    def call(self, method, path, body=None):
        args = {"params": body} if method == "GET" else {"json": body}
        answer = self(method, f"/api/2.0/mlflow/{path}", **args)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def experiment(self, name):
        return self.call("POST", "experiments/create", {"name": name})["experiment_id"]

    def run(self, experiment):
        return self.call("POST", "runs/create", {"experiment_id": experiment})["run"]["info"]


def workspaces(server, *names):
    for name in names:
        answer = requests.post(f"{server.url}/api/3.0/mlflow/workspaces", json={"name": name})
        assert answer.status_code in (200, 201), answer.text


@pytest.mark.parametrize("maker", MAKERS)
def test_a_path_means_what_it_means_in_its_workspace(maker, mode, tmp_path):
    if maker == "reference" and mode == "recorded":
        pytest.skip("the reference is not asked")
    root = tmp_path / "artifacts"
    with MAKERS[maker](f"sqlite:///{tmp_path}/a.db", root, args=ON) as server:
        workspaces(server, "team", "other")
        team, other, default = Client(server, "team"), Client(server, "other"), Client(server, None)
        assert team("PUT", f"{ARTIFACTS}/7/a.txt", data=b"text").status_code == 200
        assert default("PUT", f"{ARTIFACTS}/old.txt", data=b"old").status_code == 200
        assert names(root) == ["old.txt", "workspaces/team/7/a.txt"]
        found = [Client(server, workspace)("GET", f"{ARTIFACTS}/{path}").status_code for workspace, path, _ in READS]
        wrong = [(*case, status) for case, status in zip(READS, found, strict=True) if case[2] != status]
        assert not wrong
        # What is there and what is not differ in nothing.
        said = {other("GET", f"{ARTIFACTS}/workspaces/team/{path}").text for path in ("7/a.txt", "7/b.txt", "x")}
        assert len(said) == 1
        listed = lambda client, path: [file["path"] for file in client("GET", ARTIFACTS, params=path).json().get("files", [])]  # noqa: E731
        assert listed(team, {}) == ["7"] and listed(team, {"path": "7"}) == ["a.txt"]
        assert listed(team, {"path": "workspaces/team/7"}) == ["a.txt"]
        assert listed(other, {}) == [] and listed(other, {"path": "7"}) == []
        for client in (other, default):
            assert client("GET", ARTIFACTS, params={"path": "workspaces/team"}).status_code == 400
            assert client("PUT", f"{ARTIFACTS}/workspaces/team/7/a.txt", data=b"x").status_code == 400
            assert client("DELETE", f"{ARTIFACTS}/workspaces/team/7").status_code == 400
            for step in ("create", "complete", "abort"):
                body = {"path": "a.txt", "num_parts": 1, "upload_id": "u", "parts": [{"part_number": 1, "etag": "e"}]}
                answer = client("POST", f"{MPU}/{step}/workspaces/team/7", json=body)
                assert answer.status_code == 400 and "targets workspace 'team'" in answer.text, answer.text
            assert client("GET", f"{PRESIGNED}/workspaces/team/7/a.txt").status_code == 400
        assert (root / "workspaces/team/7/a.txt").read_bytes() == b"text"
        assert team("DELETE", f"{ARTIFACTS}/7/a.txt").status_code == 200
        assert names(root) == ["old.txt"]


def test_no_form_of_the_folders_name_leads_to_a_workspace(tmp_path):
    root = tmp_path / "artifacts"
    with ferroflow(f"sqlite:///{tmp_path}/a.db", root, args=ON) as server:
        workspaces(server, "team")
        team, default = Client(server, "team"), Client(server, None)
        assert team("PUT", f"{ARTIFACTS}/7/a.txt", data=b"text").status_code == 200
        # As on a file system that does not distinguish cases.
        for name in ("Workspaces", "WORKSPACES"):
            shutil.copytree(root / "workspaces", root / name)
        for path in DISGUISED:
            for method in ("GET", "PUT", "DELETE"):
                answer = default(method, f"{ARTIFACTS}/{path}", data=b"x" if method == "PUT" else None)
                assert answer.status_code == 400 and "targets workspace" in answer.text, (method, path, answer.text)
        # The folder of all workspaces has their names.
        for path in ("workspaces", "Workspaces"):
            assert default("GET", ARTIFACTS, params={"path": path}).status_code == 400
        for path in (".", "workspaces", "%2e"):
            assert default("DELETE", f"{ARTIFACTS}/{path}").status_code == 400, path
        assert (root / "workspaces/team/7/a.txt").exists()


def test_a_run_has_its_files_in_the_folder_of_its_workspace(tmp_path):
    root = tmp_path / "artifacts"
    with ferroflow(f"sqlite:///{tmp_path}/a.db", root, args=ON) as server:
        workspaces(server, "team", "other")
        team, other = Client(server, "team"), Client(server, "other")
        experiment = team.experiment("e")
        run = team.run(experiment)
        assert run["artifact_uri"] == f"mlflow-artifacts:/workspaces/team/{experiment}/{run['run_id']}/artifacts"
        query = {"run_uuid": run["run_id"], "path": "d/a.txt"}
        assert team("POST", "/ajax-api/2.0/mlflow/upload-artifact", params=query, data=b"text").status_code == 200
        file = f"workspaces/team/{experiment}/{run['run_id']}/artifacts/d/a.txt"
        assert names(root) == [file]
        query = {"run_id": run["run_id"], "path": "d/a.txt"}
        assert team("GET", "/get-artifact", params=query).content == b"text"
        assert team.call("GET", "artifacts/list", {"run_id": run["run_id"], "path": "d"})["files"][0]["path"] == "d/a.txt"
        nobody = other("GET", "/get-artifact", params={"run_id": "0" * 32, "path": "d/a.txt"})
        answer = other("GET", "/get-artifact", params=query)
        assert answer.status_code == 404 and answer.text.replace(run["run_id"], "0" * 32) == nobody.text


def moved(uri, *args):
    command = [required("FERROFLOW_BIN"), "db", "move-resources", uri, *args, "--yes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def write(client, run, path, text):
    query = {"run_uuid": run["run_id"], "path": path}
    answer = client("POST", "/ajax-api/2.0/mlflow/upload-artifact", params=query, data=text)
    assert answer.status_code == 200, answer.text


def read(client, run, path):
    """By the run, and by the path that an SDK makes of its location."""
    by_run = client("GET", "/get-artifact", params={"run_id": run["run_id"], "path": path})
    place = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    by_path = client("GET", f"{ARTIFACTS}/{place}/{path}")
    return [answer.content if answer.status_code == 200 else answer.status_code for answer in (by_run, by_path)]


@pytest.mark.parametrize("policy", ["preserve", "retarget"])
@pytest.mark.parametrize(("source", "target"), [("default", "team"), ("team", "other"), ("team", "default")])
def test_a_moved_experiment_has_its_files_and_its_old_workspace_has_them_no_more(source, target, policy, tmp_path):
    uri, root = f"sqlite:///{tmp_path}/a.db", tmp_path / "artifacts"
    with ferroflow(uri, root, args=ON if source != "default" else []) as server:
        if source != "default":
            workspaces(server, "team", "other")
        before = Client(server, source if source != "default" else None)
        experiment = before.experiment("e")
        run, stays = before.run(experiment), before.run(before.experiment("stays"))
        write(before, run, "a.txt", b"a")
        write(before, stays, "a.txt", b"stays")
    if source == "default":
        with ferroflow(uri, root, args=ON) as server:
            workspaces(server, "team", "other")
    flags = ["--artifact-policy", policy, "--default-artifact-root", "mlflow-artifacts:/"] if policy == "retarget" else []
    moved(uri, "--from", source, "--to", target, "--resource-type", "experiments", "--name", "e", *flags)
    with ferroflow(uri, root, args=ON) as server:
        there, here, third = Client(server, target), Client(server, source), Client(server, "third")
        workspaces(server, "third")
        assert read(there, run, "a.txt") == [b"a", b"a"]
        write(there, run, "b.txt", b"b")
        assert read(there, run, "b.txt") == [b"b", b"b"]
        place = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
        assert [file["path"] for file in there("GET", ARTIFACTS, params={"path": place}).json()["files"]] == ["a.txt", "b.txt"]
        new = there.run(experiment)
        write(there, new, "c.txt", b"c")
        assert read(there, new, "c.txt") == [b"c", b"c"]
        # Where it was nothing is found, neither by the run nor by a path, and what stays is.
        for path in ("a.txt", "b.txt", "nothing.txt"):
            assert read(here, run, path)[0] == 404
            answer = here("GET", f"{ARTIFACTS}/{place}/{path}")
            assert answer.status_code == 404 and answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST", answer.text
            assert read(third, run, path)[1] in (404, 400)
        assert here("PUT", f"{ARTIFACTS}/{place}/a.txt", data=b"x").status_code == 404
        assert here("DELETE", f"{ARTIFACTS}/{place}").status_code == 404
        assert read(here, stays, "a.txt") == [b"stays", b"stays"]
        assert read(there, run, "a.txt") == [b"a", b"a"]
    files = len(names(root))
    with ferroflow(uri, root, args=ON) as server:
        Client(server, target).call("POST", "runs/delete", {"run_id": run["run_id"]})
    purge = [required("FERROFLOW_BIN"), "gc", "--backend-store-uri", uri, "--artifacts-destination", str(root), "--workspace"]
    for workspace, left in [("third", files), (source, files), (target, files - 2)]:
        done = subprocess.run([*purge, workspace], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and len(names(root)) == left, (workspace, done.stdout, done.stderr)


def test_a_version_of_a_model_leads_to_no_other_workspace(tmp_path):
    """Neither by its source, nor by a location that clients reach themselves."""
    root = tmp_path / "served"
    direct = ["--default-artifact-root", str(root / "below")]
    with ferroflow(f"sqlite:///{tmp_path}/a.db", root, args=[*ON, *direct]) as server:
        workspaces(server, "team", "other")
        team, other, default = Client(server, "team"), Client(server, "other"), Client(server, None)
        run = team.run(team.experiment("e"))
        assert run["artifact_uri"].startswith(f"{root}/below/workspaces/team/")
        write(team, run, "a.txt", b"text")
        for client in (other, default):
            client.call("POST", "registered-models/create", {"name": "m"})
            create = lambda source, given: client("POST", "/api/2.0/mlflow/model-versions/create", json={"name": "m", "source": source, **given})  # noqa: E731, B023
            for source in (run["artifact_uri"], "file://" + run["artifact_uri"]):
                for given in ({}, {"run_id": run["run_id"]}):
                    answer = create(source, given)
                    assert answer.status_code >= 400, (source, given, answer.text)
            # As of a run that does not exist.
            for id in (run["run_id"], "0" * 32):
                version = create(f"runs:/{id}", {"run_id": id}).json()["model_version"]["version"]
                query = {"name": "m", "version": version, "path": "a.txt"}
                assert client("GET", "/model-versions/get-artifact", params=query).status_code == 400
        # The served store has the folders of a root below it, which are no paths of the default workspace.
        place = run["artifact_uri"].removeprefix(f"{root}/")
        assert default("GET", f"{ARTIFACTS}/{place}/a.txt").status_code == 404
        assert default("DELETE", f"{ARTIFACTS}/below").status_code == 400
        assert team("GET", "/get-artifact", params={"run_id": run["run_id"], "path": "a.txt"}).content == b"text"


def test_the_sdk_works_in_a_workspace(tmp_path, monkeypatch):
    root = tmp_path / "artifacts"
    with ferroflow(f"sqlite:///{tmp_path}/a.db", root, args=ON) as server:
        workspaces(server, "team")
        monkeypatch.setenv("MLFLOW_WORKSPACE", "team")
        client = MlflowClient(server.url)
        run = client.create_run(client.create_experiment("e")).info.run_id
        client.log_text(run, "hello", "a/b.txt")
        assert [file.path for file in client.list_artifacts(run, "a")] == ["a/b.txt"]
        (target := tmp_path / "target").mkdir()
        assert open(client.download_artifacts(run, "a/b.txt", str(target))).read() == "hello"
        assert all(name.startswith("workspaces/team/") for name in names(root))
        monkeypatch.delenv("MLFLOW_WORKSPACE")
        with pytest.raises(Exception, match="not found"):
            MlflowClient(server.url).list_artifacts(run)


def test_a_purge_is_of_a_workspace_or_of_all(tmp_path):
    uri, root = f"sqlite:///{tmp_path}/a.db", tmp_path / "artifacts"
    with ferroflow(uri, root, args=ON) as server:
        workspaces(server, "team", "other")
        runs = {}
        for name in ("default", "team", "other"):
            client = Client(server, name)
            runs[name] = client.run(client.experiment("e"))["run_id"]
            write(client, {"run_id": runs[name]}, "a.txt", b"x")
            client.call("POST", "runs/delete", {"run_id": runs[name]})

    def gc(*args, code=0, env=None):
        command = [required("FERROFLOW_BIN"), "gc", "--backend-store-uri", uri, "--artifacts-destination", str(root), *args]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "workspace" in gc(code=1)
    assert "cannot be used with" in gc("--workspace", "team", "--all-workspaces", code=2)
    assert "Workspace 'nowhere' not found" in gc("--workspace", "nowhere", code=1)
    assert f"Run with id={runs['other']} not found" in gc("--workspace", "team", "--run-ids", runs["other"], code=1)
    assert runs["team"] in gc("--workspace", "team", "--dry-run")
    assert gc("--workspace", "team").splitlines()[-1] == "1 deleted, 0 kept."
    assert runs["default"] in gc(env={"MLFLOW_ENABLE_WORKSPACES": "true"})
    assert len(names(root)) == 1
    assert runs["other"] in gc("--all-workspaces", env={"MLFLOW_WORKSPACE": "team"})
    assert names(root) == []
    # What nothing refers to is found in the folder of a workspace too.
    (lost := root / "workspaces/team/7" / ("0" * 32) / "artifacts").mkdir(parents=True)
    (lost / "a.txt").write_bytes(b"x")
    assert gc("--unreferenced", "--all-workspaces").splitlines()[0] == f"workspaces/team/7/{'0' * 32}"


@pytest.mark.parametrize("kind", ["directory", "bucket"])
def test_files_of_a_deleted_workspace_are_purged_by_its_name(kind, servers, tmp_path):
    """What was moved to another workspace, or is at a location of one, stays."""
    uri, root = f"sqlite:///{tmp_path}/a.db", tmp_path / "artifacts"
    store = servers("seaweed").with_bucket(stores.random_name("gone")) if kind == "bucket" else None
    destination, env = (f"s3://{store.bucket}/pre", store.env) if store else (str(root), {})
    files = lambda: sorted(key.removeprefix("pre/") for key in store.keys("pre/")) if store else names(root)  # noqa: E731

    def put(key):
        if store:
            return store.put(f"pre/{key}", b"x")
        (file := root / key).parent.mkdir(parents=True)
        file.write_bytes(b"x")

    def gc(*args, code=0):
        command = [required("FERROFLOW_BIN"), "gc", "--backend-store-uri", uri, "--artifacts-destination", destination, *args]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return (done.stdout + done.stderr).splitlines()

    with ferroflow(uri, destination, args=ON, env=env) as server:
        workspaces(server, "gone", "other")
        gone, other = Client(server, "gone"), Client(server, "other")
        # A workspace has its root in the folder.
        body = {"name": "inner", "default_artifact_root": f"{destination}/workspaces/gone/77"}
        assert requests.post(f"{server.url}/api/3.0/mlflow/workspaces", json=body).status_code == 201
        runs = {}
        for name, client in {"moved": gone, "lost": gone, "there": other}.items():
            runs[name] = client.run(client.experiment(name))
            write(client, runs[name], "a.txt", b"x")
        model = gone.call("POST", "logged-models", {"experiment_id": runs["lost"]["experiment_id"], "name": "m"})["model"]["info"]
        gone("PUT", f"{ARTIFACTS}/{model['experiment_id']}/models/{model['model_id']}/artifacts/MLmodel", data=b"x")
        move = [required("FERROFLOW_BIN"), "db", "move-resources", uri, "--from", "gone", "--to", "other", "--resource-type", "experiments"]
        subprocess.run([*move, "--name", "moved", "--yes"], check=True, capture_output=True)
        put(f"workspaces/gone/77/{'0' * 32}/artifacts/a.txt")
        put("workspaces/gone/notes/mine.txt")
        assert any("exists" in line for line in gc("--deleted-workspaces", "gone", code=1))
        assert requests.delete(f"{server.url}/api/3.0/mlflow/workspaces/gone?mode=CASCADE").status_code == 204
        before = files()
        assert len(before) == 6
        for wrong in ("default", "Gone", "../gone", "gone,other"):
            gc("--deleted-workspaces", wrong, code=1)
        gc("--deleted-workspaces", "gone", "--workspace", "other", code=2)
        gc("--deleted-workspaces", "gone", "--older-than", "1d", code=2)
        folder = f"workspaces/gone/{runs['lost']['experiment_id']}"
        lost = sorted([f"{folder}/{runs['lost']['run_id']}", f"{folder}/models/{model['model_id']}"])
        told = gc("--deleted-workspaces", "gone", "--dry-run")
        assert [line for line in told if "would be deleted." in line] == [f"{name} would be deleted." for name in lost]
        assert "2 would be deleted, 0 kept." in told
        assert files() == before
        assert "2 deleted, 0 kept." in gc("--deleted-workspaces", "gone")
        assert sorted(set(before) - set(files())) == [f"{lost[0]}/artifacts/a.txt", f"{lost[1]}/artifacts/MLmodel"]
        after = files()
        again = gc("--deleted-workspaces", "gone,never-was")
        # SeaweedFS lists folders for a while in which nothing is any more.
        assert files() == after and ("0 deleted, 0 kept." in again or kind == "bucket")
        assert other("GET", "/get-artifact", params={"run_id": runs["moved"]["run_id"], "path": "a.txt"}).content == b"x"
        if kind == "directory":
            assert not (root / folder).exists()
