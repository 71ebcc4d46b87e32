import os

import pytest
import torch

from eigexp.errors import CheckpointError, StoreError
from eigexp.training import AtomicCheckpointIO, TaskData, checkpoint
from tests.training.toys import SaveAt, module, task, trainer


def test_round_trip_leaves_one_file(tmp_path):
    io, path = AtomicCheckpointIO(), tmp_path / "deep" / "a.ckpt"
    for value in (1.0, 2.0):
        io.save_checkpoint({"x": torch.tensor(value), "words": ["a"]}, path)
    assert io.load_checkpoint(path)["x"] == 2
    assert [p.name for p in path.parent.iterdir()] == ["a.ckpt"]
    (path.parent / ".a.ckpt.tmp").touch()  # of a save that was killed
    io.remove_checkpoint(path)
    assert not list(path.parent.iterdir())


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    io, path = AtomicCheckpointIO(), tmp_path / "a.ckpt"
    io.save_checkpoint({"x": 1}, path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device. The disk is full: free some space"):
        io.save_checkpoint({"x": 2}, path)
    assert io.load_checkpoint(path)["x"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("chunk", [None, 100])
def test_a_changed_byte_anywhere_is_noticed(tmp_path, monkeypatch, chunk):
    if chunk:
        monkeypatch.setattr(checkpoint, "_CHUNK_BYTES", chunk)
    io, path = AtomicCheckpointIO(), tmp_path / "a.ckpt"
    io.save_checkpoint({"x": torch.arange(1000)}, path)
    whole = path.read_bytes()
    for at in (50, len(whole) // 2, len(whole) - 200, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CheckpointError, match=r"a\.ckpt was changed after it was written"):
            io.load_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_cut_file_is_refused_with_a_cure(tmp_path, keep):
    io, path = AtomicCheckpointIO(), tmp_path / "a.ckpt"
    io.save_checkpoint({"x": torch.arange(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(CheckpointError, match=r"a\.ckpt is damaged .* Delete it"):
        io.load_checkpoint(path)


def test_code_in_a_file_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    path = tmp_path / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint({"x": Bomb()}, path)
    with pytest.raises(CheckpointError, match="more than tensors and plain values"):
        AtomicCheckpointIO().load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "none.ckpt")


def test_in_a_trainer(tmp_path):
    path = tmp_path / "a.ckpt"
    trainer(SaveAt(5, path), plugins=[AtomicCheckpointIO()]).fit(module(), TaskData([task("a")]))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        trainer(plugins=[AtomicCheckpointIO()]).fit(module(), TaskData([task("a")]), ckpt_path=path)


@pytest.mark.parametrize("content", [{}, [1], None, {"x": 1}])
def test_a_file_without_a_digest_is_not_read(tmp_path, content, monkeypatch):
    """torch writes files that load; only those that end with their digest are opened at all."""
    path = tmp_path / "a.ckpt"
    torch.save(content, path)
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("the file was read"))
    with pytest.raises(CheckpointError, match="does not end with a digest"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_a_changed_byte_is_noticed_before_anything_is_read(tmp_path, monkeypatch):
    io, path = AtomicCheckpointIO(), tmp_path / "a.ckpt"
    io.save_checkpoint({"x": torch.arange(1000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("the file was read"))
    with pytest.raises(CheckpointError, match="its digest differs"):
        io.load_checkpoint(path)


def test_a_save_is_renamed_into_place_and_its_folder_synced(tmp_path, monkeypatch):
    """A reader sees the old file until the new one is complete on disk, and a power cut does not take the name away."""
    io, path, seen = AtomicCheckpointIO(), tmp_path / "a.ckpt", []
    io.save_checkpoint({"x": 1}, path)
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        seen.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def renamed(source, target):
        assert io.load_checkpoint(path)["x"] == 1 and io.load_checkpoint(source)["x"] == 2
        seen.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    io.save_checkpoint({"x": 2}, path)
    assert seen == ["file", "rename", "folder"]
