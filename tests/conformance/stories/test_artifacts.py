"""Artifacts: files and trees, uploaded, listed, downloaded, overwritten and removed through the server."""

import os
from pathlib import Path

import mlflow
import pytest
import requests
import yaml
from helpers import UNICODE, refused
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

#: A tree with everything that a path can have.
TREE = {
    "readme.txt": b"hello\n",
    "empty": b"",
    "data/table.csv": "city,size\nKøbenhavn,1\n".encode(),
    "data/deep/er/blob.bin": bytes(range(256)) * 33,
    "data/a file, with (odd) names & 100% + 'quotes'.txt": b"odd",
    "größe/模型 🦀.json": '{"größe": "模型"}'.encode(),
    "a;b=c/d~e@f.txt": b";",
}


def write_tree(folder: Path) -> Path:
    for name, content in TREE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listing(client, run, path=None):
    """What a directory holds: path and size, which directories do not have."""
    return [(file.path, None if file.is_dir else file.file_size or 0) for file in client.list_artifacts(run, path)]


def test_artifacts_of_a_run_go_through_the_server(client, experiment):
    with mlflow.start_run() as run:
        uri = mlflow.get_artifact_uri("model/weights.bin")
    assert run.info.artifact_uri == f"{client.get_experiment(experiment).artifact_location}/{run.info.run_id}/artifacts"
    assert uri == run.info.artifact_uri + "/model/weights.bin"


def test_a_large_file_goes_in_parts_where_the_server_can_and_through_it_where_not(client, run, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "6000000")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 << 20))
    # Only newer SDKs know these.
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", "4000000")
    source = tmp_path / "größe 1.bin"
    source.write_bytes(os.urandom(13_000_000))
    client.log_artifact(run, str(source), "model/v1")
    assert listing(client, run, "model/v1") == [("model/v1/größe 1.bin", 13_000_000)]
    target = client.download_artifacts(run, "model/v1/größe 1.bin", str(new(tmp_path / "target")))
    assert Path(target).read_bytes() == source.read_bytes()


@pytest.mark.since(3, 17)
def test_what_the_server_says_it_can_do_is_what_the_sdk_does(client, run, tmp_path, monkeypatch, url):
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "6000000")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 << 20))
    info = requests.get(f"{url}/api/3.0/mlflow/server-info").json()
    used = []
    real = requests.put
    monkeypatch.setattr(requests, "put", lambda place, **rest: used.append(place) or real(place, **rest))
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(13_000_000))
    client.log_artifact(run, str(source))
    # Three parts to another address than the server's, or none.
    assert [place.startswith(url) for place in used] == [False] * 3 * info["multipart_uploads_enabled"]
    target = client.download_artifacts(run, "large.bin", str(new(tmp_path / "target")))
    assert Path(target).read_bytes() == source.read_bytes()


def test_a_file_comes_back_byte_for_byte(client, run, tmp_path):
    source = tmp_path / "weights.bin"
    source.write_bytes(os.urandom(3_000_000))
    client.log_artifact(run, str(source))
    client.log_artifact(run, str(source), "model/v1")
    for path in ("weights.bin", "model/v1/weights.bin"):
        target = client.download_artifacts(run, path, str(new(tmp_path / "target" / path)))
        assert Path(target).read_bytes() == source.read_bytes()
    assert listing(client, run) == [("model", None), ("weights.bin", 3_000_000)]


def test_a_tree_comes_back_as_it_went(client, run, tmp_path):
    client.log_artifacts(run, str(write_tree(tmp_path / "source")))
    client.log_artifacts(run, str(tmp_path / "source" / "data"), "copy")
    target = mlflow.artifacts.download_artifacts(run_id=run, dst_path=str(tmp_path / "target"))
    copy = {name.replace("data/", "copy/", 1): text for name, text in TREE.items() if name.startswith("data/")}
    assert read_tree(Path(target)) == TREE | copy


def test_directories_are_listed_one_level_at_a_time(client, run, tmp_path):
    client.log_artifacts(run, str(write_tree(tmp_path)))
    assert listing(client, run) == [
        ("a;b=c", None),
        ("data", None),
        ("empty", 0),
        ("größe", None),
        ("readme.txt", 6),
    ]
    assert listing(client, run, "data") == [
        ("data/a file, with (odd) names & 100% + 'quotes'.txt", 3),
        ("data/deep", None),
        ("data/table.csv", 23),
    ]
    assert listing(client, run, "data/deep/er") == [("data/deep/er/blob.bin", 256 * 33)]
    assert listing(client, run, "größe") == [("größe/模型 🦀.json", len(TREE["größe/模型 🦀.json"]))]
    assert listing(client, run, "a;b=c") == [("a;b=c/d~e@f.txt", 1)]


def test_a_part_of_a_tree_can_be_downloaded(client, run, tmp_path):
    client.log_artifacts(run, str(write_tree(tmp_path / "source")))
    target = client.download_artifacts(run, "data/deep", str(new(tmp_path / "part")))
    assert read_tree(Path(target)) == {"er/blob.bin": TREE["data/deep/er/blob.bin"]}
    target = mlflow.artifacts.download_artifacts(f"runs:/{run}/größe", dst_path=str(new(tmp_path / "by uri")))
    assert read_tree(Path(target)) == {"模型 🦀.json": TREE["größe/模型 🦀.json"]}


