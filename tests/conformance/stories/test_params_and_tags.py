"""Params are written once, tags as often as one likes; both have limits."""

import mlflow
import pytest
from helpers import UNICODE, refused
from mlflow.exceptions import MlflowException


def test_params_come_back_as_text(client):
    with mlflow.start_run() as run:
        mlflow.log_params({"lr": 0.1, "layers": [1, 2], "flag": True, "nothing": None, "text": UNICODE})
    assert client.get_run(run.info.run_id).data.params == {
        "lr": "0.1",
        "layers": "[1, 2]",
        "flag": "True",
        "nothing": "None",
        "text": UNICODE,
    }


def test_a_param_cannot_change_its_value(client, run):
    client.log_param(run, "lr", 0.1)
    with refused("INVALID_PARAMETER_VALUE", "(?i)changing param values is not allowed"):
        client.log_param(run, "lr", 0.2)
    assert client.get_run(run).data.params == {"lr": "0.1"}


def test_a_param_may_be_logged_again_with_the_same_value(client, run):
    client.log_param(run, "lr", 0.1)
    client.log_param(run, "lr", 0.1)
    assert client.get_run(run).data.params == {"lr": "0.1"}


def test_a_param_may_be_empty(client, run):
    client.log_param(run, "empty", "")
    assert client.get_run(run).data.params == {"empty": ""}


def test_names_may_have_slashes_dots_dashes_and_spaces(client, run):
    name = "group/sub.part-one two_3"
    client.log_param(run, name, "p")
    client.log_metric(run, name, 1.5)
    client.set_tag(run, name, "t")
    data = client.get_run(run).data
    assert (data.params[name], data.metrics[name], data.tags[name]) == ("p", 1.5, "t")


def test_a_key_that_would_be_a_bad_path_is_refused(client, run):
    for key in ("../up", "a//b", "/root", ".", "a/./b", ""):
        with pytest.raises(MlflowException):
            client.log_param(run, key, 1)
        with pytest.raises(MlflowException):
            client.log_metric(run, key, 1)
    assert client.get_run(run).data.params == {}


def test_a_key_of_250_characters_is_the_longest(client, run):
    longest = "k" * 250
    client.log_param(run, longest, 1)
    client.log_metric(run, longest, 1)
    client.set_tag(run, longest, 1)
    for write in (client.log_param, client.log_metric, client.set_tag):
        with refused("INVALID_PARAMETER_VALUE", "250"):
            write(run, longest + "k", 1)
    data = client.get_run(run).data
    assert list(data.params) == list(data.metrics) == [longest]


def test_a_param_holds_6000_characters(client, run):
    client.log_param(run, "ascii", "x" * 6000)
    client.log_param(run, "crab", "🦀" * 6000)
    params = client.get_run(run).data.params
    assert params == {"ascii": "x" * 6000, "crab": "🦀" * 6000}


def test_a_longer_param_is_cut(client, run):
    client.log_param(run, "long", "y" * 6001)
    assert client.get_run(run).data.params == {"long": "y" * 6000}


def test_a_tag_holds_8000_characters(client, run):
    client.set_tag(run, "ascii", "x" * 8000)
    client.set_tag(run, "cut", "y" * 8001)
    tags = client.get_run(run).data.tags
    assert (tags["ascii"], tags["cut"]) == ("x" * 8000, "y" * 8000)


def test_tags_come_back_as_text_and_can_change(client):
    with mlflow.start_run(tags={"at start": "1"}) as run:
        mlflow.set_tag("release", "a")
        mlflow.set_tag("release", "b")
        mlflow.set_tags({"n": 1, "text": UNICODE, "empty": ""})
    tags = client.get_run(run.info.run_id).data.tags
    assert {key: value for key, value in tags.items() if not key.startswith("mlflow.")} == {
        "at start": "1",
        "release": "b",
        "n": "1",
        "text": UNICODE,
        "empty": "",
    }


def test_a_tag_can_be_deleted(client, run):
    client.set_tag(run, "goes", "1")
    client.set_tag(run, "stays", "1")
    client.delete_tag(run, "goes")
    tags = client.get_run(run).data.tags
    assert "goes" not in tags
    assert tags["stays"] == "1"


def test_a_tag_that_is_not_there_cannot_be_deleted(client, run):
    with refused("RESOURCE_DOES_NOT_EXIST", "No tag with name"):
        client.delete_tag(run, "never")


def test_the_fluent_api_deletes_a_tag_of_the_active_run(client):
    with mlflow.start_run() as run:
        mlflow.set_tag("goes", "1")
        mlflow.delete_tag("goes")
    assert "goes" not in client.get_run(run.info.run_id).data.tags
