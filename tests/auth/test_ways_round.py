"""Ways round the rules that were thought of: by a name that means everything, by where files are, by a second id."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from people import ADMIN, People, settings
from support import postgres, servers

API, API3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def people(request, tmp_path_factory):
    """A server with two users, who may read what nobody denies them."""
    folder = tmp_path_factory.mktemp(request.param)
    with postgres.database(request.param, folder, "ways") as backend:
        users = f"sqlite:///{folder}/users.db" if request.param == "sqlite" else backend
        env = settings(folder, users, default="READ")
        with servers.ferroflow(backend, folder / "artifacts", args=["--app-name", "basic-auth"], env=env) as server:
            people = People(server.url)
            for name in ("mallory", "victim"):
                people.join(name)
            yield people


def experiment(people: People, name: str, **more) -> str:
    """An experiment of the victim, which is denied to Mallory."""
    made = people.must("victim", "POST", f"{API}/experiments/create", body={"name": name} | more)["experiment_id"]
    people.grant("mallory", "experiment", made, "DENY")
    return made


def run(people: People, who: str, experiment_id: str) -> dict:
    return people.must(who, "POST", f"{API}/runs/create", body={"experiment_id": experiment_id})["run"]["info"]


def test_no_model_has_the_name_of_all_models(people):
    create = lambda who, name: people.send(who, "POST", f"{API}/registered-models/create", body={"name": name})  # noqa: E731
    assert create("victim", "kept").status_code == 200
    people.grant("mallory", "registered_model", "kept", "DENY")
    for who in ("mallory", ADMIN):
        refused = create(who, "*")
        assert refused.status_code == 400 and "every model" in refused.text
    assert create("mallory", "mine").status_code == 200
    body = {"name": "mine", "new_name": "*"}
    assert people.send("mallory", "POST", f"{API}/registered-models/rename", body=body).status_code == 400
    assert people.send("mallory", "GET", f"{API}/registered-models/get", query={"name": "kept"}).status_code == 403


@pytest.mark.parametrize("scheme", ["s3", "gs", "wasbs"])
def test_a_version_leads_to_no_bucket_of_others(people, scheme):
    body = {"name": f"leads-{scheme}"}
    people.must("mallory", "POST", f"{API}/registered-models/create", body=body)
    place = f"{scheme}://bucket@account.blob.core.windows.net/1" if scheme == "wasbs" else f"{scheme}://bucket/1"
    made = people.must(
        "mallory", "POST", f"{API}/experiments/create", body={"name": f"own-{scheme}", "artifact_location": place}
    )
    own = run(people, "mallory", made["experiment_id"])
    create = f"{API}/model-versions/create"
    for more in ({}, {"run_id": own["run_id"]}):
        source = {"source": f"{place}/victims/artifacts"} | more
        refused = people.send("mallory", "POST", create, body=body | source)
        assert refused.status_code == 400 and "identify the resource" in refused.text, refused.text
    people.must("mallory", "POST", create, body=body | {"source": own["artifact_uri"] + "/model", "run_id": own["run_id"]})
    # Nobody binds an admin.
    people.must(ADMIN, "POST", create, body=body | {"source": f"{place}/anywhere"})


def test_files_are_their_experiments_wherever_they_are(people):
    number = experiment(people, "at another place", artifact_location="mlflow-artifacts:/team-a")
    theirs = run(people, "victim", number)["run_id"]
    file = f"{FILES}/team-a/{theirs}/artifacts/secret.txt"
    people.must("victim", "PUT", file, raw=b"secret")
    assert people.send("victim", "GET", file).content == b"secret"
    assert people.send("mallory", "GET", file).status_code == 403
    listed = people.send("mallory", "GET", FILES, query={"path": f"team-a/{theirs}/artifacts"})
    assert listed.status_code == 403
    # Also where the path begins as that of an experiment that may be read.
    other = people.must("victim", "POST", f"{API}/experiments/create", body={"name": "open"})["experiment_id"]
    number = experiment(people, "below another", artifact_location=f"mlflow-artifacts:/{other}")
    theirs = run(people, "victim", number)["run_id"]
    file = f"{FILES}/{other}/{theirs}/artifacts/secret.txt"
    people.must("victim", "PUT", file, raw=b"secret")
    assert people.send("mallory", "GET", file).status_code == 403


def granted(people: People, who: str, kind: str) -> None:
    """A user of this name who may do this with everything that nobody denies."""
    people.join(who)
    people.grant(who, "experiment", "*", kind)


#: What the id of a run looks like, and none.
NO_RUN = "5" * 32


def test_a_file_has_one_owner_whatever_its_path_begins_with(people):
    """The longest location that a path begins with says whose it is, on every way to the file."""
    granted(people, "writer", "EDIT")
    place = f"{NO_RUN}/team"
    number = experiment(people, "behind no run", artifact_location=f"mlflow-artifacts:/{place}")
    people.grant("writer", "experiment", number, "DENY")
    theirs = run(people, "victim", number)["run_id"]
    for file in (f"{place}/{theirs}/artifacts/secret.txt", f"{place}/notes.txt", f"{place}/models/x/secret.txt"):
        people.must(ADMIN, "PUT", f"{FILES}/{file}", raw=b"secret")
        folder, name = file.rsplit("/", 1)
        for who in ("mallory", "writer"):
            refused = {
                "read": people.send(who, "GET", f"{FILES}/{file}"),
                "listed": people.send(who, "GET", FILES, query={"path": folder}),
                "written": people.send(who, "PUT", f"{FILES}/{file}", raw=b"forged"),
                "made": people.send(who, "PUT", f"{FILES}/{folder}/new.txt", raw=b"forged"),
                "deleted": people.send(who, "DELETE", f"{FILES}/{file}"),
                "signed": people.send(who, "GET", f"/api/2.0/mlflow-artifacts/presigned/{file}"),
            }
            body = {"path": f"/home/{who}/{name}", "num_parts": 1}
            parts = [{"part_number": 1, "etag": "x"}]
            for step, more in (("create", {}), ("complete", {"upload_id": "x", "parts": parts}), ("abort", {"upload_id": "x"})):
                url = f"/api/2.0/mlflow-artifacts/mpu/{step}/{folder}"
                refused[step] = people.send(who, "POST", url, body=body | more)
            assert {name: answer.status_code for name, answer in refused.items()} == dict.fromkeys(refused, 403)
        assert people.send("victim", "GET", f"{FILES}/{file}").content == b"secret"
        people.must("victim", "PUT", f"{FILES}/{file}", raw=b"changed")
    # What nobody keeps files at is as it was.
    assert people.send("mallory", "GET", FILES, query={"path": f"{NO_RUN}/else"}).status_code == 200


def test_every_id_in_a_path_must_allow(people):
    granted(people, "other writer", "EDIT")
    number = experiment(people, "of the second id")
    people.grant("other writer", "experiment", number, "DENY")
    theirs = run(people, "victim", number)["run_id"]
    own = people.must("other writer", "POST", f"{API}/experiments/create", body={"name": "of the first id"})
    mine = run(people, "other writer", own["experiment_id"])["run_id"]
    path = lambda *ids: f"{FILES}/{own['experiment_id']}/{'/'.join(ids)}/x.txt"  # noqa: E731
    assert people.send("other writer", "PUT", path(mine, "artifacts"), raw=b"x").status_code == 200
    for ids in ((mine, "artifacts", theirs), (theirs, "artifacts", mine), (NO_RUN, theirs), ("m-" + NO_RUN, theirs)):
        assert people.send("other writer", "PUT", path(*ids), raw=b"x").status_code == 403, ids


def test_a_folder_goes_with_what_lies_in_it(people):
    granted(people, "keeper", "MANAGE")
    number = experiment(people, "within", artifact_location="mlflow-artifacts:/above/within")
    people.must("victim", "PUT", f"{FILES}/above/within/notes.txt", raw=b"x")
    people.must("keeper", "PUT", f"{FILES}/above/open.txt", raw=b"x")
    people.grant("keeper", "experiment", number, "DENY")
    assert people.send("keeper", "DELETE", f"{FILES}/above").status_code == 403
    assert people.send("victim", "GET", f"{FILES}/above/within/notes.txt").content == b"x"
    assert people.send("keeper", "DELETE", f"{FILES}/above/open.txt").status_code == 200


def test_no_experiment_is_made_where_others_keep_files(people):
    number = experiment(people, "settled", artifact_location="mlflow-artifacts:/settled")
    theirs = run(people, "victim", number)["run_id"]
    make = lambda who, name, place: people.send(  # noqa: E731
        who, "POST", f"{API}/experiments/create", body={"name": name, "artifact_location": f"mlflow-artifacts:/{place}"}
    )
    for place in ("settled/inner", f"settled/{theirs}/artifacts", f"elsewhere/{theirs}", f"{number}/inner"):
        assert make("mallory", f"at {place}", place).status_code == 403, place
    inner = make("victim", "inner", "settled/inner")
    assert inner.status_code == 200
    people.grant("mallory", "experiment", inner.json()["experiment_id"], "DENY")
    # Experiments may share a place: then each has its own runs, and what is nobody's run is all of theirs.
    shared = make("mallory", "shared", "settled")
    assert shared.status_code == 200
    own = run(people, "mallory", shared.json()["experiment_id"])["run_id"]
    assert people.send("mallory", "PUT", f"{FILES}/settled/{own}/artifacts/a.txt", raw=b"x").status_code == 200
    people.must("victim", "PUT", f"{FILES}/settled/{theirs}/artifacts/a.txt", raw=b"x")
    people.must("victim", "PUT", f"{FILES}/settled/inner/a.txt", raw=b"x")
    for file in (f"{theirs}/artifacts/a.txt", "inner/a.txt", "notes.txt"):
        assert people.send("mallory", "GET", f"{FILES}/settled/{file}").status_code == 403, file


def test_what_others_are_granted_is_not_read_through_roles(people):
    """Who makes something has a role of its own, which is no membership and shows nothing of others'."""
    for who, name in (("mallory", "open to mallory"), ("victim", "a private name")):
        people.must(who, "POST", f"{API}/registered-models/create", body={"name": name})
    roles = people.must(ADMIN, "GET", f"{API3}/roles/list", query={"workspace": "default"})["roles"]
    holds = lambda name: next(role["id"] for role in roles if name in str(role["permissions"]))  # noqa: E731
    theirs, own = holds("a private name"), holds("open to mallory")
    ask = lambda path, **query: people.send("mallory", "GET", f"{API3}/{path}", query=query)  # noqa: E731

    def assert_nothing_of_others():
        for path in ("roles/get", "roles/permissions/list", "roles/users/list"):
            # As with a role that is not there.
            assert ask(path, role_id=theirs).text == ask(path, role_id=999_999).text
            assert ask(path, role_id=theirs).status_code == 403
        for path in ("users/permissions/list", "users/roles/list"):
            assert ask(path, username="victim").text == ask(path, username="nobody at all").text
        listed = people.send("mallory", "GET", f"{API}/users/list")
        assert listed.status_code == 200 and "a private name" not in listed.text

    assert_nothing_of_others()
    assert ask("roles/list", workspace="default").status_code == 403
    # A member of the workspace sees its roles, and of users' own its own.
    made = people.must(ADMIN, "POST", f"{API3}/roles/create", body={"name": "members", "workspace": "default"})["role"]
    body = {"username": "mallory", "role_id": made["id"]}
    people.must(ADMIN, "POST", f"{API3}/roles/assign", body=body)
    assert_nothing_of_others()
    listed = ask("roles/list", workspace="default")
    assert listed.status_code == 200 and "a private name" not in listed.text
    seen = [role["id"] for role in listed.json()["roles"]]
    assert made["id"] in seen and own in seen and theirs not in seen
    assert ask("roles/get", role_id=own).status_code == 200
    assert ask("roles/get", role_id=made["id"]).status_code == 200
    # Who manages the workspace sees all.
    manage = {"role_id": made["id"], "resource_type": "workspace", "resource_pattern": "*", "permission": "MANAGE"}
    allowed = people.must(ADMIN, "POST", f"{API3}/roles/permissions/add", body=manage)["role_permission"]["id"]
    assert "a private name" in ask("roles/list", workspace="default").text
    assert "a private name" in ask("roles/get", role_id=theirs).text
    people.must(ADMIN, "DELETE", f"{API3}/roles/permissions/remove", body={"role_permission_id": allowed})
    people.must(ADMIN, "DELETE", f"{API3}/roles/unassign", body=body)
    assert_nothing_of_others()


