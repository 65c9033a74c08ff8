"""How the server gets to a store: certificates, and credentials of every kind."""

import datetime
import http.server
import ssl
import subprocess
import sys
import threading
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from support import certificates, stores
from support.servers import free_port

API = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A store that is reached by TLS, with a certificate of an authority that nobody knows."""
    folder = tmp_path_factory.mktemp("tls")
    authority = certificates.issue("an authority of its own")
    certificate = certificates.issue("localhost", ["localhost", "127.0.0.1"], authority)
    (folder / "ca.pem").write_text(authority.pem)
    cert_file, key_file = certificate.write(folder / "cert.pem", folder / "key.pem")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port), "--ssl"]
    command += ["--ssl-cert", str(cert_file), "--ssl-key", str(key_file)]
    log = folder / "moto.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        stores.wait_for_port(port, process, log)
        yield f"https://localhost:{port}", folder / "ca.pem"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(secure, monkeypatch) -> str:
    endpoint, authority = secure
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    name = stores.random_name("tls")
    stores.Store("moto", endpoint, "").client.create_bucket(Bucket=name)
    return name


def works(server) -> bool:
    place = f"{server.url}{API}/0/größe.txt"
    return requests.put(place, data=b"x" * 10_000).ok and requests.get(place).content == b"x" * 10_000


KEYS = {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}


def test_an_authority_of_ones_own_is_trusted_when_it_is_named(secure, bucket, start):
    endpoint, authority = secure
    env = KEYS | {"MLFLOW_S3_ENDPOINT_URL": endpoint}
    distrusting = start(f"s3://{bucket}", env)
    answer = requests.get(distrusting.url + "/readyz")
    assert answer.status_code == 503
    assert "certificate" in answer.json()["artifacts"].lower(), answer.text
    assert works(start(f"s3://{bucket}", env | {"AWS_CA_BUNDLE": str(authority)}))
    assert works(start(f"s3://{bucket}", env | {"MLFLOW_S3_IGNORE_TLS": "true"}))


class TokenService(http.server.BaseHTTPRequestHandler):
    """The one call of AWS's token service that a role is taken with; moto knows it in another spelling only."""

    asked: ClassVar[list[dict]] = []

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        query = urlsplit(self.path).query + "&" + self.rfile.read(length).decode()
        self.asked.append({name: values[0] for name, values in parse_qs(query).items()})
        expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        body = (
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{stores.KEY}</AccessKeyId><SecretAccessKey>{stores.SECRET}</SecretAccessKey>"
            f"<SessionToken>of-the-role</SessionToken><Expiration>{expires:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_service_account_takes_its_role(secure, bucket, start, tmp_path):
    endpoint, authority = secure
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.with_name("cert.pem"), authority.with_name("key.pem"))
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenService)
    service.socket = context.wrap_socket(service.socket, server_side=True)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    token = tmp_path / "token"
    token.write_text("a token of the cluster")
    role = "arn:aws:iam::123456789012:role/artifacts"
    server = start(
        f"s3://{bucket}",
        {
            "MLFLOW_S3_ENDPOINT_URL": endpoint,
            "AWS_CA_BUNDLE": str(authority),
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": role,
            "AWS_ENDPOINT_URL_STS": f"https://localhost:{service.server_port}",
            "HOME": str(tmp_path),
        },
    )
    assert works(server), server.logs
    service.shutdown()
    asked = TokenService.asked[0]
    assert (asked["RoleArn"], asked["WebIdentityToken"]) == (role, "a token of the cluster")


def test_keys_may_be_temporary_or_in_a_profile(moto, start, tmp_path):
    file = tmp_path / "credentials"
    file.write_text(
        f"[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n"
        f"[team]\naws_access_key_id = {stores.KEY}\naws_secret_access_key = {stores.SECRET}\n"
        f"aws_session_token = of-the-team\n"
    )
    location, endpoint = f"s3://{moto.bucket}", {"MLFLOW_S3_ENDPOINT_URL": moto.endpoint}
    assert works(start(location, endpoint | KEYS | {"AWS_SESSION_TOKEN": "temporary"}))
    assert works(start(location, endpoint | {"AWS_PROFILE": "team", "AWS_SHARED_CREDENTIALS_FILE": str(file)}))


def test_extra_arguments_are_sent_with_every_upload(moto, start):
    arguments = '{"StorageClass": "STANDARD_IA", "Metadata": {"team": "a"}, "Tagging": "k=v", "ServerSideEncryption": "AES256", "ACL": "bucket-owner-full-control"}'
    server = start(f"s3://{moto.bucket}", moto.env | {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": arguments})
    for name, size in (("small", 10), ("large", 9 * 1024 * 1024)):
        assert requests.put(f"{server.url}{API}/{name}", data=bytes(size)).status_code == 200
        head = moto.client.head_object(Bucket=moto.bucket, Key=name)
        assert head["StorageClass"] == "STANDARD_IA"
        assert head["Metadata"] == {"team": "a"}
        assert head["ServerSideEncryption"] == "AES256"
        tags = moto.client.get_object_tagging(Bucket=moto.bucket, Key=name)["TagSet"]
        assert tags == [{"Key": "k", "Value": "v"}]
