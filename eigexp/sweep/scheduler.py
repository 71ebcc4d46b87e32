"""A batch scheduler through its own commands: what is queued, held or running, and how to cancel it."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from eigexp.errors import ConfigurationError, SchedulerError, StoreError
from eigexp.store import Store
from eigexp.store.files import read_bytes, write_atomically
from eigexp.store.owner import is_own_file, mark_file_as_own
from eigexp.store.record import canonical_json

FOLDER = "jobs"  # of the store: scripts, logs and exit codes of jobs
RUNNING, QUEUED, HELD, GONE = "running", "queued", "held", "gone"
_ORDER = (GONE, HELD, RUNNING, QUEUED)  # in which the patterns of states are tried
_TIMEOUT = 60  # seconds for one command
_CHUNK = 500  # jobs on one command line


@dataclass(frozen=True)
class JobState:
    """What the scheduler says of a job: RUNNING, QUEUED or HELD, and its own words."""

    state: str
    words: str


@dataclass(frozen=True)
class Scheduler:
    """The commands of one scheduler. A copy is kept in the store, so that `eigexp status` can ask without a configuration.

    Attributes:
        name: of the profile, such as "slurm".
        submit: shell command that submits the file {script}.
        submitted: regular expression of a job in what `submit` prints, group `job`; found once, or once for each job of the array.
        status: shell command that lists jobs, a line each.
        listed: regular expression of such a line: groups `job`, `state`, and `index` where the job is one of an array.
        states: regular expressions of `state` for gone, held, running and queued, tried in this order; an empty one last.
        cancel: shell command that cancels {jobs}.
        format: of the id of one job of an array, from {job} and {index}.
    """

    name: str
    submit: str
    submitted: str
    status: str
    listed: str
    states: Mapping[str, str]
    cancel: str
    format: str = "{job}"

    def jobs(self) -> dict[str, JobState]:
        """Ask the scheduler for all jobs that have not ended.

        Raises:
            SchedulerError: with the scheduler's own words, if it does not answer.
        """
        found = (re.search(self.listed, line) for line in self._run(self.status).splitlines())
        # "None" is Slurm's word for no reason to wait.
        states = {self._id(match): self._state(match["state"].strip().removesuffix(" None")) for match in found if match}
        return {job: state for job, state in states.items() if state.state != GONE}

    def send(self, script: str, count: int, first: int) -> list[str]:
        """Submit a script of `count` jobs, the first with index `first`, and return their ids.

        Raises:
            SchedulerError: if the scheduler refuses it.
        """
        printed = self._run(self.submit.format(script=shlex.quote(script)))
        found = [match["job"] for match in re.finditer(self.submitted, printed, re.MULTILINE)]
        if not found:
            raise SchedulerError(f"{self.name} printed no job: {printed.strip()!r}. Check launcher.submitted={self.submitted}.")
        if len(found) == count > 1:
            return found
        return [self.format.format(job=found[0], index=first + number) for number in range(count)]

    def stop(self, jobs: Sequence[str]) -> None:
        """Cancel jobs, running or pending.

        Raises:
            SchedulerError: if the scheduler refuses.
        """
        for start in range(0, len(jobs), _CHUNK):
            self._run(self.cancel.format(jobs=" ".join(shlex.quote(job) for job in jobs[start : start + _CHUNK])))

    def save(self, store: Store) -> None:
        """Keep a copy in the store, marked as this user's."""
        path = _file_of(store, self.name)
        write_atomically(path, canonical_json(asdict(self)).encode())
        mark_file_as_own(path)

    @classmethod
    def load(cls, store: Store, name: str) -> "Scheduler":
        """Return the scheduler of this name that jobs of the store were submitted to.

        Its commands will be run, so a store of another person may name those of the package's profiles and no others.

        Raises:
            SchedulerError: if the store has none, or not one that may be used.
        """
        path = _file_of(store, name)
        try:
            content = read_bytes(path)
            found = TypeAdapter(cls).validate_json(content)
        except (StoreError, ValueError) as error:
            raise SchedulerError(f"The commands of the scheduler {name} cannot be read from {path}. Submit to it again.") from error
        if not is_own_file(path, content) and found != shipped_scheduler(name):
            raise SchedulerError(
                f"The commands for {name} are another user's, so they are not run: {path}. Run this as that user, or rename the file."
            )
        return found

    def _id(self, match: re.Match[str]) -> str:
        index = match.groupdict().get("index")
        return self.format.format(job=match["job"], index=index) if index else match["job"]

    def _state(self, words: str) -> JobState:
        # An empty pattern is what all others are, whatever the order of the keys.
        patterns = sorted(((name, self.states[name]) for name in _ORDER if name in self.states), key=lambda pair: not pair[1])
        return JobState(next((name for name, pattern in patterns if re.search(pattern, words)), QUEUED), words)

    def _run(self, command: str) -> str:
        try:
            run = subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as error:
            raise SchedulerError(f"{self.name} does not answer: `{command}` took more than {_TIMEOUT} s. Try again later.") from error
        if run.returncode:
            words = (run.stderr.strip() or run.stdout.strip() or f"exit code {run.returncode}").splitlines()[-1]
            raise SchedulerError(f"{self.name} refused `{command.split()[0]}`: {words}")
        return run.stdout


