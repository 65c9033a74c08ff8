"""The Containerfile and the compose file. (No image is built here: that takes a registry.)"""

import re
from pathlib import Path

import yaml
from support import chart as helm

ROOT = Path(__file__).parents[2]


def containerfile() -> str:
    return (ROOT / "Containerfile").read_text()


def test_the_small_image_is_nobody_in_particular():
    text = containerfile()
    last = text[text.rindex("\nFROM ") :]
    user, group = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE).groups()
    assert user != "0" and group == "0", "OpenShift takes any user, in group 0"
    assert 'ENTRYPOINT ["ferroflow"]' in last


def last_stage() -> str:
    text = containerfile()
    return text[text.rindex("\nFROM ") :]


def test_the_image_starts_without_settings():
    """Its folder is written by any user of group 0: the server makes its database in it."""
    lines = last_stage().splitlines()
    [folder] = [line.removeprefix("WORKDIR ") for line in lines if line.startswith("WORKDIR ")]
    assert any(re.match(rf"RUN install --directory .*--group=0 --mode=0?770 {folder}$", line) for line in lines)
    assert f"VOLUME {folder}" in lines, "also on a read-only root file system"
    # The chart mounts its volume there.
    [mount] = [one for one in helm.objects("kubernetes-try-out").server["volumeMounts"] if one["name"] == "data"]
    assert mount["mountPath"] == folder


def test_the_image_says_what_it_is():
    text = last_stage()
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", text))
    assert labels >= {"title", "description", "version", "revision", "licenses"}
    assert re.search(r"^COPY LICENSE NOTICE /licenses/$", text, re.MULTILINE)
    assert (ROOT / "LICENSE").exists() and (ROOT / "NOTICE").exists()
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert f"ARG VERSION={version}" in text
    # The profile strips the program, as the one that it inherits from.
    assert "cargo build --profile dist" in containerfile()
    profiles = (ROOT / "Cargo.toml").read_text()
    assert re.search(r'^\[profile\.dist\]\n(?:.+\n)*inherits = "release"$', profiles, re.MULTILINE)
    assert re.search(r'^\[profile\.release\]\n(?:.+\n)*strip = true$', profiles, re.MULTILINE)


def test_images_and_compose_ask_the_server_how_it_is():
    assert re.search(r'^HEALTHCHECK .* CMD \["ferroflow", "health"\]$', last_stage(), re.MULTILINE)
    assert compose()["services"]["mlflow"]["healthcheck"]["test"] == ["CMD", "ferroflow", "health"]


def test_no_image_is_latest():
    bases = re.findall(r"^ARG \w+=(docker\.io/\S+)$", containerfile(), re.MULTILINE)
    images = [re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", service["image"]) for service in compose()["services"].values()]
    assert bases and images
    for image in [*bases, *images]:
        assert ":" in image.rsplit("/", 1)[-1] and not image.endswith(":latest"), image


def test_the_ui_is_the_one_that_the_server_knows():
    server = (ROOT / "crates/server/src/ui.rs").read_text()
    version, digest = (re.search(rf"^ARG {name}=(.*)$", containerfile(), re.MULTILINE)[1] for name in ("MLFLOW", "SHA256"))
    assert f'sha256: "{digest}"' in server
    assert f'REFERENCE: &str = "{version}"' in (ROOT / "crates/model/src/messages.rs").read_text()
    assert "messages::REFERENCE" in (ROOT / "crates/server/src/health.rs").read_text()


def test_the_small_image_has_what_the_chart_runs_in_it():
    """bash and coreutils come with Debian; programs of the chart's scripts are among them."""
    debian = {"bash", "sh", "sed", "cat", "sleep", "timeout", "sha256sum", "tail", "printf", "test", "echo"}
    assert re.search(r"^ARG BASE=docker\.io/library/debian:", containerfile(), re.MULTILINE)
    for owner, spec in helm.objects("kubernetes").pods():
        for container in helm.containers(spec):
            assert container["command"][0] in debian | {"ferroflow"}, owner
            assert not re.search(r"\b(curl|wget|python|psql|jq|nc)\b", " ".join(container.get("args", []))), owner


def compose() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_compose_ships_no_password():
    for name, service in compose()["services"].items():
        for variable, value in service["environment"].items():
            if re.search("PASSWORD|SECRET", variable):
                assert re.match(r"^\$\{\w+:\?", value), f"{name}: {variable} has a default"


def test_compose_listens_on_this_machine_alone():
    [port] = compose()["services"]["mlflow"]["ports"]
    assert port.startswith("${MLFLOW_BIND:-127.0.0.1}:")
    assert not any("ports" in service for name, service in compose()["services"].items() if name != "mlflow")


def test_compose_runs_the_image_as_the_chart_does():
    service = compose()["services"]["mlflow"]
    assert service["build"]["dockerfile"] == "Containerfile"
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert {volume.split(":")[0] for s in compose()["services"].values() for volume in s.get("volumes", [])} == compose()["volumes"].keys()
