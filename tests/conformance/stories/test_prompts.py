"""Prompts: registered, loaded by version and alias, tagged, searched, linked to runs."""

import json

import mlflow
import pytest
from helpers import UNICODE, refused, unique, wait_until

TEMPLATE = "Answer {{ question }} like a {{style}} person."


@pytest.fixture
def name() -> str:
    return unique("prompt")


@pytest.fixture
def prompt(name) -> str:
    """The name of a prompt with two versions."""
    mlflow.register_prompt(name, TEMPLATE, commit_message="First")
    mlflow.register_prompt(name, "Answer {{question}}.", commit_message="Shorter")
    return name


@pytest.fixture(autouse=True)
def always_asked(monkeypatch):
    """New SDKs keep prompts for a minute: these stories are about the server."""
    monkeypatch.setenv("MLFLOW_ALIAS_PROMPT_CACHE_TTL_SECONDS", "0")
    monkeypatch.setenv("MLFLOW_VERSION_PROMPT_CACHE_TTL_SECONDS", "0")


def test_a_prompt_remembers_its_text(name):
    made = mlflow.register_prompt(name, TEMPLATE, commit_message="First")
    stored = mlflow.load_prompt(f"prompts:/{name}/1")
    for version in (made, stored):
        assert (version.name, int(version.version), version.template) == (name, 1, TEMPLATE)
        assert (version.commit_message, version.variables) == ("First", {"question", "style"})
        assert version.creation_timestamp > 1_600_000_000_000
    assert stored.format(question="why", style="kind") == "Answer why like a kind person."


def test_text_of_any_language_comes_back_as_it_was(name):
    text = f"{UNICODE}\n\t'\"\\ {{{{größe}}}} {{{{ name }}}} <b>&amp;</b>\r\n"
    mlflow.register_prompt(name, text, commit_message=UNICODE)
    stored = mlflow.load_prompt(name, version=1)
    assert (stored.template, stored.commit_message) == (text, UNICODE)


def test_versions_of_a_prompt_stay_as_they_were(prompt):
    assert mlflow.load_prompt(prompt, version=1).template == TEMPLATE
    second = mlflow.load_prompt(prompt, version=2)
    assert (second.template, second.commit_message) == ("Answer {{question}}.", "Shorter")
    assert int(mlflow.register_prompt(prompt, TEMPLATE).version) == 3


def test_an_alias_names_a_version_of_a_prompt(prompt):
    mlflow.set_prompt_alias(prompt, "production", 1)
    assert mlflow.load_prompt(f"prompts:/{prompt}@production").template == TEMPLATE
    mlflow.set_prompt_alias(prompt, "production", 2)
    stored = mlflow.load_prompt(f"prompts:/{prompt}@production")
    assert (int(stored.version), stored.aliases) == (2, ["production"])
    mlflow.delete_prompt_alias(prompt, "production")
    with pytest.raises(mlflow.MlflowException, match="alias production not found|does not exist"):
        mlflow.load_prompt(f"prompts:/{prompt}@production")


def test_an_alias_needs_a_version_of_the_prompt(prompt):
    with pytest.raises(mlflow.MlflowException, match="(?i)does not exist|not found"):
        mlflow.set_prompt_alias(prompt, "production", 9)
    with pytest.raises(mlflow.MlflowException, match="(?i)alias"):
        mlflow.set_prompt_alias(prompt, "v1", 1)


def test_what_is_no_prompt_is_not_loaded(client, prompt):
    for wrong in (f"prompts:/{prompt}/9", f"prompts:/{unique('nobody')}/1"):
        with pytest.raises(mlflow.MlflowException, match="not found"):
            mlflow.load_prompt(wrong)
    model = client.create_registered_model(unique("model")).name
    client.create_model_version(model, "s3://bucket/model")
    with pytest.raises(mlflow.MlflowException, match="registered as a model, not a prompt"):
        mlflow.load_prompt(f"prompts:/{model}/1")


@pytest.mark.parametrize("wrong", ["", "with blanks", "a/b", "größe", "a:b"])
def test_a_prompt_needs_a_good_name(wrong):
    with refused("INVALID_PARAMETER_VALUE", "Prompt name"):
        mlflow.register_prompt(wrong, TEMPLATE)


def test_a_prompt_may_be_long_but_not_endless(name):
    mlflow.register_prompt(name, "x" * 100_000)
    assert len(mlflow.load_prompt(name, version=1).template) == 100_000
    with pytest.raises(mlflow.MlflowException, match="100000"):
        mlflow.register_prompt(name, "x" * 100_001)
    with pytest.raises(mlflow.MlflowException, match="not found"):
        mlflow.load_prompt(name, version=2)


def test_a_model_and_a_prompt_do_not_share_a_name(client, prompt):
    with refused("RESOURCE_ALREADY_EXISTS", "already taken by a prompt"):
        client.create_registered_model(prompt)
    model = client.create_registered_model(unique("model")).name
    with pytest.raises(mlflow.MlflowException, match="exists with the same name"):
        mlflow.register_prompt(model, TEMPLATE)


