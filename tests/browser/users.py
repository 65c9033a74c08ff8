"""A server with users, and tabs of users who log in."""

import contextlib

from conftest import PICTURES
from web_ui import WebUi, remember

ADMIN = ("admin", "the admin's password")
PASSWORD = "a password that is long"


def settings(folder) -> dict[str, str]:
    """The variables of a server with users, whose database and configuration are in a folder."""
    ini = folder / "auth.ini"
    ini.write_text(f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{folder}/users.db\nadmin_username = admin\n")
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(ini),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "the same for all servers",
    }


@contextlib.contextmanager
def tabs_of_users(chromium, url, test, expected=None):
    """A function that gives a tab of a user who logs in. Nothing may fail in the tabs but what has the text ``expected``."""
    tabs = []

    def tab(username, password):
        login = {"username": username, "password": password, "origin": url}
        context = chromium.new_context(viewport={"width": 1600, "height": 1000}, http_credentials=login)
        remember(context, url)
        tabs.append((WebUi(context, url), context))
        return tabs[-1][0]

    yield tab
    for number, (ui, context) in enumerate(tabs):
        ui.screenshot(PICTURES / f"{test}-{number}.png")
        context.close()
    complaints = [line for ui, _ in tabs for line in ui.complaints if expected is None or expected not in line]
    assert not complaints, "\n".join(complaints)
