"""The API server of the objects in ``cluster.py``: paths, discovery, rights and outages."""

import base64
import json
import re
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

NAMESPACE = "research"

#: The resources that it has: the group and version of each, and its kind.
RESOURCES = {
    "configmaps": ("v1", "ConfigMap"),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim"),
    "pods": ("v1", "Pod"),
    "secrets": ("v1", "Secret"),
    "serviceaccounts": ("v1", "ServiceAccount"),
    "services": ("v1", "Service"),
    "deployments": ("apps/v1", "Deployment"),
    "cronjobs": ("batch/v1", "CronJob"),
    "jobs": ("batch/v1", "Job"),
    "ingresses": ("networking.k8s.io/v1", "Ingress"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"),
    "roles": ("rbac.authorization.k8s.io/v1", "Role"),
    "rolebindings": ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    "leases": ("coordination.k8s.io/v1", "Lease"),
    "httproutes": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    "routes": ("route.openshift.io/v1", "Route"),
    "templates": ("template.openshift.io/v1", "Template"),
    "buildconfigs": ("build.openshift.io/v1", "BuildConfig"),
    "imagestreams": ("image.openshift.io/v1", "ImageStream"),
    "clusters": ("postgresql.cnpg.io/v1", "Cluster"),
    "backups": ("postgresql.cnpg.io/v1", "Backup"),
    "poolers": ("postgresql.cnpg.io/v1", "Pooler"),
    "scheduledbackups": ("postgresql.cnpg.io/v1", "ScheduledBackup"),
    "objectstores": ("barmancloud.cnpg.io/v1", "ObjectStore"),
}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

#: The field manager of what the tests do themselves. They and Helm may do everything; the runbooks have the rights of the Role.
ADMIN = "admin"


class Refused(Exception):
    def __init__(self, code: int, reason: str, message: str):
        super().__init__(message)
        self.body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
        self.body |= {"reason": reason, "message": message}


def messages(data: bytes) -> dict[int, list]:
    """The fields of a protobuf message, by their numbers."""
    found, place = {}, 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(data):
        key = varint()
        value = varint()
        if key & 7 == 2:
            value, place = data[place : place + value], place + value
        found.setdefault(key >> 3, []).append(value)
    return found


def secret(data: bytes) -> dict:
    """A Secret in Kubernetes' protobuf, as Helm sends those of its releases; options of a deletion are left out."""
    unknown = messages(data.removeprefix(b"k8s\0"))
    if messages(unknown[1][0])[2] != [b"Secret"]:
        return {}
    body = messages(unknown[2][0])
    metadata = messages(body[1][0])

    def pairs(fields, read) -> dict:
        return {pair[1][0].decode(): read(pair.get(2, [b""])[0]) for pair in map(messages, fields)}

    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": metadata[1][0].decode(), "labels": pairs(metadata.get(11, []), bytes.decode)},
        "data": pairs(body.get(2, []), lambda value: base64.b64encode(value).decode()),
        "type": body[3][0].decode(),
    }


class Rights:
    """The rights of the runbooks' user: the rules of a Role, without those that a test removed."""

    def __init__(self):
        #: ``None``: all rights.
        self.rules: list[dict] | None = None
        #: Such as ``("patch", "deployments")`` or ``("get", "pods/log")``.
        self.without: set[tuple[str, str]] = set()
        self.asked: set[tuple[str, str, str]] = set()
        self.used: set[tuple[str, str, str]] = set()
        #: Reviews allow everything, as where admission decides later.
        self.is_silent = False

    def allow(self, verb: str, group: str, resource: str, name: str) -> bool:
        if (verb, resource) in self.without:
            return False
        if self.rules is None:
            return True
        return any(
            group in rule["apiGroups"]
            and resource in rule["resources"]
            and verb in rule["verbs"]
            and (not rule.get("resourceNames") or name in rule["resourceNames"])
            for rule in self.rules
        )


