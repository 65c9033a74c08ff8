"""The page of a run: what was logged, charts, artifacts."""

import json

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=4)


@pytest.fixture
def run_id(content):
    return content.runs["forest-5"]


@pytest.fixture
def run(ui, content, run_id):
    """The page of the newest run."""

    def open_tab(tab=""):
        ui.open(f"/experiments/{content.experiment_id}/runs/{run_id}{tab}")
        expect(ui.page.get_by_role("heading", name="forest-5")).to_be_visible()
        return ui

    return open_tab


def test_the_overview_shows_what_was_logged(run, run_id):
    main = run().page.get_by_role("main")
    for row in ("accuracy 0.519", "loss 5.05", "optimizer adam", "learning_rate 0.6", "größe 雪 <b>&amp;</b>"):
        expect(main.get_by_role("row", name=row)).to_be_visible()
    for text in ("Finished", "42.0s", run_id, "10/09/2025, 08:58:20 AM"):
        expect(main.get_by_text(text).first).to_be_visible()
    expect(main.get_by_text("split").first).to_be_visible()


def test_metrics_are_drawn_as_lines(run):
    page = run("/model-metrics").page
    for metric in ("accuracy", "loss"):
        expect(page.get_by_role("heading", name=metric)).to_be_visible()
    # One line of values and one that is smoothed, in each chart.
    expect(page.locator("path.js-line")).to_have_count(4)
    for highest in ("0.52", "6"):
        expect(page.locator(".ytick").get_by_text(highest, exact=True)).to_be_visible()


@pytest.fixture
def preview(run):
    """Opens an artifact in the tree and returns the tab."""

    def open_file(path):
        ui = run("/artifacts")
        tree = ui.page.get_by_role("main").get_by_role("listitem")
        for name in path.split("/"):
            tree.get_by_text(name, exact=True).click()
        expect(ui.page.get_by_text(f"artifacts/{path}")).to_be_visible()
        return ui

    return open_file


def test_text_is_previewed(preview):
    code = preview("notes.txt").page.get_by_role("code")
    expect(code).to_contain_text("first line of the notes")
    expect(code).to_contain_text("über 雪")


def test_json_is_previewed(preview):
    assert json.loads(preview("settings.json").page.get_by_role("code").inner_text()) == {
        "depth": 7,
        "criterion": "gini",
    }


def test_a_table_is_previewed(preview):
    page = preview("reports/table.csv").page
    expect(page.get_by_role("row", name="Oslo 709037")).to_be_visible()
    expect(page.get_by_role("row", name="København 660842")).to_be_visible()


def test_an_image_is_previewed(preview):
    image = preview("picture.png").page.get_by_role("img", name="picture.png")
    expect(image).to_be_visible()
    assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [64, 48]


def test_a_page_is_previewed_without_our_origin(preview):
    ui = preview("page.html")
    frame = ui.page.locator("iframe")
    expect(frame.content_frame.locator("#headline")).to_have_text("A stored page")
    assert "allow-same-origin" not in (frame.get_attribute("sandbox") or "")


def test_a_file_is_downloaded(preview, tmp_path):
    ui = preview("notes.txt")
    with ui.page.expect_download() as download:
        ui.page.get_by_role("main").locator("button:has(svg)").filter(has_text="").nth(1).click()
    assert download.value.suggested_filename == "notes.txt"
    download.value.save_as(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "first line of the notes\nüber 雪\n"


def test_a_run_that_does_not_exist_says_so(ui, content):
    ui.will_refuse("GET", "/ajax-api/2.0/mlflow/runs/get", 404)
    ui.open(f"/experiments/{content.experiment_id}/runs/{'0' * 32}")
    expect(ui.page.get_by_text("Run ID 00000000000000000000000000000000 does not exist").first).to_be_visible()
