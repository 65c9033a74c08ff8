"""What every suite under ``tests/`` shares: throw-away databases and running servers.

``cargo xtask`` prepares the environment and runs each suite; by hand the same variables do:

===============================  ====================================================================
``FERROFLOW_BIN``                the built ``ferroflow`` binary
``FERROFLOW_TEST_POSTGRES_URL``  ``postgresql://user@host:port/postgres`` of a superuser
``FERROFLOW_REFERENCE_PYTHON``   a Python with ``mlflow==3.17.2`` and ``psycopg2``
``FERROFLOW_SDK_PYTHON_3_5``     a Python with ``mlflow==3.5.0``
``FERROFLOW_SDK_PYTHON_2_22``    a Python with ``mlflow==2.22.5``
``FERROFLOW_RELEASES``           a folder with ``<version>/bin/python`` of each old release
``FERROFLOW_CHROMIUM``           the program of Chromium or Chrome
``FERROFLOW_S3S_FS``             the program of s3s-fs, an S3 server
``FERROFLOW_AZURITE``            the program of Azurite's blob server
``FERROFLOW_UI_DIR``             the files of the web UI
``FERROFLOW_HELM_4``, ``_3``     Helm of both generations, for ``tests/chart``
``FERROFLOW_KUBECTL``            kubectl, for ``tests/chart``
``FERROFLOW_POSTGRES_BIN``       the folder with PostgreSQL's programs, for ``tests/drill``
``FERROFLOW_PGBOUNCER``          the program of PgBouncer, for the tests of ``crates/store``
``FERROFLOW_BARMAN``             the folder with barman's programs and ``moto_server``, for ``tests/drill``
===============================  ====================================================================

A suite is run by the reference's Python unless it starts another one itself. A variable that a test
needs and does not find is a failure, never a skip: a suite that did not run proves nothing.
"""

import os


def required(variable: str) -> str:
    """The value of an environment variable that ``cargo xtask`` sets."""
    value = os.environ.get(variable)
    if not value:
        raise RuntimeError(f"{variable} is not set; run this suite with `cargo xtask test`")
    return value
