"""Several writers of the same results, killed at random moments: no result is ever corrupt, and what is left over is swept away."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eigexp.store import Store
from eigexp.store.maintenance import prune, verify
from tests.store.fakes import fake_image, fake_pairs, fake_record

ROOT = Path(__file__).parents[2]
RESULTS, WRITERS, KILLS = 300, 3, 36


def launch(launcher: subprocess.Popen[str], writer: int) -> int:
    assert launcher.stdin and launcher.stdout
    print(writer, file=launcher.stdin, flush=True)
    return int(launcher.stdout.readline())


def last_id() -> str:
    return fake_record(fake_pairs((1, 8, 8)), fake_image((1, 8, 8)), f"model{RESULTS - 1}")["id"]


def from_one_writer(store: Store, id: str) -> bool:
    result = store.read(id)
    writer = int(result.record["seconds"])
    figure = result.packed is not None or (result.folder / "figure.png").read_bytes() == b"%d" % writer * 5000
    return result.config == {"writer": writer} and figure and result.curves == [{"step": 1, "seconds": writer}]


@contextmanager
def paused(pids: Iterable[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.slow(6)
@pytest.mark.parametrize("kind", ["folders", "shards"])
def test_racing_and_killed_writers_corrupt_nothing(tmp_path, kind):
    rng = random.Random(0)
    store, kills = Store(tmp_path), 0
    at_work = 0
    command = [sys.executable, "-m", "tests.store.launcher", str(tmp_path), str(RESULTS), kind]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdin and launcher.stdout
        assert launcher.stdout.readline().strip() == "ready"
        pids = {writer: launch(launcher, writer) for writer in range(WRITERS)}
        while kills < KILLS:
            time.sleep(rng.uniform(0.005, 0.06))
            writer = rng.randrange(WRITERS)
            os.kill(pids[writer], signal.SIGKILL)
            kills += 1
            at_work += not store.has(last_id())
            pids[writer] = launch(launcher, writer)
            if kills % 6 == 0:
                with paused(pids.values()):  # else they are done before a busy machine has looked at everything
                    assert [finding for finding in verify(store) if finding.kind == "corrupt"] == []
        print("finish", file=launcher.stdin, flush=True)
    assert launcher.returncode == 0
    assert at_work > KILLS / 2, f"only {at_work} kills hit a writer at work: write more results"
    assert len(store.ids()) == RESULTS
    assert [finding for finding in verify(store) if finding.kind != "orphan"] == []
    assert all(from_one_writer(store, id) for id in store.ids())
    prune(store, yes=True)
    assert verify(store) == []
    assert list(tmp_path.rglob("*.tmp")) == []
