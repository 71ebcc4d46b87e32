"""Throw-away clusters: real daemons of a scheduler, for all tests of a process."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WAITING = 60  # seconds, mostly of waiting for daemons


def in_one_process(items: Iterable[Any], folder: Path) -> None:
    """Mark the tests of a folder as long ones that share a cluster. One worker has all clusters: the others keep the cores busy."""
    for item in items:
        if item.path.parent == folder:
            item.add_marker(pytest.mark.slow(WAITING))
            item.add_marker(pytest.mark.xdist_group("clusters"))


def end_with_folder(name: str, folder: Path, item: Any, nextitem: Any) -> None:
    """End a fixture of the session after the last test of a folder: at the session's end, the other workers would wait for it."""
    if nextitem is None or nextitem.path.parent != folder:
        for definition in item._fixtureinfo.name2fixturedefs.get(name, ()):
            definition.finish(item._request)


@contextmanager
def throw_away(make: Callable[[Path], Any], name: str, missing: Sequence[str]) -> Iterator[Any]:
    """Give a running cluster. The test is skipped, with the reason, where there can be none."""
    if missing:
        pytest.skip(f"{name} is not installed here, lacking {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip(f"the daemons of a throw-away {name} run as root only")
    root = Path(tempfile.mkdtemp(prefix="eigexp-"))  # short: a socket's path has 107 characters at most
    cluster = make(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        if not os.environ.get("KEEP"):
            shutil.rmtree(root, ignore_errors=True)


def end(daemons: Iterable[subprocess.Popen[Any]], seconds: float) -> None:
    """Terminate daemons, the last started first, and kill each that has not ended in time."""
    for daemon in reversed(list(daemons)):
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
