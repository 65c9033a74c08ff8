"""Searching experiments."""

from step import get, post

GOOD = [
    "", "name = 'exp-alpha'", "name != 'exp-alpha'", "name LIKE 'exp-%'", "name ILIKE 'EXP-%'", "name LIKE 'EXP-%'",
    "attribute.name = 'exp-beta'", "attributes.name = 'x'", "tags.team = 'a'", "tags.team != 'a'",
    "tags.`team` ILIKE 'A'", "tags.`mlflow.experiment.isGateway` IS NULL", "tags.team IS NOT NULL",
    "name LIKE 'exp-%' AND tags.team = 'a'", "creation_time > 0", "creation_time < 0", "last_update_time >= 1",
    "experiment_id = '0'", "experiment_id IN ('0')", "experiment_id NOT IN ('0', '987654')", "name = \"exp-alpha\"",
]
BAD = [
    "name", "name =", "= 'x'", "name > 'x'", "name IN ('a')", "name == 'x'", "nope = 'x'", "tags = 'x'", "tags.a > 'x'",
    "name = x", "name = 1", "creation_time = 'x'", "creation_time = 1.5", "creation_time LIKE '1'", "metrics.a = 1",
    "name = 'a' OR name = 'b'", "name = 'a", "name = 'a' AND", "AND name ILIKE 'exp-%'", ";", "name = 'a';", "(name = 'a')", "name IS NULL",
    "experiment_id = 'x'", "experiment_id > '1'", "tags.a IS", "'a' = name", "name = 'a' name = 'b'", "name like 'e%'",
]


def steps():
    for name, team in (("exp-alpha", "a"), ("exp-beta", "b"), ("exp-gamma", "a"), ("Exp-Delta", "A")):
        yield post("experiments/create", {"name": name, "tags": [{"key": "team", "value": team}]}, save={name: "experiment_id"})
    yield post("experiments/delete", {"experiment_id": "{exp-gamma}"})
    only_these = " AND name ILIKE 'exp-%'"
    for filter_ in GOOD:
        narrowed = (filter_ + only_these) if filter_ else only_these[5:]
        yield post("experiments/search", {"max_results": 100, "filter": narrowed, "order_by": ["name ASC"]})
    for filter_ in BAD:
        yield post("experiments/search", {"max_results": 10, "filter": filter_})
    base = {"filter": "name ILIKE 'exp-%'", "max_results": 10}
    for order in (["name"], ["name DESC"], ["name asc"], ["experiment_id DESC"], ["creation_time ASC", "name"],
                  ["last_update_time DESC", "experiment_id"], ["name", "name"], ["`name` ASC"], ["attribute.name"]):
        yield post("experiments/search", {**base, "order_by": order})
    for order in (["nope"], ["name sideways"], [""], ["tags.a"], ["name DESC ASC"], [1], "name", ["name;"], ["name, id"]):
        yield post("experiments/search", {**base, "order_by": order})
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3, 99, "nope", None):
        yield post("experiments/search", {**base, "order_by": ["name"], "view_type": view})
    for size in (0, -1, 1, 50000, 50001, "2", "x", 1.5, None):
        yield post("experiments/search", {"filter": "name ILIKE 'exp-%'", "order_by": ["name"], "max_results": size})
    yield post("experiments/search", {"filter": "name ILIKE 'exp-%'"})
    yield post("experiments/search", {**base, "max_results": 2, "order_by": ["name"]}, save={"page": "next_page_token"})
    yield post("experiments/search", {**base, "max_results": 2, "order_by": ["name"], "page_token": "{page}"})
    yield post("experiments/search", {**base, "order_by": ["name"], "page_token": "eyJvZmZzZXQiOiAxfQ=="})
    for token in ("x", "e30=", "eyJvZmZzZXQiOiAieCJ9", "!!!", "bm90IGpzb24="):
        yield post("experiments/search", {**base, "page_token": token})
    yield get("experiments/search", {"max_results": "2", "filter": "name ILIKE 'exp-%'", "order_by": ["name DESC", "experiment_id"]})
    yield get("experiments/search", {"max_results": "x"})
    yield get("/ajax-api/2.0/mlflow/experiments/search",
              {"max_results": 5, "order_by": "last_update_time DESC", "filter": "name ILIKE '%alpha%' AND tags.`mlflow.experiment.isGateway` IS NULL"})