def test_a_denial_is_not_taken_back_under_another_spelling(people):
    people.join("trickster")
    number = people.must("victim", "POST", f"{API}/experiments/create", body={"name": "spelled"})["experiment_id"]
    people.grant("trickster", "experiment", "*", "MANAGE")
    people.grant("trickster", "experiment", number, "DENY")
    for spelled in (number, f"0{number}"):
        body = {"username": "trickster", "resource_type": "experiment", "resource_id": spelled}
        revoke = people.send("trickster", "POST", f"{API3}/users/permissions/revoke", body=body)
        assert revoke.status_code == 403, revoke.text


def test_whoever_manages_one_workspace_changes_no_role_of_another(people):
    people.join("manager")
    roles = {}
    for workspace in ("theirs", "default"):
        body = {"name": "role", "workspace": workspace}
        made = people.must(ADMIN, "POST", f"{API3}/roles/create", body=body)
        roles[workspace] = made["role"]["id"]
    add = lambda role, permission: people.must(  # noqa: E731
        ADMIN,
        "POST",
        f"{API3}/roles/permissions/add",
        body={"role_id": role, "resource_type": "workspace", "resource_pattern": "*", "permission": permission},
    )["role_permission"]["id"]
    own = add(roles["theirs"], "MANAGE")
    other = add(roles["default"], "USE")
    people.must(ADMIN, "POST", f"{API3}/roles/assign", body={"username": "manager", "role_id": roles["theirs"]})
    change = lambda body: people.send("manager", "PATCH", f"{API3}/roles/permissions/update", body=body)  # noqa: E731
    both = {"role_id": roles["theirs"], "role_permission_id": other, "permission": "MANAGE"}
    assert change(both).status_code == 403
    assert change({"role_permission_id": other, "permission": "MANAGE"}).status_code == 403
    assert change({"role_permission_id": own, "permission": "MANAGE"}).status_code == 200


