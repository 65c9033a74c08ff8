"""Three generations of the official SDK do what their users do, on SQLite and on PostgreSQL."""

import pytest


def test_story(story, outcomes):
    assert story.name in outcomes, "the inner run did not report it"
    trouble = outcomes[story.name]
    if trouble:
        pytest.fail(trouble, pytrace=False)
