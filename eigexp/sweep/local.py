"""Run tasks on this machine: one queue of tasks, one worker process per device."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from eigexp.errors import ConfigurationError, StoreError
from eigexp.store import Store
from eigexp.sweep.launcher import Launcher, OnReport, task_limits
from eigexp.sweep.plan import PlannedTask
from eigexp.sweep.process import SIGNALS, worker_command
from eigexp.sweep.task_files import halve_batch, write_tasks
from eigexp.sweep.warm_server import WarmServer
from eigexp.sweep.worker import TaskReport, exit_code
from eigexp.system.cores import number_of_cores

_PAUSE = 0.2  # seconds before a task that another process has locked is tried again


class Local(Launcher):
    """Runs tasks in worker processes on this machine until none is left. A task that fails does not stop the others.

    Args:
        processes: number of workers; None for one per GPU, or one on the CPU.
        threads: of each worker; None for $OMP_NUM_THREADS if set, else cores / processes.
        task_seconds: time limit of one task; None for none.
        task_memory: memory of this machine that a worker may take, such as "8GB"; None for no limit.
    """

    name = "local"
    waits = True

    def __init__(
        self,
        processes: int | None = None,
        threads: int | None = None,
        task_seconds: float | None = None,
        task_memory: str | float | None = None,
    ):
        for name, value in {"processes": processes, "threads": threads}.items():
            if value is not None and value < 1:
                raise ConfigurationError(f"launcher.{name}={value} must be at least 1.")
        self.processes, self.threads, self._limits = processes, threads, task_limits(task_seconds, task_memory)

    def launch(self, tasks: Sequence[PlannedTask], store: Store, on_report: OnReport) -> int:
        """Run tasks. Return 0, 3 if one did not meet the tolerance, 1 if one failed or its process died, 128 + signal.

        The first task starts as soon as it is written, while the others are written. On a signal (Ctrl-C too) each worker saves and
        stops; a second signal kills them.

        Raises:
            StoreError: if the store cannot be written.
        """
        job = {"launcher": self.name, **self._limits}
        devices = visible_devices()
        count = min(len(tasks), self.processes or max(1, len(devices)))
        environments = [self.environment(n, count, devices) for n in range(count)]
        pool = WorkerPool(tasks, store, environments, self.server, lambda task: write_tasks(store, [task], job))
        return pool.run(on_report)

    def environment(self, number: int, count: int, devices: Sequence[str]) -> dict[str, str]:
        """Return what is special in the environment of worker `number` of `count`: its device and its threads."""
        threads = self.threads or os.environ.get("OMP_NUM_THREADS") or max(1, number_of_cores() // count)
        changes = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if devices:
            changes["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        return changes


def visible_devices() -> list[str]:
    """Return the names of CUDA's devices as CUDA_VISIBLE_DEVICES takes them; empty on a machine without."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch.cuda.is_available():
        return []
    return [name for name in given.split(",") if name] if given else [str(n) for n in range(torch.cuda.device_count())]


class Worker:
    """A process that reads ids of tasks and writes a report of each.

    Args:
        store: of the tasks.
        log: file for its standard error.
        changes: of its environment.
        server: forks it; None for a new interpreter.
    """

    def __init__(self, store: Store, log: Path, changes: Mapping[str, str], server: WarmServer | None):
        (its_ids, ids), (reports, its_reports) = os.pipe(), os.pipe()
        with log.open("w") as errors:
            files = (its_ids, its_reports, errors.fileno())
            command = worker_command(store.location, ["-"])
            forked = server.start(command[command.index("work") :], changes, files) if server else None
            self.process = forked or subprocess.Popen(
                command, stdin=files[0], stdout=files[1], stderr=files[2], env={**os.environ, **changes}
            )
        os.close(its_ids)
        os.close(its_reports)
        self._ids, self._reports = os.fdopen(ids, "w"), os.fdopen(reports)

    def run(self, id: str) -> TaskReport:
        """Return the report of a task.

        Raises:
            BrokenPipeError, JSONDecodeError: if the process has ended.
        """
        self._ids.write(id + "\n")
        self._ids.flush()
        return TaskReport(**json.loads(self._reports.readline()))

    def end(self) -> None:
        """Wait for its end. A worker ends when there are no more ids to read."""
        with suppress(BrokenPipeError):  # it has ended already
            self._ids.close()
        self.process.wait()
        self._reports.close()


