"""Checks objects against closed schemas: a field that does not exist is an error, as a mistyped one would be."""

import functools
import json
import re
from pathlib import Path

import importlib_resources
import jsonschema
import kubernetes_validate
from referencing import Registry, Resource

SCHEMAS = Path(__file__).parent / "schemas"
BUILT_IN = importlib_resources.files("kubernetes_validate") / "kubernetes-json-schema"

#: Versions of Kubernetes: the oldest that the chart says it runs on, one in wide use, and the newest that is known.
KUBERNETES = ("1.25", "1.31", kubernetes_validate.latest_version())

#: Kinds of other editions of the operator have the same fields.
SAME = {"postgresql.k8s.enterprisedb.io/v1": "postgresql.cnpg.io/v1"}


def errors(document: dict, oldest: str = KUBERNETES[0]) -> list[str]:
    """What is wrong with an object, for versions of Kubernetes since the oldest one."""
    number = lambda version: [int(part) for part in version.split(".")]
    where = f"{document['kind']} {document['metadata']['name']}"
    custom = _custom(SAME.get(document["apiVersion"], document["apiVersion"]), document["kind"])
    if custom:
        found = [f"{where}: {error.json_path}: {error.message}" for error in custom.iter_errors(document)]
    else:
        found = [f"{where}: {error}" for version in KUBERNETES if number(version) >= number(oldest) for error in _kubernetes(document, version)]
    for inner in document.get("objects", []):
        found += errors(inner, oldest)
    return found


def _kubernetes(document: dict, version: str) -> list[str]:
    validator = _built_in(document["apiVersion"], document["kind"], version)
    if validator is None:
        return [f"Kubernetes {version}: there is no {document['kind']} of {document['apiVersion']}"]
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    return [f"Kubernetes {version}: {error.message}"] if error else []


@functools.cache
def _built_in(api_version: str, kind: str, version: str):
    """As ``kubernetes_validate.validate`` makes it, which reads all schemas again for every object."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    path = _folder(version) / f"{kind.lower()}-{group}.json"
    if not path.is_file():
        return None
    schema = _read(path)
    registry = Resource.from_contents(_read(_folder(version) / "_definitions.json")) @ (Resource.from_contents(schema) @ Registry())
    return jsonschema.Draft202012Validator(schema, registry=registry)


@functools.cache
def _folder(version: str):
    """The schemas of the newest release that is not newer than this version."""
    number = lambda text: tuple(int(part) for part in text.split(".")[:2])
    known = [match[1] for folder in BUILT_IN.iterdir() if (match := re.fullmatch(r"v([\d.]+)-local-strict", folder.name))]
    return BUILT_IN / f"v{max((it for it in known if number(it) <= number(version)), key=number)}-local-strict"


@functools.cache
def _read(path) -> dict:
    return json.loads(path.read_text())


@functools.cache
def _custom(api_version: str, kind: str):
    path = SCHEMAS / f"{api_version.replace('/', '_')}_{kind.lower()}.json"
    if not path.exists():
        assert "." not in api_version.split("/")[0] or api_version.split("/")[0].endswith(".k8s.io"), f"no schema of {api_version} {kind}"
        return None
    text = path.read_text().replace('{"$ref":"#meta"}', json.dumps(_object_meta()))
    return jsonschema.Draft7Validator(json.loads(text))


@functools.cache
def _object_meta() -> dict:
    """Kubernetes' ObjectMeta with everything that it refers to written out."""
    definitions = _read(_folder("1.31") / "_definitions.json")["$defs"]

    def inline(part):
        if isinstance(part, list):
            return [inline(one) for one in part]
        if isinstance(part, dict):
            if reference := part.get("$ref"):
                return inline(definitions[reference.rsplit("/", 1)[1]])
            return {name: inline(one) for name, one in part.items()}
        return part

    return inline(definitions["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"])
