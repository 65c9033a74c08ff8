"""How the files of the UI reach the browser."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def files(request, ui):
    """The answers to a first visit, by the path behind ``/static-files/``."""
    if request.config.getoption("--against") == "reference":
        pytest.skip("the reference compresses nothing and lets the browser ask again after 28 days")
    ui.open("/experiments")
    expect(ui.page.get_by_role("heading", name="Experiments")).to_be_visible()
    mark = "/static-files/"
    return {answer.url.split(mark)[1]: answer for answer in ui.responses if mark in answer.url}


def test_scripts_and_styles_come_compressed_and_are_kept(files):
    hashed = {path: answer.headers for path, answer in files.items() if path.startswith(("static/js/", "static/css/"))}
    assert len(hashed) > 2
    for path, headers in hashed.items():
        assert "immutable" in headers["cache-control"], path
        if int(headers.get("content-length", 0)) > 1024:
            assert headers["content-encoding"] in ("br", "gzip"), path
            assert "accept-encoding" in headers["vary"].lower(), path


def test_the_page_itself_is_never_kept(ui, files):
    page = next(answer for answer in ui.responses if answer.url == f"{ui.url}/")
    assert page.headers["cache-control"] == "no-cache"
    # Conditional requests are how it stays cheap.
    again = ui.page.request.get(f"{ui.url}/", headers={"if-none-match": page.headers["etag"]})
    assert again.status == 304
