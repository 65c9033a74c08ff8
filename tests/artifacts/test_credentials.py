"""How the server gets to a store: certificates, and credentials of every kind."""

import datetime
import http.server
import json
import ssl
import threading
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import faults
import pytest
import requests
import services
from mlflow import MlflowClient
from support import stores
from support.ports import free_port

API = "/api/2.0/mlflow-artifacts/artifacts"


def works(server) -> bool:
    place = f"{server.url}{API}/0/größe.txt"
    return requests.put(place, data=b"x" * 10_000).ok and requests.get(place).content == b"x" * 10_000


KEYS = {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}


def test_an_authority_of_ones_own_is_trusted_when_it_is_named(tls_store, tls_bucket, start):
    endpoint, authority = tls_store
    env = KEYS | {"MLFLOW_S3_ENDPOINT_URL": endpoint}
    distrusting = start(f"s3://{tls_bucket}", env)
    answer = requests.get(distrusting.url + "/readyz")
    assert answer.status_code == 503
    assert "certificate" in answer.json()["artifacts"].lower(), answer.text
    assert works(start(f"s3://{tls_bucket}", env | {"AWS_CA_BUNDLE": str(authority)}))
    assert works(start(f"s3://{tls_bucket}", env | {"MLFLOW_S3_IGNORE_TLS": "true"}))


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


