"""The commands of the Slurm page on a real Slurm, with small images, and this machine's partition."""

from eigexp.store import Store
from tests.docs.documented import arguments, commands, replaced
from tests.slurm.cluster import wait_until
from tests.sweep.sweeps import eigexp

HERE = [
    "launcher.partition=low",
    "launcher.gpus=0",
    "images.size=24",
    "images.names=[camera,coins]",
    "model=ln,lg",
    "logger=none",
    "figure.draw=false",
]


def test_submitted_and_followed_as_the_page_says(cluster, around, tmp_path):
    told = [arguments(command)[1:] for command in commands() if command.startswith("eigexp ") and "--dry-run" not in command]
    (sweep,) = (command for command in told if command[0] == "sweep" and "launcher.partition=gpu" in command)
    assert ["doctor"] in told
    assert "Slurm" in eigexp(tmp_path, "doctor", environment=around).stdout
    done = eigexp(tmp_path, *replaced(sweep, HERE), environment=around)
    assert done.returncode == 0, done.stderr
    assert "submitted 4 tasks in 1 job" in done.stderr
    assert ["status"] in told
    shown = eigexp(tmp_path, "status", environment=around).stdout
    assert "4 running" in shown or "4 queued" in shown
    wait_until(lambda: not cluster.jobs(), 120, "the end of the queue")
    assert len(Store(tmp_path / "outputs/results").ids()) == 4
    assert ["results", "--format", "table"] in told
    table = eigexp(tmp_path, "results", "--format", "table", environment=around).stdout.split()
    assert table.count("ln") == table.count("lg") == table.count("coins") == 2
