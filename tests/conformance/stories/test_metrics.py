"""Metrics: the whole history is kept, the last value is shown."""

import math

import mlflow
import pytest
from helpers import UNICODE, refused
from mlflow.exceptions import MlflowException


def points(client, run, key):
    return [(m.step, m.value) for m in client.get_metric_history(run, key)]


def test_the_history_of_a_metric_is_kept(client):
    with mlflow.start_run() as run:
        for step in range(20):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
    assert points(client, run.info.run_id, "loss") == [(step, 1 / (step + 1)) for step in range(20)]
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 1 / 20}


def test_the_highest_step_is_the_latest_value(client, run):
    for step, value in ((5, 50.0), (9, 90.0), (1, 10.0)):
        client.log_metric(run, "m", value, step=step)
    assert client.get_run(run).data.metrics == {"m": 90.0}


def test_at_the_same_step_the_later_time_wins(client, run):
    client.log_metric(run, "m", 1.0, timestamp=2000, step=3)
    client.log_metric(run, "m", 9.0, timestamp=1000, step=3)
    assert client.get_run(run).data.metrics == {"m": 1.0}


def test_at_the_same_step_and_time_the_greater_value_wins(client, run):
    for value in (2.0, 7.0, 5.0):
        client.log_metric(run, "m", value, timestamp=1000, step=3)
    assert client.get_run(run).data.metrics == {"m": 7.0}
    assert sorted(points(client, run, "m")) == [(3, 2.0), (3, 5.0), (3, 7.0)]


def test_the_same_point_twice_is_kept_once(client, run):
    for _ in range(3):
        client.log_metric(run, "m", 1.0, timestamp=1000, step=1)
    assert points(client, run, "m") == [(1, 1.0)]


def test_steps_may_be_negative_and_large(client, run):
    for step in (-5, 0, 2**40):
        client.log_metric(run, "m", float(step), timestamp=1000, step=step)
    assert points(client, run, "m") == [(-5, -5.0), (0, 0.0), (2**40, float(2**40))]


def test_not_a_number_is_a_value(client, run):
    client.log_metric(run, "m", 1.0, step=0)
    client.log_metric(run, "m", math.nan, step=1)
    assert math.isnan(client.get_run(run).data.metrics["m"])
    assert math.isnan(client.get_metric_history(run, "m")[1].value)


def test_infinity_is_the_largest_number(client, run):
    client.log_metric(run, "up", math.inf)
    client.log_metric(run, "down", -math.inf)
    metrics = client.get_run(run).data.metrics
    assert metrics["up"] in (math.inf, 1.7976931348623157e308)
    assert metrics["down"] == -metrics["up"]


def test_small_and_precise_numbers_survive(client, run):
    values = {"tiny": 5e-300, "precise": 0.1 + 0.2, "negative": -0.1, "big": 1.7e300, "zero": 0.0}
    for key, value in values.items():
        client.log_metric(run, key, value)
    assert client.get_run(run).data.metrics == values


def test_the_time_of_a_point_is_kept(client, run):
    client.log_metric(run, "m", 1.0, timestamp=1600000000123, step=1)
    assert client.get_metric_history(run, "m")[0].timestamp == 1600000000123


def test_many_metrics_are_logged_at_once(client):
    with mlflow.start_run() as run:
        mlflow.log_metrics({f"m{number}": number for number in range(200)}, step=7)
    assert client.get_run(run.info.run_id).data.metrics == {f"m{number}": number for number in range(200)}
    assert points(client, run.info.run_id, "m199") == [(7, 199.0)]


def test_a_metric_must_be_a_number(client, run):
    with pytest.raises((MlflowException, TypeError)):
        client.log_metric(run, "m", "high")
    assert client.get_run(run).data.metrics == {}


def test_the_history_of_an_unknown_metric_is_empty(client, run):
    assert client.get_metric_history(run, "never") == []


def test_the_history_of_an_unknown_run_is_refused_or_empty(client):
    try:
        assert client.get_metric_history("0" * 32, "m") == []
    except MlflowException as error:
        assert error.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_metric_may_have_a_unicode_name(client, run):
    name = "точность 精度"
    client.log_metric(run, name, 0.5)
    assert client.get_run(run).data.metrics == {name: 0.5}
    assert points(client, run, name) == [(0, 0.5)]
    assert UNICODE not in client.get_run(run).data.metrics


def test_a_long_history_is_read_in_pages(client, run):
    from mlflow.entities import Metric

    expected = [(step, step / 2) for step in range(3000)]
    for start in range(0, 3000, 1000):
        batch = [Metric("m", value, 1000 + step, step) for step, value in expected[start : start + 1000]]
        client.log_batch(run, metrics=batch)
    assert points(client, run, "m") == expected
    first = client._tracking_client.store.get_metric_history(run, "m", max_results=1000)
    assert len(first) == 1000 and first.token
    second = client._tracking_client.store.get_metric_history(run, "m", max_results=1000, page_token=first.token)
    assert second[0].step == 1000


def test_points_logged_out_of_order_come_back_in_the_order_of_time_and_step(client, run):
    for step, timestamp in ((2, 3000), (0, 1000), (1, 2000)):
        client.log_metric(run, "m", float(step), timestamp=timestamp, step=step)
    assert points(client, run, "m") == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_a_bad_time_is_refused(client, run):
    with refused("INVALID_PARAMETER_VALUE"):
        client.log_metric(run, "m", 1.0, timestamp=-1)
