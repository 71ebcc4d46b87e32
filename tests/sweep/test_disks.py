"""Stores on disks that fill up or may not be written: one clear line, and nothing is lost."""

import os
import re
import shutil
import subprocess

import pytest

from eigexp.store import Store
from eigexp.store.maintenance import prune
from tests.sweep.sweeps import SMALL, eigexp, same_numbers, serial

pytestmark = [pytest.mark.slow]

FOUR = ["model=ln,lg", "images.names=[camera,coins]", *SMALL]
needs_mount = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root may mount a file system")


@pytest.fixture
def disk(tmp_path):
    """A small file system whose name has spaces and letters beyond ASCII."""
    folder = tmp_path / "Größe – with spaces"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=700k", "tmpfs", folder)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def mount(*words):
    return subprocess.run(["mount", *words], capture_output=True, text=True, check=False)


def stamps(store):
    return {id: (store.path(id) / "record.json").stat().st_mtime_ns for id in store.ids()}


def lines(done):
    """What it said on standard error, without the count of the plan."""
    return [line for line in done.stderr.splitlines() if not re.match(r"\d+ tasks?: ", line)]


@needs_mount
def test_a_disk_that_fills_up_and_is_made_larger(disk, tmp_path):
    words, store = [*FOUR, f"store='{disk}/results'"], Store(disk / "results")
    full = eigexp(tmp_path, "sweep", *words)
    kept = stamps(store)
    assert full.returncode == 1 and "Traceback" not in full.stderr
    assert 0 < len(kept) < 4
    failures = [line for line in lines(full) if "No space left on device" in line]
    assert failures and all("The disk is full: free some space, or choose another folder" in line for line in failures)

    assert mount("-o", "remount,size=64M", disk).returncode == 0
    again = eigexp(tmp_path, "sweep", *words)  # a full disk may pass, so these tasks are tried again unasked
    assert again.returncode == 0, again.stderr
    assert kept.items() <= stamps(store).items()
    assert same_numbers(store, serial(FOUR, tmp_path / "serial")) and len(store.ids()) == 4
    assert not [finding for finding in prune(store) if finding.kind == "orphan"]


@needs_mount
def test_a_file_system_that_is_read_only(disk, tmp_path):
    assert mount("-o", "remount,size=64M", disk).returncode == 0
    words, store = ["model=ln", "images.names=[camera]", *SMALL, f"store='{disk}/results'"], Store(disk / "results")
    assert eigexp(tmp_path, "sweep", *words).returncode == 0
    assert mount("-o", "remount,ro", disk).returncode == 0
    before = stamps(store)

    done = eigexp(tmp_path, "sweep", *words)  # there is nothing to do, and so nothing to write
    assert done.returncode == 0 and "1 done" in done.stderr
    for command in ("sweep", "run"):
        refused = eigexp(tmp_path, command, *words, "seed=1", "callbacks.progress.mode=quiet")
        assert refused.returncode == 1
        assert len(lines(refused)) == 1, refused.stderr
        assert "Read-only file system" in lines(refused)[0] and "store=<folder>" in lines(refused)[0]
    assert "camera" in eigexp(tmp_path, "results", "--store", str(disk / "results")).stdout
    assert "1 done" in eigexp(tmp_path, "status", "--store", str(disk / "results")).stdout
    assert stamps(store) == before
