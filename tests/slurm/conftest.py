"""One throw-away cluster for all tests of a process."""

from pathlib import Path

import pytest

from tests.daemons import end_with_folder, in_one_process, throw_away
from tests.slurm.cluster import Cluster, missing
from tests.sweep.sweeps import eigexp, environment


@pytest.hookimpl(tryfirst=True)  # before the order is made
def pytest_collection_modifyitems(items):
    in_one_process(items, Path(__file__).parent)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    end_with_folder("cluster", Path(__file__).parent, item, nextitem)


@pytest.fixture(scope="session")
def cluster():
    with throw_away(Cluster, "Slurm", missing()) as cluster:
        yield cluster


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
