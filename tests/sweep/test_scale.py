"""Ten thousand results: how often files are looked at for what is done and for a table of them. Seconds are printed."""

import os
import time
from collections import Counter
from types import SimpleNamespace

import pytest

import eigexp
from eigexp.cli.sweep import plan_status
from eigexp.store import Store, result, shard
from eigexp.store.index import INDEX
from eigexp.store.seal import sealed
from eigexp.store.shard import write_shards
from eigexp.sweep.plan import Plan, PlannedTask
from tests.store.fakes import write_fake

NUMBER, SHARD = 10_000, 250


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One result, and copies of its record under other ids."""
    store = Store(tmp_path_factory.mktemp("large"))
    record = store.read(write_fake(store.root)).record
    for i in range(NUMBER - 1):
        folder = store.path(f"{i * 7919 % 2**16:04x}{i:012x}")
        os.makedirs(folder)
        (folder / "record.json").write_bytes(sealed({**record, "id": folder.name, "model": ("ln", "onoff")[i % 2]}))
    return store


def processor_seconds(work):
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


@pytest.mark.slow(3)
def test_a_plan_sees_what_is_done(store, monkeypatch):
    """What `eigexp sweep` does before it starts anything: each record is read once, for its status."""
    plan = Plan(tuple(PlannedTask((id,), ("camera",), "ln", {}) for id in store.ids()), store)
    read = []
    real = result.read_bytes
    monkeypatch.setattr(result, "read_bytes", lambda path: read.append(path) or real(path))
    found, seconds = processor_seconds(lambda: plan_status(plan))
    print(f"status {seconds:.2f} s")
    assert [task.state for task in found] == ["done"] * NUMBER
    assert len(set(read)) == len(read) == NUMBER


@pytest.mark.slow(2)
def test_a_plan_sees_what_is_done_in_shards(tmp_path, monkeypatch):
    """A few looks at the file system for each result; each shard is read at most twice: for ids, then for records."""
    original = Store(tmp_path / "original")
    one = original.read(write_fake(original.root))
    store, tasks = Store(tmp_path / "shards"), []
    for first in range(0, NUMBER, SHARD):
        records = [{**one.record, "id": f"{i:016x}"} for i in range(first, first + SHARD)]
        rows = [SimpleNamespace(record=r, id=r["id"], arrays=one.arrays, sealed=sealed(r), texts={}) for r in records]
        write_shards(store.real_shards_folder(), rows)
        tasks.append(PlannedTask(tuple(row.id for row in rows), ("camera",) * SHARD, "ln", {}))
    os.utime(store.shards.folder, (0, 0))  # as if they were written long ago
    looked, read = [], []
    lstat, read_bytes = os.lstat, shard.read_bytes
    monkeypatch.setattr(os, "lstat", lambda path, **more: looked.append(path) or lstat(path, **more))
    monkeypatch.setattr(shard, "read_bytes", lambda path: read.append(path) or read_bytes(path))
    found, seconds = processor_seconds(lambda: plan_status(Plan(tuple(tasks), store)))
    print(f"status from shards {seconds:.2f} s")
    assert [(task.state, task.detail) for task in found] == [("done", "")] * (NUMBER // SHARD)
    assert len(looked) <= 4 * NUMBER and max(Counter(read).values()) <= 2


@pytest.mark.slow(7)
def test_a_table_of_all(store, monkeypatch):
    read = []
    real = result.read_bytes
    monkeypatch.setattr(result, "read_bytes", lambda path: read.append(path) or real(path))
    first, seconds = processor_seconds(lambda: eigexp.results.load(store.root))
    assert len(set(read)) == len(read) == NUMBER
    read.clear()
    again, faster = processor_seconds(lambda: eigexp.results.load(store.root, "model=onoff"))
    assert (len(first), len(again)) == (NUMBER, NUMBER // 2)
    assert not read  # the index has them
    (store.root / INDEX).unlink()  # it may be dropped at any time
    assert len(eigexp.results.load(store.root)) == NUMBER
    print(f"table {seconds:.2f} s, with its index {faster:.2f} s")
