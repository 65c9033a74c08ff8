"""What each file of values must render is written beside it, in a file `*.must.yaml`: parts of objects, by kind and name.

A map has at least the keys that are written, a list at least the elements. A key that is null must not be there, nor an
element like that of `not`.
"""

import pytest
import yaml
from support.chart import CASES, VALUES, a_sixth, objects

WITH = [case for case in CASES if (VALUES / f"{case.name}.must.yaml").exists()]


def missing(must, found, path: str = "") -> list[str]:
    """Where an object has not what it must have."""
    if must is None:
        return [] if found is None else [f"{path} is {found!r} and must not be there"]
    if isinstance(must, dict) and isinstance(found, dict):
        return [line for key, value in must.items() for line in missing(value, found.get(key), f"{path}.{key}")]
    if isinstance(must, list) and isinstance(found, list):
        return [line for one in must for line in _element(one, found, path)]
    return [] if must == found and type(must) is type(found) else [f"{path} is {found!r} and must be {must!r}"]


def _element(must, found: list, path: str) -> list[str]:
    if isinstance(must, dict) and list(must) == ["not"]:
        return [f"{path} has {one!r}" for one in found if not missing(must["not"], one)]
    if not all(missing(must, one) for one in found):
        return []
    same = [one for one in found if isinstance(one, dict) and isinstance(must, dict) and "name" in must and one.get("name") == must["name"]]
    return [line for one in same for line in missing(must, one, f"{path}.{must['name']}")] or [f"{path} has nothing like {must!r}: {found!r}"]


@a_sixth
@pytest.mark.parametrize("case", WITH, ids=lambda case: case.name)
def test_values_render_what_they_must(case):
    rendered = {f"{o['kind']} {o['metadata']['name']}": o for o in objects(case)}
    must = yaml.safe_load((VALUES / f"{case.name}.must.yaml").read_text())
    assert must, "nothing is asked"
    found = [line for name, part in must.items() for line in missing(part, rendered.get(name), name)]
    assert not found, "\n".join(found)


def test_there_are_many_of_them():
    assert len(WITH) >= 40


def test_each_belongs_to_a_case():
    names = {path.name.removesuffix(".must.yaml") for path in VALUES.glob("*.must.yaml")}
    assert names == {case.name for case in WITH}


def test_what_is_missing_is_found():
    document = {"a": {"b": 1, "c": [{"d": 1}, {"d": 2}]}}
    assert not missing({"a": {"b": 1, "c": [{"d": 2}, {"not": {"d": 3}}], "e": None}}, document)
    for wrong in ({"a": None}, {"a": {"b": "1"}}, {"a": {"c": [{"d": 3}]}}, {"a": {"c": [{"not": {"d": 2}}]}}, {"x": {}}, {"a": {"b": True}}):
        assert missing(wrong, document), wrong
