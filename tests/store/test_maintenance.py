"""Tampering and tearing are found, cleared only when asked, and merges copy only what is sound."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from eigexp.errors import StoreError
from eigexp.store import Store
from eigexp.store.maintenance import merge, prune, verify
from tests.store.fakes import write_fake


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["pairs.safetensors", "curves.csv", "config.yaml"])
def test_one_flipped_bit_is_found(tmp_path, name):
    store = Store(tmp_path)
    id = write_fake(tmp_path)
    assert verify(store) == []
    flip(store.path(id) / name)
    (finding,) = verify(store)
    assert (finding.kind, finding.path, name in finding.detail) == ("corrupt", store.path(id), True)


def test_a_missing_file_a_broken_record_and_a_moved_folder_are_found(tmp_path):
    store = Store(tmp_path)
    missing, broken, moved = (write_fake(tmp_path, model) for model in ("a", "b", "c"))
    (store.path(missing) / "pairs.safetensors").unlink()
    (store.path(broken) / "record.json").write_text("{")
    other = store.path("00" * 8)
    other.parent.mkdir(exist_ok=True)
    store.path(moved).rename(other)
    assert {finding.path for finding in verify(store) if finding.kind == "corrupt"} == {store.path(missing), store.path(broken), other}


def test_prune_shows_first_and_sets_corrupt_results_aside(tmp_path):
    store = Store(tmp_path)
    sound, corrupt = write_fake(tmp_path, "a"), write_fake(tmp_path, "b")
    flip(store.path(corrupt) / "curves.csv")
    orphan = store.path(sound) / f".record.json.{socket.gethostname()}.{dead_pid()}.tmp"
    orphan.write_text("half")
    store.state(sound).mkdir()
    found = prune(store)
    assert sorted(finding.kind for finding in found) == ["checkpoint", "corrupt", "orphan"]
    assert orphan.exists()
    assert store.has(corrupt)
    assert prune(store, yes=True) == found
    assert verify(store) == []
    assert store.ids() == [sound]
    assert len(list((tmp_path / ".corrupt").iterdir())) == 1
    assert write_fake(tmp_path, "b") == corrupt  # it can be made again
    assert store.has(corrupt)


def test_checkpoints_of_complete_results_are_left_over_and_others_are_not(tmp_path):
    store = Store(tmp_path)
    old = tmp_path / "checkpoints" / f"{write_fake(tmp_path)}.ckpt"
    begun = tmp_path / "checkpoints" / f"{'ab' * 8}.ckpt"
    old.parent.mkdir()
    old.write_text("")
    begun.write_text("")
    assert [(finding.kind, finding.path) for finding in prune(store, yes=True)] == [("checkpoint", old)]
    assert (old.exists(), begun.exists()) == (False, True)


def test_files_of_living_and_foreign_writers_are_left(tmp_path):
    store = Store(tmp_path)
    folder = store.path(write_fake(tmp_path))
    living = folder / f".record.json.{socket.gethostname()}.{os.getpid()}.tmp"
    foreign = folder / f".record.json.elsewhere.{dead_pid()}.tmp"
    living.write_text("")
    foreign.write_text("")
    assert verify(store) == []
    os.utime(foreign, (time.time() - 2 * 24 * 3600,) * 2)
    assert [finding.path for finding in verify(store)] == [foreign]


def test_an_unfinished_result_is_left_alone(tmp_path):
    store = Store(tmp_path)
    store.write_config("ab" * 8, {"seed": 0})
    store.state("ab" * 8).mkdir()
    assert verify(store) == []


def test_merge_copies_what_is_missing_and_sound(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    both = write_fake(here.root, "a")
    write_fake(there.root, "a")
    new, corrupt = write_fake(there.root, "b"), write_fake(there.root, "c")
    flip(there.path(corrupt) / "pairs.safetensors")
    merged = merge(here, there)
    assert (merged.copied, merged.present, [id for id, _ in merged.refused]) == ((new,), (both,), [corrupt])
    assert verify(here) == []
    assert here.read(new).record == there.read(new).record
    shutil.rmtree(there.root)
    assert here.read(new).eigenvalues[0] == 10


def test_merge_of_no_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        merge(Store(tmp_path), Store(tmp_path / "none"))
