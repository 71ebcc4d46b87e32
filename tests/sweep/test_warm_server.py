"""Workers forked from a warm server: a sweep in an interpreter of its own, because a fork needs one that has computed nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from eigexp.images import FileSource
from eigexp.store import Store
from eigexp.sweep.local import Worker, WorkerPool
from eigexp.sweep.plan import PlannedTask, make_plan
from eigexp.sweep.warm_server import WarmServer, warm_server
from tests.store.fakes import write_fake
from tests.sweep.bugs import Buggy
from tests.sweep.sweeps import environment, same_numbers, serial
from tests.warm import commands as warm

SMALL = ["images.size=8", "images.names=[camera,coins,moon]", "logger=none", "figure.draw=false"]
BUGGY = ["model=ln", "~model.name", f"model._target_={Buggy.__module__}.Buggy", "+model.kind=kills,none"]


# As in a new interpreter, in a process that has imported PyTorch, but has computed nothing and has one thread.
AS_NEW = """
import sys
from types import ModuleType
from eigexp.sweep import warm_server

class System(ModuleType):
    modules = {}

    def __getattr__(self, name):
        return getattr(sys, name)

    def __setattr__(self, name, value):
        setattr(sys, name, value)

warm_server.sys = System("sys")
from eigexp.cli import main
sys.exit(main(sys.argv[1:]))
"""


def words_of(folder, *words, threads=1):
    noted = ["+callbacks.who._target_=tests.sweep.slow.Process", f"+callbacks.who.path={folder}/processes"]
    return ["sweep", *SMALL, *words, "launcher.processes=2", f"launcher.threads={threads}", *noted]


def processes(folder):
    return [json.loads(line) for line in (folder / "processes").read_text().splitlines()]


@pytest.mark.slow(20)
def test_forked_workers_compute_the_same_and_one_that_is_killed_is_replaced(tmp_path):
    expected = serial([*BUGGY[:-1], "+model.kind=none", *SMALL], tmp_path / "serial")
    command = [sys.executable, "-m", "eigexp", *words_of(tmp_path, *BUGGY, threads=2)]
    around = {name: value for name, value in environment().items() if name != "OMP_NUM_THREADS"}  # as most people's is
    sweep = subprocess.run(command, cwd=tmp_path, env=around, capture_output=True, text=True, check=False, timeout=300)
    said = sweep.stderr
    assert sweep.returncode == 1
    assert said.count("died (Its process was killed by SIGKILL.") == 3 and "3 of 6 tasks done, 3 failed" in said, said
    assert same_numbers(Store(tmp_path / "outputs/results"), expected)
    found = processes(tmp_path)
    assert {(row["command"], row["threads"]) for row in found} == {("sweep", 2)}  # a new interpreter would have been started with `work`
    assert len({row["pid"] for row in found}) >= 2
    assert not list((tmp_path / "outputs/results/jobs").iterdir())  # logs of workers


@pytest.mark.slow(3)
def test_a_signal_reaches_forked_workers_and_nothing_is_left_running(tmp_path):
    (tmp_path / "as_new.py").write_text(AS_NEW)
    slow = ["+callbacks.slow._target_=tests.sweep.slow.Slow", "+callbacks.slow.seconds=0.2"]
    reading, writing = os.pipe()
    words = words_of(tmp_path, "model=ln", "images.size=16", *slow)
    sweep = warm.start("as_new.py", *words, cwd=tmp_path, env=environment(), stderr=writing, start_new_session=True)
    os.close(writing)
    while not (tmp_path / "processes").exists() and sweep.poll() is None:
        time.sleep(0.05)
    os.killpg(sweep.pid, signal.SIGINT)
    with os.fdopen(reading) as errors:
        said = errors.read()  # to the end of all processes that hold its standard error
    assert sweep.wait(900) == 128 + signal.SIGINT, said
    assert {row["command"] for row in processes(tmp_path)} == {"sweep"}  # they were forked
    with pytest.raises(ProcessLookupError):
        os.killpg(sweep.pid, 0)


def test_workers_modules_are_imported_while_the_plan_is_made(tmp_path, monkeypatch):
    """In a store without results, as soon as a configuration is composed; else with the first task that is not stored."""
    order, server = [], object.__new__(WarmServer)
    server._warm = False
    monkeypatch.setattr(WarmServer, "warm_up", lambda self: (order.append("imports"), setattr(self, "_warm", True)))
    read = FileSource.__getitem__
    monkeypatch.setattr(FileSource, "__getitem__", lambda self, i: (order.append("read"), read(self, i))[1])
    words = [*SMALL, "model=ln"]

    def planned(store, *more):
        order.clear()
        server._warm = False
        plan = make_plan([*words, f"store='{store}'", *more], on_task=server.expect, on_config=server.expect_tasks)
        return plan, list(order)

    assert planned(tmp_path / "new")[1] == ["imports", "read", "read", "read"]
    assert planned(tmp_path / "new", "launcher=slurm")[1] == ["read"] * 3
    plan, _ = planned(tmp_path / "new")
    write_fake(tmp_path / "other")
    assert planned(tmp_path / "other")[1] == ["read", "read", "read", "imports"]
    monkeypatch.setattr(Store, "has", lambda self, id: id in plan.ids)
    assert planned(tmp_path / "other")[1] == ["read"] * 3


def test_no_process_that_has_computed_is_forked():
    with warm_server(lambda words: 0) as server:
        assert server is None  # tests have imported torch


def test_a_worker_is_a_new_interpreter_after_the_server_has_died(tmp_path):
    server = WarmServer(lambda words: 0)
    os.kill(server._pid, signal.SIGKILL)
    os.waitid(os.P_PID, server._pid, os.WEXITED | os.WNOWAIT)
    files = [os.open(os.devnull, os.O_RDWR)] * 3
    assert server.start(["status"], {}, files) is None
    worker = Worker(Store(tmp_path), tmp_path / "log", {}, server)
    worker.end()
    assert isinstance(worker.process, subprocess.Popen) and worker.process.returncode == 0
    server.close()
    os.close(files[0])


class Failing:
    """A server that a worker cannot be asked of."""

    def start(self, arguments, changes, files):
        raise RuntimeError("no worker")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sweep_whose_tasks_have_no_report_has_failed(tmp_path):
    (tmp_path / "jobs").mkdir()
    pool = WorkerPool([PlannedTask(("a" * 16,), ("camera",), "ln", {})], Store(tmp_path), [{}], Failing())
    assert pool.run(lambda report, task: None) == 1
