"""Sources of model versions: those of the caller's own runs and models, and all the ways to other people's files."""

from step import get, post

CREATE = "model-versions/create"
WORDS = {"differs": "the reference fails; ferroflow says what is wrong with the source", "expect": (400, "INVALID_PARAMETER_VALUE")}

#: Refused whatever the request says of a run.
BAD = ["../x", "./x", "x", "x/y", "/etc", "/etc/passwd", "//etc", "/", "file:///etc/passwd", "file:/etc", "file:etc", "FILE:///etc", "file://localhost/etc", "file://127.0.0.1/etc", "file://./etc", "C:\\windows", "c:/x",
       "\\\\server\\share", "databricks", "s3://b", "s3://b/", "s3:b/x", "s3:/b/../x", "s3://b/../x", "s3://b/a/../../x", "s3://b/./x", "s3://b/x/.", "s3://b/x/..", "s3://b/%2e%2e/x", "s3://b/%2E%2E%2Fx", "s3://b/..%2fx",
       "s3://b/%252e%252e/x", "s3://b/a%00", "s3://b/a\u0000", "s3://b/a?x=../y", "s3://b/a?x=/../y", "s3://b/a#/../y", "s3://b?x=/../y", "gs://b/../x", "dbfs:/x/../y", "wasbs://c@a/..", "weird:x", "weird:",
       "http://evil/x", "https://evil/x", "HTTP://evil/x", "ftp://evil/x", "sftp://evil/x", "hdfs://evil/x", "viewfs://evil/x", "abfss://f@evil/x", "r2://b@evil/x", "b2://b@evil/x", "mlflow-artifacts://evil/x", "mlflow-artifacts://evil:99999/x",
       "http:///x", "ftp:///x", "http://evil\\@good/x", "http://e vil/x", "https://evil:x/y", "mlflow-artifacts:/", "mlflow-artifacts:", "mlflow-artifacts:x", "mlflow-artifacts:/../x", "mlflow-artifacts:/{exp}/../x",
       "mlflow-artifacts:/{exp}", "mlflow-artifacts:/{exp}/{other}/artifacts/model", "mlflow-artifacts:/{exp}/{run}/artifacts2", "mlflow-artifacts:/{exp}/{run}", "mlflow-artifacts:/{exp}/{run}/artifacts/../../{other}",
       "mlflow-artifacts:/{exp}/{run}/artifacts/%2e%2e/x", "mlflow-artifacts:/{exp}/models/{model}/artifacts", "runs:/{other}/model", "runs://{run}/model", "runs:/nope/x", "runs:/{run}/../x", "models:/{model}", "models://host/src/1",
       "models:src/1", "models:/src/1/2", "models:/src/", "models:/ /1", "models:/nope/1", "models:/src/99", "models:/src/x", "models:/src@nope", "models:/a:b/1", "models:/src/Deleted_Internal",
       "sqlitefoo:/x", "mysql+a+b:/x", "runs:/", "runs:x"]  # fmt: skip
#: These the reference answers with a 500.
CRASH = ["file://server/x", "models:/src/Staging", "http://[x/y", "http://]/x", "s3://[1.2.3.4]/x"]
#: Fine, in the run that the request names or wherever they are.
GOOD = ["s3://b/x", "s3://b/x/", "s3://b//x", "S3://B/x", "gs://b/a b", "s3://b/a+b", "s3://b/%41", "s3://b/x?y=z", "s3://b/x#y", "dbfs:/x/..y", "wasbs://c@a/x", "weird:/x", "weird://h/x",
        "mlflow-artifacts:/{exp}/{run}/artifacts", "mlflow-artifacts:/{exp}/{run}/artifacts/", "mlflow-artifacts:/{exp}/{run}/artifacts/model", "MLFLOW-ARTIFACTS:/{exp}/{run}/artifacts/model", "mlflow-artifacts:///{exp}/{run}/artifacts/x",
        "mlflow-artifacts:/{exp}/{run}/%61rtifacts/x", "runs:/{run}/model", "runs:/{run}", "runs:/{run}/a/b c"]  # fmt: skip


