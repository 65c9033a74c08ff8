"""The life of registered models and their tags, and what can not be one."""

from step import Step, delete, get, patch, post

LONG = {"differs": "PostgreSQL holds shorter texts than SQLite, and each says so in its own words"}


def steps():
    tags = [{"key": "team", "value": "a"}, {"key": "team", "value": "b"}, {"key": "empty"}, {"key": "ünï", "value": "雪"}]
    yield post("registered-models/create", {"name": "life", "description": "first\nline", "tags": tags})
    yield post("registered-models/create", {"name": "life"})
    yield post("registered-models/create", {"name": "life", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]})
    yield post("registered-models/create", {"name": "bare"})
    yield post("registered-models/create", {"name": "job", "deployment_job_id": "7"})
    yield post("registered-models/create", {"name": "résumé 雪 (v1.0)", "description": ""})
    for name in ("life", "bare", "job", "résumé 雪 (v1.0)", "Life", "nope", "", " ", "a/b", "a:b", ".", "..", "\u00a0", "x" * 300, "a%2fb", "a\\b"):
        yield get("registered-models/get", {"name": name})
    for body in ({}, {"name": ""}, {"name": " "}, {"name": None}, {"name": 1}, {"name": ["x"]}, {"name": "a/b"}, {"name": "a:b"}, {"name": "."}, {"name": ".."}, {"name": "../x"},
                 {"name": "t1", "tags": "x"}, {"name": "t1", "tags": [{}]}, {"name": "t1", "tags": [{"key": ""}]}, {"name": "t1", "tags": [{"key": "a/../b", "value": "x"}]},
                 {"name": "t1", "tags": [{"key": "k" * 251, "value": "x"}]}, {"name": "t1", "tags": [{"key": "k", "value": "v" * 100_001}]}, {"name": "t1", "tags": [{"key": "🙂", "value": "x"}]},
                 {"name": "t1", "description": 5}, {"name": "t1", "tags": [{"key": 1, "value": "x"}]}, {"name": "t1", "tags": [1]}, {"name": "t1", "tags": [{"key": "k", "value": 1}]}):
        yield post("registered-models/create", body)
    yield post("registered-models/create", {"name": "n" * 257}, **LONG)
    yield post("registered-models/create", {"name": "long-words", "description": "d" * 5001}, **LONG)
    yield post("registered-models/create", {"name": "long-tag", "tags": [{"key": "k", "value": "v" * 5001}]}, **LONG)
    yield post("registered-models/create", raw=b"{")
    yield post("registered-models/create", raw=b"[]")
    yield post("registered-models/create", raw=b'{"name": "nul\\u0000"}', **LONG)
    yield Step("GET", "/api/2.0/mlflow/registered-models/create")

    yield patch("registered-models/update", {"name": "life", "description": "second"})
    yield patch("registered-models/update", {"name": "life"})
    yield patch("registered-models/update", {"name": "bare", "description": ""})
    for body in ({}, {"name": "nope", "description": "x"}, {"name": "a/b"}, {"name": "", "description": "x"}, {"name": "life", "description": 1}, {"description": "x"}):
        yield patch("registered-models/update", body)
    yield post("registered-models/update", {"name": "life", "description": "x"})
    yield get("registered-models/get", {"name": "life"})

    yield post("registered-models/set-tag", {"name": "life", "key": "team", "value": "c"})
    yield post("registered-models/set-tag", {"name": "life", "key": "new.key/with-all: of_it", "value": ""})
    yield post("registered-models/set-tag", {"name": "life", "key": "unset"})
    for body in ({}, {"name": "life"}, {"name": "life", "key": ""}, {"name": "nope", "key": "k", "value": "v"}, {"name": "a/b", "key": "k", "value": "v"}, {"key": "k", "value": "v"},
                 {"name": "life", "key": "k" * 251, "value": "v"}, {"name": "life", "key": "k", "value": "v" * 100_001}, {"name": "life", "key": "../k", "value": "v"},
                 {"name": "life", "key": "k?", "value": "v"}, {"name": "life", "key": "k", "value": 1}, {"name": 1, "key": "k", "value": "v"}, {"name": "nope", "key": "k?", "value": "v"}):
        yield post("registered-models/set-tag", body)
    yield get("registered-models/get", {"name": "life"})
    yield delete("registered-models/delete-tag", {"name": "life", "key": "team"})
    yield delete("registered-models/delete-tag", {"name": "life", "key": "team"})
    yield Step("DELETE", "/api/2.0/mlflow/registered-models/delete-tag", {"name": "life", "key": "unset"})
    for body in ({}, {"name": "life"}, {"name": "nope", "key": "k"}, {"name": "life", "key": ""}, {"name": "life", "key": "k?"}, {"name": "a/b", "key": "k"}, {"name": "life", "key": 5}):
        yield Step("DELETE", "/api/2.0/mlflow/registered-models/delete-tag", body)
    yield get("registered-models/get", {"name": "life"})

    yield post("model-versions/create", {"name": "life", "source": "s3://b/x", "tags": [{"key": "v", "value": "1"}]})
    yield post("model-versions/create", {"name": "life", "source": "s3://b/y"})
    yield post("registered-models/alias", {"name": "life", "alias": "best", "version": "1"})
    yield post("registered-models/rename", {"name": "life", "new_name": "afterlife"})
    yield get("registered-models/get", {"name": "life"})
    yield get("registered-models/get", {"name": "afterlife"})
    yield get("model-versions/get", {"name": "afterlife", "version": "1"})
    yield get("registered-models/alias", {"name": "afterlife", "alias": "best"})
    for body in ({}, {"name": "afterlife"}, {"new_name": "x"}, {"name": "afterlife", "new_name": ""}, {"name": "afterlife", "new_name": " "}, {"name": "afterlife", "new_name": "a/b"},
                 {"name": "afterlife", "new_name": ".."}, {"name": "nope", "new_name": "x"}, {"name": "a/b", "new_name": "x"}, {"name": "afterlife", "new_name": 1}, {"name": "nope", "new_name": "bare"}):
        yield post("registered-models/rename", body)
    yield post("registered-models/rename", {"name": "afterlife", "new_name": "bare"})
    yield post("registered-models/rename", {"name": "bare", "new_name": "bare"})
    yield post("registered-models/rename", {"name": "bare", "new_name": "n" * 257}, **LONG)

    yield Step("DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": "afterlife"})
    yield Step("DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": "afterlife"})
    for query in ({}, {"name": ""}, {"name": "nope"}, {"name": "a/b"}):
        yield delete("registered-models/delete", query)
        yield Step("DELETE", "/api/2.0/mlflow/registered-models/delete", query)
    yield delete("registered-models/delete", {"name": "job"})
    yield get("registered-models/get", {"name": "job"})
    yield get("model-versions/get", {"name": "afterlife", "version": "1"})
    yield post("registered-models/create", {"name": "afterlife"})
    yield post("model-versions/create", {"name": "afterlife", "source": "s3://b/again"})
    yield get("registered-models/get", {"name": "afterlife"})
    yield get("/ajax-api/2.0/mlflow/registered-models/get", {"name": "afterlife"})
