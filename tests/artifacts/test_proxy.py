"""Artifacts that go through the server into a bucket and back."""

import http.client
import os
from urllib.parse import quote, urlsplit

import pytest
import requests

pytestmark = pytest.mark.rotates(every=4)

API = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024


def url(server, path: str) -> str:
    return f"{server.url}{API}/{quote(path)}"


def put(server, path: str, body) -> None:
    answer = requests.put(url(server, path), data=body)
    assert answer.status_code == 200, answer.text


def listing(server, path: str) -> list[tuple]:
    answer = requests.get(server.url + API, params={"path": path})
    assert answer.status_code == 200, answer.text
    return [(file["path"], file["is_dir"], file.get("file_size")) for file in answer.json().get("files", [])]


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 17])
def test_a_file_of_any_size_comes_back_byte_for_byte(server, store, size):
    body = os.urandom(size)
    put(server, "0/run/artifacts/weights.bin", body)
    assert store.get("pre fix/0/run/artifacts/weights.bin") == body
    answer = requests.get(url(server, "0/run/artifacts/weights.bin"))
    assert answer.content == body
    assert answer.headers["Content-Length"] == str(size)
    assert listing(server, "0/run/artifacts") == [("weights.bin", False, size or None)]


def test_a_body_of_unknown_length_is_taken(server, store):
    body = os.urandom(9 * MIB)
    put(server, "chunked.bin", (body[at : at + 100_000] for at in range(0, len(body), 100_000)))
    assert store.get("pre fix/chunked.bin") == body


