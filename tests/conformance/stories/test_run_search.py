"""Searching runs: which are found, in what order, and how they are paged."""

import math

import mlflow
import pytest
from helpers import UNICODE, refused
from mlflow.entities import Metric, Param, RunTag, ViewType

START = 1_700_000_000_000

#: Name: accuracy, optimizer, layers, team. A ``None`` was not logged.
FIVE = {
    "ant": (0.5, "adam", "2", "red"),
    "bee": (0.9, "sgd", "10", "Red"),
    "cat": (0.7, "Adam", None, "blue"),
    "dog": (None, "adamw", "3", None),
    "eel": (math.nan, "sgd", "10", "it's"),
}


@pytest.fixture
def five(client, experiment) -> dict[str, str]:
    """Five runs, a second apart, the eldest first: their ids by name."""
    ids = {}
    for number, (name, (accuracy, optimizer, layers, team)) in enumerate(FIVE.items()):
        run = client.create_run(experiment, start_time=START + 1000 * number, run_name=name)
        ids[name] = run.info.run_id
        client.log_batch(
            run.info.run_id,
            metrics=[Metric("accuracy", accuracy, START, 0)] if accuracy is not None else [],
            params=[Param(key, value) for key, value in (("optimizer", optimizer), ("layers", layers)) if value],
            tags=[RunTag("team.name", team)] if team else [],
        )
    client.set_terminated(ids["ant"], "FAILED", START + 5000)
    client.set_terminated(ids["bee"], "FINISHED", START + 9000)
    return ids


@pytest.fixture
def names(client, experiment, five):
    """Asks for the names of the runs that a filter finds."""

    def ask(filter_string="", order_by=("attributes.run_name",), view=ViewType.ACTIVE_ONLY):
        found = client.search_runs([experiment], filter_string, view, order_by=list(order_by))
        return " ".join(run.info.run_name for run in found)

    return ask


def test_runs_are_found_by_a_metric(names):
    assert names("metrics.accuracy > 0.7") == "bee"
    assert names("metrics.accuracy >= 0.7") == "bee cat"
    assert names("metrics.accuracy < 0.7") == "ant"
    assert names("metrics.accuracy <= 0.7") == "ant cat"
    assert names("metrics.accuracy = 0.9") == "bee"
    assert names("metric.accuracy > 0.4 and metrics.accuracy < 0.8") == "ant cat"
    assert names("metrics.`accuracy` > 5e-1") == "bee cat"
    assert names("metrics.loss > 0") == ""


def test_runs_are_found_by_a_param(names):
    assert names("params.optimizer = 'sgd'") == "bee eel"
    assert names("params.optimizer != 'sgd'") == "ant cat dog"
    assert names("params.optimizer LIKE 'adam%'") == "ant dog"
    assert names("params.optimizer ILIKE 'adam%'") == "ant cat dog"
    assert names("params.optimizer LIKE '_dam'") == "ant cat"
    assert names('param.optimizer = "sgd" AND parameters.layers = "10"') == "bee eel"
    assert names("params.layers != '10'") == "ant dog"
    assert names("params.nobody = 'x'") == ""


def test_runs_are_found_by_a_tag(names):
    assert names("tags.team.name = 'red'") == "ant"
    assert names("tags.`team.name` = 'Red'") == "bee"
    assert names('tags."team.name" ILIKE "RED"') == "ant bee"
    assert names("tag.team.name != 'red'") == "bee cat eel"
    assert names('tags.team.name = "it\'s"') == "eel"
    assert names("tags.mlflow.runName = 'dog'") == "dog"


def test_runs_are_found_by_what_they_do_not_have(names):
    assert names("params.layers IS NULL") == "cat"
    assert names("params.layers IS NOT NULL") == "ant bee dog eel"
    assert names("tags.`team.name` IS NULL") == "dog"
    assert names("tags.`team.name` IS NOT NULL AND params.layers IS NOT NULL") == "ant bee eel"


def test_runs_are_found_by_what_they_are(names, five, experiment):
    assert names("attributes.status = 'FAILED'") == "ant"
    assert names("status != 'RUNNING'") == "ant bee"
    assert names("attributes.run_name = 'cat'") == "cat"
    assert names("run_name LIKE '%e_'") == "bee eel"
    assert names("attributes.`run name` ILIKE 'CAT'") == "cat"
    assert names(f"attributes.run_id = '{five['dog']}'") == "dog"
    assert names(f"run_id IN ('{five['dog']}', '{five['ant']}', '{'0' * 32}')") == "ant dog"
    assert names(f"attributes.run_id NOT IN ('{five['dog']}', '{five['ant']}')") == "bee cat eel"
    assert names(f"artifact_uri LIKE '%{five['bee']}%'") == "bee"
    assert names("user_id = 'nobody at all'") == ""


