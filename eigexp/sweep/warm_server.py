"""A process that has imported what a worker needs, and forks workers on request.

A sweep then imports PyTorch and Lightning once, however many workers it has and however often one is replaced: a worker starts within
milliseconds. The server is itself a fork of the sweep's own process, made before that has computed anything: threads and a GPU's context
do not survive a fork, and there are none yet. Until then the libraries have one thread.
"""

import atexit
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from eigexp.store import Store
from eigexp.sweep.process import SIGNALS, preload
from eigexp.system.imports import without_collections

if TYPE_CHECKING:
    from eigexp.sweep.plan import PlannedTask

Main = Callable[[Sequence[str]], int]

_THREADS = "OMP_NUM_THREADS"  # read when a library is loaded
_PRIVATE: Any = threading  # its `_shutdown` is what the interpreter calls before it ends


class WarmServer:
    """Forks processes that run a command of `eigexp`. Use it as `with warm_server(main) as server`.

    Args:
        main: runs the words of a command line and returns the exit code.
    """

    def __init__(self, main: Main) -> None:
        self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with warnings.catch_warnings():
            # Python 3.12 warns of any thread at a fork; those of the linear algebra library end and start again by themselves.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self._connection.close()
            _never_return(other, main)
        other.close()
        self._pid, self._warm = pid, False

    def expect_tasks(self, config: Mapping[str, Any]) -> None:
        """Let the server import what workers need while this process plans, if the store has no result yet, so that there is work."""
        if not self._warm and _waits(config):
            store = Store(config["store"])
            if store.remote is None and not any(store.folders()):
                self.warm_up()

    def expect(self, task: "PlannedTask") -> None:
        """Let the server import what workers need while this process continues, if the task is one that they will compute."""
        if not self._warm and _waits(task.config) and not all(map(Store(task.config["store"]).has, task.ids)):
            self.warm_up()

    def warm_up(self) -> None:
        """Let the server import what workers need, unless it has."""
        if not self._warm:
            with suppress(OSError):  # the server has died; `start` says so
                self._connection.send(b"{}")
        self._warm = True

    def start(self, arguments: Sequence[str], changes: Mapping[str, str], files: Sequence[int]) -> "ForkedProcess | None":
        """Start `eigexp ARGUMENTS`. Return None if the server has died, such as where memory was full.

        Args:
            arguments: the command and its options.
            changes: of the environment.
            files: its standard input, output and error.
        """
        self.warm_up()
        ours, its = os.pipe()
        request = {"arguments": list(arguments), "environment": dict(changes)}
        try:
            socket.send_fds(self._connection, [json.dumps(request).encode()], [its, *files])
        except OSError:
            os.close(ours)
            return None
        finally:
            os.close(its)
        process = ForkedProcess(ours)
        return process if process.pid else None

    def close(self) -> None:
        """End the server, even in the middle of its imports; workers continue."""
        self._connection.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _waits(config: Mapping[str, Any]) -> bool:
    from eigexp.sweep.launcher import make_launcher

    return make_launcher(config["launcher"]).waits


class ForkedProcess:
    """A worker of the server, with the part of `subprocess.Popen` that a pool of workers uses.

    Args:
        told: pipe in which its process id comes, and the status of its end.
    """

    def __init__(self, told: int):
        self._told, self._lock = os.fdopen(told), threading.Lock()
        self.returncode: int | None = None
        self.pid = int(self._told.readline() or 0)  # 0: the server died before it forked

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        # A signal's handler must not wait for a thread that waits here for the process.
        if self.returncode is None and self._lock.acquire(blocking=False):
            try:
                if select.select([self._told], [], [], 0)[0]:
                    self._read()
            finally:
                self._lock.release()
        return self.returncode

    def wait(self) -> int:
        """Return the exit code when it has ended."""
        with self._lock:
            return self._read() if self.returncode is None else self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _read(self) -> int:
        status = self._told.readline()
        self.returncode = os.waitstatus_to_exitcode(int(status)) if status else -signal.SIGKILL  # its keeper was killed with it
        return self.returncode


@contextmanager
def warm_server(main: Main) -> Iterator[WarmServer | None]:
    """Make a server for the block that runs `main`.

    It is None where this process is not known to be as new as a fork needs it to be: Linux, one thread, no torch yet.
    """
    if sys.platform != "linux" or threading.active_count() > 1 or "torch" in sys.modules:
        yield None
        return
    with _one_thread(), without_collections():
        import eigexp.sweep.plan  # noqa: F401 - with torch and all that both processes need

    server = WarmServer(main)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the libraries that are loaded in the block compute with one thread until they are given another number.

    GNU's OpenMP keeps the threads of its first parallel computation for later ones. A fork has none of them, and waits for them for ever.
    """
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[_THREADS]
        if before is not None:
            os.environ[_THREADS] = before


def _never_return(connection: socket.socket, main: Main) -> NoReturn:
    """Be the server, or one of its forks: whatever happens must not reach the caller, who is the sweep."""
    try:
        _serve(connection, main)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _serve(connection: socket.socket, main: Main) -> NoReturn:
    """Answer requests until the sweep's process has closed the connection or has died."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a signal to the group is for the workers
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers leave no exit status behind
    while True:
        data, files, *_ = socket.recv_fds(connection, 2**20, 4)
        if not data:
            os._exit(0)
        if not files:
            preload()
        elif os.fork() == 0:
            connection.close()
            _keep(json.loads(data), files, main)
        for file in files:
            os.close(file)


def _keep(request: Mapping[str, Any], files: Sequence[int], main: Main) -> NoReturn:
    """Start a worker, and tell the sweep's process its id, and at its end its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told, *standard = files
    pid = os.fork()
    if pid == 0:
        _work(request, told, standard, main)
    for file in standard:
        os.close(file)
    os.write(told, b"%d\n" % pid)
    os.write(told, b"%d\n" % os.waitpid(pid, 0)[1])
    os._exit(0)


def _work(request: Mapping[str, Any], told: int, standard: Sequence[int], main: Main) -> NoReturn:
    """Be a worker, to its end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it has its handlers
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    for number, file in enumerate(standard):
        os.dup2(file, number)
    for file in (told, *standard):
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate(("r", "w", "w")))  # noqa: SIM115
    os.environ.update(request["environment"])
    os._exit(_run(request["arguments"], main))


def _run(arguments: Sequence[str], main: Main) -> int:
    """Run the command, and what the interpreter would do at its end."""
    import torch

    torch.set_num_threads(int(os.environ.get(_THREADS) or 1))  # its own number is 1
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    _PRIVATE._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code
