"""Stores in a bucket of an S3 server on this machine, and in memory: results whole or absent, the first writer wins, leases expire."""

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from eigexp import cli
from eigexp.cli.sweep import plan_status
from eigexp.errors import MissingDependencyError, StoreError
from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.store.maintenance import verify
from eigexp.store.remote import Remote
from eigexp.sweep.lock import task_lock
from eigexp.sweep.plan import make_plan
from eigexp.sweep.task_files import write_tasks
from eigexp.sweep.worker import work
from tests.docs.documented import arguments, commands
from tests.slurm.cluster import wait_until
from tests.store.fakes import write_fake
from tests.sweep.sweeps import own_handlers, same_numbers, serial


@pytest.fixture(scope="module")
def server():
    moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'eigexp[dev]'")
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'eigexp[remote]'")
    server = moto.ThreadedMotoServer(port=0)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def bucket(server, tmp_path, monkeypatch):
    """The URL of an empty bucket; the cache of this test is its own."""
    for key, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("EIGEXP_CACHE", str(tmp_path / "cache"))
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{os.getpid()}-{time.monotonic_ns()}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}/lab"


def copy_of(result, id):
    """A result of another id: its record and its files."""
    files = {name: (result.folder / name).read_bytes() for name in result.record["files"]}
    return {**{key: value for key, value in result.record.items() if key != "files"}, "id": id}, files


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fake")
    return Store(folder).read(write_fake(folder))


@pytest.mark.slow(1)
def test_a_result_goes_there_and_back_unchanged(bucket, fake, tmp_path):
    remote, there = Remote(bucket), Store(tmp_path / "other")
    assert remote.push(Store(fake.folder.parents[1]), fake.id) and not remote.push(Store(fake.folder.parents[1]), fake.id)
    assert remote.ids() == {fake.id} and remote.has(fake.id)
    assert remote.pull(there, fake.id) and not remote.pull(there, fake.id)
    assert verify(there) == []
    assert (there.path(fake.id) / "record.json").read_bytes() == (fake.folder / "record.json").read_bytes()


@pytest.mark.slow(1)
def test_a_store_at_a_url_is_shared_by_machines(bucket, fake, tmp_path, monkeypatch):
    first = Store(bucket)
    assert first.remote is not None and first.location == bucket
    record, files = copy_of(fake, "ab00000000000001")
    first.write_files(record, files)
    monkeypatch.setenv("EIGEXP_CACHE", str(tmp_path / "another machine"))
    second = Store(bucket)
    assert second.root != first.root and second.has("ab00000000000001") and second.ids() == ["ab00000000000001"]
    assert second.read("ab00000000000001").record == first.read("ab00000000000001").record
    before = Remote(bucket).read("records/ab00000000000001.json")
    second.write_files({**record, "model": "other"}, files)
    assert Remote(bucket).read("records/ab00000000000001.json") == before


