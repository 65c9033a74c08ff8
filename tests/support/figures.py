"""What tests measured, printed at the end of a run: a suite imports both into its ``conftest.py``."""

import pytest


@pytest.fixture
def figures(record_property):
    """A list; what a test appends to it is printed at the end."""
    found = []
    yield found
    for figure in found:
        record_property("figure", figure)


def pytest_terminal_summary(terminalreporter):
    figures = [
        value for reports in terminalreporter.stats.values() for report in reports for name, value in getattr(report, "user_properties", []) if name == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in dict.fromkeys(figures):
            terminalreporter.line(figure)
