"""Prompts: registered models with a tag, as the SDK and the UI send them, beside models."""

import json

from step import Step, get, patch, post

IS = {"key": "mlflow.prompt.is_prompt", "value": "true"}
SOURCE = "dummy-source"
ALIAS = "/api/2.0/mlflow/registered-models/alias"
LINK = "traces/link-prompts"


def text(words, **more):
    return [IS, {"key": "mlflow.prompt.text", "value": words}, {"key": "_mlflow_prompt_type", "value": "text"}, *({"key": k, "value": v} for k, v in more.items())]


def steps():
    yield post("registered-models/create", {"name": "p.greet", "tags": [IS, {"key": "_mlflow_experiment_ids", "value": ",0,7,"}, {"key": "task", "value": "greet"}]})
    yield post("registered-models/create", {"name": "p.greet", "tags": [IS]})
    yield post("registered-models/create", {"name": "p.greet"})
    yield post("registered-models/create", {"name": "p.chat", "description": "talks", "tags": [IS, {"key": "_mlflow_experiment_ids", "value": ",12,"}]})
    yield post("registered-models/create", {"name": "p.model"})
    yield post("registered-models/create", {"name": "p.model", "tags": [IS]})
    yield post("registered-models/create", {"name": "p.it's \"both\"", "tags": [IS]})
    yield post("registered-models/create", {"name": "p.it's \"both\""})
    yield post("registered-models/create", {"name": "p.false", "tags": [{"key": IS["key"], "value": "false"}]})
    yield post("registered-models/create", {"name": "p.false", "tags": [IS]})
    yield post("registered-models/create", {"name": "p.upper", "tags": [{"key": IS["key"], "value": "TRUE"}]})
    yield post("model-versions/create", {"name": "p.greet", "source": SOURCE, "description": "first words", "tags": text("Hello {{name}}", lang="en")})
    yield post("model-versions/create", {"name": "p.greet", "source": "prompt-template", "tags": text("Hallo {{name}} 雪\n", lang="de")})
    chat = json.dumps([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "{{question}}"}])
    config = json.dumps({"model_name": "m", "temperature": 0.5})
    yield post("model-versions/create", {"name": "p.chat", "source": SOURCE, "tags": [IS, {"key": "mlflow.prompt.text", "value": chat}, {"key": "_mlflow_prompt_type", "value": "chat"},
                                                                                   {"key": "_mlflow_prompt_model_config", "value": config}, {"key": "_mlflow_prompt_response_format", "value": "{}"}]})
    yield post("model-versions/create", {"name": "p.model", "source": "s3://b/x"})
    yield post("model-versions/create", {"name": "p.model", "source": SOURCE, "tags": text("a text in a model")})
    for source in ("s3://b/x", "/etc", "file:///etc", "mlflow-artifacts:/0/x", "models:/p.model/1", "http://evil/x", "dummy-source/", "DUMMY-SOURCE", "prompt-template/../x", "../x", "runs:/1/x"):
        yield post("model-versions/create", {"name": "p.greet", "source": source, "tags": text("x")})
    # What only looks like the tag of a prompt does not save the source from being checked.
    for tags in ([{"key": IS["key"], "value": "false"}], [IS, {"key": IS["key"], "value": "no"}], [{"key": IS["key"]}], [{"key": IS["key"] + " ", "value": "true"}], []):
        yield post("model-versions/create", {"name": "p.greet", "source": SOURCE, "tags": tags})
        yield post("model-versions/create", {"name": "p.greet", "source": "/etc", "tags": tags})
    yield post("model-versions/create", {"name": "p.greet", "source": SOURCE, "tags": [{"key": IS["key"], "value": "no"}, {"key": IS["key"], "value": "True"}]})
    yield post("model-versions/create", {"name": "p.greet", "source": SOURCE, "model_id": "m-nope", "tags": text("x")})
    yield post("model-versions/create", {"name": "p.greet", "source": SOURCE, "run_id": "nope", "model_id": "m-nope", "tags": text("with ids")})
    yield post("model-versions/create", {"name": "p.greet", "source": SOURCE, "tags": text("x" * 100_001)})
    yield post("model-versions/create", {"name": "p.missing", "source": SOURCE, "tags": text("x")})
    yield get("registered-models/get", {"name": "p.greet"})
    yield get("model-versions/get", {"name": "p.greet", "version": "2"})
    yield get("model-versions/get-download-uri", {"name": "p.greet", "version": "2"})
    yield post(ALIAS, {"name": "p.greet", "alias": "production", "version": "1"})
    yield get(ALIAS, {"name": "p.greet", "alias": "production"})
    yield get(ALIAS, {"name": "p.greet", "alias": "latest"})
    yield post("registered-models/set-tag", {"name": "p.greet", "key": "_mlflow_experiment_ids", "value": ",0,7,12,"})
    yield post("model-versions/set-tag", {"name": "p.greet", "version": "1", "key": "mlflow.prompt.run_ids", "value": "aaaa,bbbb"})
    yield post("model-versions/set-tag", {"name": "p.greet", "version": "1", "key": "lang", "value": "en-GB"})
    yield patch("registered-models/update", {"name": "p.greet", "description": "greets"})
    yield from searches()
    yield from links()
    yield Step("DELETE", "/api/2.0/mlflow/model-versions/delete", {"name": "p.greet", "version": "1"})
    yield get(ALIAS, {"name": "p.greet", "alias": "production"})
    yield get("model-versions/search", {"filter": "name='p.greet' AND tags.`mlflow.prompt.is_prompt` = 'true'"})
    yield Step("DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": "p.chat"})
    yield get("registered-models/get", {"name": "p.chat"})


