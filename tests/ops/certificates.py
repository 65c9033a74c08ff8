"""Makes certificates, also such as are not good any more."""

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

CONFIGURATION = """
[ca]
default_ca = here
[here]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = optional
[extensions]
subjectAltName = DNS:{host}
"""


def make(folder: Path, host: str, days: int) -> str:
    """A certificate for a host that is good for so many days, or was until so many days ago, as PEM."""
    folder.mkdir()
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    (folder / "ca.cnf").write_text(CONFIGURATION.format(folder=folder, host=host))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "key.pem"]
    openssl("req", "-new", *key, "-subj", "/CN=x", "-out", folder / "request.pem")
    now = datetime.now(timezone.utc)
    begin, end = (f"{now + timedelta(days=day):%Y%m%d%H%M%SZ}" for day in (-100, days))
    files = ["-config", folder / "ca.cnf", "-keyfile", folder / "key.pem", "-in", folder / "request.pem", "-out", folder / "c.pem"]
    openssl("ca", "-batch", "-notext", "-selfsign", *files, "-extensions", "extensions", "-startdate", begin, "-enddate", end)
    return (folder / "c.pem").read_text()


def openssl(*arguments) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
