"""The life of model versions, their tags, and the way to their files."""

from step import Step, delete, get, patch, post

#: What stands in a request for a version that is not there, and for what is no number.
VERSIONS = ("3", "0", "-1", "99999999999", "9" * 30, "x", "", " 1 ", "1.0", "1_0", "+1", "01", "latest", "None")
LONG = {"differs": "PostgreSQL holds shorter texts than SQLite, and each says so in its own words"}
DELETE = "/api/2.0/mlflow/model-versions/delete"
DELETE_TAG = "/api/2.0/mlflow/model-versions/delete-tag"


def steps():
    yield post("experiments/create", {"name": "versions"}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}"}, save={"run": "run.info.run_id"})
    yield post("registered-models/create", {"name": "ver"})
    tags = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "none"}]
    yield post("model-versions/create", {"name": "ver", "source": "s3://bucket/one", "run_id": "{run}", "run_link": "http://elsewhere/1", "description": "first", "tags": tags})
    yield post("model-versions/create", {"name": "ver", "source": "s3://bucket/two"})
    yield post("model-versions/create", {"name": "ver", "source": "s3://bucket/gone", "run_id": "nothing-has-this-id"})
    for body in ({}, {"name": "ver"}, {"source": "s3://b/x"}, {"name": "ver", "source": ""}, {"name": "", "source": "s3://b/x"}, {"name": "nope", "source": "s3://b/x"}, {"name": "a/b", "source": "s3://b/x"},
                 {"name": "ver", "source": 1}, {"name": "ver", "source": "s3://b/x", "tags": "x"}, {"name": "ver", "source": "s3://b/x", "tags": [{}]}, {"name": "ver", "source": "s3://b/x", "run_id": 5},
                 {"name": "ver", "source": "s3://b/x", "tags": [{"key": "k" * 251, "value": "x"}]}, {"name": "ver", "source": "s3://b/x", "tags": [{"key": "k", "value": "v" * 100_001}]},
                 {"name": "ver", "source": "s3://b/x", "tags": [{"key": "mlflow.prompt.text", "value": "v" * 100_001}]}, {"name": "ver", "source": "s3://b/x", "tags": [{"key": "k?", "value": "x"}]},
                 {"name": "ver", "source": "s3://b/x", "description": 1}, {"name": "ver", "source": "s3://b/x", "run_link": 1}, {"name": "ver", "source": "s3://b/x", "model_id": 1}, {"name": 1, "source": "s3://b/x"}):
        yield post("model-versions/create", body)
    yield post("model-versions/create", {"name": "ver", "source": "s3://b/" + "x" * 500}, **LONG)
    yield get("model-versions/get", {"name": "ver", "version": "1"})
    yield get("model-versions/get", {"name": "ver", "version": "2"})
    for version in VERSIONS:
        yield get("model-versions/get", {"name": "ver", "version": version})
        yield get("model-versions/get-download-uri", {"name": "ver", "version": version})
    for query in ({}, {"name": "ver"}, {"version": "1"}, {"name": "nope", "version": "1"}, {"name": "a/b", "version": "1"}, {"name": "", "version": "x"}, {"name": " ", "version": "1"}):
        yield get("model-versions/get", query)
        yield get("model-versions/get-download-uri", query)
    yield get("model-versions/get-download-uri", {"name": "ver", "version": "1"})

    yield patch("model-versions/update", {"name": "ver", "version": "1", "description": "zweite 雪"})
    yield patch("model-versions/update", {"name": "ver", "version": "1", "description": ""})
    yield patch("model-versions/update", {"name": "ver", "version": "1"})
    for body in ({}, {"name": "ver"}, {"version": "1"}, {"name": "ver", "version": "99"}, {"name": "nope", "version": "1"}, {"name": "ver", "version": "x"}, {"name": "ver", "version": 1},
                 {"name": "ver", "version": "1", "description": 1}, {"name": "a/b", "version": "1"}, {"name": "ver", "version": ""}):
        yield patch("model-versions/update", body)
    yield get("model-versions/get", {"name": "ver", "version": "1"})
    yield get("registered-models/get", {"name": "ver"})

    yield post("model-versions/set-tag", {"name": "ver", "version": "1", "key": "a", "value": "3"})
    yield post("model-versions/set-tag", {"name": "ver", "version": "1", "key": "b", "value": ""})
    yield post("model-versions/set-tag", {"name": "ver", "version": "1", "key": "c"})
    yield post("model-versions/set-tag", {"name": "ver", "version": " 1 ", "key": "long", "value": "v" * 100_000})
    yield get("model-versions/get", {"name": "ver", "version": "1"})
    for body in ({}, {"name": "ver", "version": "1"}, {"name": "ver", "key": "k"}, {"version": "1", "key": "k"}, {"name": "ver", "version": "99", "key": "k", "value": "v"}, {"name": "nope", "version": "1", "key": "k", "value": "v"},
                 {"name": "ver", "version": "x", "key": "k", "value": "v"}, {"name": "ver", "version": "1", "key": "k?", "value": "v"}, {"name": "ver", "version": "1", "key": "", "value": "v"},
                 {"name": "ver", "version": "1", "key": "k", "value": "v" * 100_001}, {"name": "ver", "version": "1", "key": "mlflow.prompt.text", "value": "v" * 100_001},
                 {"name": "ver", "version": "1", "key": "k" * 251, "value": "v"}, {"name": "a/b", "version": "1", "key": "k", "value": "v"}, {"name": "ver", "version": "1", "key": "k", "value": 2}):
        yield post("model-versions/set-tag", body)
    yield Step("DELETE", DELETE_TAG, {"name": "ver", "version": "1", "key": "a"})
    yield Step("DELETE", DELETE_TAG, {"name": "ver", "version": "1", "key": "a"})
    yield delete("model-versions/delete-tag", {"name": "ver", "version": "1", "key": "b"})
    for body in ({}, {"name": "ver", "version": "1"}, {"name": "ver", "version": "99", "key": "k"}, {"name": "nope", "version": "1", "key": "k"}, {"name": "ver", "version": "x", "key": "k"},
                 {"name": "ver", "version": "1", "key": "k?"}, {"name": "a/b", "version": "1", "key": "k"}, {"name": "ver", "version": "", "key": "k"}):
        yield Step("DELETE", DELETE_TAG, body)

    yield post("registered-models/alias", {"name": "ver", "alias": "one", "version": "1"})
    yield Step("DELETE", DELETE, {"name": "ver", "version": "1"})
    yield Step("DELETE", DELETE, {"name": "ver", "version": "1"})
    for body in ({}, {"name": "ver"}, {"version": "2"}, {"name": "ver", "version": "99"}, {"name": "nope", "version": "1"}, {"name": "ver", "version": "x"}, {"name": "a/b", "version": "1"},
                 {"name": "a/b", "version": "x"}, {"name": "ver", "version": ""}):
        yield Step("DELETE", DELETE, body)
    yield get("model-versions/get", {"name": "ver", "version": "1"})
    yield get("model-versions/get-download-uri", {"name": "ver", "version": "1"})
    yield get("registered-models/alias", {"name": "ver", "alias": "one"})
    yield post("model-versions/set-tag", {"name": "ver", "version": "1", "key": "a", "value": "3"})
    yield patch("model-versions/update", {"name": "ver", "version": "1", "description": "x"})
    yield post("registered-models/alias", {"name": "ver", "alias": "one", "version": "1"})
    yield get("registered-models/get", {"name": "ver"})
    yield delete("model-versions/delete", {"name": "ver", "version": "3"})
    yield post("model-versions/create", {"name": "ver", "source": "s3://bucket/next"})
    yield get("model-versions/search", {"filter": "name = 'ver'", "order_by": "version_number ASC"})
    yield from files()


