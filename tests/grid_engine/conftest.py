"""One throw-away Grid Engine for all tests of a process."""

from pathlib import Path

import pytest

from tests.daemons import end_with_folder, in_one_process, throw_away
from tests.grid_engine.cluster import GridEngine, missing
from tests.sweep.sweeps import environment


@pytest.hookimpl(tryfirst=True)  # before the order is made
def pytest_collection_modifyitems(items):
    in_one_process(items, Path(__file__).parent)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    end_with_folder("grid", Path(__file__).parent, item, nextitem)


@pytest.fixture(scope="session")
def grid():
    with throw_away(GridEngine, "Grid Engine", missing()) as grid:
        yield grid


@pytest.fixture
def around(grid):
    """The environment of commands that are to see the cluster."""
    return environment(**{key: value for key, value in grid.environment.items() if key.startswith("SGE_") or key == "PATH"})
