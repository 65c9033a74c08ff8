"""The pools of all servers, at the autoscaler's maximum, fit into what PostgreSQL takes; else the chart says what to set."""

import re

import pytest
from support.chart import objects, refusal

#: Connections that are left for administrators, the operator, metrics and Jobs.
RESERVE = 20


def opened(case: str, *sets: str, servers: int, pools: int = 2) -> int:
    """How many connections all servers open at most, with the one that an update adds."""
    each = objects(case, *sets).server_env().get("FERROFLOW_DATABASE_CONNECTIONS") or 16
    return int(each) * (servers + 1) * pools


@pytest.mark.parametrize("replicas", [1, 2, 3, 5, 8])
def test_servers_share_the_default(replicas):
    assert opened("kubernetes", f"mlflow.replicas={replicas}", servers=replicas) <= 100 - RESERVE


@pytest.mark.parametrize(("most", "limit"), [(2, 100), (6, 100), (9, 100), (20, 300), (50, 1000)])
def test_servers_share_what_there_is_at_the_maximum_of_the_autoscaler(most, limit):
    sets = ("autoscaling.enabled=true", f"autoscaling.maxReplicas={most}", f"postgresql.parameters.max_connections={limit}")
    assert opened("kubernetes", *sets, servers=most) <= limit - RESERVE


def test_a_single_server_keeps_the_default_of_the_engine():
    assert "FERROFLOW_DATABASE_CONNECTIONS" not in objects("kubernetes").server_env()


def test_one_database_for_all_takes_one_pool():
    sets = ("mlflow.replicas=4", "postgresql.usersDatabase=mlflow")
    assert objects("kubernetes", *sets).server_env().get("FERROFLOW_DATABASE_CONNECTIONS") is None
    assert opened("kubernetes", *sets, servers=4, pools=1) <= 100 - RESERVE


def test_with_a_read_replica_each_server_has_one_more():
    sets = ("mlflow.replicas=4", "postgresql.parameters.max_connections=70")
    assert opened("kubernetes-read-replica", *sets, servers=4) + 5 <= 70 - RESERVE
    assert opened("kubernetes-read-replica", *sets, servers=4) < opened("kubernetes", *sets, servers=4)


@pytest.mark.parametrize(
    ("case", "sets", "name"),
    [
        ("kubernetes", ["autoscaling.enabled=true", "autoscaling.maxReplicas=20"], "postgresql.parameters.max_connections"),
        ("kubernetes", ["mlflow.replicas=3", "mlflow.databaseConnections=16"], "postgresql.parameters.max_connections"),
        ("kubernetes", ["mlflow.replicas=3", "postgresql.parameters.max_connections=30"], "postgresql.parameters.max_connections"),
        ("kubernetes-external", ["mlflow.replicas=20"], "postgresql.external.maxConnections"),
        ("kubernetes-mlflow", ["autoscaling.enabled=true", "autoscaling.maxReplicas=12"], "postgresql.parameters.max_connections"),
        ("kubernetes", ["postgresql.pooler.enabled=true", "postgresql.pooler.parameters.default_pool_size=50"], "postgresql.parameters.max_connections"),
        ("kubernetes", ["postgresql.pooler.enabled=true", "autoscaling.enabled=true", "autoscaling.maxReplicas=200"], "postgresql.pooler.parameters.max_client_conn"),
    ],
)
def test_what_cannot_fit_is_refused_and_what_the_message_says_fits(case, sets, name):
    said = refusal(case, *sets)
    number = re.search(rf"Set {re.escape(name)} to at least (\d+)", said)[1]
    fewer = [one for one in sets if not one.startswith(f"{name}=")]
    objects(case, *fewer, f"{name}={number}")
    assert name in refusal(case, *fewer, f"{name}={int(number) - 1}"), "one less is not enough"
