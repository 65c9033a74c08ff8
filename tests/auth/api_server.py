"""The few calls of a Kubernetes API server that ferroflow sends, over TLS, as strict about what it is sent as the real
one: whose a token is, what its owner may do, and which namespaces there are."""

import base64
import contextlib
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from support import certificates

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
OF_USERS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
NAMESPACES = "/api/v1/namespaces"

#: The rules of another user, which only OpenShift tells.
RULES_OF_USERS = re.compile("/apis/authorization.openshift.io/v1/namespaces/([^/]+)/subjectrulesreviews")

#: The buckets that namespaces choose.
CONFIG = re.compile("/apis/mlflow.kubeflow.org/v1/namespaces/([^/]+)/mlflowconfigs/mlflow")
SECRET = re.compile("/api/v1/namespaces/([^/]+)/secrets/mlflow-artifact-connection")

#: The group of MLflow's resources, which exist in RBAC only.
GROUP = "mlflow.kubeflow.org"
VERBS = ("get", "list", "create", "update", "delete")

#: The audience of tokens that name none.
DEFAULT = "https://kubernetes.default.svc"


def account(namespace: str, name: str, audience: str = DEFAULT) -> dict:
    """A service account's token as the API server sees it."""
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    user = {"username": f"system:serviceaccount:{namespace}:{name}", "uid": f"uid-{name}", "groups": groups}
    return {"user": user, "audiences": [audience]}


def person(name: str, *groups: str) -> dict:
    """A person's token as the API server sees it."""
    return {"user": {"username": name, "groups": [*groups, "system:authenticated"]}, "audiences": [DEFAULT]}


def failure(code: int, text: str) -> tuple[int, dict]:
    return code, {"kind": "Status", "status": "Failure", "message": text, "code": code}


