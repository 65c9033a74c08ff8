"""Takes the SBOM out of a wheel: ``sbom.py WHEEL FILE``."""

import pathlib
import sys
import zipfile

wheel = zipfile.ZipFile(sys.argv[1])
[name] = [name for name in wheel.namelist() if name.endswith(".dist-info/sboms/ferroflow.cyclonedx.json")]
pathlib.Path(sys.argv[2]).write_bytes(wheel.read(name))
