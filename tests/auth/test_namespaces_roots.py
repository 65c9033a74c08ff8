"""Namespaces as workspaces: the artifact root that a namespace chooses by its ``MLflowConfig``."""

import itertools
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from api_server import api_server
from people import ADMIN
from support import postgres
from test_namespaces import LABELS, SECTION, Caller, create
from test_oidc import API, API3, soon, start

SECRET = "mlflow-artifact-connection"

NUMBERS = itertools.count()


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def guarded(request, tmp_path_factory):
    """A server whose namespaces choose their artifact roots."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(folder))
        cluster.namespaces = {name: LABELS for name in ("team-a", "team-b", "team-c")}
        section = SECTION.format(cluster=cluster) + "artifact_roots = MLflowConfig\n"
        args = ["--enable-workspaces", "--default-artifact-root", "s3://shared/ml"]
        people, server = start(stack, request.param, folder, section, *args)
        guarded = SimpleNamespace(people=people, url=people.url, server=server, cluster=cluster)
        for name in cluster.namespaces:
            cluster.bind(f"of-{name}", name, "experiments")
        yield guarded


@pytest.fixture
def cluster(guarded):
    cluster = guarded.cluster
    yield cluster
    cluster.configs.clear()
    cluster.secrets.clear()
    cluster.has_configs, cluster.may_read, cluster.status = True, True, None


@pytest.fixture
def located(guarded, cluster):
    """Creates an experiment of a namespace and returns its location without its number, or the error."""
    callers = {name: Caller(guarded, f"of-{name}") for name in cluster.namespaces}

    def made(namespace: str, name: str | None = None):
        caller = callers[namespace]
        name = name or f"number {next(NUMBERS)}"
        answer = caller.send("POST", f"{API}/experiments/create", namespace, body={"name": name})
        if answer.status_code != 200:
            return answer.status_code
        query = {"experiment_id": answer.json()["experiment_id"]}
        found = caller.must("GET", f"{API}/experiments/get", namespace, query=query)["experiment"]
        return found["artifact_location"].removesuffix(f"/{query['experiment_id']}")

    made.callers = callers
    return made


def choose(cluster, namespace: str, bucket: str, path: str | None = None, **secret: str) -> None:
    cluster.configs[namespace] = {"artifactRootSecret": SECRET} | ({} if path is None else {"artifactRootPath": path})
    cluster.secrets[namespace] = {"AWS_S3_BUCKET": bucket, "AWS_SECRET_ACCESS_KEY": "kept from logs"} | secret


def test_a_namespace_chooses_a_bucket_and_a_path(guarded, cluster, located):
    default = "s3://shared/ml/workspaces/team-a"
    assert located("team-a") == default
    choose(cluster, "team-a", "bucket-of-a", "experiments/ml")
    soon(lambda: located("team-a"), "s3://bucket-of-a/experiments/ml")
    choose(cluster, "team-a", "bucket-of-a")
    soon(lambda: located("team-a"), "s3://bucket-of-a")
    # Nothing of it is for others.
    assert located("team-b") == "s3://shared/ml/workspaces/team-b"
    # Experiments stay where they are, and new ones are in the default root again.
    del cluster.configs["team-a"]
    soon(lambda: located("team-a"), default)
    log = guarded.server.logs
    assert "bucket-of-a" in log and "kept from logs" not in log
    # An admin's experiment is where the namespace wants it.
    choose(cluster, "team-a", "bucket-of-a", "admins")
    soon(lambda: located("team-a"), "s3://bucket-of-a/admins")
    body, there = {"name": f"of an admin {len(cluster.access)}"}, {"X-MLFLOW-WORKSPACE": "team-a"}
    made = guarded.people.must(ADMIN, "POST", f"{API}/experiments/create", body=body, headers=there)["experiment_id"]
    found = guarded.people.must(ADMIN, "GET", f"{API}/experiments/get", query={"experiment_id": made}, headers=there)
    assert found["experiment"]["artifact_location"] == f"s3://bucket-of-a/admins/{made}"


def test_without_the_definition_of_the_kind_the_root_is_the_default_one(cluster, located):
    cluster.has_configs = False
    choose(cluster, "team-b", "bucket-of-b")
    soon(lambda: located("team-b"), "s3://shared/ml/workspaces/team-b")
    cluster.has_configs = True
    soon(lambda: located("team-b"), "s3://bucket-of-b")


BROKEN = {
    "another Secret": ({"artifactRootSecret": "other"}, {"AWS_S3_BUCKET": "b-1"}),
    "no Secret named": ({"artifactRootPath": "a"}, {"AWS_S3_BUCKET": "b-1"}),
    "no Secret": ({"artifactRootSecret": SECRET}, None),
    "no bucket": ({"artifactRootSecret": SECRET}, {"AWS_ACCESS_KEY_ID": "a"}),
    "a bucket with a path": ({"artifactRootSecret": SECRET}, {"AWS_S3_BUCKET": "shared/ml"}),
    "a host in place of a bucket": ({"artifactRootSecret": SECRET}, {"AWS_S3_BUCKET": "user@host"}),
    "another store": ({"artifactRootSecret": SECRET}, {"AWS_S3_BUCKET": "b-1", "AWS_S3_ENDPOINT": "https://minio.example:9000"}),
    "a way up": ({"artifactRootSecret": SECRET, "artifactRootPath": "a/../../b"}, {"AWS_S3_BUCKET": "b-1"}),
    "an absolute path": ({"artifactRootSecret": SECRET, "artifactRootPath": "/a"}, {"AWS_S3_BUCKET": "b-1"}),
    "a query": ({"artifactRootSecret": SECRET, "artifactRootPath": "a?versionId=1"}, {"AWS_S3_BUCKET": "b-1"}),
    "a number": ({"artifactRootSecret": SECRET, "artifactRootPath": 7}, {"AWS_S3_BUCKET": "b-1"}),
}


def test_what_is_not_valid_is_refused(cluster, located):
    for reason, (config, secret) in BROKEN.items():
        cluster.configs["team-c"] = config
        cluster.secrets.pop("team-c", None)
        if secret is not None:
            cluster.secrets["team-c"] = secret
        # The one before is forgotten: 400 is not enough to know that.
        before = cluster.config_reads
        soon(lambda before=before: (located("team-c"), cluster.config_reads > before)[1], True)
        assert located("team-c") == 400, reason
    # Everything else of the namespace works.
    assert located.callers["team-c"].send("POST", f"{API}/experiments/search", "team-c", body={"max_results": 1}).status_code == 200
    cluster.configs.clear()
    soon(lambda: located("team-c"), "s3://shared/ml/workspaces/team-c")


def test_without_an_answer_no_experiment_is_created(cluster, located):
    assert located("team-c") == "s3://shared/ml/workspaces/team-c"
    cluster.may_read = False
    soon(lambda: located("team-c"), 503)
    cluster.may_read = True
    soon(lambda: located("team-c"), "s3://shared/ml/workspaces/team-c")


def test_a_root_is_never_where_another_namespace_is(guarded, cluster, located):
    choose(cluster, "team-a", "owned", "of-a")
    soon(lambda: located("team-a"), "s3://owned/of-a")
    choose(cluster, "team-a", "owned", "next-of-a")
    soon(lambda: located("team-a"), "s3://owned/next-of-a")
    for bucket, path in (
        # Where it is, above, below, and where it was and still has an experiment.
        ("owned", "next-of-a"),
        ("owned", None),
        ("owned", "next-of-a/deeper"),
        ("owned", "of-a"),
        # The folders of all workspaces, and that of another one.
        ("shared", None),
        ("shared", "ml"),
        ("shared", "ml/workspaces"),
        ("shared", "ml/workspaces/team-a"),
        ("shared", "ml/1"),
    ):
        choose(cluster, "team-b", bucket, path)
        before = cluster.config_reads
        soon(lambda before=before: (located("team-b"), cluster.config_reads > before)[1], True)
        assert located("team-b") == 400, (bucket, path)
    choose(cluster, "team-b", "owned", "of-b")
    soon(lambda: located("team-b"), "s3://owned/of-b")
    # A refused root has left nothing behind: the other namespace works on.
    assert located("team-a") == "s3://owned/next-of-a"
    answer = located.callers["team-b"].send("GET", f"{API3}/workspaces/team-b")
    assert answer.status_code == 200, answer.text


def test_roots_are_asked_for_once_in_a_while(cluster, located):
    choose(cluster, "team-a", "often")
    soon(lambda: located("team-a"), "s3://often")
    before = cluster.config_reads
    for _ in range(20):
        located("team-a")
    # Twice for each second, which is how long an answer is kept.
    assert cluster.config_reads - before <= 6


def test_an_experiment_of_a_namespace_keeps_its_name(guarded, cluster, located):
    """A name that is taken is refused as ever, whatever the root."""
    choose(cluster, "team-a", "names")
    create(located.callers["team-a"], "team-a", "taken")
    assert located("team-a", "taken") == 400
