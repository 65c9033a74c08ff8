"""What docs/artifacts.md says is run as it is written, on stores of our own."""

import json
import re
import shlex
from pathlib import Path

import clouds
import requests
from mlflow import MlflowClient
from support import command, stores
from support.servers import ferroflow

PAGE = Path(__file__).parents[2] / "docs" / "artifacts.md"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)


def commands() -> list[list[str]]:
    """Those that end by themselves."""
    lines = [shlex.split(line) for block in blocks() for line in block.splitlines() if line.startswith("ferroflow ")]
    return [line[1:] for line in lines if line[1] != "server"]


def configurations() -> list[tuple[dict[str, str], list[str]]]:
    """The variables and the arguments of every server."""
    found = []
    for block in blocks():
        env = {}
        for line in block.splitlines():
            words = shlex.split(line)
            if words[:2] == ["ferroflow", "server"]:
                found.append((env, words[2:]))
            elif len(words) == 1 and "=" in words[0]:
                name, value = words[0].split("=", 1)
                env[name] = value
    return found


def works(server) -> None:
    assert requests.get(f"{server.url}/readyz").status_code == 200, server.logs
    place = f"{server.url}{ARTIFACTS}/0/größe.txt"
    assert requests.put(place, data=b"text").status_code == 200
    assert requests.get(place).content == b"text"
    listed = requests.get(server.url + ARTIFACTS, params={"path": "0"}).json()
    assert [file["path"] for file in listed["files"]] == ["größe.txt"]
    assert requests.delete(place).status_code == 200


def run(tmp_path, env, args) -> None:
    args = list(args)
    if "--artifacts-destination" in args:
        at = args.index("--artifacts-destination")
        destination, args = args[at + 1], args[:at] + args[at + 2 :]
    else:
        destination = None
    name = stores.random_name("docs")
    with ferroflow(f"sqlite:///{tmp_path}/{name}.db", destination, args=args, env=env, cwd=tmp_path) as server:
        if "--no-serve-artifacts" in args:
            client = MlflowClient(server.url)
            artifacts = client.create_run(client.create_experiment("e")).info.artifact_uri
            assert artifacts.startswith(args[args.index("--default-artifact-root") + 1])
            assert requests.get(server.url + ARTIFACTS).status_code == 503
        else:
            works(server)


def test_every_server_of_the_page_works(moto, emulators, tls_store, tls_bucket, tmp_path, key_file):
    kinds = []
    for env, args in configurations():
        place = " ".join(args)
        keys = {"AWS_ACCESS_KEY_ID": stores.KEY, "AWS_SECRET_ACCESS_KEY": stores.SECRET}
        env = env | {name: value for name, value in keys.items() if name in env}
        if "wasbs:" in place:
            azure = emulators("azure")
            string = env["AZURE_STORAGE_CONNECTION_STRING"].replace("myaccount", clouds.ACCOUNT)
            string = string.replace("AccountKey=…", f"AccountKey={clouds.ACCOUNT_KEY}")
            env["AZURE_STORAGE_CONNECTION_STRING"] = f"{string};BlobEndpoint={azure.url}/{clouds.ACCOUNT}"
            there = f"//{azure.bucket}@{clouds.ACCOUNT}."
            run(tmp_path, env, [word.replace("//mlflow@myaccount.", there) for word in args])
            kinds.append("azure")
        elif "gs:" in place:
            google = emulators("gcs")
            assert "GOOGLE_APPLICATION_CREDENTIALS" in env
            env |= google.env | {"GOOGLE_APPLICATION_CREDENTIALS": key_file}
            run(tmp_path, env, [word.replace("my-bucket", google.bucket) for word in args])
            kinds.append("google")
        elif "AWS_CA_BUNDLE" in env:
            endpoint, authority = tls_store
            env |= {"MLFLOW_S3_ENDPOINT_URL": endpoint, "AWS_CA_BUNDLE": str(authority)}
            run(tmp_path, env, [word.replace("my-bucket", tls_bucket) for word in args])
            kinds.append("private authority")
        else:
            env |= {"MLFLOW_S3_ENDPOINT_URL": moto.endpoint}
            run(tmp_path, env, [word.replace("my-bucket", moto.bucket) for word in args])
            kinds.append("direct" if "--no-serve-artifacts" in args else "s3")
    assert sorted(kinds) == ["azure", "direct", "google", "private authority", "s3"]


def test_every_way_to_write_a_directory_works(tmp_path):
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith("| a directory |"))
    places = re.findall(r"`([^`]+)`", row)
    assert len(places) == 3
    for place in places:
        run(tmp_path, {}, ["--artifacts-destination", place.replace("/srv", f"{tmp_path}/srv")])
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"mlartifacts", "srv"}


def test_every_command_of_the_page_works(moto, tmp_path):
    there = {"postgresql://…": f"sqlite:///{tmp_path}/mlflow.db", "s3://my-bucket/mlflow": f"s3://{moto.bucket}/mlflow"}
    with ferroflow(there["postgresql://…"], there["s3://my-bucket/mlflow"], env=moto.env) as server:
        client = MlflowClient(server.url)
        run = client.create_run("0").info.run_id
        client.log_text(run, "text", "file.txt")
        before = moto.keys()
        said = {}
        for line in commands():
            said[line[0], line[1]] = command.run(*[there.get(word, word) for word in line], env=moto.env)
        assert json.loads(said["storage", "check"])["trial"]["failed"] is None
        assert json.loads(said["storage", "sample"])["sample"]["read"] == 1
        assert any(key[0] == "gc" for key in said)
        # Looking, and deleting what is marked as deleted, leave what is there.
        assert moto.keys() == before
        assert requests.get(f"{server.url}/readyz").status_code == 200
