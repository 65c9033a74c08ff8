"""Searches for registered models and their versions: filters, orders and pages."""

from step import Step, get, patch, post

MODELS = "registered-models/search"
VERSIONS = "model-versions/search"
NAMES = ["rs.alpha", "rs.Beta", "rs.beta", "rs.a_b", "rs.axb", "rs.100%", "rs.it's", 'rs."x"', "rs.ünï", "rs.ÜNÏ", "rs.雪", "rs. x", "rs.back\\slash"]
FILTERS = ["name = 'rs.alpha'", "name = 'RS.ALPHA'", "name != 'rs.alpha'", "name LIKE 'rs.b%'", "name LIKE 'rs.B%'", "name ILIKE 'RS.B%'", "name LIKE 'rs.a_b'", "name LIKE 'rs.a\\_b'", "name LIKE '%'", "name LIKE 'rs.100%'", "name LIKE 'rs.100\\%'",
           "name ILIKE '%ünï'", "name LIKE '%雪'", "name IN ('rs.alpha', 'rs.beta')", "name NOT IN ('rs.alpha', 'rs.beta')", "name IN ('nope')", 'name = "rs.it\'s"', "name = 'rs.\"x\"'", "attribute.name = 'rs.alpha'", "name = ''",
           "name = 'rs.back\\slash'", "name LIKE 'rs.back\\slash'", "name LIKE 'rs.back\\\\slash'", "tags.even = 'yes'", "tags.even != 'yes'", "tags.even != 'no'", "tags.even LIKE 'y%'", "tags.even LIKE 'Y%'", "tags.even ILIKE 'Y%'", "tag.even = 'yes'",
           "tags.`even` = 'yes'", 'tags."even" = \'yes\'', "tags.nope = 'x'", "tags.nope != 'x'", "tags.`a key` = '3'", "tags.`a key` = '3' AND tags.even = 'no'", "tags.even = 'yes' AND tags.even != 'no'", "tags.even = 'yes' AND tags.even = 'no'",
           "tags.even = 'yes' AND tags.`a key` LIKE '%' AND name LIKE 'rs.%'", "name LIKE 'rs.%' AND name != 'rs.alpha' AND name NOT IN ('rs.beta')", "name = 'rs.alpha' AND name = 'rs.beta'", "tags.`mlflow.note` = 'x'"]  # fmt: skip
OF_VERSIONS = ["name = 'rs.alpha'", "name LIKE 'rs.%'", "name ILIKE 'RS.B%'", "name IN ('rs.alpha', 'rs.beta')", "name NOT IN ('rs.alpha')", "name != 'rs.alpha'", "run_id = '{run}'", "run_id != '{run}'", "run_id LIKE '{run}'", "run_id ILIKE '%'", "run_id = ''",
               "run_id IN ('{run}', 'x')", "run_id NOT IN ('{run}')", "source_path = 's3://b/rs.alpha/1'", "source_path LIKE 's3://b/rs.%'", "source_path ILIKE 'S3://B/RS.A%'", "source_path != 's3://b/rs.alpha/1'", "version_number = 1", "version_number != 1",
               "version_number > 1", "version_number >= 2", "version_number < 2", "version_number <= 0", "version_number = '1'", "version_number > '1'", "version_number = -1", "version_number > 99999999999", "version_number = '9'", "tags.n = '1'", "tags.n != '1'",
               "tags.n LIKE '%'", "tags.n ILIKE '2'", "tags.nope = '1'", "tags.n = '1' AND tags.m = '1'", "tags.n = '1' AND run_id = '{run}'", "name = 'rs.alpha' AND version_number = 2", "name = 'rs.alpha' AND tags.n = '2'", "tags.`mlflow.prompt.is_prompt` = 'x'",
               "attribute.name = 'rs.alpha'", "attribute.version_number = 2", "attribute.run_id = '{run}'"]  # fmt: skip


