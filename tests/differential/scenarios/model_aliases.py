"""Aliases of model versions: what they may be, and that a version has them."""

from step import Step, delete, get, patch, post

ALIAS = "/api/2.0/mlflow/registered-models/alias"
GOOD = ("champion", "Champion", "a-b_c", "ünï", "雪", "x" * 255, "v", "V", "v1a", "1v", "version1", "latest1", "1", "_", "-")
BAD = ("", " ", "a b", "a.b", "a/b", "a:b", "a@b", "🙂", "x" * 256, "latest", "Latest", "LATEST", "v1", "V12", "v0", "v٣", "v1\n", "a\n", "a\nb", "%61")


def steps():
    yield post("registered-models/create", {"name": "named"})
    for number in range(1, 4):
        yield post("model-versions/create", {"name": "named", "source": f"s3://b/{number}"})
    for alias in GOOD:
        yield post(ALIAS, {"name": "named", "alias": alias, "version": "1"})
    for alias in BAD:
        yield post(ALIAS, {"name": "named", "alias": alias, "version": "1"})
        yield get(ALIAS, {"name": "named", "alias": alias})
        yield Step("DELETE", ALIAS, {"name": "named", "alias": alias})
    for alias in ("champion", "CHAMPION", "nope", "ünï", "v", "1"):
        yield get(ALIAS, {"name": "named", "alias": alias})
    yield post(ALIAS, {"name": "named", "alias": "champion", "version": "2"})
    yield post(ALIAS, {"name": "named", "alias": "champion", "version": "2"})
    yield post(ALIAS, {"name": "named", "alias": "other", "version": " 2 "})
    yield get(ALIAS, {"name": "named", "alias": "champion"})
    yield get("model-versions/get", {"name": "named", "version": "1"})
    yield get("model-versions/get", {"name": "named", "version": "2"})
    yield patch("model-versions/update", {"name": "named", "version": "2", "description": "with aliases"})
    yield post("model-versions/transition-stage", {"name": "named", "version": "2", "stage": "Staging"})
    yield post("registered-models/get-latest-versions", {"name": "named"})
    yield get("model-versions/search", {"filter": "name = 'named'", "order_by": "version_number ASC"})
    yield get("registered-models/get", {"name": "named"})
    yield get("registered-models/search", {"filter": "name = 'named'"})
    for body in ({}, {"name": "named"}, {"alias": "a", "version": "1"}, {"name": "named", "alias": "a"}, {"name": "named", "version": "1"}, {"name": "nope", "alias": "a", "version": "1"}, {"name": "a/b", "alias": "a", "version": "1"},
                 {"name": "named", "alias": "a", "version": "99"}, {"name": "named", "alias": "a", "version": "x"}, {"name": "named", "alias": "a", "version": ""}, {"name": "named", "alias": 1, "version": "1"},
                 {"name": "named", "alias": "a", "version": 1}, {"name": "named", "alias": "a b", "version": "x"}, {"name": "nope", "alias": "latest", "version": "1"}, {"name": "named", "alias": "a", "version": "9" * 30}):
        yield post(ALIAS, body)
    for query in ({}, {"name": "named"}, {"alias": "champion"}, {"name": "nope", "alias": "champion"}, {"name": "nope", "alias": "latest"}, {"name": "a/b", "alias": "champion"}, {"name": "", "alias": "x"}, {"name": "named", "alias": ""}):
        yield get(ALIAS, query)
        yield Step("DELETE", ALIAS, query)
    yield get(ALIAS, {"name": "named", "alias": "latest"})
    yield Step("DELETE", "/api/2.0/mlflow/model-versions/delete", {"name": "named", "version": "3"})
    yield get(ALIAS, {"name": "named", "alias": "LATEST"})
    yield Step("DELETE", "/api/2.0/mlflow/model-versions/delete", {"name": "named", "version": "2"})
    yield get(ALIAS, {"name": "named", "alias": "champion"})
    yield Step("DELETE", ALIAS, {"name": "named", "alias": "ünï"})
    yield Step("DELETE", ALIAS, {"name": "named", "alias": "ünï"})
    yield delete(ALIAS, {"name": "named", "alias": "雪"})
    yield get("registered-models/get", {"name": "named"})
    yield post("registered-models/create", {"name": "unversioned"})
    yield get(ALIAS, {"name": "unversioned", "alias": "latest"})