def searches():
    is_prompt = "tags.`mlflow.prompt.is_prompt`"
    models = ("", f"{is_prompt} = 'true'", f"{is_prompt} != 'true'", f"{is_prompt} = 'false'", f"{is_prompt} != 'false'", f"{is_prompt} = 'TRUE'", f"{is_prompt} != 'FALSE'", f"{is_prompt} LIKE 'true'",
              f"{is_prompt} LIKE '%'", f"{is_prompt} ILIKE 'TRUE'", f"{is_prompt} = 'x'", f"{is_prompt} = 'true' AND {is_prompt} = 'false'", f"{is_prompt} = 'false' AND {is_prompt} = 'true'",
              f"{is_prompt} = 'true' AND {is_prompt} LIKE 't%'", f"{is_prompt} = 'true' AND tags.task = 'greet'", "tags.task = 'greet'", f"tags.task = 'greet' AND {is_prompt} = 'true'",
              f"{is_prompt} = 'true' AND tags.`_mlflow_experiment_ids` ILIKE '%,12,%'", f"{is_prompt} = 'true' AND tags.`_mlflow_experiment_ids` LIKE '%,7,%'",
              f"{is_prompt} = 'true' AND tags._mlflow_experiment_ids LIKE '%,1,%'", f"{is_prompt} = 'true' AND name = 'p.model'", "tag.`mlflow.prompt.is_prompt` = 'true' AND name ILIKE '%CHAT%'")  # fmt: skip
    for filter_ in models:
        both = f"{filter_} AND name LIKE 'p.%'" if filter_ else "name LIKE 'p.%'"
        yield get("registered-models/search", {"filter": both})
    versions = ("", f"{is_prompt} = 'true'", f"{is_prompt} = 'false'", f"{is_prompt} != 'false'", "name = 'p.greet'", f"name='p.greet' AND {is_prompt} = 'true'", "tags.lang = 'de'", f"tags.lang = 'de' AND {is_prompt} = 'true'",
                f'{is_prompt} = \'true\' AND tags.`mlflow.prompt.run_ids` ILIKE "%aaaa%"', f"{is_prompt} = 'true' AND version_number > 1", "name = 'p.model'", f"name = 'p.model' AND {is_prompt} = 'true'",
                f"{is_prompt} = 'true' AND tags.`mlflow.prompt.text` LIKE 'Hallo%'", f"{is_prompt} = 'true' AND run_id = 'nope'")  # fmt: skip
    for filter_ in versions:
        both = f"{filter_} AND name LIKE 'p.%'" if filter_ else "name LIKE 'p.%'"
        yield get("model-versions/search", {"filter": both, "order_by": ["name ASC", "version_number DESC"]})
    first = {"filter": f"{is_prompt} = 'true' AND name LIKE 'p.%'", "max_results": 1}
    yield get("registered-models/search", first, save={"prompts": "next_page_token"})
    yield get("registered-models/search", {**first, "page_token": "{prompts}"})


def links():
    """Traces are made elsewhere; here none has the id."""
    version = {"name": "p.greet", "version": "1"}
    for body in ({}, {"trace_id": "tr-nope"}, {"prompt_versions": [version]}, {"trace_id": "tr-nope", "prompt_versions": [version]}, {"trace_id": "tr-nope", "prompt_versions": []}, {"trace_id": "", "prompt_versions": [version]},
                 {"trace_id": 1, "prompt_versions": [version]}, {"trace_id": "tr-nope", "prompt_versions": "x"}, {"trace_id": "tr-nope", "prompt_versions": [{}]}, {"trace_id": "tr-nope", "prompt_versions": [{"name": "p", "version": "x"}]},
                 {"trace_id": "tr-nope", "prompt_versions": [{"name": "p"}]}, {"trace_id": "tr-nope", "prompt_versions": [1]}):
        yield post(LINK, body)