NAMES = ["größe/模型 🦀.json", "a;b=c/d~e@f.txt", "100% & 'quotes' (odd) + [x]{y}^`|<>.txt", "q?x=1", "tab\tname"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_what_they_were(server, store, name):
    put(server, name, b"x")
    stored = name.replace("\t", "%09")
    assert store.get(f"pre fix/{stored}") == b"x"
    folder, _, leaf = stored.rpartition("/")
    assert listing(server, folder) == [(leaf, False, 1)]
    answer = requests.get(url(server, name))
    assert answer.content == b"x"
    assert quote(leaf[:1]) in answer.headers["Content-Disposition"] or leaf[:1] in answer.headers["Content-Disposition"]


def test_parts_of_a_file_are_sent_as_players_and_browsers_ask(server):
    body = os.urandom(100_000)
    put(server, "a/movie.mp4", body)
    place = url(server, "a/movie.mp4")
    whole = requests.get(place)
    assert whole.headers["Content-Type"] == "video/mp4"
    assert whole.headers["Content-Disposition"] == "attachment; filename=movie.mp4"
    assert whole.headers["Accept-Ranges"] == "bytes"
    for text, part in [("bytes=0-0", body[:1]), ("bytes=99999-", body[-1:]), ("bytes=-500", body[-500:])]:
        answer = requests.get(place, headers={"Range": text})
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["Content-Range"].endswith("/100000")
    assert requests.get(place, headers={"Range": "bytes=100000-"}).status_code == 416
    tag = whole.headers["ETag"]
    for tags in (tag, f"W/{tag}", f'"other", W/{tag}', "*"):
        assert requests.get(place, headers={"If-None-Match": tags}).status_code == 304
    put(server, "a/movie.mp4", body[:-1] + b"!")
    changed = requests.get(place, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.content[-1:]) == (200, b"!")


def test_objects_know_their_type(server, store):
    put(server, "page.html", b"<p>")
    put(server, "large.png", bytes(9 * MIB))
    put(server, "archive.csv.gz", b"not decoded on its way")
    heads = {key: store.client.head_object(Bucket=store.bucket, Key=key) for key in store.keys()}
    assert heads["pre fix/page.html"]["ContentType"] == "text/html"
    assert heads["pre fix/large.png"]["ContentType"] == "image/png"
    # An encoding would be undone by clients on the way.
    assert not heads["pre fix/archive.csv.gz"].get("ContentEncoding")


@pytest.mark.rotates
def test_a_directory_is_listed_one_level_at_a_time_however_large(server, store):
    store.put_many([f"pre fix/d/file-{number:04}" for number in range(1_203)])
    store.put("pre fix/d/below/deep/er.txt", b"xy")
    store.put("pre fix/dx/other", b"x")
    files = listing(server, "d")
    assert len(files) == 1_204
    assert files[0] == ("below", True, None)
    assert files[-1] == ("file-1202", False, 1)
    assert listing(server, "") == [("d", True, None), ("dx", True, None)]
    assert listing(server, "d/below") == [("deep", True, None)]
    assert listing(server, "d/file-0001") == []
    assert listing(server, "nothing") == []


@pytest.mark.rotates
def test_all_of_a_directory_is_deleted_and_nothing_beside_it(server, store):
    store.put_many([f"pre fix/d/e{number % 7}/file-{number:04}" for number in range(1_203)])
    for beside in ("pre fix/dx", "pre fix/d.txt", "d/file", "pre fix2/d"):
        store.put(beside, b"x")
    # s3s-fs keeps an empty directory that it can neither show nor delete.
    for _ in range(1 if store.kind == "s3s" else 2):
        assert requests.delete(url(server, "d")).status_code == 200
        assert store.keys() == ["d/file", "pre fix/d.txt", "pre fix/dx", "pre fix2/d"]
    assert requests.delete(url(server, "dx")).status_code == 200
    assert store.keys() == ["d/file", "pre fix/d.txt", "pre fix2/d"]


def test_what_is_not_there_is_a_404_and_a_directory_no_file(moto, start):
    server = start(f"s3://{moto.bucket}", moto.env)
    moto.put("d/file", b"x")
    missing = requests.get(url(server, "nothing.txt"))
    assert missing.status_code == 404
    assert missing.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert missing.json()["message"] == "No such artifact: 'nothing.txt'"
    directory = requests.get(url(server, "d"))
    assert directory.status_code == 400
    assert "refers to a directory" in directory.json()["message"]


def test_no_path_leads_out_of_the_prefix(server, store):
    store.put("secret", b"s")
    store.put("pre fix/a", b"a")
    for path in ("../secret", "%2e%2e/secret", "%252e%252e/secret", "a/../../secret", "/secret", "//secret", "a\\..\\b"):
        for method in ("GET", "PUT", "DELETE"):
            # Sent as it is: an HTTP library would tidy the path up.
            connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
            connection.request(method, f"{API}/{path}", body=b"x" if method == "PUT" else None)
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (400, 404), (method, path, answer.status)
        assert requests.get(server.url + API, params={"path": path}).status_code == 400
    assert store.get("secret") == b"s"
    assert store.keys() == ["pre fix/a", "secret"]


def test_markers_of_directories_and_odd_names_are_deleted_with_their_directory(moto, start):
    # As consoles of S3 make directories, and tools that put two slashes together.
    server = start(f"s3://{moto.bucket}/pre", moto.env)
    odd = ["pre/d/", "pre/d/sub/", "pre/d/sub/file", "pre/d//x", "pre/d//", "pre/d/a//b/", "pre/d/ spaced ", "pre/d/&<>'\"\\"]
    beside = ["pre/", "pre/dx/", "pre/d.txt", "d/", "pre//d/x"]
    for key in odd + beside:
        moto.put(key, b"")
    assert moto.keys() == sorted(odd + beside)
    # What no path of an artifact can name is not shown.
    assert [name for name, _, _ in listing(server, "d")] == [" spaced ", "&<>'\"\\", "a", "sub"]
    assert listing(server, "d/sub") == [("file", False, None)]
    assert listing(server, "d/a") == []
    assert requests.delete(url(server, "d")).status_code == 200
    assert moto.keys() == sorted(beside)
    # Where many can not be deleted at once.
    for key in odd:
        moto.put(key, b"")
    single = start(f"s3://{moto.bucket}/pre", moto.env | {"AWS_DISABLE_BULK_DELETE": "true"})
    assert requests.delete(url(single, "d")).status_code == 200
    assert moto.keys() == sorted(beside)


def test_a_name_with_dots_leads_no_deletion_out_of_its_directory(moto, start):
    keys = ["pre/d/../../outside", "pre/d/./x", "outside", "pre/x"]
    for key in ("outside", "pre/x"):
        moto.put(key, b"")
    server = start(f"s3://{moto.bucket}/pre", moto.env)
    # Sent as it is: an HTTP library would tidy the path up.
    deleted = moto.client.delete_objects(Bucket=moto.bucket, Delete={"Objects": [{"Key": keys[0]}]})
    assert "Errors" not in deleted
    assert requests.delete(url(server, "d")).status_code == 200
    assert moto.keys() == ["outside", "pre/x"]
