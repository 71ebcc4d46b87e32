"""A store of somebody else cannot write outside, hang, run code, or hide that it was changed."""

import json
import logging
import os
import time

import pytest
import torch

from eigexp.cli import main
from eigexp.errors import StoreError
from eigexp.store import Store, owner
from eigexp.store.cross_table import cross_tables, read_table, write_table
from eigexp.store.maintenance import merge, prune, verify
from eigexp.store.owner import is_own, mark_as_own
from eigexp.store.schema import is_bare_name
from eigexp.store.seal import sealed
from eigexp.store.table import table
from eigexp.sweep.task_status import StatusReader
from eigexp.training import AtomicCheckpointIO
from tests.store.fakes import fake_table, write_fake


@pytest.fixture
def stores(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    write_fake(here.root, "good")
    return here, there, write_fake(there.root, "bad")


def change(store, folder, /, **changes):
    """Change a record and give it a digest that fits."""
    path = store.path(folder) / "record.json"
    path.write_bytes(sealed({**json.loads(path.read_bytes()), **changes}))


@pytest.mark.parametrize("name", ["../../../outside", "/tmp/outside", "a/b", "..", ".", "", ".hidden", "record.json", "a\0b", "a\nb"])
def test_a_record_cannot_name_a_file_elsewhere(stores, tmp_path, name):
    here, there, id = stores
    outside = tmp_path / "outside"
    outside.write_text("precious")
    files = there.read(id).record["files"]
    change(there, id, files={**files, name: files["curves.csv"]})
    before = sorted(tmp_path.rglob("*"))
    merged = merge(here, there)
    assert merged.copied == () and [found for found, _ in merged.refused] == [id]
    assert outside.read_text() == "precious" and sorted(tmp_path.rglob("*")) == before
    assert [finding.path for finding in verify(there)] == [there.path(id)]
    with pytest.raises(StoreError, match="cannot be a file of a result"):
        here.write_files({"id": id}, {name: b""})


def test_names_of_figures_are_bare():
    assert all(map(is_bare_name, ("distortions.png", "pairs.safetensors", "a b.png", "curves-2.csv")))


@pytest.mark.parametrize("name", ["record.json", "pairs.safetensors", "job.json", "error.json", "curves.csv", "config.yaml"])
def test_a_pipe_in_the_place_of_a_file_hangs_nothing(stores, name, caplog):
    _, store, id = stores
    write_fake(store.root, "other")
    (store.path(id) / name).unlink(missing_ok=True)
    os.mkfifo(store.path(id) / name)
    rows, found = table(store), StatusReader(store).all()
    assert verify(store) and (len(rows), len(found)) == (1 if name == "record.json" else 2, 1 if name in ("job.json", "error.json") else 2)
    prune(store, yes=True)
    assert verify(store) == []


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_pipe_or_a_link_in_the_place_of_a_temporary_file_is_replaced(tmp_path, kind):
    """As the fixed name of a checkpoint that is being written would let somebody prepare one."""
    victim, temporary, target = tmp_path / "victim", tmp_path / ".a.ckpt.tmp", tmp_path / "a.ckpt"
    victim.write_text("precious")
    os.mkfifo(temporary) if kind == "pipe" else temporary.symlink_to(victim)
    AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(100_000)}, target)
    assert AtomicCheckpointIO().load_checkpoint(target)["a"].shape == (100_000,)
    assert victim.read_text() == "precious" and not os.path.lexists(temporary)


def test_links_out_of_a_store_are_not_followed(stores, tmp_path, caplog):
    here, there, id = stores
    victim = tmp_path / "victim"
    there.path(id).rename(victim)
    there.path(id).symlink_to(victim)
    assert table(there) == [] and id in caplog.text
    assert merge(here, there).copied == ()
    assert [finding.path for finding in verify(there)] == [there.path(id)]
    prune(there, yes=True)
    assert (victim / "record.json").exists() and not there.path(id).is_symlink() and verify(there) == []


@pytest.mark.parametrize("part", ["group", "folder"])
def test_a_write_does_not_follow_a_link_out_of_the_store(tmp_path, part):
    id = write_fake(tmp_path / "elsewhere")
    store, victim = Store(tmp_path / "store"), tmp_path / "victim"
    victim.mkdir()
    link = store.path(id).parent if part == "group" else store.path(id)
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    assert write_fake(store.root) == id
    assert list(victim.iterdir()) == [] and store.has(id) and not link.is_symlink()


def test_a_linked_file_is_not_read(stores, tmp_path):
    _, store, id = stores
    secret = tmp_path / "secret"
    secret.write_bytes((store.path(id) / "config.yaml").read_bytes())
    (store.path(id) / "config.yaml").unlink()
    (store.path(id) / "config.yaml").symlink_to(secret)
    with pytest.raises(StoreError, match="symbolic link"):
        _ = store.read(id).config
    assert verify(store)