class ApiServer:
    """A running API server; tests change what it knows."""

    def __init__(self, folder: Path):
        self.token_file = folder / "token"
        self.ca_file = folder / "ca.crt"
        self.url = ""
        self.tokens: dict[str, dict] = {}
        self.own = ""
        #: A status that everything is answered with instead.
        self.status: int | None = None
        #: An API server that is older than audiences.
        self.knows_audiences = True
        self.reviews = 0
        #: Labels and annotations of the namespaces, and the names of those that are being deleted.
        self.namespaces: dict[str, dict] = {}
        self.annotations: dict[str, dict] = {}
        self.terminating: set[str] = set()
        #: Roles that are bound: a user or a group, a namespace or ``None`` for all, a resource, verbs, and the names of
        #: resources that a role is limited to, if it is.
        self.bindings: list[tuple[str, str | None, str, tuple[str, ...], tuple[str, ...]]] = []
        #: Whether callers may ask for their rules.
        self.tells_rules = True
        #: Whether the server's own account may list namespaces, and how many are in a page at most.
        self.may_list = True
        self.page = 500
        #: The access reviews and the lists of namespaces that were asked for.
        self.access: list[tuple[str, str, str, str]] = []
        self.named: list[tuple[str, str, str, str, str]] = []
        self.rules = 0
        self.lists = 0
        #: Whether the server's own account may ask what users may do, and whether this is OpenShift.
        self.may_review = True
        self.is_openshift = True
        #: The ``spec`` of the ``MLflowConfig`` of namespaces, and the texts in their Secrets; whether the kind is defined, and
        #: whether the server's own account may read them.
        self.configs: dict[str, dict] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.has_configs = True
        self.may_read = True
        self.config_reads = 0
        self.renew("the token of the server's pod")

    def renew(self, own: str) -> None:
        """Gives the server's own account another token, as a kubelet does now and then."""
        self.own = own
        self.token_file.write_text(own + "\n")

    def bind(self, subject: str, namespace: str | None, resource: str, *verbs: str, names: tuple[str, ...] = ()) -> None:
        """Binds a role with these verbs, or with all, to a user or a group; with names, it is about these resources only."""
        self.bindings.append((subject, namespace, resource, verbs or VERBS, names))

    def bound(self, user: dict, namespace: str) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """The resources, verbs and names that a user has roles for in a namespace."""
        subjects = {user["username"], *user["groups"]}
        return [rule for subject, of, *rule in self.bindings if subject in subjects and of in (None, namespace)]

    def unbind(self, subject: str) -> None:
        self.bindings = [binding for binding in self.bindings if binding[0] != subject]

    def answer(self, method: str, path: str, headers, body: bytes) -> tuple[int, dict]:
        url = urlsplit(path)
        if self.status is not None:
            return failure(self.status, "told to")
        if method == "GET":
            return self.list(url, headers) if url.path == NAMESPACES else self.read(url.path, headers)
        if headers["Content-Type"] != "application/json":
            return failure(415, "not JSON")
        calls = {PATH: self.review, SELF: self.review_itself, ACCESS: self.review_access, RULES: self.review_rules}
        if path == OF_USERS:
            return self.review_access_of_user(headers["Authorization"], json.loads(body))
        if (of_users := RULES_OF_USERS.fullmatch(path)) and self.is_openshift:
            return self.review_rules_of_user(of_users[1], headers["Authorization"], json.loads(body))
        if path not in calls:
            return 404, None
        return calls[path](headers["Authorization"] or "", json.loads(body))

    def owner(self, authorization: str) -> dict | None:
        """The user whose token it is."""
        found = self.tokens.get(authorization.removeprefix("Bearer "))
        is_known = found is not None and DEFAULT in found["audiences"]
        return found["user"] if is_known else None

    def review_itself(self, authorization: str, review: dict) -> tuple[int, dict]:
        self.reviews += 1
        user = self.owner(authorization)
        if user is None:
            return failure(401, "Unauthorized")
        if review != {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}:
            return failure(400, f"not a SelfSubjectReview: {review}")
        return 201, review | {"metadata": {"creationTimestamp": None}, "status": {"userInfo": user}}

    def review_access(self, authorization: str, review: dict) -> tuple[int, dict]:
        user = self.owner(authorization)
        if user is None:
            return failure(401, "Unauthorized")
        spec = review.pop("spec")
        if review != {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"} or set(spec) != {"resourceAttributes"}:
            return failure(400, f"not a SelfSubjectAccessReview: {review} {spec}")
        return self.decide(user, review, spec)

    def review_access_of_user(self, authorization: str, review: dict) -> tuple[int, dict]:
        if authorization != f"Bearer {self.own}":
            return failure(401, "Unauthorized")
        if not self.may_review:
            return failure(403, "subjectaccessreviews.authorization.k8s.io is forbidden")
        spec = review.pop("spec")
        if review != {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"} or set(spec) != {"user", "groups", "resourceAttributes"}:
            return failure(400, f"not a SubjectAccessReview: {review} {spec}")
        return self.decide({"username": spec["user"], "groups": spec["groups"]}, review, spec)

    def decide(self, user: dict, review: dict, spec: dict) -> tuple[int, dict]:
        asked = spec["resourceAttributes"]
        if set(asked) - {"name"} != {"group", "resource", "verb", "namespace"}:
            return failure(422, f"not attributes: {asked}")
        namespace, resource, verb, name = asked["namespace"], asked["resource"], asked["verb"], asked.get("name")
        if name is None:
            self.access.append((user["username"], namespace, resource, verb))
        else:
            self.named.append((user["username"], namespace, resource, verb, name))
        allowed = asked["group"] == GROUP and any(
            resource == kind and verb in verbs and (not names or name in names)
            for kind, verbs, names in self.bound(user, namespace)
        )
        # As the real one: without a reason for a denial.
        return 201, review | {"metadata": {"creationTimestamp": None}, "spec": spec, "status": {"allowed": allowed}}

    def review_rules(self, authorization: str, review: dict) -> tuple[int, dict]:
        self.rules += 1
        user = self.owner(authorization)
        if user is None:
            return failure(401, "Unauthorized")
        if not self.tells_rules:
            return failure(403, "selfsubjectrulesreviews.authorization.k8s.io is forbidden")
        spec = review.pop("spec")
        if review != {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"} or set(spec) != {"namespace"}:
            return failure(400, f"not a SelfSubjectRulesReview: {review} {spec}")
        rules = self.rules_of(user, spec["namespace"])
        # As the real one: what everybody may do is there, too.
        rules.append({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectrulesreviews"]})
        status = {"resourceRules": rules, "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}], "incomplete": False}
        return 201, review | {"metadata": {"creationTimestamp": None}, "spec": {}, "status": status}

    def review_rules_of_user(self, namespace: str, authorization: str, review: dict) -> tuple[int, dict]:
        self.rules += 1
        if authorization != f"Bearer {self.own}":
            return failure(401, "Unauthorized")
        if not self.tells_rules:
            return failure(403, "subjectrulesreviews.authorization.openshift.io is forbidden")
        spec = review.pop("spec")
        if review != {"apiVersion": "authorization.openshift.io/v1", "kind": "SubjectRulesReview"} or set(spec) != {"user", "groups", "scopes"}:
            return failure(400, f"not a SubjectRulesReview: {review} {spec}")
        rules = self.rules_of({"username": spec["user"], "groups": spec["groups"]}, namespace)
        # As the real one: lists without entries are null.
        rules.append({"verbs": ["get"], "attributeRestrictions": None, "apiGroups": None, "resources": None, "nonResourceURLs": ["/healthz"]})
        return 201, review | {"spec": spec, "status": {"rules": rules}}

    def rules_of(self, user: dict, namespace: str) -> list[dict]:
        return [
            {"verbs": list(verbs), "apiGroups": [GROUP], "resources": [kind]} | ({"resourceNames": list(names)} if names else {})
            for kind, verbs, names in self.bound(user, namespace)
        ]

    def read(self, path: str, headers) -> tuple[int, dict | None]:
        """An ``MLflowConfig`` or the Secret with its bucket, and nothing else."""
        config, secret = CONFIG.fullmatch(path), SECRET.fullmatch(path)
        if not config and not secret:
            return failure(403, f"{path} is forbidden")
        self.config_reads += 1
        if headers["Authorization"] != f"Bearer {self.own}":
            return failure(401, "Unauthorized")
        if config and not self.has_configs:
            # The real one has no JSON for a group that it does not know.
            return 404, None
        if not self.may_read:
            return failure(403, f"{path} is forbidden")
        if config:
            found = self.configs.get(config[1])
            return failure(404, "not found") if found is None else (200, {"kind": "MLflowConfig", "metadata": {"name": "mlflow"}, "spec": found})
        found = self.secrets.get(secret[1])
        data = {key: base64.b64encode(text.encode()).decode() for key, text in (found or {}).items()}
        return failure(404, "not found") if found is None else (200, {"kind": "Secret", "data": data})

    def list(self, url, headers) -> tuple[int, dict]:
        self.lists += 1
        if headers["Authorization"] != f"Bearer {self.own}":
            return failure(401, "Unauthorized")
        if not self.may_list:
            return failure(403, 'namespaces is forbidden: User cannot list resource "namespaces"')
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        wanted = dict(pair.split("=", 1) for pair in query.pop("labelSelector").split(","))
        limit, begin = min(int(query.pop("limit")), self.page), int(query.pop("continue", "0"))
        if query or "as=PartialObjectMetadataList" not in headers["Accept"]:
            return failure(400, f"not a list: {query} {headers['Accept']}")
        found = sorted(name for name, labels in self.namespaces.items() if wanted.items() <= labels.items())
        page = found[begin : begin + limit]
        items = [
            {"metadata": {"name": name, "labels": self.namespaces[name], "annotations": self.annotations.get(name, {})}}
            for name in page
        ]
        for item in items:
            if item["metadata"]["name"] in self.terminating:
                item["metadata"]["deletionTimestamp"] = "2026-11-30T00:00:00Z"
        more = {"continue": str(begin + limit)} if begin + limit < len(found) else {}
        return 200, {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1", **more}, "items": items}

    def review(self, authorization: str, review: dict) -> tuple[int, dict]:
        self.reviews += 1
        if authorization != f"Bearer {self.own}":
            return failure(401, "Unauthorized")
        spec = review.pop("spec")
        if review != {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}:
            return failure(400, f"not a TokenReview: {review}")
        if not set(spec) <= {"token", "audiences"} or not isinstance(spec["token"], str):
            return failure(422, f"not a spec: {spec}")
        found = self.tokens.get(spec["token"])
        audiences = spec.get("audiences") or [DEFAULT]
        if found is None:
            status = {"user": {}, "error": "[invalid bearer token]"}
        elif not self.knows_audiences:
            status = {"authenticated": True, "user": found["user"]}
        elif shared := [audience for audience in audiences if audience in found["audiences"]]:
            status = {"authenticated": True, "user": found["user"], "audiences": shared}
        else:
            status = {"user": {}, "error": "[invalid bearer token, token audiences do not match]"}
        return 201, review | {"metadata": {"creationTimestamp": None}, "spec": spec, "status": status}


@contextlib.contextmanager
def api_server(folder: Path):
    """An API server with a certificate of its own authority."""
    server = ApiServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, value = server.answer(self.command, self.path, self.headers, body)
            data = b"404 page not found\n" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if value is None else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = certificates.issue("authority")
    server.ca_file.write_text(authority.pem)
    certificate = certificates.issue("api server", ["127.0.0.1"], authority)
    context.load_cert_chain(*certificate.write(folder / "server.crt", folder / "server.key"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        server.url = f"https://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
