"""What all tests of the chart share."""

import reference


def pytest_addoption(parser):
    parser.addoption("--write", action="store_true", help="write the snapshots, the schema and the table of values anew")


def pytest_configure(config):
    # Before any worker renders anything: the schema says which values there are.
    if config.getoption("write") and not hasattr(config, "workerinput"):
        reference.write()