@pytest.mark.parametrize("link", ["checkpoints", "sensitivity"])
def test_prune_removes_nothing_behind_a_link(tmp_path, link):
    victim = tmp_path / "victim"
    victim.mkdir()
    store = Store(tmp_path / "store")
    id = write_fake(store.root)
    for name in (f"{id}.ckpt", f".{id}.ckpt.tmp", "x.json"):
        (victim / name).write_text("precious")
        os.utime(victim / name, (0, 0))
    (store.root / link).symlink_to(victim)
    assert [finding.path for finding in verify(store)] == [store.root / link]
    prune(store, yes=True)
    assert len(list(victim.iterdir())) == 3 and not (store.root / link).is_symlink()


# -- tampering -----------------------------------------------------------------------------------------------------


def forge(store, id, old, new):
    path = store.path(id) / "record.json"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


def test_a_forged_eigenvalue_is_shown_nowhere(stores, tmp_path, capsys):
    here, store, id = stores
    forge(store, id, "10.0", "99.0")
    assert table(store) == []
    assert "changed after it was written" in verify(store)[0].detail
    assert merge(here, store).copied == ()
    for words in (["plot", "distortions", id], ["export", id, "--no-check"], ["report"]):
        assert main([*words, "--store", str(store.root), "--output", str(tmp_path / "out.pdf")]) in (1, 2)
        assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "out.pdf").exists()


def test_every_byte_of_a_record_counts(stores):
    _, store, id = stores
    path = store.path(id) / "record.json"
    content = path.read_bytes()
    for at in range(0, len(content), 37):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(StoreError):
            store.read(id)
    path.write_bytes(content)
    assert store.read(id).id == id


def test_a_record_without_a_digest_is_compared_with_its_arrays(stores):
    """As records of format 1 have none; to call a record one of format 1 hides nothing."""
    _, store, id = stores
    path = store.path(id) / "record.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "digest"} | {"format": 1}
    path.write_text(json.dumps(old))
    assert store.read(id).record["eigenvalues"][0] == 10
    path.write_text(json.dumps({**old, "eigenvalues": [99.0, *old["eigenvalues"][1:]], "intervals": [[98.0, 99.5], *old["intervals"][1:]]}))
    with pytest.raises(StoreError, match="its eigenvalues are not those of the record"):
        store.read(id)


def test_a_newer_format_says_so(stores):
    _, store, id = stores
    change(store, id, format=3)
    with pytest.raises(StoreError, match="it has format 3, and this version reads up to 2: install a newer eigexp"):
        store.read(id)


def test_files_that_were_changed_are_not_read(stores):
    _, store, id = stores
    for name in ("pairs.safetensors", "curves.csv", "config.yaml"):
        path = store.path(id) / name
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        with pytest.raises(StoreError, match=f"{name} changed after the record was written"):
            _ = getattr(store.read(id), name.partition(".")[0].replace("pairs", "arrays"))
        path.write_bytes(content)


def test_an_index_that_was_changed_shows_nothing_that_no_record_says(tmp_path, monkeypatch):
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    monkeypatch.setattr("eigexp.store.index.MIN_RESULTS", 1)
    store = Store(tmp_path)
    write_fake(tmp_path)
    rows = table(store)
    forged = [{**row, "top": 99.0} for row in parquet.read_table(tmp_path / ".index.parquet").to_pylist()]
    parquet.write_table(pyarrow.Table.from_pylist(forged), tmp_path / ".index.parquet")
    assert table(store) == rows
    (tmp_path / ".index.parquet").unlink()
    os.mkfifo(tmp_path / ".index.parquet")
    assert table(store) == rows


def test_a_changed_cross_table_is_left_out_and_named(tmp_path, caplog):
    store = Store(tmp_path)
    path = write_table(store, fake_table(["aa" * 8, "bb" * 8]))
    write_table(store, fake_table(["aa" * 8, "cc" * 8]))
    path.write_text(path.read_text().replace('"deviation": 0.0', '"deviation": 0.5'))
    with pytest.raises(StoreError, match="digest differs"):
        read_table(path)
    assert len(cross_tables(store)) == 1 and path.stem in caplog.text


# -- one bad apple -------------------------------------------------------------------------------------------------