def test_a_service_account_takes_its_role(tls_store, tls_bucket, start, tmp_path):
    endpoint, authority = tls_store
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.with_name("cert.pem"), authority.with_name("key.pem"))
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenService)
    service.socket = context.wrap_socket(service.socket, server_side=True)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    token = tmp_path / "token"
    token.write_text("a token of the cluster")
    role = "arn:aws:iam::123456789012:role/artifacts"
    server = start(
        f"s3://{tls_bucket}",
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


def test_a_machine_has_a_profile_of_its_own(moto, start, tmp_path):
    def answer(request):
        place = "/latest/meta-data/iam/security-credentials/"
        if (request.method, request.path) == ("PUT", "/latest/api/token"):
            return services.Answer(body=b"a token")
        if request.headers.get("x-aws-ec2-metadata-token") != "a token":
            return services.Answer(401)
        known = {place: services.Answer(body=b"the-role"), place + "the-role": services.keys("of-the-machine")}
        return known.get(request.path, services.Answer(404))

    with services.running(answer) as machine, faults.before(moto.endpoint) as proxy:
        env = {"MLFLOW_S3_ENDPOINT_URL": proxy.url, "AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.url + "/"}
        assert works(start(f"s3://{moto.bucket}", env | {"HOME": str(tmp_path)}))
        assert all("x-amz-security-token: of-the-machine" in head for head in proxy.heads())


def test_a_pod_has_an_identity(moto, start, tmp_path):
    token = tmp_path / "token"
    token.write_text("a token of the cluster")

    def answer(request):
        allowed = request.headers.get("authorization") == "a token of the cluster"
        return services.keys("of-the-pod") if allowed and request.path == "/v1/credentials" else services.Answer(401)

    with services.running(answer) as agent, faults.before(moto.endpoint) as proxy:
        env = {
            "MLFLOW_S3_ENDPOINT_URL": proxy.url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.url + "/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
            "HOME": str(tmp_path),
        }
        assert works(start(f"s3://{moto.bucket}", env))
        assert all("x-amz-security-token: of-the-pod" in head for head in proxy.heads())


def test_without_any_credentials_one_line_says_so_in_time(moto, start, tmp_path):
    refused = f"http://127.0.0.1:{free_port()}"
    with services.nowhere() as silent:
        none, late = "no credentials: none are set, and the machine has none", "no credentials within 3 s"
        for address, why in ((refused, none), (silent, late)):
            env = {"MLFLOW_S3_ENDPOINT_URL": moto.endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT": address, "HOME": str(tmp_path)}
            server = start(f"s3://{moto.bucket}", env)
            expected = f"s3://{moto.bucket}: {why}"
            answer = requests.get(f"{server.url}/readyz")
            assert (answer.status_code, answer.json()["artifacts"]) == (503, expected), address
            faults.wait_until(lambda: expected in server.logs, "the line at start")


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_region_is_what_is_signed_for(moto, start, name):
    with faults.before(moto.endpoint) as proxy:
        env = moto.env | {"MLFLOW_S3_ENDPOINT_URL": proxy.url, "AWS_REGION": "", name: "eu-central-1"}
        server = start(f"s3://{moto.bucket}", env)
        assert works(server)
        url = requests.get(f"{server.url}/api/2.0/mlflow-artifacts/presigned/0/größe.txt").json()["url"]
        assert requests.get(url).ok
        assert requests.delete(f"{server.url}{API}/0").ok
        assert len(proxy.heads()) >= 6
        for head in proxy.heads():
            assert "/eu-central-1/s3/aws4_request" in head.replace("%2F", "/"), head


def test_the_most_special_address_of_a_store_counts(moto, start):
    elsewhere = f"http://127.0.0.1:{free_port()}"
    names = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL"]
    for special in range(len(names)):
        env = {name: elsewhere for name in names[:special]} | {names[special]: moto.endpoint}
        assert works(start(f"s3://{moto.bucket}", KEYS | env)), env


def test_a_bucket_may_be_a_part_of_the_host(start, tmp_path):
    with stores.running("seaweed", tmp_path, "-s3.domainName=s3.example") as store:
        store = store.with_bucket("in-the-host")
        # The store stands in for a proxy, so that no name needs to be known; it reads the bucket from the host.
        env = {
            "MLFLOW_S3_ENDPOINT_URL": "http://s3.example",
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "virtual",
            "HTTP_PROXY": store.endpoint,
            "http_proxy": store.endpoint,
        }
        server = start("s3://in-the-host/pre fix", KEYS | env)
        assert works(server), requests.get(f"{server.url}/readyz").text
        assert store.keys() == ["pre fix/0/größe.txt"]
        listed = requests.get(server.url + API, params={"path": "0"}).json()
        assert [file["path"] for file in listed["files"]] == ["größe.txt"]
        url = requests.get(f"{server.url}/api/2.0/mlflow-artifacts/presigned/0/größe.txt").json()["url"]
        assert url.startswith("http://in-the-host.s3.example/pre%20fix/0/")
        assert requests.get(url, proxies={"http": store.endpoint}).content == b"x" * 10_000
        assert requests.delete(f"{server.url}{API}/0").ok
        assert store.keys() == []


KMS = "arn:aws:kms:eu-central-1:123456789012:key/1"
EXTRA = {
    "StorageClass": "STANDARD_IA",
    "Metadata": {"team": "a"},
    "Tagging": "k=v%201&plus=a%2Bb&empty=",
    "ServerSideEncryption": "aws:kms",
    "SSEKMSKeyId": KMS,
    "ACL": "public-read",
    "CacheControl": "max-age=60",
}


def test_extra_arguments_are_sent_with_every_upload(moto, start):
    server = start(
        f"s3://{moto.bucket}",
        moto.env | {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": json.dumps(EXTRA)},
        args=["--default-artifact-root", f"s3://{moto.bucket}/direct"],
    )
    for name, size in (("small", 10), ("large", 9 * 1024 * 1024)):
        assert requests.put(f"{server.url}{API}/{name}", data=bytes(size)).status_code == 200
    # In parts, by a client.
    base = f"{server.url}/api/2.0/mlflow-artifacts/mpu"
    upload = requests.post(f"{base}/create/a", json={"path": "parts", "num_parts": 1}).json()
    tag = requests.put(upload["credentials"][0]["url"], data=b"part").headers["ETag"]
    body = {"path": "parts", "upload_id": upload["upload_id"], "parts": [{"part_number": 1, "etag": tag}]}
    assert requests.post(f"{base}/complete/a", json=body).status_code == 200
    # At once, by a client, which is told what it has to send.
    client = MlflowClient(server.url)
    run = client.create_run(client.create_experiment("e")).info.run_id
    ask = {"run_id": run, "path": "signed.json"}
    upload = requests.post(f"{server.url}/api/2.0/mlflow/artifacts/presigned-upload-url", json=ask).json()
    assert requests.put(upload["presigned_url"], data=b"{}", headers=upload["headers"]).status_code == 200
    found = moto.keys()
    assert len(found) == 4
    for key in found:
        head = moto.client.head_object(Bucket=moto.bucket, Key=key)
        assert head["StorageClass"] == "STANDARD_IA", key
        assert head["Metadata"] == {"team": "a"}, key
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KMS), key
        assert head["CacheControl"] == "max-age=60", key
        tags = moto.client.get_object_tagging(Bucket=moto.bucket, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"k": "v 1", "plus": "a+b", "empty": ""}, key
        grants = moto.client.get_object_acl(Bucket=moto.bucket, Key=key)["Grants"]
        assert any(grant["Grantee"].get("URI", "").endswith("/AllUsers") for grant in grants), key
