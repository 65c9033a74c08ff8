"""Experiments and their tags."""

from step import Step, get, post

WRONG_TYPES = [None, 1, 1.5, True, [], {}, ["a"]]


def steps():
    yield post("experiments/create", {"name": "first"}, save={"first": "experiment_id"})
    yield get("experiments/get", {"experiment_id": "{first}"})
    yield get("experiments/get", {"experiment_id": "0"})
    yield get("experiments/get-by-name", {"experiment_name": "first"})
    yield get("experiments/get-by-name", {"experiment_name": "nothing"})
    yield get("experiments/get-by-name")
    for bad in ("", "x", "-1", "1.5", "99999", " 0 ", "0x1", "1e3", "9999999999"):
        yield get("experiments/get", {"experiment_id": bad})
    yield get("experiments/get")
    yield post("experiments/create", {"name": "first"})
    for name in ("", "a" * 500, "a" * 501, "résumé 雪 😀", " ", "a/b\\c'\"", "with\nnewline"):
        yield post("experiments/create", {"name": name})
    for value in WRONG_TYPES:
        yield post("experiments/create", {"name": value})
    yield post("experiments/create", {})
    yield post("experiments/create", {"Name": "x"})
    for raw in (b"", b"{", b"null", b"[]", b"3", b'"x"', b'"{\\"name\\": \\"double-encoded\\"}"', b"\xff\xfe"):
        yield post("experiments/create", raw=raw)
    yield post("experiments/create", {"name": "no type"}, headers={"Content-Type": None})
    yield post("experiments/create", {"name": "text type"}, headers={"Content-Type": "text/plain"})
    yield post("experiments/create", {"name": "charset"}, headers={"Content-Type": "application/json; charset=utf-8"})
    yield post("experiments/create", raw=b'{"name": "twice-a", "name": "twice-b"}')
    yield get("experiments/get-by-name", {"experiment_name": "twice-b"})
    yield post("experiments/create", {"name": "both", "artifact_location": "/tmp/a", "artifactLocation": "/tmp/b"})
    yield post("experiments/create", {"name": "camel", "artifactLocation": "/tmp/ferroflow-camel"})
    yield get("experiments/get-by-name", {"experiment_name": "camel"})
    for number, location in enumerate(
        ["s3://bucket/x", "/tmp/x", "file:///tmp/x", "http://h/x", "ftp://h/x", "s3://b/x#y", "s3://b/x?y=..", "runs:/x",
         "s3://b/x;y", "http://h/x;y", "s3://b/" + "a" * 2048, "mlflow-artifacts:/x", "hdfs://h/x", "dbfs:/x", "gs://b"]
    ):
        yield post("experiments/create", {"name": f"at-{number}", "artifact_location": location},
                   save={f"at{number}": "experiment_id"})
    yield get("experiments/get", {"experiment_id": "{at0}"})
    yield get("experiments/get", {"experiment_id": "{at2}"})
    yield post("experiments/create", {"name": "tagged", "tags": [{"key": "a", "value": "1"}, {"key": "b"}]},
               save={"tagged": "experiment_id"})
    yield get("experiments/get", {"experiment_id": "{tagged}"})
    for tags in ([{"key": "", "value": "x"}], [{"value": "x"}], [{"key": "k" * 251, "value": "x"}], {}, "x", [1],
                 [{"key": "k" * 250, "value": "v" * 20000}], [{"key": "big", "value": "v" * 20001}]):
        yield post("experiments/create", {"name": f"tags-{len(str(tags))}", "tags": tags})

    for key, value in (("k", "v"), ("k", "w"), ("", "x"), ("a/b c.d-e_f:g", "x"), ("bad#key", "x"), ("../x", "x"),
                       ("/abs", "x"), ("a//b", "x"), (".", "x"), ("k" * 250, "x"), ("k" * 251, "x"), ("ü", "雪"),
                       ("empty", ""), ("long", "v" * 20000), ("longer", "v" * 20001)):
        yield post("experiments/set-experiment-tag", {"experiment_id": "{first}", "key": key, "value": value})
    yield post("experiments/set-experiment-tag", {"experiment_id": "{first}", "key": "novalue"})
    yield post("experiments/set-experiment-tag", {"experiment_id": "12345", "key": "k", "value": "v"})
    yield post("experiments/set-experiment-tag", {"experiment_id": "{first}", "key": 3, "value": "v"})
    yield post("experiments/set-experiment-tag", {"experiment_id": "{first}", "key": "k", "value": 3})
    yield post("experiments/set-experiment-tag", {"key": "k", "value": "v"})
    yield get("experiments/get", {"experiment_id": "{first}"})
    yield post("experiments/delete-experiment-tag", {"experiment_id": "{first}", "key": "k"})
    yield post("experiments/delete-experiment-tag", {"experiment_id": "{first}", "key": "k"})
    yield post("experiments/delete-experiment-tag", {"experiment_id": "{first}"})
    yield post("experiments/delete-experiment-tag", {"experiment_id": "12345", "key": "k"})

    yield post("experiments/update", {"experiment_id": "{first}", "new_name": "renamed"})
    yield post("experiments/update", {"experiment_id": "{first}", "new_name": ""})
    yield post("experiments/update", {"experiment_id": "{first}"})
    yield post("experiments/update", {"experiment_id": "12345", "new_name": "x"})
    yield post("experiments/update", {"experiment_id": "{first}", "new_name": "n" * 501})
    yield get("experiments/get", {"experiment_id": "{first}"})
    yield post("runs/create", {"experiment_id": "{first}", "run_name": "in it"}, save={"run": "run.info.run_id"})
    yield post("experiments/delete", {"experiment_id": "{first}"})
    yield post("experiments/delete", {"experiment_id": "{first}"})
    yield post("experiments/delete", {"experiment_id": "nope"})
    yield post("experiments/delete", {})
    yield get("experiments/get", {"experiment_id": "{first}"})
    yield get("runs/get", {"run_id": "{run}"})
    yield post("experiments/update", {"experiment_id": "{first}", "new_name": "dead"})
    yield post("experiments/set-experiment-tag", {"experiment_id": "{first}", "key": "k", "value": "v"})
    yield post("runs/create", {"experiment_id": "{first}"})
    yield post("experiments/create", {"name": "renamed"})
    yield post("experiments/restore", {"experiment_id": "{first}"})
    yield post("experiments/restore", {"experiment_id": "{first}"})
    yield get("runs/get", {"run_id": "{run}"})
    # The same call under the other prefix.
    yield Step("GET", "/ajax-api/2.0/mlflow/experiments/get", query={"experiment_id": "{first}"})
