"""Registered models and their versions: found, ordered, read in pages."""

import mlflow
import pytest
from helpers import refused, unique

#: Nothing reads it: these stories are about the registry alone.
SOURCE = "s3://bucket/model"


@pytest.fixture
def mark() -> str:
    """What the names of a story's models begin with: the registry is one for all."""
    return unique("search")


@pytest.fixture
def models(client, mark) -> list[str]:
    """Four registered models; the registry has them as 0, 1, 2 and B."""
    tags = ({"team": "red", "stage": "a"}, {"team": "Red"}, {"team": "blue", "stage": "a b"}, {})
    return [client.create_registered_model(f"{mark}-{end}", tags=some).name for end, some in zip("012B", tags)]


@pytest.fixture
def found(client, mark, models):
    """Asks for the ends of the names of the models that a search finds."""

    def ask(condition="", **more):
        mine = f"name LIKE '{mark}-%'" + (f" AND {condition}" if condition else "")
        return " ".join(model.name.removeprefix(f"{mark}-") for model in client.search_registered_models(mine, **more))

    return ask


def test_registered_models_are_found_by_name(client, mark, found):
    assert found() == "0 1 2 B"
    assert found(f"name = '{mark}-1'") == "1"
    assert found(f"name != '{mark}-1'") == "0 2 B"
    assert found("name LIKE '%-b'") == ""
    assert found("name ILIKE '%-b'") == "B"
    assert found(f"name IN ('{mark}-2', '{mark}-0', 'nobody')") == "0 2"
    assert found(f"name NOT IN ('{mark}-2', '{mark}-0')") == "1 B"
    assert client.search_registered_models(f"name = '{mark}'") == []


def test_registered_models_are_found_by_tags(found):
    assert found("tags.team = 'red'") == "0"
    assert found("tag.team ILIKE 'RED'") == "0 1"
    assert found("tags.team != 'red'") == "1 2"
    assert found("tags.`stage` LIKE 'a%'") == "0 2"
    assert found("tags.stage LIKE 'a%' AND tags.team = 'blue'") == "2"
    assert found("tags.nobody = 'x'") == ""


def test_what_a_filter_says_is_text(client, mark):
    odd, even = f"{mark} it's 100% \\_ 模型", f"{mark} its 100 percent 模型"
    for name in (odd, even):
        client.create_registered_model(name, tags={"said": name})

    def names(condition):
        return [model.name for model in client.search_registered_models(condition)]

    assert names(f'name = "{odd}"') == names(f'tags.said = "{odd}"') == [odd]
    assert names(f"name LIKE '{mark} it_s%模型'") == [odd]
    assert names(f"name LIKE '{mark}%模_'") == [odd, even]


def test_a_found_model_brings_its_tags_aliases_and_latest_versions(client, models):
    name = models[0]
    for stage in ("Production", "None", "None"):
        version = client.create_model_version(name, SOURCE).version
        client.transition_model_version_stage(name, version, stage)
    client.set_registered_model_alias(name, "champion", "2")
    client.update_registered_model(name, "A description")
    (model,) = client.search_registered_models(f"name = '{name}'")
    assert (model.name, model.description, model.tags) == (name, "A description", {"team": "red", "stage": "a"})
    assert {alias: int(version) for alias, version in model.aliases.items()} == {"champion": 2}
    assert {v.current_stage: int(v.version) for v in model.latest_versions} == {"Production": 1, "None": 3}


def test_registered_models_are_ordered(client, models, found):
    assert found(order_by=["name DESC"]) == "B 2 1 0"
    client.update_registered_model(models[2], "now")
    client.update_registered_model(models[0], "and now")
    assert found(order_by=["last_updated_timestamp DESC", "name DESC"]).split()[0] == "0"
    assert found(order_by=["timestamp ASC", "name"]).split()[-1] == "0"


