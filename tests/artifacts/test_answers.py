"""What a store answers that can not be true, or not all of it: no client takes it for the artifact."""

import os

import pytest
import requests
import services
from services import Answer
from support import stores

API = "/api/2.0/mlflow-artifacts/artifacts"
BODY = os.urandom(1000)
TAG = {"ETag": '"a"', "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"}


def partial(text: str) -> dict[str, str]:
    return TAG | {"Content-Range": f"bytes {text}"}


#: What a store that has 1,000 bytes says to a question for them or for a range of them.
DAMAGED = {
    "the connection ends early": ({}, Answer(206, BODY[:500], partial("0-999/1000"), length=1000)),
    "the answer is short and says so": ({}, Answer(206, BODY[:500], partial("0-499/1000"))),
    "the answer is short and does not say so": ({}, Answer(206, BODY[:500], partial("0-999/1000"))),
    "everything instead of a range": ({"Range": "bytes=10-99"}, Answer(200, BODY, TAG)),
    "another range": ({"Range": "bytes=10-99"}, Answer(206, BODY[110:200], partial("110-199/1000"))),
    "an answer of something else": ({}, Answer(200, b"<html>log in</html>", {"Content-Type": "text/html"})),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_no_client_takes_a_damaged_answer_for_the_artifact(case, start):
    asked, damaged = DAMAGED[case]

    def answer(request):
        if request.method == "HEAD":
            return Answer(200, BODY, TAG)
        return damaged if "/0/file.bin" in request.path else Answer(body=b"<ListBucketResult/>")

    with services.running(answer) as store:
        keys = {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}
        server = start("s3://bucket", keys | {"MLFLOW_S3_ENDPOINT_URL": store.url})
        try:
            found = requests.get(f"{server.url}{API}/0/file.bin", headers=asked)
        except (requests.exceptions.ChunkedEncodingError, requests.ConnectionError):
            # It broke: every client sees that it does not have all of it.
            return
        assert found.status_code == 503, (found.status_code, len(found.content))
        assert found.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"


@pytest.mark.parametrize("listing", [b"", b"<html>log in</html>", b"<ListBucketResult><Contents><Key>0/", b"{}"])
def test_what_is_no_listing_is_no_empty_directory(listing, start):
    with services.running(lambda request: Answer(body=listing)) as store:
        keys = {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}
        server = start("s3://bucket", keys | {"MLFLOW_S3_ENDPOINT_URL": store.url})
        assert requests.get(f"{server.url}/readyz").status_code == 503
        assert requests.get(f"{server.url}{API}", params={"path": "0"}).status_code == 503
        assert requests.delete(f"{server.url}{API}/0").status_code == 503


def test_what_was_not_deleted_is_told(start):
    refused = b"<DeleteResult><Error><Key>0/d/</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"

    def answer(request):
        if request.method == "HEAD":
            return Answer(404)
        if request.method == "POST":
            return Answer(body=refused)
        return Answer(body=b"<ListBucketResult><Contents><Key>0/d/</Key><Size>0</Size></Contents></ListBucketResult>")

    with services.running(answer) as store:
        keys = {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}
        server = start("s3://bucket", keys | {"MLFLOW_S3_ENDPOINT_URL": store.url})
        assert requests.delete(f"{server.url}{API}/0").status_code == 503
        server.wait_logged("AccessDenied: no")
