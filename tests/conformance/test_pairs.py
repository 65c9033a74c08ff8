"""The rules by which a sample is taken: what one push leaves out comes round."""

import json
from pathlib import Path

import pairs
import pytest
import sdks
from support import shards

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("number", range(16))
def test_a_sample_has_the_newest_sdk_an_older_one_and_both_databases(number):
    taken = pairs.of(number)
    assert taken[0].sdk == pairs.SDKS[0] and taken[1].sdk in pairs.SDKS[1:]
    assert {pair.dialect for pair in taken} == set(pairs.DIALECTS)
    for story in sdks.stories():
        told = [pair for pair in taken if pairs.is_told(pair, story, number)]
        able = any(pair.can(story) for pair in taken)
        assert len(told) <= 1 if story.heavy else len(told) == able, story.name


def test_every_pair_and_every_story_comes_round():
    of_eight = [pair for number in range(8) for pair in pairs.of(number)]
    assert {pair: of_eight.count(pair) for pair in pairs.ALL} == {pair: _times(pair) for pair in pairs.ALL}
    stories = list(sdks.stories())
    assert any(story.heavy for story in stories)
    for story in stories:
        told = {pair for number in range(48 if story.heavy else 16) for pair in pairs.of(number) if pairs.is_told(pair, story, number)}
        assert told == {pair for pair in pairs.ALL if pair.can(story)}, story.name


def _times(pair: pairs.Pair) -> int:
    """How often a pair comes in eight samples. One that has a twin with workspaces shares its turns with it."""
    has_twin = any((twin.sdk, twin.dialect) == (pair.sdk, pair.dialect) for twin in pairs.WITH_WORKSPACES)
    return (4 if pair.sdk == pairs.SDKS[0] else 2) // (2 if has_twin else 1)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("suite", ["artifacts", "browser", "migrations"])
def test_every_file_is_in_one_share(suite, count):
    files = [path.relative_to(TESTS).as_posix() for path in (TESTS / suite).glob("test_*.py")]
    seconds = json.loads((TESTS / "seconds.json").read_text())
    dealt = [file for number in range(1, count + 1) for file in shards.share(files, seconds, number, count)]
    assert sorted(dealt) == sorted(files)