def test_runs_are_found_by_when_they_were(names):
    assert names(f"attributes.start_time >= {START + 3000}") == "dog eel"
    assert names(f"created < {START + 1000}") == "ant"
    assert names(f"start_time != {START}") == "bee cat dog eel"
    assert names(f"end_time > {START + 5000}") == "bee"


def test_all_conditions_must_hold(names):
    both = "metrics.accuracy > 0.4 AND params.optimizer = 'adam' AND tags.team.name = 'red' AND status = 'FAILED'"
    assert names(both) == "ant"
    assert names(both + " AND params.layers = '10'") == ""


def test_the_newest_run_comes_first(names):
    assert names(order_by=()) == "eel dog cat bee ant"


def test_runs_without_the_metric_come_last_in_either_order(names):
    assert names(order_by=["metrics.accuracy ASC"]) == "ant cat bee eel dog"
    assert names(order_by=["metrics.accuracy DESC"]) == "bee cat ant eel dog"


def test_runs_are_ordered_by_params_as_text(names):
    assert names(order_by=["params.layers", "run_name DESC"]) == "eel bee ant dog cat"
    assert names(order_by=["params.layers DESC", "run_name"]) == "dog ant bee eel cat"


def test_runs_are_ordered_by_what_they_are(names):
    assert names(order_by=["attributes.start_time"]) == "ant bee cat dog eel"
    assert names(order_by=["start_time DESC"]) == "eel dog cat bee ant"
    assert names(order_by=["status", "run_name"]) == "ant bee cat dog eel"
    assert names(order_by=["end_time DESC"]).split()[:2] == ["bee", "ant"]
    assert names(order_by=["tags.`team.name` DESC", "attribute.run_name"]).split()[-1] == "dog"


def test_equals_are_ordered_by_their_start(names):
    assert names(order_by=["metrics.nobody"]) == "eel dog cat bee ant"
    assert names("params.optimizer = 'sgd'", order_by=["params.optimizer"]) == "eel bee"


def test_infinity_is_ordered_beyond_every_number(client, experiment):
    values = {"up": math.inf, "high": 1e300, "low": -1e300, "down": -math.inf, "lost": math.nan}
    for name, value in values.items():
        run = client.create_run(experiment, run_name=name)
        client.log_metric(run.info.run_id, "m", value)
    found = client.search_runs([experiment], order_by=["metrics.m DESC"])
    assert [run.info.run_name for run in found] == ["up", "high", "low", "down", "lost"]
    found = client.search_runs([experiment], order_by=["metrics.m ASC"])
    assert [run.info.run_name for run in found] == ["down", "low", "high", "up", "lost"]


def test_runs_are_read_in_pages(client, experiment, five):
    seen, sizes, token = [], [], None
    while not sizes or token:
        page = client.search_runs([experiment], order_by=["run_name"], max_results=2, page_token=token)
        seen += [run.info.run_name for run in page]
        sizes.append(len(page))
        token = page.token
    assert seen == list(FIVE)
    assert sizes == [2, 2, 1]


def test_pages_by_a_metric_lose_nothing_and_repeat_nothing(client, experiment):
    expected = []
    for number in range(23):
        run = client.create_run(experiment, start_time=START, run_name=f"{number:02}")
        expected.append(run.info.run_id)
        if number % 4:
            client.log_metric(run.info.run_id, "m", [math.nan, 1.0, -math.inf][number % 3])
    seen, token = [], None
    while not seen or token:
        page = client.search_runs([experiment], order_by=["metrics.m DESC"], max_results=5, page_token=token)
        seen += [run.info.run_id for run in page]
        token = page.token
    assert sorted(seen) == sorted(expected)
    assert seen == [run.info.run_id for run in client.search_runs([experiment], order_by=["metrics.m DESC"])]


def test_a_page_that_holds_everything_is_the_last(client, experiment, five):
    assert client.search_runs([experiment], max_results=6).token is None
    assert len(client.search_runs([experiment], max_results=1)) == 1


def test_deleted_runs_are_seen_only_by_who_asks_for_them(client, five, names):
    client.delete_run(five["bee"])
    assert names() == "ant cat dog eel"
    assert names(view=ViewType.DELETED_ONLY) == "bee"
    assert names(view=ViewType.ALL) == "ant bee cat dog eel"


def test_runs_of_several_experiments_are_found_together(client, experiment, five):
    other = client.create_experiment(f"{client.get_experiment(experiment).name} 2")
    new = client.create_run(other, start_time=START + 1500, run_name="between").info.run_id
    found = client.search_runs([experiment, other], order_by=["start_time"])
    assert [run.info.run_name for run in found] == ["ant", "bee", "between", "cat", "dog", "eel"]
    assert [run.info.run_id for run in client.search_runs([other])] == [new]
    assert client.search_runs(["987654321"]) == []


