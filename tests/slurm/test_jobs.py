"""Single jobs on a real Slurm: what they ask for, the example for sbatch, and two processes under srun."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from eigexp.store import Store
from tests.slurm.cluster import wait_until
from tests.sweep.sweeps import SLOW, SMALL, same_numbers, serial
from tests.training.test_devices import BLOCK, IMAGES, WHO
from tests.warm.commands import python

SBATCH = Path(__file__).parents[2] / "scripts" / "sweep.sbatch"


def test_resources_reach_the_job(cluster, sweep, tmp_path):
    asked = [
        "launcher=slurm",
        "launcher.partition=large",
        "launcher.gpus=1",
        "launcher.cpus=2",
        "launcher.memory=700M",
        "launcher.time=0:07:00",
    ]
    asked += ["launcher.account=lab", "launcher.constraint=roomy", "launcher.sbatch={comment: for a test}", "launcher.warning=33"]
    asked += ["launcher.environment=['export WHERE_AM_I=here', 'env > environment.txt']"]
    sweep("model=ln", *SMALL, *SLOW, *asked)
    (job,) = {job.partition("_")[0] for job, _, _ in cluster.jobs("-p", "large")}
    shown = dict(re.findall(r"(\S+?)=(.*?)(?=\s+\S+=|\n|$)", cluster.ask("scontrol", "show", "job", job)))
    expected = {
        "Partition": "large", "TimeLimit": "00:07:00", "Account": "lab", "Features": "roomy", "MinMemoryNode": "700M", "NumCPUs": "2",
        "CPUs/Task": "2", "Requeue": "1", "Comment": "for a test", "JobName": "eigexp",
    }  # fmt: skip
    assert {key: shown.get(key) for key in expected} == expected
    assert "gpu" in shown["TresPerNode"]
    script = cluster.ask("scontrol", "write", "batch_script", job, "-")
    assert "--signal=USR2@33" in script
    wait_until(lambda: not cluster.jobs(), 90, "the end of the queue")
    inside = (tmp_path / "environment.txt").read_text().splitlines()
    assert "WHERE_AM_I=here" in inside
    assert len(Store(tmp_path / "outputs/results").ids()) == 1


def test_the_example_for_sbatch_goes_back_into_the_queue_when_warned(cluster, around, tmp_path):
    command = tmp_path / "bin" / "eigexp"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {python()} -m eigexp "$@"\n')
    command.chmod(0o755)
    store = Store(tmp_path / "outputs/results")
    words = ["images.names=[camera]", *SMALL, *SLOW, "+callbacks.slow.seconds=0.5", *WHO]
    options = ["--array=0-1", "--cpus-per-task=1", "--mem=500M", f"--chdir={tmp_path}"]
    submitted = subprocess.run(
        ["sbatch", "--parsable", *options, SBATCH, *words],
        env={**around, "PATH": f"{command.parent}:{around['PATH']}"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    job = submitted.stdout.strip()
    wait_until(lambda: len(list((store.root / "checkpoints").glob("*.ckpt"))) == 2, 90, "two tasks at work")
    cluster.tell("scancel", "--signal=USR2", f"{job}_0")
    wait_until(lambda: [f"{job}_0", "PENDING", ""] in cluster.jobs(), 60, "the warned job in the queue again")
    wait_until(lambda: not cluster.jobs(), 150, "the end of the queue")
    steps = [int(line.split()[2]) for line in (tmp_path / "who.txt").read_text().splitlines()]
    assert sorted(step > 0 for step in steps) == [False, False, True]
    assert same_numbers(store, serial(["model=ln,lg", "images.names=[camera]", *SMALL], tmp_path / "serial"))


@pytest.mark.parametrize("words", [IMAGES, [*BLOCK, "trainer.strategy=block"]], ids=["images", "block"])
def test_two_processes_under_srun(cluster, around, tmp_path, words):
    place = {**around, "MASTER_ADDR": "127.0.0.1"}  # the node's name is no address here
    done = subprocess.run(
        ["srun", "--partition=large", "--ntasks=2", f"--chdir={tmp_path}", python(), "-m", "eigexp", "run", *words, *WHO,
         "trainer.devices=2", "store=results"],
        env=place, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in (tmp_path / "who.txt").read_text().splitlines()} == {"0", "1"}
    assert same_numbers(Store(tmp_path / "results"), serial(words, tmp_path / "serial"))
    assert not os.listdir(tmp_path / "results" / "checkpoints")
