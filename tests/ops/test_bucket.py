"""The doctor looks at the bucket from where the server is, with its own credentials, and as clients see it."""

from datetime import timedelta

import pytest
from conftest import BUCKET, OLD
from store_proxy import before
from support import command, stores
from support.ports import free_port

pytestmark = pytest.mark.rotates(every=4)


@pytest.fixture
def proxy(plain):
    """Between the server and its bucket."""
    with before(plain.store.endpoint) as proxy:
        variable(plain, "MLFLOW_S3_ENDPOINT_URL", proxy.url)
        yield proxy


def variable(cluster, name: str, value: str) -> None:
    """Sets a variable of the server, as ``mlflow.extraEnv`` does."""
    containers = cluster.server["spec"]["template"]["spec"]["containers"]
    kept = [one for one in containers[0]["env"] if one["name"] != name]
    containers[0]["env"] = [*kept, {"name": name, "value": value}]
    cluster.patch("Deployment", "mlflow", {"spec": {"template": {"spec": {"containers": containers}}}})


def secret(cluster, **values: str) -> None:
    cluster.delete("Secret", "s3-credentials", None)
    cluster.secret("s3-credentials", {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET} | values)


def found(cluster) -> str:
    """What the doctor says of trouble."""
    process = command.start("ops", "doctor", "--look-inside", env={"KUBECONFIG": str(cluster.kubeconfig())})
    out, error = process.communicate(timeout=command.SECONDS)
    assert process.returncode == 1, out + error
    assert stores.SECRET not in out + error and "X-Amz-Signature" not in out + error
    return out


def files(cluster) -> list[str]:
    return cluster.store.keys()


def test_the_bucket_is_tried_and_left_as_it_was(installed):
    before = files(installed)
    said = installed.ops("doctor", "--look-inside")
    assert f"ok    s3://{BUCKET}/artifacts can be written, read and deleted from" in said
    assert "clocks of the node and of the bucket are 0 s apart" in said
    assert f"a signed URL at {installed.store.endpoint} answers the server" in said
    assert before and files(installed) == before


def test_without_looking_inside_nothing_is_written(plain):
    said = plain.ops("doctor")
    assert "can be written" not in said and not plain.changes


@pytest.mark.parametrize(
    ("status", "code", "value"),
    [(404, "NoSuchBucket", "s3.bucket"), (400, "AuthorizationHeaderMalformed", "s3.region"), (403, "RequestTimeTooSkewed", "clock")],
)
def test_what_the_store_says_leads_to_the_value(plain, proxy, status, code, value):
    # SeaweedFS knows no regions, and its clock is this machine's.
    proxy.denied, proxy.error = {"PUT"}, (status, code)
    said = found(plain)
    assert code in said and f"set {value}" in said or f"set the {value}" in said, said


def test_a_key_that_the_store_does_not_know(plain):
    secret(plain, AWS_ACCESS_KEY_ID="AKIAIOSFODNN7UNKNOWN")
    said = found(plain)
    assert f"WRONG the server cannot write in s3://{BUCKET}/artifacts: " in said and "AWS_ACCESS_KEY_ID" in said


def test_a_secret_that_is_not_that_of_the_key(plain):
    secret(plain, AWS_SECRET_ACCESS_KEY="anothersecretkey")
    said = found(plain)
    assert "SignatureDoesNotMatch" in said and "set AWS_SECRET_ACCESS_KEY in the Secret" in said


def test_settings_that_make_no_sense(plain):
    variable(plain, "AWS_CA_BUNDLE", "/nowhere/ca.crt")
    assert "WRONG the bucket cannot be tested: AWS_CA_BUNDLE: /nowhere/ca.crt" in found(plain)


def test_an_endpoint_where_nothing_is(plain):
    variable(plain, "MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    said = found(plain)
    assert "cannot write" in said and "check s3.endpointUrl" in said


@pytest.mark.parametrize(
    ("methods", "right"),
    [({"PUT"}, "s3:PutObject"), ({"GET"}, "s3:GetObject"), ({"DELETE", "POST"}, "s3:DeleteObject")],
    ids=["write", "read", "delete"],
)
def test_a_right_that_is_missing(plain, proxy, methods, right):
    proxy.denied = methods
    said = found(plain)
    assert "AccessDenied" in said and right in said
    # What could be taken away was.
    assert ("DELETE" in methods) == any(".ferroflow-try-" in file for file in files(plain))


@pytest.mark.parametrize("minutes", [5, -5])
def test_a_clock_that_is_wrong(plain, proxy, minutes):
    proxy.ahead = timedelta(minutes=minutes)
    said = found(plain)
    assert "WRONG the clocks of the node and of the bucket are 29" in said or "are 300 s apart" in said, said
    assert "set the clock of the node" in said


def test_a_clock_of_the_cluster_that_is_wrong(plain):
    plain.ahead = 600
    assert "set this machine's clock" in found(plain)


def test_clients_are_sent_to_an_address_where_nothing_is(plain):
    nowhere = f"http://127.0.0.1:{free_port()}"
    variable(plain, "FERROFLOW_S3_PUBLIC_ENDPOINT_URL", nowhere)
    said = found(plain)
    assert f"WRONG a signed URL at {nowhere}, where clients are sent, does not answer" in said
    assert "set FERROFLOW_S3_PUBLIC_ENDPOINT_URL" in said and "can be written" in said
    # Nobody is sent there.
    variable(plain, "FERROFLOW_PRESIGNED_TRANSFERS", "false")
    assert "signed address" not in plain.ops("doctor", "--look-inside")


def test_clients_are_sent_to_something_else(plain):
    elsewhere = f"http://127.0.0.1:{plain.api.server_address[1]}"
    variable(plain, "FERROFLOW_S3_PUBLIC_ENDPOINT_URL", elsewhere)
    assert f"{elsewhere}, where clients are sent, does not answer: 404" in found(plain)


def test_a_router_that_changes_the_name_of_the_store(plain):
    with before(plain.store.endpoint) as proxy:
        proxy.host = "s3.internal"
        variable(plain, "FERROFLOW_S3_PUBLIC_ENDPOINT_URL", proxy.url)
        assert "does not answer: 403 Forbidden: SignatureDoesNotMatch" in found(plain)


def test_what_has_no_secrets_is_not_looked_into(plain):
    plain.delete("Secret", "s3-credentials", None)
    assert "are inspected when the Secrets" in found(plain)
    assert not plain.names("Job") and plain.is_ready(OLD)
