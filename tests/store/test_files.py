"""Files are complete or absent, and errors name the path and what to do."""

import errno
import os

import pytest

from eigexp.errors import StoreError
from eigexp.store import files
from eigexp.store.files import TEMPORARY, stage, store_error, temporary_beside, write_atomically


def test_temporary_name_lies_beside_the_target_and_names_its_writer(tmp_path):
    path = temporary_beside(tmp_path / "record.json")
    assert path.parent == tmp_path
    assert TEMPORARY.match(path.name)
    assert path.name.endswith(f".{os.getpid()}.tmp")
    assert path.name.startswith(".record.json.")


def test_write_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new folder é" / "x.json"
    write_atomically(target, b"1")
    write_atomically(target, b"22")
    assert target.read_bytes() == b"22"
    assert os.listdir(target.parent) == ["x.json"]


@pytest.mark.parametrize(
    ("code", "hint"), [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"), (errno.EACCES, "permissions")]
)
def test_a_refused_write_keeps_the_old_file_and_gives_a_hint(tmp_path, monkeypatch, code, hint):
    target = tmp_path / "x.json"
    write_atomically(target, b"old")

    def refuse(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(StoreError, match=hint) as caught:
        write_atomically(target, b"new")
    assert str(target) in str(caught.value)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"is a file, not a folder|file where a folder should be"):
        stage(tmp_path / "file" / "ab" / "x", b"")


def test_unknown_errors_have_a_hint_too():
    assert "store=<folder>" in str(store_error("Cannot write x", OSError(errno.EIO, "Input/output error")))
