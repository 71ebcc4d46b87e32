"""Processes that are killed at random moments go on to the same numbers."""

import contextlib
import random
import signal
import time

import pytest
import torch

from tests.sweep.sweeps import environment
from tests.warm import commands as warm

from tests.training.toys import module, same, task, trainer  # isort: skip
from eigexp.training import TaskData


def start(folder):
    return warm.start("-m", "tests.training.killable", str(folder), cwd=folder, env=environment())


def wait_for_checkpoints(process, folder, count):
    """Return when so many more were seen to be written, or the process has ended."""
    before = written(folder)
    while process.poll() is None and count:
        time.sleep(0.001)
        now = written(folder)
        before, count = now, count - (now != before)


def written(folder):
    found = {}
    for path in folder.glob("*.ckpt"):
        with contextlib.suppress(FileNotFoundError):  # the task is over
            found[path.name] = path.stat().st_mtime_ns
    return found


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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again(seed, tmp_path, expected):
    rng = random.Random(seed)
    codes = []
    while 0 not in codes:
        process = start(tmp_path)
        wait_for_checkpoints(process, tmp_path, rng.randint(1, 15))
        time.sleep(rng.uniform(0, 0.004))  # or within a step
        process.kill()
        codes.append(process.wait())
        assert len(codes) < 50
    assert set(codes) == {0, -signal.SIGKILL}
    check(tmp_path, expected)


def test_terminated_exits_with_its_signal_and_resumes(tmp_path, expected):
    process = start(tmp_path)
    wait_for_checkpoints(process, tmp_path, 5)
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert len(list(tmp_path.glob("*.ckpt"))) == 1
    assert start(tmp_path).wait() == 0
    check(tmp_path, expected)
    assert not list(tmp_path.glob("*.ckpt"))