def _file_of(store: Store, name: str) -> Path:
    return store.root / FOLDER / f"{name}.scheduler.json"


def shipped_scheduler(name: str) -> Scheduler | None:
    """Return the scheduler of a profile as the package ships it; None where there is no such profile."""
    from eigexp.config.compose import compose, resolved
    from eigexp.sweep.launcher import make_launcher

    try:
        return getattr(make_launcher(resolved(compose([f"launcher={name}"]))["launcher"]), "scheduler", None)
    except ConfigurationError:
        return None


@dataclass(frozen=True)
class Job:
    """A job of a task, as job.json lists it: "slurm:12_0"."""

    scheduler: str
    id: str

    @classmethod
    def of(cls, listed: str) -> "Job":
        """Read an entry of the list `jobs` of job.json."""
        scheduler, _, id = listed.partition(":")
        return cls(scheduler, id)

    def __str__(self) -> str:
        return f"{self.scheduler}:{self.id}"


class Queues:
    """One look at the queue of every scheduler that has jobs of the tasks.

    Attributes:
        silent: what a scheduler said that did not answer, by its name.
    """

    def __init__(self, states: Mapping[str, JobState], silent: Mapping[str, str] | None = None):
        self._states, self.silent = states, dict(silent or {})

    @classmethod
    def ask(cls, store: Store, jobs: Iterable[Job]) -> "Queues":
        """Ask each scheduler once."""
        states: dict[str, JobState] = {}
        silent: dict[str, str] = {}
        for name in sorted({job.scheduler for job in jobs}):
            try:
                states |= {str(Job(name, id)): state for id, state in Scheduler.load(store, name).jobs().items()}
            except SchedulerError as error:
                silent[name] = str(error)
        return cls(states, silent)

    def of(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, JobState]]:
        """Yield those of the jobs that have not ended: running ones first, then queued, then held."""
        found = [(job, self._states[str(job)]) for job in jobs if str(job) in self._states]
        yield from sorted(found, key=lambda pair: (RUNNING, QUEUED, HELD).index(pair[1].state))

    def silence_about(self, jobs: Sequence[Job]) -> str:
        """Return what a scheduler of these jobs said that did not answer; empty if all have."""
        return next((self.silent[job.scheduler] for job in jobs if job.scheduler in self.silent), "")


def this_job(environment: Mapping[str, str] = os.environ) -> Job | None:
    """Return the job that this process runs in; None outside of one that a launcher has submitted."""
    listed = environment.get("EIGEXP_JOB")
    return Job.of(listed) if listed else None


def jobs_of(job: Mapping[str, Any]) -> list[Job]:
    """Return all jobs that the content of a job.json names, the latest last."""
    return [Job.of(listed) for listed in job.get("jobs", ())]