class Outages:
    """When the API server closes connections without a response."""

    def __init__(self):
        #: Number of the change at which it begins.
        self.at: int | None = None
        #: Number of requests after that change which it drops: with the client's pauses, more than a second.
        self.requests = 3
        self.left = 0
        #: What is lost at its beginning: the ``request``, or the ``answer`` to a change that was made.
        self.lost = "answer"
        self.count = 0

    def begin(self) -> None:
        self.count += 1
        self.left = self.requests

    def drops_request(self) -> bool:
        self.left = max(self.left - 1, -1)
        return self.left >= 0


class Handler(BaseHTTPRequestHandler):
    cluster = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def date_time_string(self, timestamp=None) -> str:
        return super().date_time_string(time.time() + self.cluster.ahead)

    def _route(self):
        """The resource, its kind, the name, the subresource and the query of a path."""
        parts = urlsplit(self.path)
        found = re.fullmatch(r"/(?:api|apis/([^/]+))/v1/namespaces/([^/]+)/([a-z]+)(?:/([^/]+))?(?:/([a-z]+))?", parts.path)
        if not found:
            raise Refused(404, "NotFound", f"the server could not find the requested resource {self.path}")
        group, namespace, resource, name, sub = found.groups()
        self._authorize(group or "", resource, unquote(name or ""), sub)
        version, kind = RESOURCES.get(resource, ("", ""))
        if namespace != NAMESPACE or version != (f"{group}/v1" if group else "v1") or f"/apis/{version}" in self.cluster.missing_apis:
            raise Refused(404, "NotFound", f"the server could not find the requested resource {self.path}")
        return kind, unquote(name or ""), sub, parse_qs(parts.query)

    @property
    def _is_admin(self) -> bool:
        # Programs in Go send no token without TLS.
        return self.headers.get("User-Agent", "").startswith("Helm")

    def _authorize(self, group: str, resource: str, name: str, sub: str | None) -> None:
        """Comes before the question whether there is such a resource, as in a real one."""
        verb = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}[self.command]
        whole = f"{resource}/{sub}" if sub else resource
        rights = self.cluster.rights
        if self._is_admin:
            return
        rights.used.add((verb, whole, name if verb == "patch" else ""))
        if not rights.allow(verb, group, whole, name):
            what = f'"{name}" ' if name else ""
            message = f'{whole}.{group} {what}is forbidden: User "ann" cannot {verb} resource "{whole}" in API group "{group}" in the namespace "{NAMESPACE}"'
            raise Refused(403, "Forbidden", message)

    def _body(self) -> dict:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "protobuf" in (self.headers["Content-Type"] or ""):
            return secret(data)
        return (yaml.safe_load(data) if "yaml" in (self.headers["Content-Type"] or "") else json.loads(data or b"null")) or {}

    def _answer(self, code: int, body, media: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _try(self, work) -> None:
        if not self._is_admin and self.cluster.outages.drops_request():
            self.close_connection = True
            return
        try:
            work()
        except Refused as refused:
            self._answer(refused.body["code"], refused.body)

    def do_GET(self) -> None:
        self._try(self._get)

    def do_POST(self) -> None:
        self._try(self._post)

    def do_PATCH(self) -> None:
        self._try(self._patch)

    def do_PUT(self) -> None:
        self._try(self._put)

    def do_DELETE(self) -> None:
        self._try(self._delete)

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path == "/version":
            return self._answer(200, {"gitVersion": "v1.31.0", "major": "1", "minor": "31"})
        if path in ("/api", "/apis") or re.fullmatch(r"/api/v1|/apis/[^/]+/v1", path):
            return self._discovery(path)
        kind, name, sub, query = self._route()
        if sub == "log":
            return self._answer(200, self.cluster.logs.get(name.removesuffix("-x"), ""), "text/plain")
        if name:
            found = self.cluster.get(kind, name)
            if found is None:
                raise Refused(404, "NotFound", f'{kind} "{name}" not found')
            return self._answer(200, found)
        wanted = [pair.split("=") for pair in (query.get("labelSelector") or [""])[0].split(",") if pair]
        items = [one for one in self.cluster.all(kind) if all(one["metadata"].get("labels", {}).get(k) == v for k, v in wanted)]
        [version] = {version for version, its in RESOURCES.values() if its == kind}
        return self._answer(200, {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": items})

    def _discovery(self, path: str) -> None:
        versions = {version for version, _ in RESOURCES.values() if f"/apis/{version}" not in self.cluster.missing_apis}
        if path == "/api":
            return self._answer(200, {"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            groups = []
            for version in sorted(versions - {"v1"}):
                one = {"groupVersion": version, "version": "v1"}
                groups.append({"name": version.split("/")[0], "versions": [one], "preferredVersion": one})
            return self._answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        version = path.split("/", 2)[2]
        if version not in versions:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        resources = [
            {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": ["create", "delete", "get", "list", "patch", "update"]}
            for plural, (its, kind) in RESOURCES.items()
            if its == version
        ]
        return self._answer(200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources})

    def _change(self, verb: str, kind: str, name: str, work, is_counted: bool = True):
        outages, cluster = self.cluster.outages, self.cluster
        # How often leases are renewed is a matter of time.
        if kind == "Lease" or self._is_admin or not is_counted:
            return work()
        if outages.at == len(cluster.changes) + 1 and outages.lost == "request" and not outages.count:
            outages.begin()
            self.close_connection = True
            raise ConnectionAbortedError
        result = work()
        with cluster.lock:
            cluster.changes.append((verb, kind, name))
            number = len(cluster.changes)
        cluster.on_change(number)
        if outages.at == number and outages.lost == "answer" and not outages.count:
            outages.begin()
            self.close_connection = True
            raise ConnectionAbortedError
        return result

    def _post(self) -> None:
        body = self._body()
        if self.path == REVIEWS:
            return self._review(body)
        kind, _, _, query = self._route()
        assert body["kind"] == kind
        manager = self._manager(query)
        self._answer(201, self._change("create", kind, body["metadata"]["name"], lambda: self.cluster.create(body, manager)))

    def _review(self, body: dict) -> None:
        rights, asked = self.cluster.rights, body["spec"]["resourceAttributes"]
        resource = "/".join(part for part in (asked["resource"], asked["subresource"]) if part)
        allowed = rights.is_silent or rights.allow(asked["verb"], asked["group"], resource, asked["name"])
        assert asked["namespace"] == NAMESPACE
        rights.asked.add((asked["verb"], resource, asked["name"] if asked["verb"] == "patch" else ""))
        self._answer(201, body | {"status": {"allowed": allowed}})

    def _manager(self, query: dict) -> str:
        return (query.get("fieldManager") or [self.headers.get("User-Agent", "unknown").split("/")[0]])[0]

    def _patch(self) -> None:
        kind, name, sub, query = self._route()
        body, media = self._body(), self.headers["Content-Type"]
        manager, cluster = self._manager(query), self.cluster
        if sub:
            raise Refused(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        if media == "application/apply-patch+yaml":
            force = query.get("force") == ["true"]
            return self._answer(200, self._change("apply", kind, name, lambda: cluster.apply(kind, name, body, manager, force)))
        if media == "application/json-patch+json":
            # Of this kind Helm 4 sends only who owns the fields.
            edit = {change["path"].rsplit("/", 1)[1]: change["value"] for change in body}
            assert set(edit) <= {"managedFields", "resourceVersion"}, body
            return self._answer(200, self._change("change", kind, name, lambda: cluster.patch(kind, name, {"metadata": edit}, manager), False))
        is_strategic = media == "application/strategic-merge-patch+json"
        if not is_strategic and media != "application/merge-patch+json":
            raise Refused(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        # Not what says only who owns the fields.
        is_counted = set(body) != {"metadata"} or "managedFields" not in body["metadata"]
        self._answer(200, self._change("change", kind, name, lambda: cluster.patch(kind, name, body, manager, is_strategic), is_counted))

    def _put(self) -> None:
        kind, name, _, query = self._route()
        body = self._body()
        self._answer(200, self._change("change", kind, name, lambda: self.cluster.replace(kind, name, body, self._manager(query))))

    def _delete(self) -> None:
        kind, name, _, _ = self._route()
        conditions = (self._body() or {}).get("preconditions") or {}
        self._change("delete", kind, name, lambda: self.cluster.delete(kind, name, conditions.get("uid"), conditions.get("resourceVersion")))
        self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})
