"""The commands of the Slurm page on a real Slurm, with small images, and this machine's partition."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from eigexp.store import Store
from tests.docs.documented import arguments, commands, replaced
from tests.slurm.cluster import Cluster, missing, wait_until
from tests.sweep.sweeps import eigexp, environment

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=f"Slurm is not installed here, lacking {', '.join(missing())}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the daemons of a throw-away Slurm run as root only"),
]
HERE = ["launcher.partition=low", "launcher.gpus=0", "images.size=24", "images.names=[camera,coins]", "model=ln,lg", "logger=none"]


@pytest.fixture
def around():
    root = Path(tempfile.mkdtemp(prefix="eigexp-slurm-"))  # short: a socket's path has 107 characters at most
    cluster = Cluster(root, nodes=1)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root)


def test_submitted_and_followed_as_the_page_says(around, tmp_path):
    told = [arguments(command)[1:] for command in commands() if command.startswith("eigexp ") and "--dry-run" not in command]
    (sweep,) = (command for command in told if command[0] == "sweep" and "launcher.partition=gpu" in command)
    slurm = environment(PATH=around.environment["PATH"], SLURM_CONF=around.environment["SLURM_CONF"])

    assert ["doctor"] in told
    assert "Slurm" in eigexp(tmp_path, "doctor", environment=slurm).stdout
    done = eigexp(tmp_path, *replaced(sweep, HERE), environment=slurm)
    assert done.returncode == 0, done.stderr
    assert "submitted 4 tasks in 1 job" in done.stderr
    assert ["status"] in told
    assert "in flight" in eigexp(tmp_path, "status", environment=slurm).stdout
    wait_until(lambda: not around.jobs(), 120, "the end of the queue")
    assert len(Store(tmp_path / "outputs/results").ids()) == 4
    assert ["results", "--format", "table"] in told
    table = eigexp(tmp_path, "results", "--format", "table", environment=slurm).stdout.split()
    assert table.count("ln") == table.count("lg") == table.count("coins") == 2
