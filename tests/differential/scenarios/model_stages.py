"""Stages of model versions, and the latest version of each."""

from step import get, post

TRANSITION = "model-versions/transition-stage"
LATEST = "registered-models/get-latest-versions"
NOT_ACTIVE = {"differs": "a stage that no version takes over is an error of the client", "expect": (400, "INVALID_PARAMETER_VALUE")}


def steps():
    yield post("registered-models/create", {"name": "staged"})
    yield get("registered-models/get", {"name": "staged"})
    yield get(LATEST, {"name": "staged"})
    for number in range(1, 6):
        yield post("model-versions/create", {"name": "staged", "source": f"s3://b/{number}", "tags": [{"key": "n", "value": str(number)}]})
    yield post(LATEST, {"name": "staged"})
    yield post(TRANSITION, {"name": "staged", "version": "1", "stage": "Staging"})
    yield post(TRANSITION, {"name": "staged", "version": "2", "stage": "sTAGING"})
    yield post(TRANSITION, {"name": "staged", "version": "3", "stage": "Production", "archive_existing_versions": True})
    yield post("registered-models/alias", {"name": "staged", "alias": "two", "version": "2"})
    for stages in ([], ["Staging"], ["staging", "PRODUCTION"], ["None"], ["Archived"], ["none", "None"]):
        yield post(LATEST, {"name": "staged", "stages": stages})
    for stages in (["x"], [""], ["Staging", "x"], "Staging", [1], ["Deleted_Internal"]):
        yield post(LATEST, {"name": "staged", "stages": stages})
    yield get(LATEST, {"name": "staged", "stages": "Staging"})
    yield get(LATEST, {"name": "staged", "stages": ["Staging", "Production"]})
    for query in ({}, {"name": ""}, {"name": "nope"}, {"name": "a/b"}, {"name": "nope", "stages": "x"}, {"name": "staged", "stages": "x"}, {"name": "staged", "stages": ""}):
        yield get(LATEST, query)
        yield post(LATEST, query)
    yield post(TRANSITION, {"name": "staged", "version": "4", "stage": "Staging", "archive_existing_versions": True})
    yield get("model-versions/search", {"filter": "name = 'staged'", "order_by": "version_number ASC"})
    yield post(LATEST, {"name": "staged", "stages": ["Archived"]})
    yield post(TRANSITION, {"name": "staged", "version": "4", "stage": "Staging", "archive_existing_versions": True})
    yield post(TRANSITION, {"name": "staged", "version": "3", "stage": "Archived"})
    yield post(TRANSITION, {"name": "staged", "version": "3", "stage": "None", "archive_existing_versions": False})
    yield get("registered-models/search", {"filter": "name = 'staged'"})
    for body in ({}, {"name": "staged"}, {"name": "staged", "version": "1"}, {"name": "staged", "stage": "Staging"}, {"version": "1", "stage": "Staging"}, {"name": "staged", "version": "1", "stage": ""},
                 {"name": "staged", "version": "1", "stage": "x"}, {"name": "nope", "version": "1", "stage": "x"}, {"name": "nope", "version": "1", "stage": "Staging"},
                 {"name": "staged", "version": "99", "stage": "Staging"}, {"name": "staged", "version": "99", "stage": "Staging", "archive_existing_versions": True}, {"name": "staged", "version": "x", "stage": "Staging"},
                 {"name": "a/b", "version": "1", "stage": "Staging"}, {"name": "staged", "version": "1", "stage": "Staging", "archive_existing_versions": "x"}, {"name": "staged", "version": "1", "stage": "Staging", "archive_existing_versions": 1},
                 {"name": "staged", "version": "1", "stage": "Deleted_Internal"}, {"name": "staged", "version": "1", "stage": 1}, {"name": "staged", "version": "1", "stage": " Staging"}):
        yield post(TRANSITION, body)
    yield get(TRANSITION, {"name": "staged", "version": "1", "stage": "Staging"})
    for stage in ("Archived", "none"):
        yield post(TRANSITION, {"name": "staged", "version": "1", "stage": stage, "archive_existing_versions": True}, **NOT_ACTIVE)
    # A refused transition archives nothing.
    yield get("model-versions/get", {"name": "staged", "version": "4"})
    yield post(TRANSITION, {"name": "staged", "version": " 1 ", "stage": "Production"})
    yield get("registered-models/get", {"name": "staged"})
