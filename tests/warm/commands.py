"""Python in a process of its own, forked from one warm server that all workers of a test run share."""

import atexit
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tests.warm.process import ROOT, Process

_kept: dict[int, socket.socket] = {}  # the server lives as long as a test process holds a connection


def start(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str],
    stdin: IO[Any] | int | None = None,
    stdout: IO[Any] | int | None = None,
    stderr: IO[Any] | int | None = None,
    start_new_session: bool = False,
) -> Process:
    """Start `python ARGUMENTS` and do not wait. The arguments are -m and a module, or a script's path, and more."""
    return Process(list(arguments), str(_server()), cwd, dict(env), stdin, stdout, stderr, start_new_session)


def run(*arguments: str, cwd: Path, env: Mapping[str, str], timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` to its end, as subprocess.run with its output captured as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(*arguments, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        texts = [_text(file) for file in (out, err)]
    return subprocess.CompletedProcess(["python", *arguments], process.wait(), *texts)


def python() -> Path:
    """An interpreter that gives what the server can run to it, for programs that start Python."""
    return _server() / "python"


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _server() -> Path:
    """The folder of the server of this test run, started by whoever needs it first."""
    folder = Path(tempfile.gettempdir()) / f"eigexp-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    if os.getpid() not in _kept:
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _kept[os.getpid()] = _connect(folder) or _launch(folder)
        atexit.register(_kept[os.getpid()].close)
    return folder


def _connect(folder: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(folder / "socket"))
    except OSError:
        connection.close()
        return None
    return connection


def _launch(folder: Path) -> socket.socket:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    ready, told = os.pipe()
    with (folder / "log").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", "tests.warm.server", str(folder), str(told)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[told],
            start_new_session=True,
            check=True,
        )
    os.close(told)
    with os.fdopen(ready) as pipe:
        pipe.read()  # to its end: the server listens, or has died
    connection = _connect(folder)
    assert connection is not None, f"The warm server did not start:\n{(folder / 'log').read_text()}"
    return connection
