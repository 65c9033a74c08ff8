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
        assert len(told) <= 1 if story.heavy else len(told) == 1, story.name


def test_every_pair_and_every_story_comes_round():
    of_four = [pair for number in range(4) for pair in pairs.of(number)]
    assert {pair: of_four.count(pair) for pair in pairs.ALL} == {
        pair: 2 if pair.sdk == pairs.SDKS[0] else 1 for pair in pairs.ALL
    }
    stories = list(sdks.stories())
    assert any(story.heavy for story in stories)
    for story in stories:
        told = {pair for number in range(24 if story.heavy else 8) for pair in pairs.of(number) if pairs.is_told(pair, story, number)}
        assert told == {pair for pair in pairs.ALL if story.since <= pair.sdk.release}, story.name


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("suite", ["artifacts", "browser", "migrations"])
def test_every_file_is_in_one_share(suite, count):
    files = [path.relative_to(TESTS).as_posix() for path in (TESTS / suite).glob("test_*.py")]
    seconds = json.loads((TESTS / "seconds.json").read_text())
    dealt = [file for number in range(1, count + 1) for file in shards.share(files, seconds, number, count)]
    assert sorted(dealt) == sorted(files)
