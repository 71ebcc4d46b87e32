"""How a sweep stands, what it will cost, and cancelling it, also when the process that began it is gone."""

import json
import os
import signal
import time

import pytest

from eigexp.store import Store
from eigexp.sweep.lock import is_locked
from tests.sweep.sweeps import SLOW, SMALL, begin, eigexp, same_numbers, serial

WORDS = ["model=ln,lg", "images.names=[camera,coins]", *SMALL]


def wait_for(true, seconds=900):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def abandoned(tmp_path):
    """A store in which workers do two tasks whose sweep was killed; they get no further while `held` is there."""
    store, held = Store(tmp_path / "outputs/results"), tmp_path / "held"
    held.touch()
    hold = ["+callbacks.held._target_=tests.sweep.slow.Held", f"+callbacks.held.path='{held}'", "+callbacks.held.steps=3"]
    words = ["sweep", *WORDS[1:], "model=ln", *hold, "launcher.processes=2"]
    process = begin(tmp_path, *words)
    wait_for(lambda: len(list((store.root / "checkpoints").glob("*.ckpt"))) == 2)
    process.kill()
    process.wait()
    return store


def at_work(store):
    return [folder.name for folder in store.folders() if is_locked(store, folder.name)]


@pytest.mark.slow(1)
def test_status_and_cancel_know_of_workers_whose_sweep_is_gone(abandoned, tmp_path):
    shown = json.loads(eigexp(tmp_path, "status", "--format", "json").stdout)
    assert [s["state"] for s in shown] == ["running"] * 2
    planned = eigexp(tmp_path, "sweep", *WORDS, "--dry-run").stdout  # leaves them alone
    assert "4 tasks: 2 running, 2 to do" in planned
    done = eigexp(tmp_path, "cancel")
    assert "2 local processes of 2 tasks" in done.stdout
    (tmp_path / "held").unlink()
    wait_for(lambda: not at_work(abandoned))
    assert abandoned.ids() == [] and len(list((abandoned.root / "checkpoints").glob("*.ckpt"))) == 2
    assert [s["state"] for s in json.loads(eigexp(tmp_path, "status", "--format", "json").stdout)] == ["partial"] * 2


@pytest.mark.slow(5)
def test_a_plan_says_what_is_done_partial_and_to_do_and_what_it_will_cost(tmp_path):
    assert eigexp(tmp_path, "run", "model=ln", "images.names=[camera]", *SMALL).returncode == 0
    store = Store(tmp_path / "outputs/results")
    (record,) = (store.read(id).record for id in store.ids())
    first = eigexp(tmp_path, "sweep", *WORDS, "--dry-run")
    assert first.returncode == 0
    cost = f"~{record['fisher_vector_products']:.0f}"
    rows = {tuple(line.split()[1:3]): line.split()[3] for line in first.stdout.splitlines()[1:5]}
    tried = rows["lg", "camera"]
    assert rows == {("ln", "camera"): "–", ("ln", "coins"): cost, ("lg", "camera"): tried, ("lg", "coins"): tried}
    last = first.stdout.splitlines()[-1]
    assert last.startswith("4 tasks: 1 done, 3 to do; ")
    if last.endswith(" on one process (2 tasks predicted by a trial on one image)"):
        total = record["fisher_vector_products"] + 2 * float(tried.removeprefix("~"))
        assert f"; about {total:.0f} FVPs, " in last
    else:  # on a busy machine
        assert last.endswith(" on one process (2 tasks predicted by the first seconds of a trial)")
    assert [folder.name for folder in store.folders()] == store.ids()  # nothing was frozen

    # A checkpoint after the first step: several are left, however late the signal is seen.
    stopped = begin(tmp_path, "sweep", *WORDS, *SLOW, "+callbacks.slow.seconds=0.5", "callbacks.checkpoint.every_steps=1")
    wait_for(lambda: list((store.root / "checkpoints").glob("*.ckpt")))
    os.kill(stopped.pid, signal.SIGTERM)
    assert stopped.wait(900) == 128 + signal.SIGTERM
    second = eigexp(tmp_path, "sweep", *WORDS, "--dry-run").stdout
    assert "1 done, 1 partial, 2 to do" in second
    assert eigexp(tmp_path, "sweep", *WORDS).returncode == 0
    assert same_numbers(store, serial(WORDS, tmp_path / "serial"))
