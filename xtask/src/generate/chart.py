"""Print the schema of the chart's values and their table in its README, both made from ``values.yaml`` on standard input.

A value is described by the comments above it: lines of ``# --`` say what it is, ``# @schema`` adds to what its default
shows of its type.
"""

import json
import re
import sys

import yaml

#: What people write instead, and what they mean. The message of both Helms shows the text.
MEANT = {
    "": {
        "revocery": "recovery",
        "recovry": "recovery",
        "recover": "recovery",
        "restore": "recovery",
        "potgresql": "postgresql",
        "postgres": "postgresql",
        "postgressql": "postgresql",
        "cluster": "postgresql",
        "clusterName": "postgresql.clusterName",
        "serverName": "recovery.serverName",
        "image": "mlflow.image",
        "replicas": "mlflow.replicas",
        "replicaCount": "mlflow.replicas",
        "resources": "mlflow.resources",
        "extraEnv": "mlflow.extraEnv",
        "backups": "backup",
        "S3": "s3",
        "server": "mlflow",
        "mlfow": "mlflow",
        "ferroflow": "mlflow",
        "nameOverride": "fullnameOverride",
        "env": "mlflow.extraEnv",
        "extraEnvVars": "mlflow.extraEnv",
        "envFrom": "mlflow.envFrom",
        "nodeSelector": "mlflow.nodeSelector",
        "tolerations": "mlflow.tolerations",
        "affinity": "mlflow.affinity",
        "podAnnotations": "mlflow.podAnnotations",
        "podLabels": "mlflow.podLabels",
        "deploymentAnnotations": "annotations.Deployment",
        "livenessProbe": "mlflow.livenessProbe",
        "readinessProbe": "mlflow.readinessProbe",
        "startupProbe": "mlflow.startupProbe",
        "pdb": "podDisruptionBudget",
        "hpa": "autoscaling",
        "extraDeploy": "extraObjects",
        "extraManifests": "extraObjects",
        "gateway": "httpRoute",
    },
    "recovery": {"clusterName": "postgresql.clusterName", "servername": "recovery.serverName", "target": "recovery.targetTime", "time": "recovery.targetTime"},
    "postgresql": {"clustername": "postgresql.clusterName", "name": "postgresql.clusterName", "serverName": "recovery.serverName", "image": "postgresql.imageName"},
    "mlflow": {"annotations": "annotations.Deployment", "registry": "mlflow.image.repository", "env": "mlflow.extraEnv", "replicaCount": "mlflow.replicas", "tag": "mlflow.image.tag", "repository": "mlflow.image.repository"},
    "backup": {"retentionPolicy": "backup.retention", "cron": "backup.schedule"},
    "s3": {"endpoint": "s3.endpointUrl", "endpointURL": "s3.endpointUrl", "secret": "s3.existingSecret"},
}

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


class Value:
    """A value or a group of them, as its comments describe it."""

    def __init__(self, path: tuple[str, ...], default, text: str, schema: dict):
        self.path, self.default, self.text, self.schema = path, default, text, schema

    @property
    def is_group(self) -> bool:
        """Whether it has values below it that have a description of their own."""
        return isinstance(self.default, dict) and "additionalProperties" not in self.schema


def values(text: str) -> list[Value]:
    """Every value and group in the order of the file."""
    defaults = yaml.safe_load(text)
    found, path, comment, schema = [], [], [], {}
    for number, line in enumerate(text.splitlines(), 1):
        line_of = f"values.yaml:{number}"
        if description := re.match(r" *# -- (.*)", line):
            comment.append(description[1])
        elif extra := re.match(r" *# @schema (.*)", line):
            schema = yaml.safe_load(extra[1])
        elif key := re.match(r"( *)([A-Za-z0-9]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            default = defaults
            for name in path:
                default = default[name]
            value = Value(tuple(path), default, " ".join(comment), schema)
            if not value.is_group and not comment:
                sys.exit(f"chart/{line_of}: {'.'.join(path)} has no description")
            found.append(value)
            comment, schema = [], {}
        elif line.strip() and not line.lstrip().startswith("#"):
            sys.exit(f"chart/{line_of} is not understood: {line}")
    return found


def schema(values: list[Value]) -> str:
    """``values.schema.json``."""
    root = _group("")
    for value in values:
        below = root
        for name in value.path[:-1]:
            below = below["properties"][name]
        below["properties"][value.path[-1]] = _schema(value)
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **root}, indent=2) + "\n"


def _group(path: str) -> dict:
    wrong = {name: {"enum": [f"did you mean {meant}?"]} for name, meant in MEANT.get(path, {}).items()}
    return {"type": "object", "additionalProperties": False, "properties": wrong}


def _schema(value: Value) -> dict:
    if value.is_group:
        return {**_group(".".join(value.path)), **({"description": value.text} if value.text else {})}
    known = {"description": value.text, **value.schema}
    if "enum" not in known and "type" not in known:
        known["type"] = TYPES[type(value.default)]
    return known


def table(values: list[Value]) -> str:
    """The table of the values in ``chart/README.md``."""
    lines = ["| value | default | |", "| --- | --- | --- |"]
    for value in values:
        if value.is_group:
            continue
        default = json.dumps(value.default, ensure_ascii=False) if value.default != "" else ""
        text = value.text.replace("|", "\\|")
        if choices := [choice for choice in value.schema.get("enum", []) if choice != ""]:
            text += f" ({', '.join(f'`{json.dumps(choice)}`'.replace(chr(34), '') for choice in choices)})"
        lines.append(f"| `{'.'.join(value.path)}` | {f'`{default}`' if default else ''} | {text} |")
    return "\n".join(lines) + "\n"


known = values(sys.stdin.read())
print(json.dumps({"schema": schema(known), "table": table(known)}))