class WorkerPool:
    """Worker processes, each fed one task at a time by a thread of its own.

    Args:
        tasks: to compute.
        store: where they are written.
        environments: what is special in that of each worker.
        server: forks them; None for new interpreters.
        write: writes a task into the store, before a worker gets it.
    """

    def __init__(
        self,
        tasks: Sequence[PlannedTask],
        store: Store,
        environments: Sequence[Mapping[str, str]],
        server: WarmServer | None = None,
        write: Callable[[PlannedTask], None] = lambda task: None,
    ):
        self.store, self._server, self._planned, self._write = store, server, tasks, write
        self._tasks: queue.SimpleQueue[PlannedTask] = queue.SimpleQueue()
        self._more = True  # further tasks are coming
        self._failure: StoreError | None = None  # why the store could not be written
        self._reports: queue.SimpleQueue[tuple[TaskReport, PlannedTask]] = queue.SimpleQueue()
        self._workers: dict[int, Worker] = {}
        self._threads = [threading.Thread(target=self._feed, args=(n, e), daemon=True) for n, e in enumerate(environments)]
        self._signum: int | None = None

    def run(self, on_report: OnReport) -> int:
        """Return the exit code when every task is over, or a signal has stopped the workers.

        Raises:
            StoreError: if a task cannot be written; the workers have finished theirs.
        """
        # Signals are handled and reports shown in the main thread alone: Python delivers signals to no other.
        before = {number: signal.signal(number, self._stop_workers) for number in SIGNALS}
        codes: list[int] = []
        try:
            for thread in self._threads:
                thread.start()
            codes += self._hand_out(on_report)
            while any(thread.is_alive() for thread in self._threads) or not self._reports.empty():
                codes += self._next_code(on_report)
            if self._failure is not None:
                raise self._failure
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._signum is not None:
            return 128 + self._signum
        return exit_code(codes) if len(codes) == len(self._planned) else 1  # a thread that fails must not look like success

    def _hand_out(self, on_report: OnReport) -> list[int]:
        """Write each task and let workers take it. Return the exit codes of those that are over meanwhile."""
        codes: list[int] = []
        try:
            for task in self._planned:
                if self._signum is not None:
                    break
                self._write(task)
                self._tasks.put(task)
                codes += self._next_code(on_report, 0.0)
        except StoreError as error:
            self._failure = error  # workers take no further task
            if self._workers:
                print(f"eigexp: {error} Tasks that are running are finished first.", file=sys.stderr, flush=True)
        finally:
            self._more = False
        return codes

    def _next_code(self, on_report: OnReport, seconds: float = 0.1) -> list[int]:
        try:
            report, task = self._reports.get(timeout=seconds)
        except queue.Empty:
            return []
        on_report(report, task)
        return [report.code]

    def _stop_workers(self, signum: int, frame: FrameType | None) -> None:
        """Let workers save and stop; kill them on a second signal."""
        again, self._signum = self._signum is not None, signum
        living = [worker.process for worker in list(self._workers.values()) if worker.process.poll() is None]
        name = signal.Signals(signum).name
        doing = "they are killed" if again else "they save and stop; a second signal kills them"
        print(f"eigexp: {name}: {len(living)} workers are running; {doing}.", file=sys.stderr, flush=True)
        for process in living:
            process.send_signal(signal.SIGKILL if again else signal.SIGTERM)

    def _feed(self, number: int, environment: Mapping[str, str]) -> None:
        # Workers inherit this thread's mask: a signal waits until they have their handlers, however long they import.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        while (task := self._next_task()) is not None:
            report = self._run_on(number, environment, task)
            if report.state == "locked":  # another sweep has it; should that die, this one takes over
                threading.Event().wait(_PAUSE)
                self._tasks.put(task)
            elif report.state != "again":
                self._reports.put((report, task))
        self._end_worker(number)

    def _next_task(self) -> PlannedTask | None:
        """Return a task; None where there will be none, or the workers are to stop."""
        while self._signum is None and self._failure is None:
            more = self._more  # before the look into the queue: a last task may come between
            with suppress(queue.Empty):
                return self._tasks.get(timeout=0.05 if more else 0.0)
            if not more:
                break
        return None

    def _run_on(self, number: int, environment: Mapping[str, str], task: PlannedTask) -> TaskReport:
        worker = self._workers.get(number)
        if worker is None or worker.process.poll() is not None:
            if worker is not None:
                worker.end()
            worker = self._workers[number] = Worker(self.store, self._log(number), environment, self._server)
        try:
            return worker.run(task.id)
        except (BrokenPipeError, json.JSONDecodeError):
            return self._died(worker, number, task)

    def _died(self, worker: Worker, number: int, task: PlannedTask) -> TaskReport:
        code = worker.process.wait()
        if self._signum is not None:
            return TaskReport(task.id, "stopped")
        if code == -signal.SIGKILL and halve_batch(self.store, task):  # as the kernel does where memory ends
            self._tasks.put(task)
            return TaskReport(task.id, "again")
        end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        last = self._log(number).read_text(errors="replace").strip().splitlines()[-1:]
        return TaskReport(task.id, "died", 1, message=" ".join([f"Its process {end}.", *last]))

    def _end_worker(self, number: int) -> None:
        if number in self._workers:
            self._workers[number].end()
            self._log(number).unlink(missing_ok=True)

    def _log(self, number: int) -> Path:
        folder = self.store.root / "jobs"
        folder.mkdir(exist_ok=True)
        return folder / f"local-{os.getpid()}-{number}.log"
