"""What every suite under ``tests/`` shares: throw-away databases and running servers.

``cargo xtask`` prepares the environment and runs each suite; by hand the same variables do:

.. variables

===============================  =========================================================================================
``FERROFLOW_BIN``                The ``ferroflow`` binary under test.
``FERROFLOW_PREVIOUS_BIN``       The program of the version before. Without it, servers are upgraded to their own version.
``FERROFLOW_TEST_POSTGRES_URL``  A superuser's URL of the PostgreSQL server.
``FERROFLOW_REFERENCE_PYTHON``   A Python with the reference server and the newest SDK.
``FERROFLOW_SDK_PYTHON_3_5``     A Python with SDK 3.5.0.
``FERROFLOW_SDK_PYTHON_2_22``    A Python with SDK 2.22.5.
``FERROFLOW_RELEASES``           A folder with a Python environment of each old release that makes databases.
``FERROFLOW_NEWER``              The package of a newer MLflow, which runs on the reference's dependencies.
``FERROFLOW_CHROMIUM``           The browser's program.
``FERROFLOW_S3S_FS``             An S3 server that keeps objects in files.
``FERROFLOW_AZURITE``            The program of an emulator of Azure Blob Storage.
``FERROFLOW_OIDC_PROVIDER``      The folder of a server of ``OpenID`` Connect.
``FERROFLOW_OTEL_JS``            The folder of OpenTelemetry's packages for JavaScript.
``FERROFLOW_CHART_PYTHON``       A Python with what the chart's tests need.
``FERROFLOW_HELM_4``             Helm 4.
``FERROFLOW_HELM_3``             Helm 3.
``FERROFLOW_KUBECTL``            kubectl.
``FERROFLOW_POSTGRES_BIN``       The folder with the programs of PostgreSQL.
``FERROFLOW_PGBOUNCER``          The program of PgBouncer.
``FERROFLOW_PROMTOOL``           promtool of Prometheus, which evaluates alerts.
``FERROFLOW_HAPROXY``            The load balancer ``HAProxy``.
``FERROFLOW_FAKETIME``           The library that gives a process another clock.
``FERROFLOW_VALGRIND``           Valgrind, which counts instructions.
``FERROFLOW_BARMAN``             The folder with the programs of barman, and an S3 server for them.
``FERROFLOW_UI_DIR``             The files of the web UI, so that no test fetches them.
``FERROFLOW_XTASK``              The program of ``cargo xtask``, which makes packages.
``FERROFLOW_UV``                 uv, which installs packages.
===============================  =========================================================================================

.. /variables

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
