"""Tasks on this machine: one queue, a process a device."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from eigexp.errors import ConfigurationError
from eigexp.store import Store
from eigexp.sweep.freeze import freeze
from eigexp.sweep.plan import PlannedTask
from eigexp.sweep.worker import SIGNALS, Reply

Show = Callable[[Reply, PlannedTask], None]
_PAUSE = 0.2  # seconds between two looks at a task that another process has


class Local:
    """Runs tasks in processes of this machine until none is left, whatever becomes of single ones.

    Args:
        processes: how many; None for one a GPU, or one on the CPU.
        threads: of each process; None for $OMP_NUM_THREADS where it is set, else cores / processes.
    """

    waits = True

    def __init__(self, processes: int | None = None, threads: int | None = None):
        for name, value in {"processes": processes, "threads": threads}.items():
            if value is not None and value < 1:
                raise ConfigurationError(f"launcher.{name}={value} must be at least 1.")
        self.processes, self.threads = processes, threads

    def launch(self, tasks: Sequence[PlannedTask], store: Store, show: Show) -> int:
        """Run tasks; returns 0, 3 if one stopped on budget, 1 if one failed or its process died, 128 + signal.

        A signal (Ctrl-C too) lets every process save and stop; a second one kills them.

        Raises:
            StoreError: if the store cannot be written.
        """
        freeze(store, tasks, {"launcher": "local"})
        devices = visible_devices()
        count = min(len(tasks), self.processes or max(1, len(devices)))
        crew = Crew(tasks, store, [self.environment(n, count, devices) for n in range(count)])
        return crew.run(show)

    def environment(self, number: int, count: int, devices: Sequence[str]) -> dict[str, str]:
        """Of one process: its device and its threads."""
        threads = self.threads or os.environ.get("OMP_NUM_THREADS") or max(1, len(os.sched_getaffinity(0)) // count)
        changes = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if devices:
            changes["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        return {**os.environ, **changes}


def visible_devices() -> list[str]:
    """The names by which CUDA's devices are chosen, empty on a machine without."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch.cuda.is_available():
        return []
    return [name for name in given.split(",") if name] if given else [str(n) for n in range(torch.cuda.device_count())]


class Crew:
    """Worker processes, and a thread for each that hands it one task after the other.

    Args:
        tasks: what there is to do.
        store: where they are frozen.
        environments: of each process.
    """

    def __init__(self, tasks: Sequence[PlannedTask], store: Store, environments: Sequence[Mapping[str, str]]):
        self.store = store
        self._queue: queue.SimpleQueue[PlannedTask] = queue.SimpleQueue()
        for task in tasks:
            self._queue.put(task)
        self._left = len(tasks)
        self._replies: queue.SimpleQueue[tuple[Reply, PlannedTask]] = queue.SimpleQueue()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._threads = [threading.Thread(target=self._serve, args=(n, dict(e)), daemon=True) for n, e in enumerate(environments)]
        self._signum: int | None = None

    def run(self, show: Show) -> int:
        """Until every task is over or a signal came; returns the exit code."""
        before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        codes = [0]
        try:
            for thread in self._threads:
                thread.start()
            while any(thread.is_alive() for thread in self._threads) or not self._replies.empty():
                codes += self._hear(show)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._signum is not None:
            return 128 + self._signum
        return 1 if 1 in codes else max(codes)

    def _hear(self, show: Show) -> list[int]:
        try:
            reply, task = self._replies.get(timeout=0.1)
        except queue.Empty:
            return []
        show(reply, task)
        return [reply["code"]]

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """The processes save and end; on a second signal at once."""
        again, self._signum = self._signum is not None, signum
        for process in list(self._processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if again else signal.SIGTERM)

    def _serve(self, number: int, environment: dict[str, str]) -> None:
        while self._signum is None:
            try:
                task = self._queue.get_nowait()
            except queue.Empty:
                break
            reply = self._ask(number, environment, task)
            if reply["state"] == "held":  # by another sweep, which may yet die
                threading.Event().wait(_PAUSE)
                self._queue.put(task)
            else:
                self._replies.put((reply, task))
        self._dismiss(number)

    def _ask(self, number: int, environment: dict[str, str], task: PlannedTask) -> Reply:
        process = self._processes.get(number)
        if process is None or process.poll() is not None:
            process = self._processes[number] = self._hire(number, environment)
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(task.id + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            return self._died(process, number, task)

    def _died(self, process: subprocess.Popen[str], number: int, task: PlannedTask) -> Reply:
        code = process.wait()
        if self._signum is not None:
            return {"id": task.id, "state": "stopped", "code": 0, "seconds": 0.0}
        words = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        last = self._log(number).read_text(errors="replace").strip().splitlines()[-1:]
        return {"id": task.id, "state": "died", "code": 1, "seconds": 0.0, "message": " ".join([f"Its process {words}.", *last])}

    def _hire(self, number: int, environment: dict[str, str]) -> subprocess.Popen[str]:
        with self._log(number).open("w") as log:
            return subprocess.Popen(
                worker_command(self.store.root, ["-"]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )

    def _dismiss(self, number: int) -> None:
        process = self._processes.get(number)
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.close()
        except BrokenPipeError:  # it is gone already
            process.stdin = None
        process.wait()
        process.stdout.close()
        self._log(number).unlink(missing_ok=True)

    def _log(self, number: int) -> Path:
        folder = self.store.root / "jobs"
        folder.mkdir(exist_ok=True)
        return folder / f"local-{os.getpid()}-{number}.log"


def worker_command(root: Path, ids: Sequence[str]) -> list[str]:
    """The command of a process that does frozen tasks; ids ["-"] are read from its standard input."""
    return [sys.executable, "-m", "eigexp", "work", "--store", str(root), *ids]
