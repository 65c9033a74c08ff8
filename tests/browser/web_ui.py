"""The official web UI in a browser tab, and everything that went wrong in it."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import expected
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, Response

#: Milliseconds that something may take to appear. The first page loads and compiles 8 MB of scripts.
TIMEOUT = 60_000

#: So that neither the assistant nor a word about news opens over the page, and pages are those of model training.
_STORAGE = {
    "_mlflow_model_registry_promo_modal_dismissed_v1": "true",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.workflowType_v1": '"machine_learning"',
}


def remember(context: BrowserContext, url: str) -> None:
    """Gives all pages of the context what a browser remembers of an earlier visit."""
    # A page that is shown in a frame without its origin has no storage.
    context.add_init_script(f"""
        if (self.origin === {json.dumps(url)})
            for (const [name, value] of Object.entries({json.dumps(_STORAGE)}))
                if (localStorage.getItem(name) === null) localStorage.setItem(name, value);
    """)


class WebUi:
    """One tab. Every failed call, error in the console and foreign address is kept in ``complaints``."""

    def __init__(self, context: BrowserContext, url: str):
        self.url = url
        self.complaints: list[str] = []
        self.responses: list[Response] = []
        self._refused = set(expected.REFUSED)
        context.set_default_timeout(TIMEOUT)
        self._context = context
        # A handler of routes would switch the browser's cache off. Where a name leads is decided by `--host-resolver-rules`.
        context.on("request", self._request)
        self.page: Page = context.new_page()
        self.page.on("response", self._response)
        self.page.on("requestfailed", self._failed)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self._script_error(str(error)))

    def open(self, fragment: str) -> None:
        """Opens a page of the UI by what stands behind ``#`` in its address."""
        self.page.goto(f"{self.url}/#{fragment}")

    def will_refuse(self, method: str, path: str, status: int) -> None:
        """From here on this call may be refused: the test provokes it."""
        self._refused.add((method, path, status))

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def dialog(self, name: str) -> Locator:
        return self.page.get_by_role("dialog", name=name)

    def close(self) -> None:
        self._context.remove_listener("request", self._request)
        self.page.close()

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)

    def _response(self, response: Response) -> None:
        self.responses.append(response)
        call = (response.request.method, urlsplit(response.url).path, response.status)
        if response.status >= 400 and call not in self._refused:
            self.complaints.append(f"{call[0]} {response.url} was answered with {response.status}")

    def _failed(self, request: Request) -> None:
        # Leaving a page ends what it still loads.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.method} {request.url} failed: {request.failure}")

    def _console(self, message: ConsoleMessage) -> None:
        # The browser's own line about an error status says less than `_response`.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self._script_error(message.text)

    def _script_error(self, text: str) -> None:
        if not any(defect.search(text) for defect in expected.OWN_DEFECTS):
            self.complaints.append(f"error in the console: {text}")

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).scheme in ("http", "https") and not request.url.startswith(self.url):
            self.complaints.append(f"the page asked for {request.url}")
