"""log_batch: all or nothing, up to its limits."""

from helpers import UNICODE, refused
from mlflow.entities import Metric, Param, RunTag


def test_a_batch_holds_metrics_params_and_tags(client, run):
    metrics = [Metric("m", step / 10, 1000 + step, step) for step in range(50)]
    client.log_batch(run, metrics=metrics, params=[Param("p", UNICODE)], tags=[RunTag("t", UNICODE)])
    data = client.get_run(run).data
    assert data.metrics == {"m": 4.9}
    assert data.params == {"p": UNICODE}
    assert data.tags["t"] == UNICODE
    assert len(client.get_metric_history(run, "m")) == 50


def test_a_thousand_metrics_fit_a_batch(client, run):
    client.log_batch(run, metrics=[Metric(f"m{number}", number, 1000, 0) for number in range(1000)])
    assert len(client.get_run(run).data.metrics) == 1000


def test_more_than_a_thousand_metrics_are_refused_by_the_server(client, run):
    metrics = [Metric(f"m{number}", number, 1000, 0) for number in range(1001)]
    with refused("INVALID_PARAMETER_VALUE", "1000"):
        client._tracking_client.store.log_batch(run, metrics=metrics, params=[], tags=[])
    assert client.get_run(run).data.metrics == {}


def test_a_hundred_params_and_a_hundred_tags_fit_a_batch(client, run):
    params = [Param(f"p{number}", str(number)) for number in range(100)]
    tags = [RunTag(f"t{number}", str(number)) for number in range(100)]
    client.log_batch(run, params=params, tags=tags)
    data = client.get_run(run).data
    assert len(data.params) == 100
    assert sum(not key.startswith("mlflow.") for key in data.tags) == 100


def test_more_than_a_hundred_params_or_tags_are_refused_by_the_server(client, run):
    store = client._tracking_client.store
    with refused("INVALID_PARAMETER_VALUE", "100"):
        store.log_batch(run, metrics=[], params=[Param(f"p{n}", "v") for n in range(101)], tags=[])
    with refused("INVALID_PARAMETER_VALUE", "100"):
        store.log_batch(run, metrics=[], params=[], tags=[RunTag(f"t{n}", "v") for n in range(101)])
    assert client.get_run(run).data.params == {}


def test_a_batch_with_a_changed_param_writes_nothing_else(client, run):
    client.log_param(run, "lr", "0.1")
    with refused("INVALID_PARAMETER_VALUE", "(?i)changing param value"):
        client.log_batch(run, metrics=[Metric("m", 1, 1000, 0)], params=[Param("new", "1"), Param("lr", "0.2")])
    data = client.get_run(run).data
    assert data.params == {"lr": "0.1"}
    assert data.metrics == {}


def test_a_batch_with_one_param_twice_is_refused_if_they_differ(client, run):
    with refused("INVALID_PARAMETER_VALUE"):
        client.log_batch(run, params=[Param("p", "1"), Param("p", "2")])
    assert client.get_run(run).data.params == {}


def test_the_last_of_the_same_tag_in_a_batch_wins(client, run):
    client.log_batch(run, tags=[RunTag("t", "1"), RunTag("t", "2")])
    assert client.get_run(run).data.tags["t"] == "2"


def test_an_empty_batch_changes_nothing(client, run):
    before = client.get_run(run).to_dictionary()
    client.log_batch(run)
    assert client.get_run(run).to_dictionary() == before
