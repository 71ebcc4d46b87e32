"""A file that the user names is written where it is: into devices and pipes, along links, else atomically."""

import os
import stat
import threading

import pytest

from eigexp.errors import StoreError
from eigexp.store.files import write_output


def test_a_pipe_is_written_into(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_output(path, b"content")
    reader.join()
    assert read == [b"content"] and stat.S_ISFIFO(path.stat().st_mode)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "target"
    target.write_bytes(b"old")
    (tmp_path / "link").symlink_to("folder/target")
    write_output(tmp_path / "link", b"new")
    assert target.read_bytes() == b"new" and (tmp_path / "link").is_symlink()
    (tmp_path / "ahead").symlink_to("folder/later")
    write_output(tmp_path / "ahead", b"x")
    assert (tmp_path / "folder" / "later").read_bytes() == b"x" and len(os.listdir(tmp_path / "folder")) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_stays_a_device(tmp_path):
    try:
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        write_output(tmp_path / "null", b"x")
    except (PermissionError, StoreError):
        pytest.skip("devices cannot be made or opened here")
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)


def test_standard_output_is_written_to(capfd):
    write_output("/dev/stdout", b"content\n")
    assert capfd.readouterr().out == "content\n"


def test_a_folder_is_refused_in_one_line(tmp_path):
    with pytest.raises(StoreError, match=r"Cannot write .*There is a folder where a file should be"):
        write_output(tmp_path, b"x")


def test_a_planted_link_under_the_temporary_name_leads_nowhere(tmp_path):
    from eigexp.store.files import temporary_beside, write_atomically

    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    temporary_beside(tmp_path / "x").symlink_to(victim)
    write_atomically(tmp_path / "x", b"new")
    assert victim.read_bytes() == b"precious" and (tmp_path / "x").read_bytes() == b"new"
    assert not (tmp_path / "x").is_symlink() and sorted(path.name for path in tmp_path.iterdir()) == ["victim", "x"]