def steps():
    yield post("experiments/create", {"name": "sources"}, save={"exp": "experiment_id"})
    yield post("runs/create", {"experiment_id": "{exp}"}, save={"run": "run.info.run_id"})
    yield post("runs/create", {"experiment_id": "{exp}"}, save={"other": "run.info.run_id"})
    yield post("logged-models", {"experiment_id": "{exp}", "name": "m", "source_run_id": "{run}"}, save={"model": "model.info.model_id"})
    yield post("logged-models", {"experiment_id": "{exp}", "name": "n"}, save={"orphan": "model.info.model_id"})
    yield post("registered-models/create", {"name": "src"})
    yield post("registered-models/create", {"name": "dst"})
    yield post("registered-models/create", {"name": "judged"})
    yield post("registered-models/create", {"name": "src.prompt", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]})
    yield post(CREATE, {"name": "src.prompt", "source": "dummy-source", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]})
    yield post(CREATE, {"name": "src", "source": "s3://b/first", "run_id": "{run}"})
    for source in BAD:
        yield post(CREATE, {"name": "dst", "source": source, "run_id": "{run}"})
    for source in CRASH:
        yield post(CREATE, {"name": "dst", "source": source, "run_id": "{run}"}, **WORDS)
    for source in GOOD:
        yield post(CREATE, {"name": "dst", "source": source, "run_id": "{run}"})
        if "{run}" in source:
            yield post(CREATE, {"name": "dst", "source": source})
            yield post(CREATE, {"name": "dst", "source": source, "run_id": "{other}"})
            yield post(CREATE, {"name": "dst", "source": source, "run_id": "nope"})
            yield post(CREATE, {"name": "dst", "source": source, "model_id": "{model}"})
    yield post(CREATE, {"name": "nope", "source": "/etc"})
    yield post(CREATE, {"name": "a/b", "source": "/etc"})
    yield post(CREATE, {"name": "a/b", "source": "s3://b/x", "tags": [{"key": "k?"}]})
    yield from local_paths()
    yield from logged_models()
    yield from registered_models()
    yield from deleted()


def local_paths():
    """Paths of the server's machine, which nobody writes to here."""
    for name, location in (("file", "file:///nowhere/of%20runs"), ("plain", "/nowhere/plain")):
        yield post("experiments/create", {"name": f"sources {name}", "artifact_location": location}, save={"local": "experiment_id"})
        yield post("runs/create", {"experiment_id": "{local}"}, save={"mine": "run.info.run_id", "root": "run.info.artifact_uri"})
        yield post("runs/create", {"experiment_id": "{local}"}, save={"theirs": "run.info.artifact_uri"})
        yield post("logged-models", {"experiment_id": "{local}", "name": "local"}, save={"local_model": "model.info.model_id", "model_root": "model.info.artifact_uri"})
        for source in ("{root}", "{root}/", "{root}/model", "{root}/a/./b", "{root}//x", "{root}/%41", "{root}2", "{root}/..", "{root}/../artifacts2", "{root}/%2e%2e/x", "{root}/%252e%252e/x", "{root}?x", "{root}#x", "{theirs}", "{model_root}",
                       "/nowhere", "/nowhere/of runs", "file://localhost/nowhere"):
            yield post(CREATE, {"name": "dst", "source": source, "run_id": "{mine}"})
        yield post(CREATE, {"name": "judged", "source": "{root}/new/../x", "run_id": "{mine}"},
                   differs="what lies behind a directory that is not there can not be judged", expect=(400, "INVALID_PARAMETER_VALUE"))
        yield post(CREATE, {"name": "dst", "source": "{root}"})
        yield post(CREATE, {"name": "dst", "source": "{root}", "run_id": ""})
        yield post(CREATE, {"name": "dst", "source": "{root}", "run_id": "nope"})
        yield post(CREATE, {"name": "dst", "source": "{root}", "run_id": "{run}"})
        for source in ("{model_root}", "{model_root}/x", "{model_root}/../x", "{root}", "/etc"):
            yield post(CREATE, {"name": "dst", "source": source, "model_id": "{local_model}"})
            yield post(CREATE, {"name": "dst", "source": source, "model_id": "{local_model}", "run_id": "{mine}"})
        yield post(CREATE, {"name": "dst", "source": "{model_root}", "model_id": "m-nope"})


