"""Ten thousand results: what is done, and a table of them, within seconds of a processor."""

import os
import time

import pytest

import eigexp
from eigexp.cli.sweep import plan_status
from eigexp.store import Store, result
from eigexp.store.index import INDEX
from eigexp.store.seal import sealed
from eigexp.sweep.plan import Plan, PlannedTask
from tests.store.fakes import write_fake

NUMBER = 10_000


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
    assert [task.state for task in found] == ["done"] * NUMBER
    assert len(set(read)) == len(read) == NUMBER
    assert seconds <= 2.0


@pytest.mark.slow(7)
def test_a_table_of_all(store):
    first, seconds = processor_seconds(lambda: eigexp.results.load(store.root))
    again, faster = processor_seconds(lambda: eigexp.results.load(store.root, "model=onoff"))
    assert (len(first), len(again)) == (NUMBER, NUMBER // 2)
    assert seconds <= 5.0 and faster < seconds
    (store.root / INDEX).unlink()  # it may be dropped at any time
    assert len(eigexp.results.load(store.root)) == NUMBER
    print(f"table {seconds:.2f} s, with its index {faster:.2f} s")
