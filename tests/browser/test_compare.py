"""Runs side by side."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.rotates(every=3)


def test_runs_are_compared(ui, content):
    ui.open(f"/experiments/{content.experiment_id}/runs")
    for name in ("forest-4", "forest-5"):
        row = ui.page.get_by_role("row").filter(has_text=name)
        row.get_by_role("checkbox").first.check()
    ui.button("Compare").click()
    expect(ui.page.get_by_role("heading", name="Comparing 2 Runs from 1 Experiment")).to_be_visible()
    main = ui.page.get_by_role("main")
    expect(main.get_by_role("row", name="optimizer").get_by_role("cell")).to_have_count(2)
    for cell in ("adam", "sgd", "0.5", "0.6"):
        expect(main.get_by_role("cell", name=cell, exact=True)).to_be_visible()
    for value in ("0.319", "0.519", "4.05", "5.05"):
        expect(main.get_by_text(value, exact=True)).to_be_visible()
    expect(main.locator(".js-plotly-plot").first).to_be_visible()
    main.get_by_role("link", name="loss").click()
    # One line of values and one that is smoothed, for each run.
    expect(ui.page.locator("path.js-line")).to_have_count(4)
