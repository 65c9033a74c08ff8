"""Tokens of Kubernetes service accounts, and of both kinds beside each other."""

import os
import subprocess
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from api_server import DEFAULT, account, api_server
from people import ADMIN
from support import oidc, postgres, required
from test_oidc import API, ME, get, roles_of, soon, start
from test_oidc import SECTION as OIDC

pytestmark = pytest.mark.rotates(every=4)

SECTION = """
[kubernetes]
api_server = {cluster.url}
token_file = {cluster.token_file}
ca_file = {cluster.ca_file}
namespaces = ml, training
cache_seconds = 1
group_roles =
    system:serviceaccounts:ml = makers
    system:serviceaccount:ml:trainer = trainers
"""


@pytest.fixture(scope="module", params=postgres.DIALECTS)
def guarded(request, tmp_path_factory):
    """A server that takes the tokens of a cluster and of a provider."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(folder))
        provider = stack.enter_context(oidc.provider())
        provider.update()
        section = SECTION.format(cluster=cluster) + OIDC.format(issuer=provider.issuer)
        people, server = start(stack, request.param, folder, section)
        yield SimpleNamespace(people=people, url=people.url, server=server, cluster=cluster, provider=provider)


def test_an_sdk_logs_a_run_as_a_service_account(guarded):
    guarded.cluster.tokens["a pod's token"] = account("ml", "trainer")
    code = "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('m', 1)\n"
    experiment = guarded.people.must(ADMIN, "POST", f"{API}/experiments/create", body={"name": "of pods"})
    assert get(guarded, "a pod's token").status_code == 200
    name = "system:serviceaccount:ml:trainer"
    guarded.people.grant(name, "experiment", experiment["experiment_id"], "EDIT")
    env = {"MLFLOW_TRACKING_URI": guarded.url, "MLFLOW_TRACKING_TOKEN": "a pod's token"}
    env |= {"MLFLOW_EXPERIMENT_NAME": "of pods", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [required("FERROFLOW_REFERENCE_PYTHON"), "-c", code]
    ran = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    body = {"experiment_ids": [experiment["experiment_id"]]}
    runs = guarded.people.must(ADMIN, "POST", f"{API}/runs/search", body=body)["runs"]
    assert [run["data"]["metrics"][0]["key"] for run in runs] == ["m"]
    assert get(guarded, "a pod's token").json()["user"]["username"] == name
    assert roles_of(guarded, name) == ["makers", "trainers"]


def test_other_accounts_are_refused(guarded):
    cluster = guarded.cluster
    cluster.tokens |= {
        "of another namespace": account("default", "trainer"),
        "of a person": {"user": {"username": "jane", "groups": []}, "audiences": [DEFAULT]},
        "of a node": {"user": {"username": "system:node:a"}, "audiences": [DEFAULT]},
        "of nobody": {"user": {}, "audiences": [DEFAULT]},
        "for a vault": account("ml", "trainer", "vault"),
        "with a long name": account("ml", "x" * 300),
    }
    for token in [*cluster.tokens, "made up"]:
        if token != "a pod's token":
            answer = get(guarded, token)
            assert answer.status_code == 401, token
            assert "invalid_token" in answer.headers["WWW-Authenticate"]
    asked = cluster.reviews
    for _ in range(20):
        assert get(guarded, "made up").status_code == 401
    # A token that was refused is not asked for again at once.
    assert cluster.reviews == asked


def test_a_token_that_was_good_is_asked_for_once_in_a_while(guarded):
    cluster = guarded.cluster
    cluster.tokens["busy"] = account("training", "busy")
    assert get(guarded, "busy").status_code == 200
    assert roles_of(guarded, "system:serviceaccount:training:busy") == []
    asked = cluster.reviews
    assert [get(guarded, "busy").status_code for _ in range(20)] == [200] * 20
    assert cluster.reviews - asked <= 2
    # Revoked, it ends soon.
    del cluster.tokens["busy"]
    soon(lambda: get(guarded, "busy").status_code, 401)


def test_without_the_api_server_nobody_gets_in(guarded):
    cluster = guarded.cluster
    try:
        for number, status in enumerate((500, 403, 401)):
            cluster.status = status
            cluster.tokens[f"late {number}"] = account("ml", "late")
            answer = get(guarded, f"late {number}")
            assert answer.status_code == 503 and "Kubernetes API server" in answer.json()["message"]
    finally:
        cluster.status = None
    assert get(guarded, "late 0").status_code == 200
    # Its own token is read anew.
    cluster.renew("another token of the server's pod")
    assert get(guarded, "late 1").status_code == 200


def test_both_kinds_of_tokens_count_and_are_not_mixed_up(guarded):
    provider, asked = guarded.provider, guarded.cluster.reviews
    token = provider.key.sign(provider.claims("gina"))
    assert get(guarded, token).json()["user"]["username"] == "gina"
    assert get(guarded, provider.key.sign(provider.claims("gina", exp=1))).status_code == 401
    # What is of the provider is not shown to the cluster.
    assert guarded.cluster.reviews == asked


def test_an_api_server_that_is_not_there(tmp_path):
    with ExitStack() as stack:
        with api_server(tmp_path) as cluster:
            section = SECTION.format(cluster=cluster)
        people, _ = start(stack, "sqlite", tmp_path, section)
        assert get(SimpleNamespace(url=people.url), "a token").status_code == 503
        people.must(ADMIN, "GET", ME)


@pytest.mark.parametrize("audience,knows,status", [("mlflow", True, 200), (DEFAULT, True, 401), ("mlflow", False, 401)])
def test_a_token_is_for_the_audience_that_is_set(audience, knows, status, tmp_path):
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        cluster.knows_audiences = knows
        cluster.tokens["a token"] = account("ml", "trainer", audience)
        people, _ = start(stack, "sqlite", tmp_path, SECTION.format(cluster=cluster) + "audiences = mlflow\n")
        assert get(SimpleNamespace(url=people.url), "a token").status_code == status


def test_an_api_server_of_another_authority_is_not_told_the_token(tmp_path):
    with ExitStack() as stack:
        cluster = stack.enter_context(api_server(tmp_path))
        other = tmp_path / "other"
        other.mkdir()
        stack.enter_context(api_server(other))
        section = SECTION.format(cluster=cluster).replace(str(cluster.ca_file), str(other / "ca.crt"))
        people, _ = start(stack, "sqlite", tmp_path, section)
        assert get(SimpleNamespace(url=people.url), "a token").status_code == 503
        assert cluster.reviews == 0
