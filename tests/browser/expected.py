"""What a correct server may answer with an error, and what the official UI itself does wrong.

Everything else that fails or is printed as an error fails the test that sees it.
"""

import re

#: Calls that are refused on purpose: method, path, status.
REFUSED = {
    # How the UI learns that there is no login.
    ("GET", "/ajax-api/2.0/mlflow/users/current", 404),
    # Who creates or changes a user is asked for a workspace, where there are any.
    ("GET", "/ajax-api/3.0/mlflow/workspaces", 503),
}

#: Errors in the console that are the UI's own, the same against the reference.
OWN_DEFECTS = [
    # A note of the browser, not of the page: a size changed while sizes were being told.
    re.compile(r"ResizeObserver loop completed with undelivered notifications"),
    # The section "Artifacts" of the page that compares runs.
    re.compile(r"Cannot read properties of undefined \(reading 'includes'\)"),
]