def test_a_prompt_is_no_registered_model(client, prompt):
    asks = (
        lambda: client.get_registered_model(prompt),
        lambda: client.get_latest_versions(prompt),
        lambda: client.rename_registered_model(prompt, unique("else")),
        lambda: client.delete_registered_model(prompt),
        lambda: client.set_registered_model_tag(prompt, "k", "v"),
        lambda: client.get_model_version(prompt, "1"),
        lambda: client.delete_model_version(prompt, "1"),
        lambda: client.transition_model_version_stage(prompt, "1", "Staging"),
        lambda: client.copy_model_version(f"models:/{prompt}/1", unique("copy")),
    )
    for ask in asks:
        with refused("RESOURCE_DOES_NOT_EXIST", "not found"):
            ask()
    assert mlflow.load_prompt(prompt, version=1).template == TEMPLATE


def test_a_run_knows_the_prompts_it_used(client, prompt):
    if mlflow.__version__ < "3":
        with mlflow.start_run() as run:
            client.log_prompt(run.info.run_id, f"prompts:/{prompt}/1")
            client.log_prompt(run.info.run_id, f"prompts:/{prompt}/2")
        logged = client.list_logged_prompts(run.info.run_id)
        assert sorted(int(version.version) for version in logged) == [1, 2]
        client.detach_prompt_from_run(run.info.run_id, f"prompts:/{prompt}/1")
        assert [int(version.version) for version in client.list_logged_prompts(run.info.run_id)] == [2]
        return
    with mlflow.start_run() as run:
        mlflow.load_prompt(prompt, version=2)
        client.link_prompt_version_to_run(run.info.run_id, f"prompts:/{prompt}/1")
        client.link_prompt_version_to_run(run.info.run_id, f"prompts:/{prompt}/1")
    linked = json.loads(client.get_run(run.info.run_id).data.tags["mlflow.linkedPrompts"])
    assert linked == [{"name": prompt, "version": "2"}, {"name": prompt, "version": "1"}]


def test_a_deleted_version_of_a_prompt_is_gone(client, prompt):
    if mlflow.__version__ < "3":
        client.delete_prompt(prompt, 1)
    else:
        client.delete_prompt_version(prompt, "1")
    with pytest.raises(mlflow.MlflowException, match="not found"):
        mlflow.load_prompt(prompt, version=1)
    assert int(mlflow.load_prompt(prompt, version=2).version) == 2


def test_a_deleted_prompt_is_gone_and_its_name_free(client, prompt):
    if mlflow.__version__ < "3":
        # It goes with its last version.
        client.delete_prompt(prompt, 1)
        client.delete_prompt(prompt, 2)
    else:
        client.delete_prompt(prompt)
    with pytest.raises(mlflow.MlflowException, match="not found"):
        mlflow.load_prompt(prompt, version=2)
    assert client.create_registered_model(prompt).tags == {}


@pytest.mark.since(3)
def test_a_chat_prompt_remembers_its_messages(name):
    messages = [
        {"role": "system", "content": "You are {{style}}. größe"},
        {"role": "user", "content": "{{question}}"},
    ]
    mlflow.genai.register_prompt(name, messages)
    stored = mlflow.genai.load_prompt(name, version=1)
    assert (stored.template, stored.is_text_prompt) == (messages, False)
    assert stored.variables == {"style", "question"}
    assert stored.format(style="kind", question="Why?")[1] == {"role": "user", "content": "Why?"}


@pytest.mark.since(3)
def test_a_prompt_says_what_its_answers_look_like(name):
    answer = {"type": "object", "properties": {"größe": {"type": "integer"}}}
    mlflow.genai.register_prompt(name, TEMPLATE, response_format=answer)
    assert mlflow.genai.load_prompt(name, version=1).response_format == answer


@pytest.mark.since(3, 17)
def test_a_prompt_brings_the_settings_of_its_model(name):
    mlflow.genai.register_prompt(name, TEMPLATE, model_config={"model_name": "large", "temperature": 0.5, "own": [1]})
    assert mlflow.genai.load_prompt(name, version=1).model_config == {
        "model_name": "large",
        "temperature": 0.5,
        "own": [1],
    }
    mlflow.genai.set_prompt_model_config(name, 1, {"model_name": "small"})
    assert mlflow.genai.load_prompt(name, version=1).model_config == {"model_name": "small"}
    mlflow.genai.delete_prompt_model_config(name, 1)
    assert mlflow.genai.load_prompt(name, version=1).model_config is None


@pytest.mark.since(3)
def test_tags_of_a_prompt_and_of_its_versions_can_change_and_go(client, prompt):
    mlflow.genai.set_prompt_tag(prompt, "team", "red")
    mlflow.genai.set_prompt_tag(prompt, "team", UNICODE)
    mlflow.genai.set_prompt_tag(prompt, "goes", "1")
    mlflow.genai.delete_prompt_tag(prompt, "goes")
    tags = mlflow.genai.get_prompt_tags(prompt)
    assert (tags["team"], "goes" in tags) == (UNICODE, False)

    mlflow.genai.set_prompt_version_tag(prompt, 1, "checked", "yes")
    mlflow.genai.set_prompt_version_tag(prompt, 1, "goes", "1")
    mlflow.genai.delete_prompt_version_tag(prompt, 1, "goes")
    tags = client.get_prompt_version(prompt, "1").tags
    assert (tags["checked"], "goes" in tags) == ("yes", False)
    assert "checked" not in client.get_prompt_version(prompt, "2").tags