def logged_models():
    for source in ("models:/{model}", "mlflow-artifacts:/{exp}/models/{model}/artifacts", "mlflow-artifacts:/{exp}/models/{model}/artifacts/x", "s3://b/x"):
        yield post(CREATE, {"name": "dst", "source": source, "model_id": "{model}"})
        yield post(CREATE, {"name": "dst", "source": source, "model_id": "{model}", "run_id": "{other}"})
        yield post(CREATE, {"name": "dst", "source": source, "model_id": "{orphan}"})
        yield post(CREATE, {"name": "dst", "source": source, "model_id": "m-nope"})
        yield post(CREATE, {"name": "dst", "source": source})
    for source in ("/etc", "runs:/{run}/model", "models:/src/1", "mlflow-artifacts:/{exp}/models/{model}/../x", "mlflow-artifacts:/{exp}/models/{model}", "../x", "models:/m-nope", "http://evil/x", "models://h/{model}"):
        yield post(CREATE, {"name": "dst", "source": source, "model_id": "{model}"})
    yield post(CREATE, {"name": "dst", "source": "models:/m-nope", "model_id": "m-nope"}, **WORDS)
    yield post(CREATE, {"name": "dst", "source": "models:/{orphan}", "model_id": "{orphan}"})
    yield get("logged-models/{model}")
    yield get("logged-models/{orphan}")


def registered_models():
    yield post(CREATE, {"name": "src", "source": "s3://b/second"})
    yield post("registered-models/alias", {"name": "src", "alias": "best", "version": "1"})
    yield post("model-versions/transition-stage", {"name": "src", "version": "1", "stage": "Production"})
    for source in ("models:/src/1", "models:/src/01", "models:/src/2", "models:/src/latest", "models:/src/LATEST", "models:/src@best", "models:/src@latest", "models:/src/Production", "models:/src/production", "models:///src/1", "models:/src/1?x"):
        yield post(CREATE, {"name": "dst", "source": source}, save={"copy": "model_version.version"})
        yield get("model-versions/get-download-uri", {"name": "dst", "version": "{copy}"})
    # A copy of a copy leads to the files of the first.
    yield post(CREATE, {"name": "dst", "source": "models:/dst/{copy}"}, save={"again": "model_version.version"})
    yield get("model-versions/get-download-uri", {"name": "dst", "version": "{again}"})
    for body in ({"source": "models:/src/1", "run_id": "{run}"}, {"source": "models:/src/1", "run_id": "{other}"}, {"source": "models:/src/1", "run_id": ""}, {"source": "models:/src/2", "run_id": ""}, {"source": "models:/src/2", "run_id": "{run}"},
                 {"source": "models:/src/1", "model_id": "{model}"}, {"source": "models:/src/1", "model_id": ""}, {"source": "models:/src.prompt/1"}, {"source": "models:/src.prompt@latest"}, {"source": "models:/never-made/1"}):
        yield post(CREATE, {"name": "dst", **body})


def deleted():
    yield post("runs/delete", {"run_id": "{run}"})
    yield post(CREATE, {"name": "dst", "source": "mlflow-artifacts:/{exp}/{run}/artifacts/model", "run_id": "{run}"})
    yield post(CREATE, {"name": "dst", "source": "runs:/{run}/model", "run_id": "{run}"})
    yield get("model-versions/search", {"filter": "run_id = '{run}' AND name = 'src'"})