def test_guesses_that_come_together_are_counted_together(people):
    guess = lambda number: requests.get(  # noqa: E731
        f"{people.url}{API}/users/current", auth=("victim", f"guess {number}"), timeout=120
    ).status_code
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(guess, range(60)))
    assert answers.count(401) <= 20, answers
    assert answers.count(429) + answers.count(401) + answers.count(503) == 60


CHAIN = "{...f0} " + " ".join(f"fragment f{n} on Query {{...f{n + 1}}}" for n in range(50_000))
DOUBLED = "{...f0} " + " ".join(f"fragment f{n} on Query {{...f{n + 1} ...f{n + 1}}}" for n in range(40))


@pytest.mark.parametrize("query", [CHAIN, DOUBLED], ids=["deep", "wide"])
def test_fragments_in_fragments_take_neither_stack_nor_time(people, query):
    end = f" fragment f{query.count('fragment')} on Query {{__typename}}"
    answer = people.send(ADMIN, "POST", "/graphql", body={"query": query + end})
    # Too long, or with too many of them; a short one is in the way of neither.
    assert "exceeds maximum" in answer.text or "larger than 131072 bytes" in answer.text
    assert people.send(None, "GET", "/health").status_code == 200


def test_no_spans_are_added_to_traces_or_runs_of_others(people):
    theirs = experiment(people, "traced")
    mine = people.must("mallory", "POST", f"{API}/experiments/create", body={"name": "own traces"})["experiment_id"]
    closed = run(people, "victim", theirs)["run_id"]

    def export(who, into, *spans, **headers):
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [
            {"traceId": f"{number:032x}", "spanId": f"{span:016x}", "name": who, "startTimeUnixNano": "1760000000000000000",
             "endTimeUnixNano": "1760000000005000000"} for number, span in spans
        ]}]}]}  # fmt: skip
        return people.send(who, "POST", "/v1/traces", body=body, headers={"x-mlflow-experiment-id": into} | headers)

    def names(number):
        path = "/ajax-api/2.0/mlflow/get-trace-artifact"
        answer = people.must("victim", "GET", path, query={"request_id": f"tr-{number:032x}"})
        return [span["name"] for span in answer["spans"]]

    assert export("victim", theirs, (7001, 1)).status_code == 200
    assert export("mallory", theirs, (7002, 1)).status_code == 403
    # By the header of an own experiment: the trace is refused, the others of the request are not.
    assert export("mallory", mine, (7001, 2)).status_code == 403
    both = export("mallory", mine, (7001, 2), (7003, 1))
    assert both.status_code == 200 and both.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert names(7001) == ["victim"]
    # A run of others is not linked to.
    assert export("mallory", mine, (7004, 1), **{"x-mlflow-run-id": closed}).status_code == 403
    # Where it is allowed, a trace stays where it is.
    grant = {"username": "mallory", "resource_type": "experiment", "resource_id": theirs}
    people.must(ADMIN, "POST", f"{API3}/users/permissions/revoke", body=grant)
    people.grant("mallory", "experiment", theirs, "EDIT")
    assert export("mallory", mine, (7001, 2)).status_code == 200
    assert sorted(names(7001)) == ["mallory", "victim"]
