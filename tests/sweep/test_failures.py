"""Failures that pass, those of a device, and tasks that hang; no GPU is needed to tell them apart."""

import json
import os
import signal
import threading
import time

import pytest
import torch

from eigexp.errors import ModelError, is_out_of_memory
from eigexp.store import Store
from eigexp.store.store import ERROR, JOB
from eigexp.sweep import worker
from eigexp.sweep.failures import breaks_device, is_transient
from eigexp.sweep.job_script import TOO_EARLY
from eigexp.sweep.process import SIGNALS, SignalReceived, raise_on_signals
from eigexp.sweep.task_files import halve_batch, with_batch_size
from eigexp.sweep.worker import work
from tests.sweep.sweeps import own_handlers

CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
STICKY = RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("error", "memory", "transient", "broken"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True, True, False),
        (CPU, True, True, False),
        (CUBLAS, True, True, True),
        (MemoryError(), True, True, False),
        (STICKY, False, False, True),
        (OSError("disk full"), False, True, False),
        (ValueError("x is wrong"), False, False, False),
        (ModelError("the model is not a function"), False, False, False),
    ],
)
def test_kinds_of_failures(error, memory, transient, broken):
    assert (is_out_of_memory(error), is_transient(error), breaks_device(error)) == (memory, transient, broken)


@pytest.mark.slow(1)
def test_out_of_memory_is_tried_with_fewer_images_at_once():
    sizes = []

    def run(config, ids, cache):
        sizes.append(config["images"]["batch_size"])
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "outcome"

    config = {"images": {"batch_size": 64}}
    assert worker._run_within_memory(config, list("abcdefgh"), run, None) == "outcome"  # type: ignore[arg-type]
    assert sizes == [64, 4, 2] and config["images"]["batch_size"] == 64


def test_out_of_memory_with_one_image_is_raised():
    def run(config, ids, cache):
        raise CPU

    with pytest.raises(RuntimeError, match="allocate"):
        worker._run_within_memory({"images": {"batch_size": 1}}, ["a"], run, None)  # type: ignore[arg-type]


class Task:
    id, ids, config = "aa00", ("aa00", "aa01", "aa02"), {"images": {"batch_size": 8}}


def test_a_task_whose_process_was_killed_takes_half_as_many_images(tmp_path):
    store = Store(tmp_path)
    store.write_json("aa00", JOB, {"ids": list(Task.ids)})
    assert halve_batch(store, Task())  # type: ignore[arg-type]
    assert with_batch_size(Task.config, store.read_json("aa00", JOB) or {})["images"] == {"batch_size": 1}
    assert not halve_batch(store, Task())  # type: ignore[arg-type]


@pytest.fixture
def handlers():
    with own_handlers():
        yield


def test_a_task_that_hangs_is_recorded_and_a_new_process_does_the_rest(tmp_path, monkeypatch, capfd):
    store, replaced = Store(tmp_path), threading.Event()
    store.write_json("aa00", JOB, {"ids": ["aa00"], "task_seconds": 0.1})
    commands = []
    monkeypatch.setattr(worker.os, "execv", lambda program, command: (commands.append(command), replaced.set()))
    with worker.time_limit(store, "aa00", ["bb00", "cc00"]):
        assert replaced.wait(900)
    assert commands[0][-2:] == ["bb00", "cc00"]
    error = store.read_json("aa00", ERROR) or {}
    assert "launcher.task_seconds=0.1" in error["message"] and not error["transient"]
    assert "test_a_task_that_hangs" in error["traceback"]  # where it hung
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["state"] == "failed"


def test_a_task_within_its_time_is_left_alone(tmp_path):
    store = Store(tmp_path)
    store.write_json("aa00", JOB, {"ids": ["aa00"], "task_seconds": 1000})
    before = set(threading.enumerate())
    with worker.time_limit(store, "aa00", []):
        (timer,) = set(threading.enumerate()) - before
    timer.join(900)
    assert not timer.is_alive()
    assert store.read_json("aa00", ERROR) is None


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("after", [0, 1])
def test_a_signal_ends_a_worker_and_says_whether_work_was_done(tmp_path, monkeypatch, handlers, number, after):
    def run_task(store, id, run, cache):
        if id == f"aa0{after}":
            os.kill(os.getpid(), number)
            time.sleep(5)
        return worker.TaskReport(id, "done"), False

    monkeypatch.setattr(worker, "run_task", run_task)
    assert work(Store(tmp_path), ["aa00", "aa01"], None, lambda report: None) == (128 + number if after else TOO_EARLY)  # type: ignore[arg-type]


def test_a_second_signal_does_not_interrupt_the_end(handlers):
    raise_on_signals()
    with pytest.raises(SignalReceived):
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)  # ignored
    time.sleep(0.05)
