"""The registry: so many models with two versions each, and as many prompts between them."""

import base64
import json

from measurement import Dataset, Measurement, ask, load, path

TEAMS, ALIAS, SOURCE, PROMPT = 50, "champion", "s3://bucket/model", "mlflow.prompt.is_prompt"
#: Rows of a page, which is what a server gives when it is not asked for another number.
PAGE = 100


def dataset(count: int) -> Dataset:
    """``count`` registered models and ``count`` prompts."""
    return Dataset(f"registry_{count}", lambda execute, many: fill(many, count), measurements(count))


def name(kind: str, number: int) -> str:
    """Models and prompts of fifty teams: in the order of names, those of a team are together, models first."""
    return f"team-{number % TEAMS:02}-{kind}-{number:06}"


def fill(many, count: int):
    models = [name("model", number) for number in range(count)]
    prompts = [name("prompt", number) for number in range(count)]
    entities = "INSERT INTO registered_models (workspace, name, creation_time, last_updated_time, description) VALUES ('default', {0}, {0}, {0}, {0})"
    many(entities, [(entity, number, number, "about it") for number, entity in enumerate(models + prompts)])
    tags = "INSERT INTO registered_model_tags (workspace, name, key, value) VALUES ('default', {0}, {0}, {0})"
    many(tags, [(entity, "team", entity[:7]) for entity in models + prompts])
    many(tags, [(entity, "tier", f"tier-{number % 7}") for number, entity in enumerate(models)])
    many(tags, [(entity, PROMPT, "true") for entity in prompts])
    versions = ("INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, description, current_stage, "
                "source, storage_location, run_id, run_link, status) VALUES "
                "('default', {0}, {0}, {0}, {0}, '', 'None', {0}, {0}, {0}, '', 'READY')")
    many(versions, [(entity, version, number, number, SOURCE, SOURCE, f"{number:032x}") for number, entity in enumerate(models) for version in (1, 2)])
    many(versions, [(entity, 1, number, number, "dummy-source", "dummy-source", None) for number, entity in enumerate(prompts)])
    tags = "INSERT INTO model_version_tags (workspace, name, version, key, value) VALUES ('default', {0}, {0}, {0}, {0})"
    many(tags, [(entity, version, "checked", "yes") for entity in models for version in (1, 2)])
    many(tags, [(entity, 1, key, value) for entity in prompts for key, value in ((PROMPT, "true"), ("mlflow.prompt.text", "Be {{kind}}."))])
    many("INSERT INTO registered_model_aliases (workspace, name, alias, version) VALUES ('default', {0}, {0}, {0})",
         [(entity, ALIAS, 1) for entity in models])


COLUMNS = "m.name, m.creation_time, m.last_updated_time, m.description"
IS_MODEL = (f"COALESCE((SELECT t.value FROM registered_model_tags t WHERE t.workspace = 'default' AND t.key = '{PROMPT}' AND t.name = m.name), '')"
            " <> 'true'")
VERSION = ("v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, v.current_stage, v.source, v.run_id, v.status, "
           "v.status_message, v.run_link")
LATEST = ("(SELECT name, MAX(version) AS version FROM model_versions WHERE workspace = 'default' AND name IN ({ids}) "
          "AND current_stage <> 'Deleted_Internal' GROUP BY name, current_stage) AS s")
#: What hangs on the models of a page: one statement each.
CHILDREN = [
    "SELECT name, key, value FROM registered_model_tags WHERE workspace = 'default' AND name IN ({ids})",
    "SELECT name, alias, version FROM registered_model_aliases WHERE workspace = 'default' AND name IN ({ids})",
    f"SELECT {VERSION} FROM {LATEST} CROSS JOIN model_versions v WHERE v.workspace = 'default' AND v.name = s.name AND v.version = s.version",
    f"SELECT t.name, t.version, t.key, t.value FROM {LATEST} CROSS JOIN model_version_tags t "
    "WHERE t.workspace = 'default' AND t.name = s.name AND t.version = s.version",
]


def page_of(condition: str, source="registered_models m", order="m.name") -> list[str]:
    """The statements for a page of models."""
    return [f"SELECT {COLUMNS} FROM {source} WHERE m.workspace = 'default' AND {condition} ORDER BY {order} LIMIT {PAGE + 1}", *CHILDREN]


