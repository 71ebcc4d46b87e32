"""One throw-away Grid Engine for all tests of a process."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.grid_engine.cluster import GridEngine, missing
from tests.sweep.sweeps import environment


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("grid_engine"))  # in one process: one cluster


@pytest.fixture(scope="session")
def grid():
    if missing():
        pytest.skip(f"Grid Engine is not installed here, lacking {', '.join(missing())}")
    if os.geteuid() != 0:
        pytest.skip("the daemons of a throw-away Grid Engine run as root only")
    root = Path(tempfile.mkdtemp(prefix="eigexp-ge-"))
    grid = GridEngine(root)
    try:
        grid.start()
        yield grid
    finally:
        grid.stop()
        if not os.environ.get("KEEP"):
            shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def around(grid):
    """The environment of commands that are to see the cluster."""
    return environment(**{key: value for key, value in grid.environment.items() if key.startswith("SGE_") or key == "PATH"})
