"""The rules by which a sample is taken: what one push leaves out comes round."""

import json
from pathlib import Path

import pairs
import pytest
import sdks
from support import shards

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("number", range(18))
def test_a_sample_has_every_sdk_once_and_both_databases(number):
    taken = pairs.of(number)
    assert [pair.sdk for pair in taken] == list(pairs.SDKS)
    assert {pair.dialect for pair in taken} == set(pairs.DIALECTS)
    for story in sdks.stories():
        told = [pair for pair in taken if pairs.is_told(pair, story.since, story.heavy, number)]
        able = [sdk for sdk in pairs.SDKS if story.since <= sdk.release]
        assert len(told) == (1 if story.heavy else len(able)), story.name


def test_every_pair_and_every_heavy_story_comes_round():
    six = [pair for number in range(6) for pair in pairs.of(number)]
    assert {pair: six.count(pair) for pair in pairs.ALL} == dict.fromkeys(pairs.ALL, 3)
    heavy = [story for story in sdks.stories() if story.heavy]
    assert heavy
    for story in heavy:
        told = {pair for number in range(36) for pair in pairs.of(number) if pairs.is_told(pair, story.since, True, number)}
        assert told == {pair for pair in pairs.ALL if story.since <= pair.sdk.release}, story.name


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("suite", ["artifacts", "browser", "migrations"])
def test_every_file_is_in_one_share(suite, count):
    files = [path.relative_to(TESTS).as_posix() for path in (TESTS / suite).glob("test_*.py")]
    seconds = json.loads((TESTS / "seconds.json").read_text())
    dealt = [file for number in range(1, count + 1) for file in shards.share(files, seconds, number, count)]
    assert sorted(dealt) == sorted(files)