@pytest.mark.since(3)
def test_tags_that_a_version_is_registered_with_are_the_prompts_too(client, name):
    mlflow.genai.register_prompt(name, TEMPLATE, tags={"team": "red"})
    mlflow.genai.register_prompt(name, TEMPLATE, tags={"team": "blue"})
    assert mlflow.genai.get_prompt_tags(name)["team"] == "blue"
    assert [client.get_prompt_version(name, version).tags["team"] for version in "12"] == ["red", "blue"]


@pytest.mark.since(3)
def test_a_missing_prompt_may_be_missed(client, prompt):
    for missing in (f"prompts:/{prompt}/9", f"prompts:/{prompt}@nobody", f"prompts:/{unique('nobody')}/1"):
        assert mlflow.genai.load_prompt(missing, allow_missing=True) is None
    assert client.get_prompt(unique("nobody")) is None


@pytest.mark.since(3)
def test_a_prompt_is_made_before_its_first_version(client, name):
    made = client.create_prompt(name, description="About style", tags={"team": "red"})
    assert (made.name, made.description) == (name, "About style")
    client.create_prompt_version(name, TEMPLATE, description="First", tags={"checked": "yes"})
    stored = client.get_prompt(name)
    assert (stored.description, stored.tags["team"]) == ("About style", "red")
    version = client.get_prompt_version(name, "1")
    assert (version.template, version.commit_message, version.tags["checked"]) == (TEMPLATE, "First", "yes")
    with refused("RESOURCE_ALREADY_EXISTS", r"Prompt \(name=.*\) already exists"):
        client.create_prompt(name)


@pytest.mark.since(3)
def test_prompts_are_found(client):
    mark = unique("found")
    for end, team in (("0", "red"), ("1", "Red"), ("B", "blue")):
        mlflow.genai.register_prompt(f"{mark}-{end}", TEMPLATE, commit_message="About style", tags={"team": team})
    client.create_registered_model(f"{mark}-model", tags={"team": "red"})

    def found(condition="", **more):
        mine = f"name LIKE '{mark}-%'" + (f" AND {condition}" if condition else "")
        return " ".join(p.name.removeprefix(f"{mark}-") for p in client.search_prompts(mine, **more))

    assert found() == "0 1 B"
    assert found("name ILIKE '%-b'") == "B"
    assert found("tags.team = 'red'") == "0"
    assert found("tags.team ILIKE 'RED'") == "0 1"
    page = client.search_prompts(f"name LIKE '{mark}-%'", max_results=2)
    rest = client.search_prompts(f"name LIKE '{mark}-%'", max_results=2, page_token=page.token)
    assert ([prompt.name for prompt in (*page, *rest)], rest.token or None) == ([f"{mark}-{e}" for e in "01B"], None)
    assert (page[0].description, page[0].tags["team"]) == ("About style", "red")
    assert len(mlflow.genai.search_prompts(f"name LIKE '{mark}-%'")) == 3


@pytest.mark.since(3, 17)
def test_prompts_are_found_by_the_experiment_that_uses_them(client, name, experiment):
    mlflow.genai.register_prompt(name, TEMPLATE)
    # The SDK tells the server beside the user's thread.
    asked = f'experiment_id = "{experiment}"'
    wait_until(lambda: [prompt.name for prompt in client.search_prompts(asked)] == [name], "the link to the experiment")
    other = mlflow.create_experiment(unique("other"))
    assert client.search_prompts(f'experiment_id = "{other}"') == []
    mlflow.set_experiment(experiment_id=other)
    mlflow.genai.load_prompt(name, version=1)
    wait_until(lambda: client.search_prompts(f'experiment_id = "{other}"') != [], "the link to the other experiment")
    assert [prompt.name for prompt in client.search_prompts(asked)] == [name]


@pytest.mark.since(3, 17)
def test_versions_of_a_prompt_are_listed(client, prompt):
    mlflow.genai.register_prompt(prompt, TEMPLATE)
    page = client.search_prompt_versions(prompt, max_results=2)
    rest = client.search_prompt_versions(prompt, max_results=2, page_token=page.token)
    assert [int(version.version) for version in (*page, *rest)] == [3, 2, 1]
    assert (page[1].template, page[1].commit_message) == ("Answer {{question}}.", "Shorter")


@pytest.mark.since(3)
def test_a_logged_model_knows_its_prompts(client, prompt):
    model = mlflow.create_external_model(name="agent")
    client.link_prompt_version_to_model(prompt, "2", model.model_id)
    client.link_prompt_version_to_model(prompt, "1", model.model_id)
    linked = json.loads(mlflow.get_logged_model(model.model_id).tags["mlflow.linkedPrompts"])
    assert linked == [{"name": prompt, "version": "2"}, {"name": prompt, "version": "1"}]