def test_a_listing_is_in_order(client, run):
    for name in ("b", "a", "C", "10", "9"):
        client.log_text(run, name, f"{name}.txt")
    assert [path for path, _ in listing(client, run)] == ["10.txt", "9.txt", "C.txt", "a.txt", "b.txt"]


def test_a_run_without_artifacts_lists_none(client, run):
    assert client.list_artifacts(run) == []


def test_what_is_not_a_directory_lists_nothing(client, run):
    client.log_text(run, "x", "file.txt")
    assert client.list_artifacts(run, "file.txt") == []
    assert client.list_artifacts(run, "never") == []


def test_an_artifact_that_is_not_there_cannot_be_downloaded(client, run, tmp_path):
    client.log_text(run, "x", "file.txt")
    with pytest.raises(Exception, match="(?i)never.txt|No such artifact|404"):
        client.download_artifacts(run, "never.txt", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_last_upload_of_a_file_stays(client, run):
    client.log_text(run, "a much longer first text", "notes.txt")
    client.log_text(run, "second", "notes.txt")
    assert listing(client, run) == [("notes.txt", 6)]
    assert mlflow.artifacts.load_text(f"runs:/{run}/notes.txt") == "second"


def test_line_ends_and_blanks_of_a_text_survive(client, run):
    client.log_text(run, UNICODE + "\r\n\t\n ", "deep/er/note.txt")
    with open(client.download_artifacts(run, "deep/er/note.txt"), encoding="utf-8", newline="") as file:
        assert file.read() == UNICODE + "\r\n\t\n "


def test_texts_and_dicts_are_files_too(client):
    config = {"größe": "模型", "layers": [1, 2, {"n": None}], "lr": 0.1}
    with mlflow.start_run() as run:
        mlflow.log_text("first\nzweite Zeile ß 🦀\n", "notes/read me.txt")
        mlflow.log_dict(config, "config.json")
        mlflow.log_dict(config, "config.yaml")
    base = run.info.artifact_uri
    assert mlflow.artifacts.load_text(f"{base}/notes/read me.txt") == "first\nzweite Zeile ß 🦀\n"
    assert mlflow.artifacts.load_dict(f"{base}/config.json") == config
    assert yaml.safe_load(mlflow.artifacts.load_text(f"{base}/config.yaml")) == config


def test_artifacts_can_be_listed_by_uri(client, run):
    client.log_text(run, "x", "folder/file.txt")
    by_run = mlflow.artifacts.list_artifacts(run_id=run, artifact_path="folder")
    by_uri = mlflow.artifacts.list_artifacts(artifact_uri=f"runs:/{run}/folder")
    assert [file.path for file in by_run] == ["folder/file.txt"]
    assert [Path(file.path).name for file in by_uri] == ["file.txt"]


def test_artifacts_can_be_removed(client, run):
    for name in ("keep.txt", "goes.txt", "folder/one.txt", "folder/deep/two.txt"):
        client.log_text(run, "x", name)
    repository = get_artifact_repository(client.get_run(run).info.artifact_uri)
    repository.delete_artifacts("goes.txt")
    repository.delete_artifacts("folder")
    assert listing(client, run) == [("keep.txt", 1)]


def test_a_path_cannot_leave_the_run(client, run, tmp_path):
    source = tmp_path / "evil.txt"
    source.write_text("evil")
    client.log_text(run, "good", "inside.txt")
    repository = get_artifact_repository(client.get_run(run).info.artifact_uri)
    for folder in ("..", "../..", "a/../../..", "/etc", "%2e%2e/up", "a/%2e%2e/%2e%2e"):
        with pytest.raises(Exception, match="(?i)invalid|400"):
            repository.log_artifact(str(source), folder)
        with pytest.raises(Exception, match="(?i)invalid|400"):
            client.list_artifacts(run, folder)
    assert listing(client, run) == [("inside.txt", 4)]


def test_artifacts_outlive_the_deletion_of_their_run(client, run):
    client.log_text(run, "kept", "notes.txt")
    client.delete_run(run)
    assert mlflow.artifacts.load_text(f"runs:/{run}/notes.txt") == "kept"
    client.restore_run(run)
    assert mlflow.artifacts.load_text(f"runs:/{run}/notes.txt") == "kept"


def test_artifacts_of_an_unknown_run_are_not_found(client):
    nobody = "0" * 32
    for ask in (client.list_artifacts, lambda run: client.log_text(run, "x", "notes.txt")):
        with refused("RESOURCE_DOES_NOT_EXIST", f"Run with id={nobody} not found"):
            ask(nobody)


@pytest.mark.without_workspaces
def test_an_experiment_may_keep_its_artifacts_elsewhere(client, tmp_path):
    place = tmp_path / "my place"
    experiment = client.create_experiment(f"elsewhere {os.urandom(4).hex()}", artifact_location=place.as_uri())
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "here", "notes.txt")
    assert (place / run / "artifacts" / "notes.txt").read_text() == "here"
    assert mlflow.artifacts.load_text(f"runs:/{run}/notes.txt") == "here"


def test_many_files_in_one_directory_are_all_listed(client, run, tmp_path):
    for number in range(120):
        (tmp_path / f"{number:03}.txt").write_text(str(number))
    client.log_artifacts(run, str(tmp_path), "many")
    assert [path for path, _ in listing(client, run, "many")] == [f"many/{number:03}.txt" for number in range(120)]
