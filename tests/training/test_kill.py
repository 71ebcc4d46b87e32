"""Processes that are killed at random moments go on to the same numbers."""

import multiprocessing
import random
import signal
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch

from tests.training.killable import job

from tests.training.toys import module, same, task, trainer  # isort: skip
from eigexp.training import TaskData


@pytest.fixture(scope="module")
def start():
    """Starts the job in a fresh process, forked from a server that has loaded torch: 50 ms instead of seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.killable"])
    with pytest.MonkeyPatch.context() as patch:  # the server takes its environment when it starts
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        forkserver.ensure_running()

    def begin(folder):
        ready = context.Event()
        process = context.Process(target=job, args=(folder, ready))
        process.start()
        assert ready.wait(60)
        return process

    return begin


@pytest.fixture(scope="module")
def expected():
    results = {}
    for images in (("a",), ("b", "c")):
        work = module()
        trainer().fit(work, TaskData([task(*images)]))
        results[images[0]] = work.state.to_dict()
    return results


def check(folder, expected):
    for name, state in expected.items():
        found = torch.load(folder / f"{name}.pt", weights_only=True)
        assert same(found["state"], state)
        assert set(found["curves"]) == {30}


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again(seed, tmp_path, start, expected):
    rng = random.Random(seed)
    codes = []
    while 0 not in codes:
        process = start(tmp_path)
        process.join(rng.uniform(0.02, 0.25) * (1 + len(codes) / 10))  # longer on a busy machine, so that it ends
        process.kill()
        process.join()
        codes.append(process.exitcode)
        assert len(codes) < 50
    assert set(codes) == {0, -signal.SIGKILL}
    check(tmp_path, expected)


def test_terminated_exits_with_its_signal_and_resumes(tmp_path, start, expected):
    process = start(tmp_path)
    time.sleep(0.2)
    process.terminate()
    process.join()
    assert process.exitcode == 128 + signal.SIGTERM
    assert len(list(tmp_path.glob("*.ckpt"))) == 1
    process = start(tmp_path)
    process.join()
    assert process.exitcode == 0
    check(tmp_path, expected)
    assert not list(tmp_path.glob("*.ckpt"))
