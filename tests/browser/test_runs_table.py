"""The table of runs: order, filter, columns, charts."""

import pytest
from content import RANKS
from playwright.sync_api import TimeoutError, expect

pytestmark = pytest.mark.rotates(every=4)


@pytest.fixture
def table(ui, content):
    """The table of the experiment with content."""
    ui.open(f"/experiments/{content.experiment_id}/runs")
    expect(names(ui)).to_have_count(len(content.runs))
    return ui


def names(ui):
    return ui.page.get_by_role("gridcell").get_by_role("link", name="forest-")


def expect_names(ui, wanted):
    """Waits until the table shows these runs, from top to bottom: the grid moves rows by their style and
    leaves them where they are in the document."""
    shown = """() => [...document.querySelectorAll(".ag-row")]
        .map(row => [Number(row.getAttribute("row-index")), row.querySelector("a[href*='/runs/']")?.textContent])
        .filter(([, name]) => name).sort(([a], [b]) => a - b).map(([, name]) => name)"""
    try:
        ui.page.wait_for_function(f"wanted => JSON.stringify(({shown})()) === JSON.stringify(wanted)", arg=wanted)
    except TimeoutError:
        assert ui.page.evaluate(shown) == wanted
        raise


def search(ui, text):
    box = ui.page.get_by_role("main").get_by_role("combobox").first
    box.fill(text)
    box.press("Enter")


def test_the_newest_run_is_first(table, content):
    expect_names(table, sorted(content.runs, reverse=True))
    expect(table.page.get_by_text("6 matching runs")).to_be_visible()


def test_it_is_sorted_by_a_metric(table, content):
    table.button("Sort: Created").click()
    menu = table.page.get_by_role("menu")
    menu.get_by_role("menuitemcheckbox", name="accuracy").click()
    by_accuracy = [name for _, name in sorted(zip(RANKS, content.runs, strict=True))]
    expect_names(table, by_accuracy[::-1])
    table.button("Sort: accuracy").click()
    menu.get_by_role("button", name="Sort ascending").click()
    expect_names(table, by_accuracy)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('metrics.accuracy > 0.55 and params.optimizer = "adam"', ["forest-3", "forest-1"]),
        ("tags.split = 'even'", ["forest-4", "forest-2", "forest-0"]),
        ("attributes.status = 'FAILED'", ["forest-0"]),
        ("run_name ILIKE 'FOREST-%' and params.größe LIKE '雪%' and metrics.loss < 1.1", ["forest-1", "forest-0"]),
        ("metrics.accuracy > 99", []),
    ],
    ids=["metric and param", "tag", "attribute", "patterns", "nothing"],
)
def test_it_is_filtered(table, text, found):
    search(table, text)
    expect_names(table, found)


def test_a_bad_filter_shows_the_message_of_the_server(table):
    table.will_refuse("POST", "/ajax-api/2.0/mlflow/runs/search", 400)
    search(table, "metrics.accuracy >>> zz")
    expect(table.page.get_by_text("Expected numeric value type for metric. Found zz")).to_be_visible()


def test_columns_are_chosen(table):
    table.button("Columns").click()
    popover = table.page.get_by_role("dialog")
    popover.get_by_title("accuracy", exact=True).click()
    popover.get_by_title("größe", exact=True).click()
    table.page.keyboard.press("Escape")
    grid = table.page.get_by_role("grid")
    expect(grid.get_by_role("columnheader", name="accuracy").first).to_be_visible()
    expect(grid.get_by_role("gridcell", name="0.519")).to_be_visible()
    expect(grid.get_by_role("gridcell", name="雪 <b>&amp;</b>")).to_have_count(6)


def test_charts_compare_all_runs(table):
    table.page.get_by_role("radiogroup").locator("label").nth(1).click()
    expect(table.page.get_by_role("heading", name="accuracy").first).to_be_visible()
    # Single values would be bars: six of them in each chart of a metric's last value.
    expect(table.page.locator(".js-plotly-plot").first).to_be_visible()


def test_an_experiment_without_runs_says_so(ui, content):
    experiment_id = content.client.create_experiment(f"{content.experiment} without runs")
    ui.open(f"/experiments/{experiment_id}/runs")
    expect(ui.page.get_by_text("No runs logged")).to_be_visible()