@pytest.mark.parametrize("order", [["name ASC"], ["name DESC"], ["last_updated_timestamp ASC"], None])
def test_registered_models_are_read_in_pages(client, mark, models, order):
    seen, sizes, token = [], [], None
    while not sizes or token:
        page = client.search_registered_models(f"name LIKE '{mark}-%'", 3, order, token)
        seen += [model.name for model in page]
        sizes.append(len(page))
        token = page.token
    assert (sizes, sorted(seen)) == ([3, 1], models)
    if order != ["name DESC"]:
        assert order == ["last_updated_timestamp ASC"] or seen == models
    else:
        assert seen == models[::-1]


def test_registered_models_are_found_beyond_a_page(mark, models):
    found = mlflow.search_registered_models(filter_string=f"name LIKE '{mark}-%'", order_by=["name DESC"])
    assert [model.name for model in found] == models[::-1]
    assert len(mlflow.search_registered_models(max_results=2, filter_string=f"name LIKE '{mark}-%'")) == 2


def test_a_bad_search_of_registered_models_says_what_is_wrong(client):
    for wrong in ("nme = 'x'", "name = x", "name > 'x'", "tags.a > '1'", "tags.a IN ('x')", "name = 'a' OR name = 'b'"):
        with refused("INVALID_PARAMETER_VALUE"):
            client.search_registered_models(wrong)
    for order in ("nme", "name UP", "creation_timestamp DESC"):
        with refused("INVALID_PARAMETER_VALUE", "(?i)order"):
            client.search_registered_models(order_by=[order])
    with refused("INVALID_PARAMETER_VALUE", "max_results"):
        client.search_registered_models(max_results=1001)
    with refused("INVALID_PARAMETER_VALUE", "page token"):
        client.search_registered_models(page_token="nonsense")


@pytest.fixture
def runs(client, experiment) -> list[str]:
    """The ids of two runs."""
    return [client.create_run(experiment).info.run_id for _ in range(2)]


@pytest.fixture
def versions(client, mark, models, runs):
    """Four versions of two models, which `seen` tells as 0/1, 0/2, 0/3 and 1/1."""
    first, second = models[:2]
    for number, run in enumerate((runs[0], runs[1], runs[0])):
        tags = {"color": ("red", "Red", "blue")[number]} | ({"both": "yes"} if number else {})
        client.create_model_version(first, f"runs:/{run}/model-{number}", run_id=run, tags=tags)
    client.create_model_version(second, "s3://bucket/other", tags={"color": "red"})


@pytest.fixture
def seen(client, mark, versions):
    """Asks for the versions that a search finds."""

    def ask(condition="", order=("name", "version_number"), **more):
        # The versions know their model's whole name, and there is no operator for a part of it but this.
        mine = f"name LIKE '{mark}-%'" + (f" AND {condition}" if condition else "")
        found = client.search_model_versions(mine, order_by=order and list(order), **more)
        return " ".join(f"{version.name.removeprefix(f'{mark}-')}/{version.version}" for version in found)

    return ask


def test_versions_are_found_by_model_run_and_source(client, mark, runs, seen):
    assert seen() == "0/1 0/2 0/3 1/1"
    assert seen(f"name = '{mark}-0'") == "0/1 0/2 0/3"
    assert seen(f"name != '{mark}-0'") == "1/1"
    assert seen(f"run_id = '{runs[0]}'") == "0/1 0/3"
    assert seen(f"run_id IN ('{runs[0]}', '{runs[1]}')") == "0/1 0/2 0/3"
    assert seen(f"run_id IN ('{runs[1]}') AND name = '{mark}-0'") == "0/2"
    assert seen("source_path = 's3://bucket/other'") == "1/1"
    assert seen("source_path LIKE 'runs:/%/model-1'") == "0/2"
    assert seen("source_path ILIKE 'S3:%'") == "1/1"
    assert {v.run_id for v in client.search_model_versions(f"run_id = '{runs[1]}'")} == {runs[1]}


