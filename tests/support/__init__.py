"""What every suite under ``tests/`` shares: throw-away databases and running servers.

``cargo xtask`` prepares the environment and runs each suite; by hand the same variables do:

.. variables

===============================  =====================================================================
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