def tagged(key: str, value: str) -> list[str]:
    """The statements for a page of what has a tag, beginning with the tag."""
    having = f"d.workspace = 'default' AND d.key = '{key}' AND d.value = '{value}' AND m.name = d.name"
    condition = having if key == PROMPT else f"{having} AND {IS_MODEL}"
    return page_of(condition, "registered_model_tags d CROSS JOIN registered_models m", "d.name")


def search(server, folder, **query):
    return load(server, folder, path("registered-models/search", max_results=PAGE, **query), method="GET", requests=300, seconds=10.0)


def token_behind(server, rows: int) -> str:
    """The token of the page behind so many models."""
    token, step = None, 1000
    for _ in range(rows // step):
        query = {"max_results": step} | ({"page_token": token} if token else {})
        token = ask(server, path("registered-models/search", **query))["next_page_token"]
        # The reference counts rows, and a walk takes it minutes.
        if "offset" in json.loads(base64.urlsafe_b64decode(token + "==")):
            return base64.b64encode(json.dumps({"offset": rows}).encode()).decode()
    return token


def create_version(server, folder, count):
    bodies = [{"name": name("model", number), "source": SOURCE, "tags": [{"key": "checked", "value": "no"}]} for number in range(min(count, 64))]
    return load(server, folder, path("model-versions/create"), bodies)


def measurements(count: int) -> list[Measurement]:
    deep = count * 4 // 5 // 1000 * 1000
    boundary = sorted(name("model", number) for number in range(count))[deep - 1]
    few = f"model-{count // 1000 - 1:03}1"
    one = name("model", count // 2)
    of_version = f"workspace = 'default' AND name = '{one}' AND version = 1"
    found = ("FROM registered_model_aliases a CROSS JOIN model_versions v WHERE a.workspace = 'default' "
             f"AND a.name = '{one}' AND a.alias = '{ALIAS}' AND v.workspace = 'default' AND v.name = a.name AND v.version = a.version")
    target = {"kind": "p50", "cpu": 20, "share": 2.0}
    return [
        Measurement(f"search_models_first_{count}", search, page_of(IS_MODEL), **target),
        Measurement(f"search_models_name_{count}", lambda s, f: search(s, f, filter=f"name ILIKE '%{few.upper()}%'"),
                    page_of(f"m.name {{ilike}} '%{few.upper()}%' AND {IS_MODEL}"), **target),
        Measurement(f"search_models_tag_{count}", lambda s, f: search(s, f, filter="tags.team = 'team-07'"), tagged("team", "team-07"), **target),
        Measurement(f"search_models_deep_{count}", lambda s, f: search(s, f, page_token=token_behind(s, deep)),
                    page_of(f"m.name > '{boundary}' AND {IS_MODEL}"), **target),
        Measurement(f"search_prompts_first_{count}", lambda s, f: search(s, f, filter=f"tags.`{PROMPT}` = 'true'"), tagged(PROMPT, "true"), **target),
        Measurement(f"get_by_alias_{count}",
                    lambda s, f: load(s, f, path("registered-models/alias", name=one, alias=ALIAS), method="GET", requests=2000, seconds=5.0),
                    [f"SELECT {VERSION} {found}", f"SELECT key, value FROM model_version_tags WHERE {of_version}",
                     f"SELECT alias FROM registered_model_aliases WHERE {of_version}"], **target),
        Measurement(f"create_version_{count}", lambda s, f: create_version(s, f, count), WRITE, **target, commit=True),
    ]


#: A version of one model, its number counted on, with one tag: `{n}` is the number of the repetition.
_WRITTEN = f"workspace = 'default' AND name = '{name('model', 0)}'"
WRITE = [
    f"UPDATE registered_models SET last_updated_time = {{n}} WHERE {_WRITTEN}",
    "INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, description, current_stage, source, "
    "storage_location, run_link, status) "
    f"SELECT 'default', '{name('model', 0)}', MAX(version) + 1, {{n}}, {{n}}, '', 'None', '{SOURCE}', '{SOURCE}', '', 'READY' "
    f"FROM model_versions WHERE {_WRITTEN}",
    f"INSERT INTO model_version_tags (workspace, name, version, key, value) SELECT 'default', '{name('model', 0)}', MAX(version), 'checked', 'no' "
    f"FROM model_versions WHERE {_WRITTEN}",
]
