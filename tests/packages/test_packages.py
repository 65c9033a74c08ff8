"""What is in the packages of a release."""

import hashlib
import json
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
REFERENCE = re.search(r'REFERENCE: &str = "(.*)"', (ROOT / "crates/model/src/messages.rs").read_text())[1]


def test_every_file_is_there_and_summed(packages):
    names = {path.name for path in packages.iterdir()}
    patterns = [
        rf"ferroflow-{VERSION}-py3-none-manylinux_2_\d+_(x86_64|aarch64)\.whl",
        rf"ferroflow-{VERSION}-(x86_64|aarch64)-linux-gnu\.tar\.gz",
        rf"ferroflow-{VERSION}\.tgz",
        rf"ferroflow-{VERSION}\.cdx\.json",
        "SHA256SUMS",
    ]
    for pattern in patterns:
        [found] = [name for name in names if re.fullmatch(pattern, name)]
        names.remove(found)
    assert not names
    sums = dict(reversed(line.split("  ")) for line in (packages / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == {path.name for path in packages.iterdir()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((packages / name).read_bytes()).hexdigest() == digest
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=packages, check=True)


def test_the_wheel_is_a_program_and_its_ui(wheel):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        info, data = f"ferroflow-{VERSION}.dist-info", f"ferroflow-{VERSION}.data"
        assert not [name for name in names if not name.startswith((f"{info}/", f"{data}/"))], "nothing to import"
        programs = [entry for entry in packed.infolist() if entry.filename.startswith(f"{data}/scripts/")]
        assert {Path(entry.filename).name for entry in programs} == {"ferroflow", "kubectl-ferroflow"}
        assert all(entry.external_attr >> 16 & 0o111 == 0o111 for entry in programs)
        assert f"{data}/data/share/ferroflow/ui-{REFERENCE}/index.html" in names
        assert f"{data}/data/share/ferroflow/model-catalog-{REFERENCE}/openai.json" in names
        assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= set(names)
        metadata = packed.read(f"{info}/METADATA").decode()
    assert f"\nVersion: {VERSION}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Dist:" not in metadata, "nothing is installed with it"


def test_the_sbom_names_every_crate_of_the_program(packages):
    sbom = json.loads((packages / f"ferroflow-{VERSION}.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX" and sbom["metadata"]["component"]["name"] == "ferroflow"
    locked = set(re.findall(r'^name = "(.*)"\nversion = "(.*)"$', (ROOT / "Cargo.lock").read_text(), re.MULTILINE))
    named = {(component["name"], component["version"]) for component in sbom["components"]}
    assert named <= locked
    direct = re.findall(r"^([\w-]+)(?:\.workspace| = \{ workspace)", (ROOT / "crates/server/Cargo.toml").read_text(), re.MULTILINE)
    libraries = {name for name in direct if name not in ("version", "edition", "rust-version", "license", "publish")}
    assert len(libraries) > 30 and libraries <= {name for name, _ in named}
    for component in sbom["components"]:
        assert component["purl"].startswith("pkg:cargo/"), component


def test_the_archive_unpacks_into_one_folder(packages):
    [file] = packages.glob("*.tar.gz")
    folder = file.name.removesuffix(".tar.gz")
    with tarfile.open(file) as packed:
        members = {member.name: member for member in packed}
    assert all(name == folder or name.startswith(f"{folder}/") for name in members)
    assert members[f"{folder}/bin/ferroflow"].mode & 0o111 == 0o111
    assert members[f"{folder}/bin/kubectl-ferroflow"].linkname == "ferroflow"
    for name in ("LICENSE", "NOTICE", "README.md", f"share/ferroflow/ui-{REFERENCE}/index.html",
                 f"share/ferroflow/model-catalog-{REFERENCE}/openai.json"):  # fmt: skip
        assert f"{folder}/{name}" in members
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}
