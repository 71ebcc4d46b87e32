"""Processes that are killed at random moments go on to the same numbers."""

import contextlib
import fcntl
import os
import random
import signal
import subprocess
import sys
import termios
import time

import pytest
import torch

from tests.sweep.sweeps import environment
from tests.warm import commands as warm

from tests.training.toys import module, same, task, trainer  # isort: skip
from eigexp.training import TaskData


def start(folder, stdin=subprocess.DEVNULL):
    return warm.start("-m", "tests.training.killable", str(folder), cwd=folder, env=environment(), stdin=stdin)


@contextlib.contextmanager
def at_step(folder, count):
    """Give a process that begins its last step of `count`, or has ended; it goes on when the block has ended."""
    reading, writing = os.pipe()
    os.write(writing, b"." * count)
    try:
        process = start(folder, reading)
        while process.poll() is None and unread(reading):
            time.sleep(0.001)
        yield process
    finally:
        os.close(writing)
        os.close(reading)


def unread(pipe):
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)


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


@pytest.mark.slow(0.8)
@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again(seed, tmp_path, expected):
    rng = random.Random(seed)
    codes = []
    while 0 not in codes:
        with at_step(tmp_path, rng.randint(1, 15)) as process:
            time.sleep(rng.uniform(0, 0.02))  # within a step, or in what follows it
            process.kill()
            codes.append(process.wait())
        assert len(codes) < 50
    assert set(codes) == {0, -signal.SIGKILL}
    check(tmp_path, expected)


def test_terminated_exits_with_its_signal_and_resumes(tmp_path, expected):
    with at_step(tmp_path, 5) as process:
        process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert len(list(tmp_path.glob("*.ckpt"))) == 1
    assert start(tmp_path).wait() == 0
    check(tmp_path, expected)
    assert not list(tmp_path.glob("*.ckpt"))
