"""One throw-away cluster for all tests of a process."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.sweep.sweeps import eigexp, environment


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("slurm"))  # in one process: one cluster


@pytest.fixture(scope="session")
def cluster():
    if missing():
        pytest.skip(f"Slurm is not installed here, lacking {', '.join(missing())}")
    if os.geteuid() != 0:
        pytest.skip("the daemons of a throw-away Slurm run as root only")
    root = Path(tempfile.mkdtemp(prefix="eigexp-slurm-"))  # short: a socket's path has 107 characters at most
    cluster = Cluster(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        if not os.environ.get("KEEP"):
            shutil.rmtree(root)


@pytest.fixture
def around(cluster):
    """The environment of commands that are to see the cluster."""
    return environment(PATH=cluster.environment["PATH"], SLURM_CONF=cluster.environment["SLURM_CONF"])


@pytest.fixture
def sweep(around, tmp_path):
    """`eigexp sweep` in a folder of its own; returns what it says."""

    def sweep(*words):
        done = eigexp(tmp_path, "sweep", *words, environment=around)
        assert done.returncode == 0, done.stderr
        return done.stderr

    sweep.command = lambda *words: eigexp(tmp_path, *words, environment=around)
    return sweep