def files():
    """``/model-versions/get-artifact``, with which the UI shows the schema of a model."""
    yield Step("PUT", "/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/model/MLmodel", raw=b"flavors: {}\n")
    yield post("model-versions/create", {"name": "ver", "source": "mlflow-artifacts:/{exp}/{run}/artifacts/model", "run_id": "{run}"}, save={"files": "model_version.version"})
    page = "/model-versions/get-artifact"
    yield get(page, {"name": "ver", "version": "{files}", "path": "MLmodel"})
    for query in ({"name": "ver", "version": "{files}", "path": "nope"}, {"name": "ver", "version": "{files}"}, {"name": "ver", "path": "MLmodel"}, {"version": "{files}", "path": "MLmodel"}, {},
                  {"name": "ver", "version": "99", "path": "MLmodel"}, {"name": "nope", "version": "1", "path": "MLmodel"}, {"name": "ver", "version": "x", "path": "MLmodel"},
                  {"name": "ver", "version": "{files}", "path": "../MLmodel"}, {"name": "ver", "version": "{files}", "path": "/etc/passwd"}, {"name": "ver", "version": "{files}", "path": "a/%2e%2e/%2e%2e/x"},
                  {"name": "ver", "version": "{files}", "path": "x#y"}, {"name": "a/b", "version": "1", "path": "MLmodel"}, {"name": "ver", "version": "1", "path": "MLmodel"}):
        yield get(page, query)
    yield Step("HEAD", page, query={"name": "ver", "version": "{files}", "path": "MLmodel"})
    yield post(page, {"name": "ver"})
