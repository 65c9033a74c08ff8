"""The one call of a Kubernetes API server that asks whose a token is, over TLS, as strict about what it is sent as the
real one."""

import contextlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support import certificates

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"

#: The audience of tokens that name none.
DEFAULT = "https://kubernetes.default.svc"


def account(namespace: str, name: str, audience: str = DEFAULT) -> dict:
    """A service account's token as the API server sees it."""
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    user = {"username": f"system:serviceaccount:{namespace}:{name}", "uid": f"uid-{name}", "groups": groups}
    return {"user": user, "audiences": [audience]}


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
        self.renew("the token of the server's pod")

    def renew(self, own: str) -> None:
        """Gives the server's own account another token, as a kubelet does now and then."""
        self.own = own
        self.token_file.write_text(own + "\n")

    def review(self, path: str, headers, body: bytes) -> tuple[int, dict]:
        self.reviews += 1
        failure = lambda code, text: (code, {"kind": "Status", "status": "Failure", "message": text, "code": code})  # noqa: E731
        if self.status is not None:
            return failure(self.status, "told to")
        if headers["Authorization"] != f"Bearer {self.own}":
            return failure(401, "Unauthorized")
        if path != PATH or headers["Content-Type"] != "application/json":
            return failure(404, f"nothing at {path}")
        review = json.loads(body)
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
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, value = server.review(self.path, self.headers, body)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

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
