"""How the port is reached: TLS, further addresses, prefixes, hosts, and what strangers are told there."""

import contextlib
import http.client
import json
import os
import re
import socket
import sqlite3
import ssl
import stat
import subprocess
import threading
import time
from urllib.parse import urlsplit

import grpc
import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from people import ADMIN, People, settings
from support import certificates, ports, postgres, required, servers

API = "/api/2.0/mlflow"
EXPERIMENT = f"{API}/experiments/get?experiment_id=0"


def wait(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.05)


@contextlib.contextmanager
def serving(folder, *args, env=(), backend=None, host="127.0.0.1"):
    """A server that chooses its port; its addresses are those that it names."""
    folder.mkdir(exist_ok=True)
    log = folder / "server.log"
    command = [required("FERROFLOW_BIN"), "server", "--port", "0", "--host", host, *args]
    if backend:
        command += ["--backend-store-uri", backend]
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | dict(env)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT)
    try:
        address = r"listening on (https?://[^\s/]+?:\d+)"
        wait(lambda: process.poll() is not None or re.search(address, log.read_text()))
        assert process.poll() is None, log.read_text()
        server = servers.Server(process, re.search(address, log.read_text())[1], log)
        yield server
        assert server.stop() == 0, server.logs
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def refused(folder, *args, env=()):
    """What a server says that does not start."""
    command = [required("FERROFLOW_BIN"), "server", "--port", "0", *args]
    done = subprocess.run(command, cwd=folder, env=os.environ | dict(env), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0, args
    return done.stderr


class Authority:
    def __init__(self, folder, name="authority"):
        folder.mkdir(exist_ok=True)
        self.folder, self.issued = folder, certificates.issue(name)
        self.ca = folder / f"{name}.pem"
        self.ca.write_text(self.issued.pem)

    def issue(self, name, folder=None):
        folder = folder or self.folder
        folder.mkdir(exist_ok=True)
        made = certificates.issue(name, ["127.0.0.1", "localhost"], self.issued)
        return made, made.write(folder / "tls.crt", folder / "tls.key")


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def test_options_of_python_processes_and_flags_of_our_own_serve_tls(tmp_path, authority):
    _, (cert, key) = authority.issue("server")
    for number, (args, env) in enumerate((
        (["--tls-cert", cert, "--tls-key", key], {}),
        (["--uvicorn-opts", f"--ssl-certfile {cert} --ssl-keyfile={key} --log-level warning"], {}),
        (["--gunicorn-opts", f"--certfile={cert} --keyfile '{key}' --timeout 60"], {}),
        ([], {"UVICORN_SSL_CERTFILE": str(cert), "UVICORN_SSL_KEYFILE": str(key)}),
    )):  # fmt: skip
        with serving(tmp_path / str(number), *map(str, args), env=env) as server:
            assert server.url.startswith("https://")
            assert requests.get(server.url + EXPERIMENT, verify=str(authority.ca), timeout=30).status_code == 200
            with pytest.raises(requests.ConnectionError):
                requests.get(server.url.replace("https:", "http:") + EXPERIMENT, timeout=30)


def serial(server, authority):
    context = ssl.create_default_context(cafile=authority.ca)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            return int(secure.getpeercert()["serialNumber"], 16)


def test_a_certificate_that_is_swapped_is_served_and_a_broken_one_is_not(tmp_path, authority):
    """As Kubernetes changes the files of a Secret: a link to a folder is replaced."""
    first, _ = authority.issue("first", tmp_path / "1")
    second, _ = authority.issue("second", tmp_path / "2")
    third, _ = authority.issue("third", tmp_path / "3")

    def swap(folder):
        (tmp_path / "new").symlink_to(folder)
        (tmp_path / "new").rename(tmp_path / "data")

    swap("1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"data/{name}")
    flags = ["--tls-cert", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key")]
    with serving(tmp_path / "run", *flags) as server, requests.Session() as kept:
        assert serial(server, authority) == first.certificate.serial_number
        assert kept.get(server.url + EXPERIMENT, verify=str(authority.ca), timeout=30).status_code == 200
        swap("2")
        wait(lambda: serial(server, authority) == second.certificate.serial_number)
        # A certificate of one pair and the key of another.
        (tmp_path / "4").mkdir()
        (tmp_path / "4" / "tls.crt").write_text(third.pem)
        (tmp_path / "4" / "tls.key").write_bytes((tmp_path / "1" / "tls.key").read_bytes())
        swap("4")
        server.wait_logged("the previous ones stay in use")
        assert serial(server, authority) == second.certificate.serial_number
        swap("3")
        wait(lambda: serial(server, authority) == third.certificate.serial_number)
        assert server.logs.count("the previous ones stay in use") == 1
        # Who was connected all the time still is.
        assert kept.get(server.url + EXPERIMENT, verify=str(authority.ca), timeout=30).status_code == 200


def test_with_an_authority_of_clients_only_they_are_served(tmp_path, authority):
    _, (cert, key) = authority.issue("server")
    clients, others = Authority(tmp_path / "clients", "clients"), Authority(tmp_path / "others", "others")
    _, good = clients.issue("ann")
    _, foreign = others.issue("eve")
    files = {"cert": cert, "key": key, "ca": clients.ca}
    for number, (flag, is_optional) in enumerate((
        ("--tls-cert {cert} --tls-key {key} --tls-client-ca {ca}", False),
        ("--uvicorn-opts=--ssl-certfile={cert} --ssl-keyfile={key} --ssl-ca-certs={ca} --ssl-cert-reqs=2", False),
        ("--gunicorn-opts=--certfile={cert} --keyfile={key} --ca-certs={ca} --cert-reqs=1", True),
    )):  # fmt: skip
        text = flag.format(**files)
        args = [text] if "-opts=" in text else text.split(" ")
        with serving(tmp_path / str(number), *args) as server:
            def get(certificate):
                return requests.get(server.url + EXPERIMENT, verify=str(authority.ca), cert=certificate, timeout=30)

            assert get(tuple(map(str, good))).status_code == 200
            with pytest.raises(requests.ConnectionError):
                get(tuple(map(str, foreign)))
            if is_optional:
                assert get(None).status_code == 200
            else:
                with pytest.raises(requests.ConnectionError):
                    get(None)


def test_otlp_over_grpc_has_the_same_certificate_and_the_same_clients(tmp_path, authority):
    made, (cert, key) = authority.issue("server")
    clients = Authority(tmp_path / "clients", "clients")
    _, (own, own_key) = clients.issue("ann")
    args = ["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", clients.ca, "--otlp-grpc-port", "0"]
    with serving(tmp_path / "server", *map(str, args)) as server:
        port = re.search(r"listening for OTLP/gRPC on 127\.0\.0\.1:(\d+)", server.logs)[1]

        def outcome(**files):
            trusted = grpc.ssl_channel_credentials(authority.ca.read_bytes(), **files)
            with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
                try:
                    headers = [("x-mlflow-experiment-id", "0")]
                    return TraceServiceStub(channel).Export(ExportTraceServiceRequest(), metadata=headers, timeout=30)
                except grpc.RpcError as error:
                    return error.code()

        known = {"private_key": own_key.read_bytes(), "certificate_chain": own.read_bytes()}
        assert outcome(**known) == ExportTraceServiceResponse()
        assert outcome() == grpc.StatusCode.UNAVAILABLE
        context = ssl.create_default_context(cafile=authority.ca)
        context.load_cert_chain(own, own_key)
        context.set_alpn_protocols(["http/1.1", "h2"])
        with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                assert secure.selected_alpn_protocol() == "h2"
                assert int(secure.getpeercert()["serialNumber"], 16) == made.certificate.serial_number


def test_what_would_not_be_guarded_as_asked_does_not_start(tmp_path, authority):
    _, (cert, key) = authority.issue("server")
    _, (_, other) = Authority(tmp_path / "other", "b").issue("b")
    for args, said in (
        (["--uvicorn-opts", f"--ssl-keyfile {key}"], "without a certificate"),
        (["--uvicorn-opts", f"--ssl-certfile {cert} --ssl-keyfile {key} --ssl-ciphers HIGH"], "--ssl-ciphers"),
        (["--uvicorn-opts", "--uds /tmp/x.sock"], "--uds"),
        (["--gunicorn-opts", "--bind unix:/tmp/x.sock"], "only TCP"),
        (["--gunicorn-opts", "-c settings.py"], "-c affects security and is not supported"),
        (["--waitress-opts", "--unix-socket=/tmp/x"], "--unix-socket"),
        (["--uvicorn-opts", "--ssl-certfle x"], "not known"),
        (["--tls-key", str(key)], "--tls-cert"),
        (["--tls-cert", str(cert), "--tls-key", str(other)], "cannot be used with the key"),
        (["--tls-cert", str(tmp_path / "none")], "cannot be read"),
    ):  # fmt: skip
        text = refused(tmp_path, *args)
        assert said in text and "PRIVATE KEY" not in text, f"{args}: {text}"


def test_further_addresses_and_the_prefix_of_a_proxy_are_taken(tmp_path):
    port = ports.free_port()
    with serving(tmp_path / "bind", "--gunicorn-opts", f"--bind 127.0.0.1:{port} --keep-alive 5") as server:
        for url in (server.url, f"http://127.0.0.1:{port}"):
            assert requests.get(url + EXPERIMENT, timeout=30).status_code == 200
    for number, flags in enumerate((["--waitress-opts=--url-prefix=/ml"], ["--uvicorn-opts", "--root-path /ml"])):
        with serving(tmp_path / str(number), *flags) as server:
            # Whether the proxy takes the prefix away or not.
            for path in (EXPERIMENT, f"/ml{EXPERIMENT}", "/ml/health", "/ml//health", "/health"):
                assert requests.get(server.url + path, timeout=30).status_code == 200, path
            assert requests.get(f"{server.url}/mlx/health", timeout=30).status_code == 404
            # What guards the API guards it below the prefix, too.
            foreign = {"Origin": "https://evil.example"}
            path = f"/ml{API}/experiments/create"
            assert requests.post(server.url + path, json={}, headers=foreign, timeout=30).status_code == 403


def test_no_request_on_a_kept_connection_goes_unanswered_when_the_server_stops(tmp_path):
    with serving(tmp_path) as server:
        address = urlsplit(server.url)
        answered, lost = [0] * 8, []
        begun = threading.Barrier(9)

        def client(number):
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
            connection.connect()
            begun.wait()
            try:
                while True:
                    connection.request("GET", "/version")
                    answer = connection.getresponse()
                    answer.read()
                    answered[number] += 1
                    if answer.will_close:
                        connection.close()
                        try:
                            connection.connect()
                        except ConnectionRefusedError:
                            return
            except Exception as error:  # noqa: BLE001
                lost.append(repr(error))

        clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in clients:
            thread.start()
        begun.wait()
        wait(lambda: min(answered) > 20)
        server.process.terminate()
        for thread in clients:
            thread.join(60)
        assert lost == []
        assert server.process.wait(30) == 0


def test_an_idle_connection_ends_when_it_should(tmp_path):
    with serving(tmp_path, "--keep-alive-timeout", "1") as server:
        address = urlsplit(server.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
        connection.request("GET", "/version")
        connection.getresponse().read()
        assert connection.sock.recv(1) == b"", "the server ends it, and says nothing"


def raw(server, text):
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as stream:
        stream.sendall(text.replace("\n", "\r\n").encode())
        answer = b""
        while piece := stream.recv(65536):
            answer += piece
    return answer.decode()


def test_addresses_are_matched_as_addresses_and_a_request_has_one_host(tmp_path):
    def status(host, path=EXPERIMENT):
        return raw(server, f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n\n").split(" ")[1]

    with serving(tmp_path / "a", env={"POD_IP": "203.0.113.7", "POD_IPS": "203.0.113.7,2001:db8::7"}) as server:
        for host in ("localhost", "10.1.2.3:5000", "[fd00::1]:5000", "[fc00::7]", "203.0.113.7:5000", "[2001:db8::7]:1"):
            assert status(host) == "200", host
        for host in ("10.evil.example", "192.168.evil.example:5000", "172.16.evil.example", "203.0.113.8", "[2001:db8::8]"):
            assert status(host) == "403", host
        for text in (
            f"GET {EXPERIMENT} HTTP/1.1\nHost: localhost\nHost: localhost\nConnection: close\n\n",
            f"GET {EXPERIMENT} HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close\n\n",
            f"GET http://evil.example{EXPERIMENT} HTTP/1.1\nHost: localhost\nConnection: close\n\n",
        ):
            assert raw(server, text).split(" ")[1] == "400", text
        for origin in ("http://user@localhost", "foo://localhost", "http://localhost/x", "http://localhost:99999"):
            answer = requests.post(f"{server.url}{API}/experiments/create", json={}, headers={"Origin": origin}, timeout=30)
            assert answer.status_code == 403, origin
    with serving(tmp_path / "b", "--allowed-hosts", "ml.example,100.64.0.0/10,10.*") as server:
        assert [status(host) for host in ("ml.example", "100.100.0.1:80", "10.0.0.7")] == ["200"] * 3
        assert [status(host) for host in ("100.64.evil.example", "10.evil.example", "localhost")] == ["403"] * 3
    assert "is not a network" in refused(tmp_path, "--allowed-hosts", "10.0.0.0/99")


class Forwarder(threading.Thread):
    """A way to a database that can be cut."""

    def __init__(self, uri):
        super().__init__(daemon=True)
        self.target = urlsplit(uri)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.uri = self.target._replace(netloc=f"{self.target.username}@127.0.0.1:{self.port}").geturl()
        self.streams = []
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self.listener.accept()
                far = socket.create_connection((self.target.hostname, self.target.port))
                self.streams += [stream, far]
                for one, other in ((stream, far), (far, stream)):
                    threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    @staticmethod
    def pump(one, other):
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                other.sendall(piece)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def cut(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for stream in self.streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)


def may_be_repeated(answer):
    return answer.status_code == 429 and int(answer.headers["Retry-After"]) >= 1 and answer.json()["error_code"] == "RESOURCE_EXHAUSTED"


def test_while_there_is_no_database_nothing_is_done_and_the_answer_says_so(tmp_path):
    with postgres.database("postgresql", tmp_path, "away") as uri:
        way = Forwarder(uri)
        with serving(tmp_path / "run", backend=way.uri) as server:
            create = lambda name: requests.post(f"{server.url}{API}/experiments/create", json={"name": name}, timeout=60)  # noqa: E731
            assert create("a").status_code == 200
            way.cut()
            # The first may have been on its way when the connection ended.
            wait(lambda: may_be_repeated(create("b")))
            for path, body in (("experiments/create", {"name": "b"}), ("runs/create", {"experiment_id": "0"}), ("registered-models/create", {"name": "m"}),
                               ("runs/log-metric", {"run_id": "0" * 32, "key": "k", "value": 1, "timestamp": 1})):  # fmt: skip
                answer = requests.post(f"{server.url}{API}/{path}", json=body, timeout=60)
                assert may_be_repeated(answer), f"{path}: {answer.status_code} {answer.text}"
            assert requests.get(f"{server.url}/readyz", timeout=60).status_code == 503


def test_while_another_process_writes_to_the_file_nothing_is_done_and_the_answer_says_so(tmp_path):
    with serving(tmp_path) as server, contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = requests.post(f"{server.url}{API}/experiments/create", json={"name": "a"}, timeout=60)
        assert may_be_repeated(answer), answer.text
        other.rollback()
        assert requests.post(f"{server.url}{API}/experiments/create", json={"name": "a"}, timeout=60).status_code == 200


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with users, on a loopback address, with an audit log."""
    folder = tmp_path_factory.mktemp("guarded")
    env = settings(folder, f"sqlite:///{folder}/users.db")
    args = ["--app-name", "basic-auth", "--audit-log", str(folder / "audit")]
    with servers.ferroflow(f"sqlite:///{folder}/x.db", folder / "artifacts", args=args, env=env, cwd=folder) as server:
        people = People(server.url)
        people.folder, people.server = folder, server
        people.join("ann")
        yield people


def test_what_is_made_is_its_owners(guarded):
    guarded.must("ann", "POST", f"{API}/experiments/create", body={"name": "to have a log"})
    names = ["x.db", "x.db-wal", "x.db-shm", "users.db", "users.db-wal", "users.db-shm", "audit"]
    modes = {name: oct(stat.S_IMODE((guarded.folder / name).stat().st_mode)) for name in names}
    assert modes == dict.fromkeys(names, "0o600")


def test_strangers_are_told_whether_it_is_ready_and_nothing_else(guarded):
    for who in (None, "ann"):
        answer = guarded.send(who, "GET", "/readyz")
        assert (answer.status_code, answer.json()) == (200, {"ready": True}), who
    told = guarded.must(ADMIN, "GET", "/readyz")
    assert told["database"] == "ok" and told["artifact_store"].endswith("/artifacts")


def test_users_of_a_server_on_loopback_do_not_write_where_they_want(guarded, tmp_path):
    body = {"name": "elsewhere", "artifact_location": str(tmp_path / "elsewhere")}
    made = guarded.must("ann", "POST", f"{API}/experiments/create", body=body)
    run = guarded.must("ann", "POST", f"{API}/runs/create", body=made)["run"]["info"]["run_id"]
    query = {"run_uuid": run, "path": "x.txt"}
    answer = guarded.send("ann", "POST", "/ajax-api/2.0/mlflow/upload-artifact", query=query, raw=b"x")
    assert answer.status_code == 403 and not (tmp_path / "elsewhere").exists()


def lines(guarded):
    return [json.loads(line) for line in (guarded.folder / "audit").read_text().splitlines()]


def test_logins_reads_and_refused_hosts_are_in_the_audit_log_which_holds_together(guarded, tmp_path):
    guarded.join("bea")
    before = len(lines(guarded))
    made = guarded.must("bea", "POST", f"{API}/experiments/create", body={"name": "of bea"})
    path = f"/api/2.0/mlflow-artifacts/artifacts/{made['experiment_id']}/x.txt"
    assert guarded.send("bea", "PUT", path, raw=b"x").status_code == 200
    forged = {"X-Request-Id": "5f\"} {" + "x" * 500}
    answer = guarded.send("bea", "GET", path, headers=forged)
    assert answer.status_code == 200 and re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
    assert guarded.send("bea", "GET", EXPERIMENT, headers={"Host": "evil.example"}).status_code == 403
    assert requests.get(guarded.url + EXPERIMENT, auth=("bea", "wrong"), timeout=60).status_code == 401
    told = lines(guarded)[before:]
    results = [(line["result"], line["user"]) for line in told]
    assert results == [("login", "bea"), ("changed", "bea"), ("changed", "bea"), ("read", "bea"), ("refused", None), ("unauthenticated", None)]
    read = told[3]
    assert read["request_id"] == answer.headers["X-Request-Id"] and read["path"] == path
    assert read["client_request_id"] == "5f????" + "x" * 122
    assert told[4]["claimed"] == "bea"

    def verify(text):
        (tmp_path / "log").write_text(text)
        return subprocess.run([required("FERROFLOW_BIN"), "audit", "verify", str(tmp_path / "log")], capture_output=True, text=True, timeout=60)

    text = (guarded.folder / "audit").read_text()
    whole = verify(text)
    assert whole.returncode == 0 and f"{len(lines(guarded))} lines, 1 chains, 0 faults" in whole.stdout, whole.stdout
    kept = text.splitlines(keepends=True)
    del kept[before + 1]
    gone = verify("".join(kept))
    assert gone.returncode == 1 and f"log:{before + 2}" in gone.stdout, gone.stdout
    changed = verify(text.replace('"bea"', '"ann"', 1))
    assert changed.returncode == 1 and "FAULT" in changed.stdout


def test_no_permissions_of_old_clients_shuts_somebody_out(guarded):
    guarded.join("cid")
    made = guarded.must("ann", "POST", f"{API}/experiments/create", body={"name": "not for cid"})
    asked = made | {"username": "cid"}
    base = f"{API}/experiments/permissions"
    body = guarded.must("ann", "POST", f"{base}/create", body=asked | {"permission": "NO_PERMISSIONS"})
    assert body["experiment_permission"]["permission"] == "NO_PERMISSIONS"
    found = guarded.must("ann", "GET", f"{base}/get", query=asked)
    assert found["experiment_permission"]["permission"] == "NO_PERMISSIONS"
    [row] = guarded.must(ADMIN, "GET", "/api/3.0/mlflow/users/permissions/list", query={"username": "cid"})["permissions"]
    assert row["permission"] == "DENY"
    guarded.must("ann", "PATCH", f"{base}/update", body=asked | {"permission": "READ"})
    guarded.must("ann", "PATCH", f"{base}/update", body=asked | {"permission": "NO_PERMISSIONS"})
    user = guarded.must(ADMIN, "GET", f"{API}/users/get", query={"username": "cid"})["user"]
    assert [grant["permission"] for grant in user["experiment_permissions"]] == ["NO_PERMISSIONS"]
    assert guarded.send("cid", "GET", f"{API}/experiments/get", query=made).status_code == 403


def test_paths_and_names_are_taken_as_they_are_sent(tmp_path):
    with serving(tmp_path) as server:
        # As `log_image` of clients before 3.11 names its files, encoded once.
        name = "images/x%step%20%timestamp%7%a.png"
        url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{name.replace('%', '%25')}"
        assert requests.put(url, data=b"png", timeout=60).status_code == 200
        assert requests.get(url, timeout=60).content == b"png"
        assert (tmp_path / "mlartifacts" / name).read_bytes() == b"png"
        for path in ("%252e%252e/x", "a/%25252e%25252e/x", "..%252fx"):
            assert requests.get(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{path}", timeout=60).status_code == 400
        # An address that ends with a slash, and a path that begins with one.
        made = requests.post(f"{server.url}//api/2.0/mlflow/experiments/create", json={"name": "a"}, timeout=60)
        assert made.status_code == 200, made.text
        run = requests.post(f"{server.url}{API}/runs/create", json=made.json(), timeout=60).json()["run"]["info"]["run_id"]
        for status in ("NOPE", 99):
            answer = requests.post(f"{server.url}{API}/runs/update", json={"run_id": run, "status": status}, timeout=60)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        gone = made.json()
        assert requests.post(f"{server.url}{API}/experiments/delete", json=gone, timeout=60).status_code == 200
        answer = requests.post(f"{server.url}{API}/experiments/update", json=gone | {"new_name": "b"}, timeout=60)
        assert answer.status_code == 400 and "non-active" in answer.text