@pytest.mark.slow(2)
def test_documented_commands(bucket, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {"run": ["images.size=24", "logger=none", "figure=null", "callbacks.progress.mode=quiet"]}
    documented = [arguments(command)[1:] for command in commands() if command.startswith("eigexp ") and "s3://bucket/lab" in command]
    for words in documented:
        assert cli.main([word.replace("s3://bucket/lab", bucket) for word in words] + small.get(words[0], [])) == 0, capsys.readouterr()
    assert len(documented) == 4 and Store("outputs/results").ids() == Store(bucket).ids() != []


SWEEP = [
    "model=ln",
    "images.names=[camera,coins]",
    "images.size=16",
    "solver.k=1,2",
    "logger=none",
    "figure.draw=false",
    "callbacks.progress.mode=quiet",
]


def shown(capsys, command, *words):
    """What a command that succeeds prints."""
    assert cli.main([command, *words]) == 0
    return capsys.readouterr().out


@pytest.mark.slow(10)
def test_a_whole_sweep_at_a_url_is_seen_by_all_machines(bucket, tmp_path, monkeypatch, capsys, handlers):
    monkeypatch.chdir(tmp_path)
    plan = make_plan([*SWEEP, f"store={bucket}"])
    write_tasks(plan.store, list(plan), {"launcher": "local"})
    ids, reports = [task.id for task in plan], []

    def states():
        return {task["id"]: task["state"] for task in json.loads(shown(capsys, "status", "--format", "json", "--store", bucket))}

    assert states() == dict.fromkeys(ids, "to do")
    assert work(Store(bucket), ids[:3], lambda config, ids, cache: run(config, only=ids, cache=cache), reports.append) == 0
    assert [report.state for report in reports] == ["done"] * 3
    assert states() == {**dict.fromkeys(ids[:3], "done"), ids[3]: "to do"} and Remote(bucket).ids() == set(ids[:3])
    assert os.listdir(plan.store.root / "checkpoints") == [] and not (tmp_path / "s3:").exists()

    monkeypatch.setenv("EIGEXP_CACHE", str(tmp_path / "another machine"))
    again = make_plan([*SWEEP, f"store={bucket}"])
    assert [found.state for found in plan_status(again)] == ["done"] * 3 + ["to do"]
    write_tasks(again.store, [again.tasks[3]], {"launcher": "local"})
    assert work(again.store, ids[3:], lambda config, ids, cache: run(config, only=ids, cache=cache), reports.append) == 0
    assert len(json.loads(shown(capsys, "results", "--format", "json", "--store", bucket))) == 4
    assert "camera" in Path(shown(capsys, "report", "--store", bucket, "--output", str(tmp_path / "page.html")).strip()).read_text()
    assert cli.main(["store", "verify", "--store", bucket]) == 0
    assert same_numbers(Store(bucket), serial(SWEEP, tmp_path / "serial"))


@pytest.fixture
def handlers():
    with own_handlers():
        yield


@pytest.mark.slow(1)
def test_of_many_writers_at_once_one_creates_an_object(bucket):
    remote, won = Remote(bucket), []

    def write(number):
        if remote.create("one", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and remote.read("one") == str(won[0]).encode()


@pytest.fixture
def clock(monkeypatch):
    """The time that leases see, in a list: it passes when a test sets it."""
    now = [1000.0]
    monkeypatch.setattr("eigexp.store.remote.time", SimpleNamespace(time=lambda: now[0]))
    return now


@pytest.mark.slow(2)
def test_a_lease_excludes_others_and_ends_after_its_holder_s_death(bucket, clock):
    remote = Remote(bucket)
    with remote.lease("task") as mine, remote.lease("task") as other:
        assert mine and not other
    with remote.lease("task") as again:
        assert again
    assert remote._acquire("task", 0.5)  # by a process that dies: nobody renews it
    clock[0] += 0.4
    with remote.lease("task") as early:
        assert not early
    clock[0] += 0.2
    with remote.lease("task") as late:
        assert late


@pytest.mark.slow(1.0)
def test_a_living_holder_renews_its_lease(bucket, clock):
    def expiry():
        return json.loads(remote.read("locks/task/00000001"))["expires"]

    remote = Remote(bucket)
    with remote.lease("task", 0.9) as mine:
        clock[0] += 0.8
        wait_until(lambda: expiry() > 1001.65, 30, "its renewal")
        clock[0] += 0.8
        with remote.lease("task") as other:
            assert mine and not other


@pytest.mark.slow(1)
def test_a_task_of_a_store_at_a_url_is_locked_on_all_machines(bucket, tmp_path, monkeypatch):
    with task_lock(Store(bucket), "ab00000000000002") as mine:
        monkeypatch.setenv("EIGEXP_CACHE", str(tmp_path / "another machine"))
        with task_lock(Store(bucket), "ab00000000000002") as other:
            assert mine and not other


@pytest.mark.slow(1)
def test_what_a_bucket_lacks_or_changed_is_refused(bucket, fake, tmp_path):
    remote = Remote(bucket)
    remote.push(Store(fake.folder.parents[1]), fake.id)
    record = json.loads(remote.read(f"records/{fake.id}.json"))
    name, wanted = next(iter(record["files"].items()))
    remote.replace(f"{fake.id[:2]}/{fake.id}/{wanted}/{name}", b"changed")
    with pytest.raises(StoreError, match="do not match the record"):
        remote.pull(Store(tmp_path / "x"), fake.id)


def test_a_url_that_cannot_be_used_says_why(monkeypatch):
    with pytest.raises(StoreError, match="not the URL of a store"):
        Remote("nosuch://bucket")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingDependencyError, match=r"eigexp\[remote\]"):
        Remote("gs://bucket/x")
