"""Submit tasks to any batch scheduler: three commands and a template of the script, from a profile, which is one YAML file."""

import math
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from eigexp.errors import ConfigurationError, SchedulerError
from eigexp.store import Store
from eigexp.store.files import write_atomically
from eigexp.store.labels import counted
from eigexp.sweep.job_script import JobScript
from eigexp.sweep.launcher import Launcher, OnReport, task_limits
from eigexp.sweep.plan import PlannedTask
from eigexp.sweep.scheduler import FOLDER, Job, Scheduler
from eigexp.sweep.task_files import write_job, write_tasks

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")


class Template(Launcher):
    """Submits tasks as job arrays to a scheduler that a profile describes, and returns.

    Args:
        name: of the profile.
        submit: shell command that submits the file {script}.
        submitted: regular expression for a job's id in the output of `submit`, group `job`.
        status: shell command that lists jobs, one per line.
        listed: regular expression for such a line: groups `job`, `state`, and `index` for a job of an array.
        states: regular expressions for `state`: held, running, queued and gone.
        cancel: shell command that cancels {jobs}.
        job: shell expression, in a job, for its id.
        format: how the id of a job of an array is written, from {job} and {index}.
        index: shell expression, in a job, for its number in the array; None submits each job separately.
        first: number of the first job of an array.
        requeue: shell command, in a job, that requeues it; None if there is none.
        warnings: signals that ask a job to save and continue later.
        stops: signals that ask a job to save and stop.
        script: Jinja template of the file that is submitted; it ends by running `. {{ work }}`.
        pack: tasks per job, computed one after the other.
        cpus: CPU cores per job, and its number of threads.
        gpus: GPUs per job.
        memory: memory per job, in the scheduler's own notation; None for its default.
        time: time limit of a job: minutes, or "[days-]hours:minutes:seconds".
        start: seconds that a job needs before it computes.
        warning: seconds before the time limit at which a job saves and requeues itself.
        task_seconds: time limit of one task; None for none.
        task_memory: host memory that a worker may take, such as "8GB"; None for the job's limit alone.
        parallel: maximum number of jobs of an array that run at once.
        array: maximum number of jobs in one array.
        queue: queue or partition of the scheduler.
        account: account or project that is charged for the jobs.
        options: additional lines at the beginning of the script.
        environment: shell lines that run before the work.
        python: interpreter on the nodes; None for the one that submits.
    """

    name = "template"
    waits = False

    def __init__(
        self,
        submit: str,
        status: str,
        cancel: str,
        script: str,
        job: str,
        listed: str,
        states: dict[str, str],
        name: str = "template",
        submitted: str = r"^(?P<job>\d+)",
        format: str = "{job}",
        index: str | None = None,
        first: int = 1,
        requeue: str | None = None,
        warnings: list[str] | None = None,
        stops: list[str] | None = None,
        pack: int = 1,
        cpus: int = 1,
        gpus: int = 0,
        memory: str | int | None = None,
        time: str | int = "1:00:00",
        start: int = 30,
        warning: int = 90,
        task_seconds: float | None = None,
        task_memory: str | float | None = None,
        parallel: int = 256,
        array: int = 1000,
        queue: str | None = None,
        account: str | None = None,
        options: list[str] | None = None,
        environment: list[str] | None = None,
        python: str | None = None,
    ):
        least = {"pack": (pack, 1), "cpus": (cpus, 1), "gpus": (gpus, 0), "parallel": (parallel, 1), "array": (array, 1)}
        for setting, (value, bound) in {**least, "warning": (warning, 1), "start": (start, 0)}.items():
            if value < bound:
                raise ConfigurationError(f"launcher.{setting}={value} must be at least {bound}.")
        self._seconds = seconds(time)
        if warning + start >= self._seconds:
            raise ConfigurationError(
                f"launcher.time={time} is too short for launcher.start={start} s to start and launcher.warning={warning} s before the end. "
                "Increase launcher.time or reduce launcher.warning."
            )
        self.name = name  # pyright: ignore[reportAttributeAccessIssue]  # one class, a name for each profile
        self.scheduler = Scheduler(name, submit, submitted, status, listed, states, cancel, format)
        self.pack, self.array, self._limits = pack, array if index else 1, task_limits(task_seconds, task_memory)
        self._first = first
        self._script, self._patience = script, self._seconds - warning
        self._work = {
            "scheduler": name, "job": job, "index": index or str(first), "first": first, "warnings": warnings or ["USR2"],
            "stops": stops or ["TERM", "INT", "HUP"], "requeue": requeue or ":", "environment": list(environment or ()), "threads": cpus,
            "python": python,
        }  # fmt: skip
        self._head: dict[str, Any] = {
            "cpus": cpus, "gpus": gpus, "memory": memory, "queue": queue, "account": account, "parallel": parallel, "warning": warning,
            "seconds": self._seconds, "minutes": math.ceil(self._seconds / 60), "time": clock(self._seconds), "first": first,
            "options": list(options or ()),
        }  # fmt: skip

    def launch(self, tasks: Sequence[PlannedTask], store: Store, on_report: OnReport) -> int:
        """Submit tasks and write to job.json which job has each. Return 0.

        Raises:
            ConfigurationError: if the scheduler refuses the job.
            StoreError: if the store cannot be written.
        """
        write_tasks(store, tasks, {"launcher": self.name, **self._limits})
        self.scheduler.save(store)
        packs = [tasks[i : i + self.pack] for i in range(0, len(tasks), self.pack)]
        for array in (packs[i : i + self.array] for i in range(0, len(packs), self.array)):
            jobs = self._submit([[task.id for task in pack] for pack in array], store)
            for pack, job in zip(array, jobs, strict=True):
                for task in pack:
                    write_job(store, task, {"launcher": self.name, **self._limits}, Job(self.name, job))
        submitted = f"{counted(len(tasks), 'task')} in {counted(len(packs), 'job')}"
        print(f"submitted {submitted}; `eigexp status --store {store.location}` shows them", file=sys.stderr)
        return 0

    def _submit(self, packs: Sequence[Sequence[str]], store: Store) -> list[str]:
        try:
            return self.scheduler.send(str(self.write_script(packs, store)), len(packs), self._first)
        except SchedulerError as error:
            raise ConfigurationError(f"{error} Check launcher.* (`eigexp run launcher={self.name} --cfg job` prints it).") from error

    def write_script(self, packs: Sequence[Sequence[str]], store: Store) -> Path:
        """Write the files of an array to the store's folder of jobs, and return the one to submit."""
        folder = store.root / FOLDER
        stem = folder / f"{self.name}-{secrets.token_hex(4)}"
        tasks, work, script = (stem.with_suffix(suffix) for suffix in (".tasks", ".sh", ".job"))
        write_atomically(tasks, "".join(f"{' '.join(ids)}\n" for ids in packs).encode())
        write_atomically(work, JobScript(store, patience=self._patience, **self._work).text(tasks).encode())
        write_atomically(script, self._render(count=len(packs), last=self._first + len(packs) - 1, folder=folder, work=work).encode())
        script.chmod(0o755)
        return script

    def _render(self, **values: Any) -> str:
        engine = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
        try:
            return engine.from_string(self._script).render(**self._head, **values)
        except jinja2.TemplateError as error:
            known = ", ".join((*self._head, *values))
            raise ConfigurationError(f"launcher.script of {self.name} cannot be used: {error}. Known: {known}.") from error


def seconds(time: str | int) -> int:
    """Return a time limit in seconds: 90, "90", "1:30:00" and "0-1:30:00" are the same.

    Raises:
        ConfigurationError: if the format is another.
    """
    match = _TIME.fullmatch(str(time))
    if not match:
        raise ConfigurationError(f"launcher.time={time} is not a time. Use minutes, or [days-]hours:minutes:seconds.")
    parts = [int(part) for part in match["parts"].split(":")]
    if match["days"] is not None:
        hours, mins, secs = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, mins, secs = parts
    else:
        hours, mins, secs = 0, parts[0], (parts[1] if len(parts) > 1 else 0)
    return int(match["days"] or 0) * 86400 + hours * 3600 + mins * 60 + secs


def clock(seconds: int) -> str:
    """Return seconds as hours:minutes:seconds."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
