"""The workflow that publishes a release, and the page that says the same: what can be checked without a registry."""

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import yaml
from support import required

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/release.yml"
PAGE = (ROOT / "docs/releasing.md").read_text()


def jobs() -> dict:
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]


def steps(job: str | None = None) -> list[dict]:
    return [step for name, one in jobs().items() if job in (None, name) for step in one["steps"]]


def commands(text: str) -> list[str]:
    """The lines of a script that are commands."""
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.strip().startswith("#")]


def test_actions_of_others_are_pinned_by_commit():
    for step in steps():
        if uses := step.get("uses"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", uses), uses


def test_nothing_is_published_before_everything_is_built_and_tried():
    def before(job: str) -> set[str]:
        needs = jobs()[job].get("needs", [])
        needs = {needs} if isinstance(needs, str) else set(needs)
        return needs.union(*(before(one) for one in needs)) if needs else set()

    assert before("publish") == {"check", "packages", "try", "image"}
    assert before("image") == {"check", "packages", "try"}


def test_only_what_publishes_may_write():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        writes = {right for right, value in job.get("permissions", {}).items() if value == "write"}
        assert writes == {"image": {"packages"}, "publish": {"attestations", "contents", "id-token", "packages"}}.get(name, set()), name


def test_both_architectures_are_built_on_their_own_machines():
    for job in ("packages", "try", "image"):
        platforms = {one["platform"]: one["machine"] for one in jobs()[job]["strategy"]["matrix"]["include"]}
        assert platforms.keys() == {"amd64", "arm64"}
        assert platforms["arm64"].endswith("-arm") and not platforms["amd64"].endswith("-arm")


def test_its_own_commands_exist():
    """Of the workflow and of the page: `cargo xtask …` takes these arguments."""
    texts = [step["run"] for step in steps() if "run" in step] + re.findall(r"```sh\n(.*?)```", re.sub(r"^ +", "", PAGE, flags=re.MULTILINE), re.DOTALL)
    found = [line for text in texts for line in commands(text) if line.startswith("cargo xtask ")]
    assert len(found) >= 5
    for line in found:
        # What follows `--` is pytest's.
        arguments = list(itertools.takewhile(lambda word: word != "--", shlex.split(line, comments=True)[2:]))
        done = subprocess.run([required("FERROFLOW_XTASK"), *arguments, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    wrong = subprocess.run([required("FERROFLOW_XTASK"), "dist", "wheels", "--help"], capture_output=True, text=True)
    assert wrong.returncode == 2, "an argument that does not exist is found"


def test_the_image_takes_the_program_from_where_the_workflow_puts_it():
    """`--build-context program=…` stands in for the stage of that name, and has the file where the stage would."""
    containerfile = (ROOT / "Containerfile").read_text()
    assert " AS program\n" in containerfile
    assert re.search(r"^COPY --from=program /ferroflow ", containerfile, re.MULTILINE)
    script = "\n".join(step.get("run", "") for step in steps("image"))
    assert "--directory program --strip-components 2 --wildcards '*/bin/ferroflow'" in script
    assert "--build-context program=program" in script


def test_base_images_are_named_by_digest(tmp_path):
    [script] = [step["run"] for step in steps("image") if "imagetools inspect" in step.get("run", "")]
    assert all(line.strip() in PAGE for line in script.splitlines())
    (tmp_path / "docker").write_text('#!/bin/sh\necho "sha256:$(echo "$4" | sha256sum | cut -d" " -f1)"\n')
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "Containerfile").write_text((ROOT / "Containerfile").read_text())

    def run() -> int:
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=env, capture_output=True).returncode

    assert run() == 0
    bases = (tmp_path / "bases").read_text().splitlines()
    # What the last stages are made from; the program is not compiled in the image.
    containerfile = (ROOT / "Containerfile").read_text()
    assert [line.split("=")[1] for line in bases] == ["BASE", "PYTHON"]
    for line in bases:
        _, name, image = line.split("=")
        assert f"\nFROM ${{{name}}}" in containerfile
        assert re.fullmatch(r"docker\.io/library/[a-z]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}", image), image
    # A registry that does not answer ends the release.
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    assert run() != 0


def test_the_page_and_the_workflow_publish_the_same_way():
    """What the page says by hand is what the workflow does: the same programs with the same options."""
    script = "\n".join(step.get("run", "") for step in steps())
    for part in (
        "cargo xtask dist",
        "--sbom=true --provenance=mode=max",
        "docker buildx imagetools create",
        "cosign sign --yes --recursive",
        "helm push",
        "cosign sign-blob --yes --bundle",
        "uv publish",
    ):
        assert part in script, part
        assert part in PAGE, f"docs/releasing.md does not say {part}"
    # What a user runs to check them names this workflow.
    assert "--certificate-identity-regexp" in PAGE and "release.yml" in PAGE
