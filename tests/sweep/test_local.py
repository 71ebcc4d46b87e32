"""Local sweeps: killed, failing, two at once, in odd folders; what is stored is never made again."""

import contextlib
import json
import os
import random
import signal
import time

import pytest

from eigexp.store import Store
from eigexp.store.maintenance import prune

from tests.sweep.sweeps import DRAWN, SLOW, SMALL, begin, eigexp, same_numbers, serial  # isort: skip

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("local")]

SIX = ["model=ln,lg", "images.names=[camera,coins,coffee]", *SMALL, "launcher.processes=2"]
KILLED = [*SIX[:2], *DRAWN, *SLOW]  # also while it draws, and between a record and its figure
KILLS = 6


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return serial(SIX, tmp_path_factory.mktemp("serial"))


def store_in(folder):
    return Store(folder / "outputs" / "results")


def stamps(store):
    return {id: (store.path(id) / "record.json").stat().st_mtime_ns for id in store.ids()}


def kill_again_and_again(folder, kills, seed=0):
    """Kills the process group of a sweep after a random number of files that it writes; nothing stored may change."""
    rng, store, seen, killed = random.Random(seed), store_in(folder), {}, 0
    while killed < kills and len(store.ids()) < 6:
        process = begin(folder, "sweep", *KILLED, alone=True)
        before, left = written(store), rng.randint(1, 20)
        while process.poll() is None and left:
            time.sleep(0.002)
            now = written(store)
            before, left = now, left - (now != before)
        time.sleep(rng.uniform(0.0, 0.05))  # or into the steps between two files
        if process.poll() is None:
            killed += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = stamps(store)
        assert seen.items() <= now.items()
        seen = now
    return killed, seen


def written(store):
    """What changes with every checkpoint and every result."""
    checkpoints = {}
    for path in (store.root / "checkpoints").glob("*.ckpt"):
        with contextlib.suppress(FileNotFoundError):  # its task is done
            checkpoints[path.name] = path.stat().st_mtime_ns
    return checkpoints, stamps(store)


def test_killed_at_random_moments(tmp_path, expected):
    killed, seen = kill_again_and_again(tmp_path, KILLS)
    assert killed >= 3 and seen
    done = eigexp(tmp_path, "sweep", *SIX)
    assert done.returncode == 0, done.stderr
    store = store_in(tmp_path)
    assert sorted(store.ids()) == sorted(expected.ids())
    # A kill in the middle of a write leaves its temporary file, one right after a result its checkpoint, and nothing else is left.
    assert {finding.kind for finding in prune(store, yes=True)} <= {"orphan", "checkpoint"}
    assert same_numbers(store, expected)
    assert seen.items() <= stamps(store).items()


def test_a_failing_task_stops_no_other_and_is_tried_again_when_asked(tmp_path, expected):
    failing = ["+callbacks.bad._target_=tests.sweep.slow.FailsOn", "+callbacks.bad.image=coins"]
    words = ["model=ln", *SIX[1:]]
    done = eigexp(tmp_path, "sweep", *words, *failing)
    assert done.returncode == 1
    assert "coins: failed (FloatingPointError: coins is cursed)" in done.stderr and "2 of 3 tasks done, 1 failed" in done.stderr
    shown = eigexp(tmp_path, "status", "--failed", "--traceback").stdout
    assert "1 task: FloatingPointError: coins is cursed" in shown and "Traceback" in shown and "1 task: 1 failed" in shown
    again = eigexp(tmp_path, "sweep", *words)
    assert again.returncode == 1 and "2 done, 1 failed" in again.stderr
    retried = eigexp(tmp_path, "sweep", *words, "--retry-failed")
    assert retried.returncode == 0, retried.stderr
    assert len(store_in(tmp_path).ids()) == 3
    assert [s["state"] for s in json.loads(eigexp(tmp_path, "status", "--format", "json").stdout)] == ["done"] * 3


def test_interrupted_it_saves_and_goes_on_and_two_at_once_write_the_same(tmp_path, expected):
    folder = tmp_path / "mit Leerzeichen – und ü"
    folder.mkdir()
    first = begin(folder, "sweep", *SIX, *SLOW, alone=True)
    store = store_in(folder)
    deadline = time.monotonic() + 900
    while not list((store.root / "checkpoints").glob("*.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(900) == 128 + signal.SIGINT
    assert list((store.root / "checkpoints").glob("*.ckpt"))

    both = [begin(folder, "sweep", *SIX) for _ in range(2)]
    assert [process.wait(900) for process in both] == [0, 0]
    assert same_numbers(store, expected) and len(store.ids()) == 6

    before = stamps(store)
    done = eigexp(folder, "sweep", *SIX)
    assert done.returncode == 0 and "6 done" in done.stderr
    assert stamps(store) == before


def test_a_store_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    done = eigexp(tmp_path, "sweep", "model=ln", *SMALL, "store=file/results")
    assert done.returncode == 1
    assert "store=<folder>" in done.stderr and "Traceback" not in done.stderr