def steps():
    yield post("experiments/create", {"name": "registry search"}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}"}, save={"run": "run.info.run_id"})
    for index, name in enumerate(NAMES):
        tags = [{"key": "even", "value": "no" if index % 2 else "yes"}, {"key": "a key", "value": str(index)}]
        yield post("registered-models/create", {"name": name, "tags": tags[: 1 + index % 3]})
        for number in range(1, 1 + index % 4):
            tags = [{"key": "n", "value": str(number)}, {"key": "m", "value": "1"}]
            body = {"name": name, "source": f"s3://b/{'rs.alpha' if index == 1 else name.replace('%', '')}/{number}", "tags": tags[: 1 + number % 2]}
            yield post("model-versions/create", body | ({"run_id": "{run}"} if number == 1 else {}))
    yield post("registered-models/alias", {"name": "rs.beta", "alias": "best", "version": "1"})
    yield post("model-versions/transition-stage", {"name": "rs.beta", "version": "1", "stage": "Production"})
    yield Step("DELETE", "/api/2.0/mlflow/model-versions/delete", {"name": "rs.a_b", "version": "3"})
    for name in ("rs.axb", "rs.alpha", "rs.雪", "rs.Beta"):
        yield patch("registered-models/update", {"name": name, "description": "touched"})
        # Time passes until the next one.
        for _ in range(4):
            yield get("registered-models/get", {"name": name})
    for filter_ in FILTERS:
        yield get(MODELS, {"filter": f"{filter_} AND name LIKE 'rs.%'", "max_results": 100})
    for filter_ in OF_VERSIONS:
        yield get(VERSIONS, {"filter": f"{filter_} AND name LIKE 'rs.%'", "order_by": ["name ASC", "version_number ASC"]})
    yield from orders()
    yield from pages()


def orders():
    mine = {"filter": "name LIKE 'rs.%'", "max_results": 100}
    touched = {"filter": "name IN ('rs.axb', 'rs.alpha', 'rs.雪', 'rs.Beta')"}
    for order in (["name"], ["name ASC"], ["name DESC"], ["NAME desc"], ["name", "timestamp"], ["name DESC", "last_updated_timestamp ASC"]):
        yield get(MODELS, {**mine, "order_by": order})
    for order in (["timestamp"], ["timestamp DESC"], ["last_updated_timestamp"], ["last_updated_timestamp DESC"], ["last_updated_timestamp ASC", "name DESC"], ["timestamp  asc"]):
        yield get(MODELS, {**touched, "order_by": order})
    for order in (["x"], [""], ["name x"], ["name ASC x"], ["name", "name"], ["timestamp", "last_updated_timestamp"], ["creation_timestamp"], ["version_number"], ["tags.even"], ["attribute.name"], ["name, timestamp"], ["name;"], [1]):
        yield get(MODELS, {**mine, "order_by": order})
    for order in (["name", "version_number"], ["version_number DESC", "name"], ["name DESC", "version_number ASC"], ["attribute.name", "attribute.version_number"], ["version_number"], ["version_number ASC", "name DESC"]):
        yield get(VERSIONS, {**mine, "order_by": order})
    # Versions of one model come to be one after the other.
    for order in (["creation_timestamp"], ["creation_timestamp DESC"], ["last_updated_timestamp ASC"], ["creation_timestamp ASC", "version_number ASC"]):
        yield get(VERSIONS, {"filter": "name = 'rs.a_b' AND version_number = 1", "order_by": order})
    for order in (["x"], [""], ["name x"], ["name", "name"], ["version"], ["timestamp"], ["run_id"], ["tags.n"], ["source_path"], ["creation_timestamp", "creation_timestamp DESC"], ["version_number;"], ["`name`"]):
        yield get(VERSIONS, {**mine, "order_by": order})


def pages():
    for path, size in ((MODELS, 5), (VERSIONS, 7)):
        mine = {"filter": "name LIKE 'rs.%'", "order_by": ["name DESC"], "max_results": size}
        yield get(path, mine, save={"first": "next_page_token"})
        yield get(path, {**mine, "page_token": "{first}"}, save={"second": "next_page_token"})
        yield get(path, {**mine, "page_token": "{second}"})
        # A token of the reference counts rows.
        for token in ("eyJvZmZzZXQiOiAyfQ==", "eyJvZmZzZXQiOiA5OTl9"):
            yield get(path, {**mine, "page_token": token})
        for token in ("x", "!!!", "bnVsbA==", "eyJ4IjogMX0=", "eyJvZmZzZXQiOiAieCJ9", ""):
            yield get(path, {**mine, "page_token": token})
        for size in ("x", "", 1.5, -1, 0, 200_001, 1001, 1000):
            why = {"differs": "a page of no models has no next one, and a negative number is no size of a page"} if path == MODELS and size in (-1, 0) else {}
            yield get(path, {**mine, "max_results": size}, **why)
    yield post(MODELS, {"filter": ""})
    yield get("/ajax-api/2.0/mlflow/registered-models/search", {"filter": "name LIKE 'rs.%'", "max_results": 2, "order_by": "name"})