def test_found_runs_come_whole(client, experiment, five):
    (found,) = client.search_runs([experiment], "run_name = 'bee'")
    assert found.to_dictionary() == client.get_run(five["bee"]).to_dictionary()
    assert found.data.metrics == {"accuracy": 0.9}
    assert found.data.params == {"optimizer": "sgd", "layers": "10"}
    assert (found.info.status, found.info.start_time, found.info.end_time) == ("FINISHED", START + 1000, START + 9000)


def test_runs_are_found_as_a_table(experiment, five):
    table = mlflow.search_runs(order_by=["attributes.run_name"])
    assert list(table["tags.mlflow.runName"]) == list(FIVE)
    assert list(table["run_id"]) == list(five.values())
    assert list(table["params.optimizer"]) == [optimizer for _, optimizer, _, _ in FIVE.values()]
    assert table["params.layers"][2] is None or table["params.layers"].isna()[2]
    assert list(table["metrics.accuracy"])[:3] == [0.5, 0.9, 0.7]
    assert table["metrics.accuracy"].isna()[3:].all()
    assert table["start_time"][0].timestamp() * 1000 == START
    assert len(mlflow.search_runs(max_results=3)) == 3
    assert mlflow.search_runs(filter_string="metrics.accuracy > 7").empty


def test_runs_are_found_by_the_name_of_their_experiment(client, experiment, five):
    name = client.get_experiment(experiment).name
    found = mlflow.search_runs(experiment_names=[name], output_format="list", order_by=["start_time"])
    assert [run.info.run_id for run in found] == list(five.values())


def test_unicode_is_found_as_it_was_written(client, experiment):
    run = client.create_run(experiment, run_name=UNICODE, tags={UNICODE: UNICODE}).info.run_id
    client.log_param(run, "größe 模型", UNICODE)
    client.log_metric(run, "größe 模型", 3)
    for condition in (
        f"attributes.run_name = '{UNICODE}'",
        f"tags.`{UNICODE}` = '{UNICODE}'",
        f"params.`größe 模型` LIKE '%{UNICODE[-8:]}'",
        "params.`größe 模型` LIKE 'Größe %'",
        "metrics.`größe 模型` = 3",
    ):
        assert [found.info.run_id for found in client.search_runs([experiment], condition)] == [run], condition


def test_wildcards_and_quotes_in_values_are_only_text(client, experiment):
    for value in ("100%", "1000", "a_b", "axb", "[ab]", "a*b", "back\\slash", "'); DROP TABLE runs; --"):
        run = client.create_run(experiment).info.run_id
        client.log_param(run, "p", value)

    def found(condition):
        return sorted(run.data.params["p"] for run in client.search_runs([experiment], condition))

    assert found("params.p = '100%'") == ["100%"]
    assert found("params.p LIKE '100%'") == ["100%", "1000"]
    assert found("params.p LIKE 'a_b'") == ["a*b", "a_b", "axb"]
    assert found("params.p = '[ab]'") == ["[ab]"]
    assert found("params.p = 'a*b'") == ["a*b"]
    assert found("params.p = 'back\\slash'") == ["back\\slash"]
    assert found('params.p LIKE "%DROP TABLE%"') == ["'); DROP TABLE runs; --"]


def test_a_bad_filter_says_what_is_wrong(client, experiment):
    for wrong, words in {
        "metrics.acc": "Invalid",
        "acc = 1": "Invalid attribute key 'acc'",
        "metrics.acc = 'high'": "Expected numeric value type",
        "metrics.acc LIKE 1": "comparator",
        "params.p = 3": "Expected a quoted string value",
        "params.p > '3'": "comparator",
        "foo.bar = 'x'": "Invalid entity type 'foo'",
        "params.p = 'x' OR params.p = 'y'": "Invalid clause",
        "attributes.start_time = 'now'": "Expected numeric value type",
        "attributes.run_name > 'x'": "comparator",
        "params.p = 'unclosed": "Invalid",
        "run_id IN ()": "list",
    }.items():
        with refused("INVALID_PARAMETER_VALUE", words):
            client.search_runs([experiment], wrong)


def test_a_bad_order_says_what_is_wrong(client, experiment):
    for wrong in ("acc", "foo.bar", "metrics.a DESCENDING", "attributes.artifacts"):
        with refused("INVALID_PARAMETER_VALUE", "(?i)order_by|ordering|entity type|attribute key"):
            client.search_runs([experiment], order_by=[wrong])


def test_a_page_cannot_be_too_large(client, experiment):
    with refused("INVALID_PARAMETER_VALUE", "max_results"):
        client.search_runs([experiment], max_results=50_001)
    with refused("INVALID_PARAMETER_VALUE"):
        client.search_runs([experiment], page_token="not a token")