def test_versions_are_found_by_number(seen):
    assert seen("version_number = 1") == "0/1 1/1"
    assert seen("version_number != 1") == "0/2 0/3"
    assert seen("version_number > 1 AND version_number <= 2") == "0/2"
    assert seen("version_number >= 3") == "0/3"
    assert seen("version_number < 0") == ""


def test_versions_are_found_by_tags(seen):
    assert seen("tags.color = 'red'") == "0/1 1/1"
    assert seen("tags.color ILIKE 'RED'") == "0/1 0/2 1/1"
    assert seen("tags.color != 'red'") == "0/2 0/3"
    assert seen("tag.`color` LIKE 'r%' AND version_number = 1") == "0/1 1/1"
    assert seen("tags.color LIKE '%' AND tags.both = 'yes'") == "0/2 0/3"


def test_versions_are_ordered(client, models, seen):
    assert seen(order=["version_number DESC", "name DESC"]) == "0/3 0/2 1/1 0/1"
    assert seen(order=["name DESC"]) == "1/1 0/3 0/2 0/1"
    assert seen(order=["creation_timestamp ASC", "name", "version_number"]).split()[-1] == "1/1"
    client.update_model_version(models[0], "2", "touched last")
    # By itself, what changed last comes first.
    assert seen(order=None).split()[0] == "0/2"
    assert seen(order=["last_updated_timestamp ASC"]).split()[-1] == "0/2"


def test_versions_are_read_in_pages(client, models, versions):
    name = models[0]
    listed, sizes, token = [], [], None
    while not sizes or token:
        page = client.search_model_versions(f"name = '{name}'", 2, ["version_number ASC"], token)
        listed += [int(version.version) for version in page]
        sizes.append(len(page))
        token = page.token
    assert (listed, sizes) == ([1, 2, 3], [2, 1])


def test_a_found_version_brings_its_tags_and_not_its_neighbours(client, models, versions):
    client.delete_model_version(models[0], "2")
    first, third = client.search_model_versions(f"name = '{models[0]}'", order_by=["version_number"])
    assert (first.tags, third.tags) == ({"color": "red"}, {"color": "blue", "both": "yes"})
    assert (first.status, first.current_stage, first.name) == ("READY", "None", models[0])


def test_versions_are_found_beyond_a_page(models, versions):
    found = mlflow.search_model_versions(filter_string=f"name = '{models[0]}'", order_by=["version_number"])
    assert [int(version.version) for version in found] == [1, 2, 3]
    assert len(mlflow.search_model_versions(max_results=2, filter_string=f"name = '{models[0]}'")) == 2


def test_a_bad_search_of_versions_says_what_is_wrong(client):
    wrongs = (
        "nme = 'x'",
        "name = x",
        "name > 'x'",
        "source_path IN ('x')",
        "version_number = 'one'",
        "version_number LIKE '1'",
        "run_id IN ()",
        "tags.a > '1'",
        "name = 'a' OR name = 'b'",
    )
    for wrong in wrongs:
        with refused("INVALID_PARAMETER_VALUE"):
            client.search_model_versions(wrong)
    with refused("INVALID_PARAMETER_VALUE", "nobody"):
        client.search_model_versions("name = 'x'", order_by=["nobody DESC"])
    with refused("INVALID_PARAMETER_VALUE", "max_results"):
        client.search_model_versions("name = 'x'", max_results=200_001)


def test_prompts_are_no_models(client, mark, models, found):
    mlflow.register_prompt(f"{mark}-prompt", "Be {{kind}}.", tags={"team": "red"})
    assert found() == "0 1 2 B"
    assert found("tags.team = 'red'") == "0"
    assert f"{mark}-prompt" not in {model.name for model in client.search_registered_models(max_results=1000)}
    assert client.search_model_versions(f"name = '{mark}-prompt'") == []
    prompts = client.search_registered_models(f"name LIKE '{mark}-%' AND tags.`mlflow.prompt.is_prompt` = 'true'")
    assert [prompt.name for prompt in prompts] == [f"{mark}-prompt"]
