"""What a sweep does about GPUs, as far as that can be seen without one: who gets which, what is freed, which process is replaced."""

import gc
import weakref

import pytest
import torch

from eigexp.experiment import plan_cache
from eigexp.experiment.plan_cache import PlanCache
from eigexp.store import Store
from eigexp.store.store import ERROR, JOB
from eigexp.sweep import worker
from eigexp.sweep.local import Local, visible_devices
from eigexp.sweep.worker import TaskReport, work
from tests.sweep.sweeps import own_handlers


@pytest.mark.parametrize(
    ("given", "count", "names"),
    [(None, 3, ["0", "1", "2"]), ("2,5", 2, ["2", "5"]), ("MIG-ab/1", 1, ["MIG-ab/1"]), ("", 0, []), ("-1", 0, [])],
)
def test_each_worker_gets_one_of_the_devices_that_are_visible(monkeypatch, given, count, names):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False) if given is None else monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_devices() == names
    workers = [Local().environment(number, 4, names).get("CUDA_VISIBLE_DEVICES") for number in range(4)]
    assert workers == [names[number % len(names)] if names else None for number in range(4)]


def test_workers_share_the_cores_also_where_the_system_binds_no_process_to_some(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.delattr("os.sched_getaffinity", raising=False)  # as on macOS
    assert Local().environment(0, 2, [])["OMP_NUM_THREADS"] == "4"


@pytest.fixture
def store(tmp_path):
    with own_handlers():
        yield Store(tmp_path)


def test_memory_is_freed_between_tasks(store, monkeypatch):
    order = []

    class Kept:
        """A part of a cycle, as models with hooks are."""

        def __init__(self):
            self.own = self

    def run_task(store, id, run, cache):
        weakref.finalize(Kept(), order.append, f"{id} freed")
        return TaskReport(id, "done"), False

    monkeypatch.setattr(worker, "run_task", run_task)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: order.append("emptied"))
    gc.disable()
    try:
        assert work(store, ["aa00", "bb00"], None, lambda report: order.append(report.id)) == 0  # type: ignore[arg-type]
    finally:
        gc.enable()
    assert order == ["aa00 freed", "emptied", "aa00", "bb00 freed", "emptied", "bb00"]


def test_two_networks_are_never_in_memory(monkeypatch):
    networks, living = [], []

    def build_network(node):
        living.append(sum(each() is not None for each in networks))
        network = torch.nn.Linear(1, 1)
        networks.append(weakref.ref(network))
        return network

    monkeypatch.setattr(plan_cache, "build_network", build_network)
    cache = PlanCache()
    for name in ("a", "a", "b", "c"):
        cache.network({"name": name})
    assert living == [0, 0, 0]


@pytest.mark.slow(8)
def test_after_an_error_of_the_device_a_new_process_does_the_rest(store, monkeypatch):
    commands, reports = [], []

    def run(config, ids, cache):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def execv(program, command):
        commands.append(command)
        raise SystemExit

    monkeypatch.setattr(worker.os, "execv", execv)
    for id in ("aa00", "bb00", "cc00"):
        store.write_json(id, JOB, {"ids": [id]})
        store.write_config(id, {"images": {"batch_size": 1}})
    with pytest.raises(SystemExit):
        work(store, ["aa00", "bb00", "cc00"], run, reports.append)
    assert [report.state for report in reports] == ["failed"] and "illegal memory access" in (store.read_json("aa00", ERROR) or {})[
        "message"
    ]
    assert [command[-2:] for command in commands] == [["bb00", "cc00"]]
