"""Two processes on one run: under our own start, Lightning's launcher and torchrun; images shared out, or one image's block of vectors."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from eigexp.errors import ConfigurationError
from eigexp.store import Store
from eigexp.training import processes
from eigexp.training.processes import Processes
from tests.sweep.sweeps import SLOW, SMALL, begin, eigexp, environment, run_script, same_numbers, serial
from tests.warm import commands as warm

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("devices")]

IMAGES = ["model=ln", "images.names=[camera,coins,coffee]", "trainer.accelerator=cpu", *SMALL]
BLOCK = ["model=lg", "solver=power", "solver.k=3", "solver.tol=0.02", "images.names=[camera,coins]", "images.size=16"]
BLOCK = [*BLOCK, "logger=none", "figure.draw=false", "callbacks.checkpoint.every_steps=3", "trainer.accelerator=cpu"]
WHO = ["+callbacks.who._target_=tests.sweep.slow.Who", "+callbacks.who.path=who.txt"]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "eigexp"]
OURS = ["-m", "eigexp"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return {kind: serial(words, tmp_path_factory.mktemp(kind)) for kind, words in (("images", IMAGES), ("block", BLOCK))}


def run(folder, launch, *words):
    done = warm.run(*launch, "run", *words, cwd=folder, env=environment())
    assert done.returncode == 0, done.stderr
    return done


def begun(folder):
    return sorted(line.split()[:2] for line in (folder / "who.txt").read_text().splitlines())


@pytest.mark.parametrize("launch", [OURS, TORCHRUN], ids=["ours", "torchrun"])
def test_images_are_spread_and_none_is_done_twice(tmp_path, expected, launch):
    done = run(tmp_path, launch, *IMAGES, *WHO, "trainer.devices=2", "store=results")
    assert same_numbers(Store(tmp_path / "results"), expected["images"])
    assert sorted(id for _, id in begun(tmp_path)) == sorted(expected["images"].ids())
    assert [rank for rank, _ in begun(tmp_path)] == ["0", "0", "1"]
    if launch is OURS:
        assert len(done.stdout.splitlines()) == 3


def test_a_process_that_is_killed_is_named_in_one_line(tmp_path):
    with (tmp_path / "said").open("w") as said:
        words = [*BLOCK, *SLOW, "+callbacks.slow.seconds=0.3", "trainer.devices=2", "trainer.strategy=block", "store=results"]
        process = warm.start("-m", "eigexp", "run", *words, cwd=tmp_path, env=environment(), stdout=said, stderr=said)
        deadline = time.monotonic() + 900
        while not list((tmp_path / "results" / "checkpoints").glob("*.ckpt")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        (rank,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(rank), signal.SIGKILL)
        assert process.wait(900) == 1
    lines = (tmp_path / "said").read_text().splitlines()
    assert lines[-1].startswith("eigexp: Process 1 was killed by SIGKILL.")
    assert not any("gloo" in line or "Traceback" in line for line in lines)


@pytest.mark.parametrize("launch", [OURS, TORCHRUN], ids=["ours", "torchrun"])
def test_a_block_is_shared_out_with_the_same_bits(tmp_path, expected, launch):
    done = run(tmp_path, launch, *BLOCK, *WHO, "trainer.devices=2", "trainer.strategy=block", "store=results")
    assert same_numbers(Store(tmp_path / "results"), expected["block"])
    assert len(begun(tmp_path)) == 4 and {rank for rank, _ in begun(tmp_path)} == {"0", "1"}
    assert len(done.stdout.splitlines()) == 2
    assert not list((tmp_path / "results" / "checkpoints").iterdir())


def test_an_interrupted_block_goes_on_where_it_was(tmp_path, expected):
    words = [*BLOCK, "trainer.devices=2", "trainer.strategy=block", "store=results"]
    process = begin(tmp_path, "run", *words, *SLOW, "+callbacks.slow.seconds=0.2", quiet=False)
    checkpoints, deadline = tmp_path / "results" / "checkpoints", time.monotonic() + 900
    while not list(checkpoints.glob("*.ckpt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)  # the first process alone; both stop after the same step
    assert process.wait(900) == 128 + signal.SIGTERM
    assert len(list(checkpoints.glob("*.ckpt"))) == 1
    again = run(tmp_path, OURS, *words, *WHO)
    assert "Starting this task anew" not in again.stderr
    assert same_numbers(Store(tmp_path / "results"), expected["block"])


def test_a_process_that_fails_is_named_and_the_others_results_stay(tmp_path, expected):
    failing = ["+callbacks.bad._target_=tests.sweep.slow.FailsOn", "+callbacks.bad.image=coins"]
    done = eigexp(tmp_path, "run", *IMAGES, *failing, "trainer.devices=2", "store=results")
    assert done.returncode == 1
    assert "coins is cursed" in done.stderr and done.stderr.splitlines()[-1].startswith("eigexp: Process 1 ")
    assert len(Store(tmp_path / "results").ids()) == 2


SCRIPT = """
from eigexp.sweep.callback import Sweep
from eigexp.sweep.plan import make_plan
from eigexp.training.callbacks import Convergence, EigenvalueCurves
from eigexp.training.trainer import make_trainer
from tests.sweep.slow import Who
from tests.training.test_devices import BLOCK

sweep = Sweep(make_plan([*BLOCK, "store=results"]))
callbacks = [sweep, Convergence(), EigenvalueCurves(), Who("who.txt")]
trainer = make_trainer(accelerator="cpu", devices=2, strategy="block", callbacks=callbacks)
trainer.fit(sweep.module(), sweep.data)
"""


def test_a_block_under_lightnings_own_launcher(tmp_path, expected):
    run_script(tmp_path, SCRIPT)
    assert same_numbers(Store(tmp_path / "results"), expected["block"])
    assert len(begun(tmp_path)) == 4 and {rank for rank, _ in begun(tmp_path)} == {"0", "1"}


def test_the_number_of_processes_has_to_fit(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert (Processes.detect(3).rank, Processes.detect(3).started) == (1, True)
    assert Processes.detect(1).size == 1
    with pytest.raises(ConfigurationError, match=r"devices=2, but 3"):
        Processes.detect(2)
    with pytest.raises(ConfigurationError, match="at least 1"):
        Processes.detect(0)


@pytest.mark.parametrize(("given", "threads"), [(None, "4"), ("3", "3")])
def test_processes_share_the_cores_unless_told_their_threads(monkeypatch, given, threads):
    started = []
    monkeypatch.setattr(processes, "_start", lambda environment, work: started.append(environment))
    monkeypatch.setattr(processes, "number_of_cores", lambda: 8)
    monkeypatch.setattr(processes.StartedProcesses, "stop", lambda self: None)
    monkeypatch.setenv("OMP_NUM_THREADS", given) if given else monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    with processes.start_processes(Processes(0, 2, 0, False, LightningEnvironment()), {}):
        assert torch.get_num_threads() == (before if given else 4)
    assert [environment["OMP_NUM_THREADS"] for environment in started] == [threads] and torch.get_num_threads() == before
