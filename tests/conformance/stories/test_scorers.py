"""Scorers in the registry: what is stored of them, their versions, and how they are sampled."""

import pytest
from helpers import UNICODE, refused

pytestmark = pytest.mark.since(3, 17)


@pytest.fixture
def genai(experiment):
    """For an empty experiment, which is the active one."""
    return pytest.importorskip("mlflow.genai")


def judge(genai, name: str = "polite", instructions: str = "Is {{ outputs }} polite?"):
    return genai.judges.make_judge(name=name, instructions=instructions, model="openai:/gpt-4o-mini", feedback_value_type=bool)


def test_a_judge_is_registered_and_loaded(genai, experiment):
    judge(genai, instructions=f"Is {{{{ outputs }}}} polite? {UNICODE}").register()
    found = genai.scorers.get_scorer(name="polite", experiment_id=experiment)
    assert (found.name, UNICODE in found.instructions, found.model) == ("polite", True, "openai:/gpt-4o-mini")
    assert [one.name for one in genai.scorers.list_scorers()] == ["polite"]


def test_a_builtin_scorer_is_registered(genai):
    genai.scorers.Guidelines(name="short", guidelines=["The answer is short."]).register()
    found = genai.scorers.get_scorer(name="short")
    assert found.guidelines == ["The answer is short."]


def test_a_scorer_has_versions(genai):
    from mlflow.genai.scorers.registry import list_scorer_versions

    for number in (1, 2, 3):
        judge(genai, instructions=f"Is {{{{ outputs }}}} polite? Version {number}").register()
    versions = list_scorer_versions(name="polite")
    assert [number for _, number in versions] == [1, 2, 3]
    assert "Version 2" in genai.scorers.get_scorer(name="polite", version=2).instructions
    assert "Version 3" in genai.scorers.get_scorer(name="polite").instructions
    genai.scorers.delete_scorer(name="polite", version=3)
    assert "Version 2" in genai.scorers.get_scorer(name="polite").instructions
    genai.scorers.delete_scorer(name="polite", version="all")
    assert genai.scorers.list_scorers() == []
    with refused("RESOURCE_DOES_NOT_EXIST"):
        genai.scorers.get_scorer(name="polite")


def test_code_of_a_client_is_refused(genai):
    @genai.scorers.scorer
    def own(outputs) -> bool:
        return bool(outputs)

    with refused("INVALID_PARAMETER_VALUE"):
        own.register()
    assert genai.scorers.list_scorers() == []
