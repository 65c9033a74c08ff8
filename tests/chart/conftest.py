"""What all tests of the chart share."""


def pytest_addoption(parser):
    parser.addoption("--write", action="store_true", help="write the snapshots anew")
