"""A process that has imported everything, and forks `python -m eigexp ...` or a script on request, without seconds of imports.

`python -m tests.warm.server FOLDER FD` listens at FOLDER/socket, and closes FD when it does. A request is a line of JSON {arguments,
environment, cwd, group, more} with the three standard files, and more under the numbers that they get; the replies are the pid, then the
exit status as of os.waitpid with the seconds of processor time, each on a line.
Where a request's connection closes before its process has ended, the process is killed. The server ends when nobody is left who holds a
connection without a request.

FOLDER/python is what such a process finds as sys.executable, so that the processes that it starts are forked here too.
"""

import atexit
import contextlib
import fcntl
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import shutil
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests.warm.process import ROOT

_LOKY = "joblib.externals.loky.backend.popen_loky_posix"  # a worker of joblib, which is given pipes
MODULES = ("eigexp", "pytest", "scripts.trials", "submitit.core._submit", "torch.distributed.run", _LOKY)  # what it runs as `-m MODULE`
_LAZY = (
    "hydra._internal.hydra",
    "lightning.pytorch",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "scipy.sparse.linalg",
    "skimage.data",
    "skimage.io",
    "torch.distributed.run",
    "torch.func",
)  # imported by commands when they need it
_PYTHON = """#!{python} -IS
import os, sys
words = [word for word in sys.argv[1:] if word not in ("-u", "-P")] or [""]
if not (words[0].endswith(".py") or words[0] == "-m" and words[1] in {modules}):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
more = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2] if words[1:2] == [{loky!r}] else []
more = [number for number in more if os.path.exists(f"/proc/self/fd/{{number}}") and os.get_inheritable(number)]
sys.path.insert(0, {root!r})
from tests.warm.process import Process
import signal
process = Process(words, folder={folder!r}, pass_fds=more)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, lambda number, _: process.send_signal(number))
# The process that starts a worker may have blocked them until it has its handlers: here they are.
signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, 32))
code = process.wait()
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


def main(folder: Path, ready: int) -> None:
    """Import, listen, and serve until nobody is left, as nobody's child."""
    if os.fork():
        os._exit(0)
    _import_everything()
    python = folder / "python"
    python.write_text(_PYTHON.format(python=sys.executable, modules=MODULES, loky=_LOKY, root=str(ROOT), folder=str(folder)))
    python.chmod(0o755)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "starting"))
    listener.listen(100)
    os.rename(folder / "starting", folder / "socket")
    os.close(ready)
    try:
        Server(listener, python).serve()
    finally:
        shutil.rmtree(folder)


def _import_everything() -> None:
    import eigexp

    for module in pkgutil.walk_packages(eigexp.__path__, "eigexp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _LAZY:
        importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()  # a fork has the calling thread alone


class Server:
    """The loop: connections, requests, and children that end."""

    def __init__(self, listener: socket.socket, python: Path):
        self._listener, self._python = listener, python
        self._keepers: set[socket.socket] = set()
        self._children: dict[int, socket.socket] = {}
        self._select = selectors.DefaultSelector()
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        self._paths = [path for path in sys.path if path not in ("", str(ROOT), os.getcwd(), *paths)]

    def serve(self) -> None:
        """Answer until the last keeper has gone, then kill what still runs."""
        self._select.register(self._listener, selectors.EVENT_READ)
        self._select.register(self._wake, selectors.EVENT_READ)
        begun = False
        while self._keepers or not begun:
            for key, _ in self._select.select():
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    self._keepers.add(connection)
                    self._select.register(connection, selectors.EVENT_READ)
                    begun = True
                elif key.fileobj == self._wake:
                    os.read(self._wake, 4096)
                    self._reap()
                else:
                    self._heard(key.fileobj)  # pyright: ignore[reportArgumentType]
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid in list(self._children):
            done, status, used = os.wait4(pid, os.WNOHANG)
            if done:
                seconds = used.ru_utime + used.ru_stime
                print(f"{pid}: exit status {status}, {seconds:.2f} s of processor time", flush=True)
                connection = self._children.pop(pid)
                with contextlib.suppress(OSError):
                    connection.sendall(b"%d %.2f\n" % (status, seconds))
                self._close(connection)

    def _heard(self, connection: socket.socket) -> None:
        """A request, or the end of a connection."""
        try:
            data, files, *_ = socket.recv_fds(connection, 2**20, 64)
        except OSError:
            data, files = b"", []
        if data and files:
            while not data.endswith(b"\n"):
                data += connection.recv(2**20)
            self._keepers.discard(connection)
            self._start(connection, json.loads(data), files)
            return
        for pid in [pid for pid, other in self._children.items() if other is connection]:
            os.kill(pid, signal.SIGKILL)
        if connection not in self._children.values():
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._keepers.discard(connection)
        with contextlib.suppress(KeyError):
            self._select.unregister(connection)
        connection.close()

    def _start(self, connection: socket.socket, request: dict[str, Any], files: Sequence[int]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(request, files)
        for file in files:
            os.close(file)
        self._children[pid] = connection
        connection.sendall(b"%d\n" % pid)

    def _become(self, request: dict[str, Any], files: Sequence[int]) -> NoReturn:
        """Be the process that was asked for, to its end."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files[:3]):
            os.dup2(file, number)
        kept = [fcntl.fcntl(file, fcntl.F_DUPFD, 500) for file in files[3:]]
        os.closerange(3, 500)
        for number, file in zip(request["more"], kept, strict=True):
            os.dup2(file, number)
            os.close(file)
        if request["group"]:
            os.setsid()
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:] = [os.getcwd(), *paths, *self._paths]
        sys.executable = str(self._python)
        for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
            errors = "backslashreplace" if name == "stderr" else "strict"
            file = open(number, "r" if number == 0 else "w", encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
            file.reconfigure(line_buffering=number == 2 or file.isatty())
            setattr(sys, name, file)
            setattr(sys, f"__{name}__", file)
        _run(request["arguments"])


def _run(arguments: Sequence[str]) -> NoReturn:
    """`python -m MODULE ...` or `python SCRIPT.py ...` in this process, with the interpreter's exit codes."""
    code: Any = 1
    try:
        for option in filter(None, os.environ.get("PYTHONWARNINGS", "").split(",")):
            warnings._setoption(option)  # pyright: ignore[reportAttributeAccessIssue]
        _set_rank()
        if arguments[0] == "-m":
            if arguments[1] == "pytest":  # tests import the package anew, to check its shapes
                for name in [name for name in sys.modules if name.partition(".")[0] in ("eigexp", "tests", "scripts")]:
                    del sys.modules[name]
            sys.argv = ["-m", *arguments[2:]]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = list(arguments), os.path.dirname(os.path.abspath(arguments[0]))
            runpy.run_path(arguments[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            file.flush()
    os._exit(code & 255)


def _set_rank() -> None:
    """Lightning reads its rank from the environment when it is imported."""
    from lightning.fabric.utilities import rank_zero

    setattr(rank_zero.rank_zero_only, "rank", rank_zero._get_rank() or 0)  # noqa: B010


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
