"""A sweep that is submitted twice at once: at every look its status is what the queue and the store hold.

`python -m scripts.clusters.sweeps` makes the steps so slow that jobs meet their limit of one minute, which takes seven minutes.
"""

from scripts.clusters.sweeps import watched
from tests.warm import commands


def test_status_is_true_at_every_look_and_nothing_is_lost_or_done_twice(cluster, tmp_path, monkeypatch):
    for name in ("PATH", "SLURM_CONF"):  # which it sets
        monkeypatch.setenv(name, cluster.environment[name])
    found = watched(cluster, tmp_path, tasks=2, step=0.1, python=str(commands.python()))
    print(found)
    assert found["wrong"] == [] and found["lost"] == 0 and found["same bits as a serial run"]
    assert found["looks"] > 10