BAD = [
    {"n": "many"}, {"n": 0}, {"n": None}, {"eigenindex": [0]}, {"eigenindex": [255, 0]}, {"eigenindex": [0, 10**9]}, {"eigenvalues": {}},
    {"intervals": [[1], [2]]}, {"intervals": [[2.0, 1.0], [0.0, 1.0]]}, {"image": None}, {"image": {}}, {"image": {"name": "a\x1b[2J"}},
    {"model": ["a"]}, {"model": "\u202eevil"}, {"layer": 3}, {"evidence": {"top": "certain", "bottom": None}}, {"evidence": []},
    {"status": 1},
    {"files": []}, {"files": {"pairs.safetensors": "?"}}, {"created": "yesterday"}, {"id": "../x"}, {"id": "0" * 16}, {"settings": []},
    {"identity": {"a": ["\x7f"]}}, {"identity": {"\x1b": 1}}, {"settings": {"a": {"b": "\x85"}}},
    {"identity": None}, {"notes": "text"}, {"seconds": "1"}, {"seed": 1.5}, {"clusters": [1]}, {"null_space": None}, {"format": "2"},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_bad_record_is_left_out_and_named_in_one_line(stores, bad, caplog):
    _, store, id = stores
    good = write_fake(store.root, "good")
    change(store, id, **bad)
    assert [row["id"] for row in table(store)] == [good]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert id in line and "\n" not in line
    assert [finding.path for finding in verify(store)] == [store.path(id)]
    prune(store, yes=True)
    assert verify(store) == [] and store.ids() == [good]


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "{", "1", '{"ids": []}', '{"ids": ["../.."]}', '{"pid": -1}', '{"names": 3}', "[" * 5000, '{"jobs": [1]}'),
        *('{"jobs": ["../../x:1"]}', '{"jobs": ["slurm:../../x"]}', '{"task_seconds": "x"}', '{"batch_size": 0}'),
    ],
)
@pytest.mark.parametrize("name", ["job.json", "error.json"])
def test_a_bad_task_file_stops_no_status(stores, caplog, content, name):
    _, store, id = stores
    good = write_fake(store.root, "good")
    if name == "error.json":
        (store.path(id) / "record.json").unlink()
        store.write_json(id, "job.json", {"ids": [id], "model": "ln"})
        content = content if content[0] in "[1" or content == "{" else '{"message": 1}'
    (store.path(id) / name).write_text(content)
    assert [task.id for task in StatusReader(store).all()] == [good]
    assert id in caplog.text
    assert [finding.path for finding in verify(store)] == [store.path(id) / name]


def test_a_folder_that_cannot_be_read_is_left_out_and_named(stores, caplog, monkeypatch, capsys):
    _, store, id = stores
    write_fake(store.root, "a"), write_fake(store.root, "c")
    scandir, closed = os.scandir, str(store.path(id).parent)

    def refusing(path):
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert len(table(store)) == 2
    assert closed in caplog.text and "Permission denied" in caplog.text
    for words in (["results"], ["status"], ["store", "verify"]):
        assert main([*words, "--store", str(store.root)]) == (words[0] == "store")
    assert closed in capsys.readouterr().out


# -- whose result it is --------------------------------------------------------------------------------------------


def test_a_result_is_ones_own_where_it_was_computed_and_nowhere_else(stores, monkeypatch, tmp_path):
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key"))
    here, there, id = stores
    assert not is_own(there, id)
    mark_as_own(there, id)
    assert is_own(there, id) and oct((tmp_path / "key").stat().st_mode)[-3:] == "600"
    merge(here, there)
    assert here.has(id) and not is_own(here, id)
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key of somebody else"))
    assert not is_own(there, id)
    owner.mark_as_own(there, id)
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key"))
    assert not is_own(there, id)


def test_a_mark_does_not_outlive_a_change(stores, monkeypatch, tmp_path):
    monkeypatch.setenv("EIGEXP_KEY_FILE", str(tmp_path / "key"))
    _, store, id = stores
    mark_as_own(store, id)
    change(store, id, model="other")
    assert not is_own(store, id)


# -- careless changes ----------------------------------------------------------------------------------------------


def test_a_table_is_merged_only_with_all_its_results(stores):
    here, there, id = stores
    other = write_fake(there.root, "other")
    complete, partial = fake_table([id, other]), fake_table([id, "ff" * 8])
    for content in (complete, partial):
        write_table(there, content)
    merged = merge(here, there)
    assert len(merged.tables) == 1 and len(cross_tables(here)) == 1


def test_a_live_temporary_file_of_another_user_is_left(stores, monkeypatch):
    _, store, id = stores
    import socket

    path = store.path(id) / f".record.json.{socket.gethostname()}.4242.tmp"
    path.write_text("half")
    os.utime(path, (time.time() - 10**6,) * 2)
    monkeypatch.setattr(os, "kill", lambda pid, signum: (_ for _ in ()).throw(PermissionError()))
    assert verify(store) == []
    assert prune(store, yes=True) == [] and path.exists()


def test_an_atomic_write_is_synced_renamed_and_synced_again(tmp_path, monkeypatch):
    from eigexp.store.files import write_atomically

    target, seen = tmp_path / "a", []
    write_atomically(target, b"old")
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        seen.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def renamed(source, to):
        assert target.read_bytes() == b"old" and source.read_bytes() == b"new"
        seen.append("rename")
        replace(source, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_atomically(target, b"new")
    assert seen == ["file", "rename", "folder"] and target.read_bytes() == b"new"


def test_every_evidence_of_a_certificate_is_known_to_the_schema():
    from typing import get_args

    from eigexp import pairs
    from eigexp.store import schema

    assert {*get_args(pairs.Evidence), None} == {value for part in get_args(schema.Evidence) for value in (get_args(part) or (None,))}
