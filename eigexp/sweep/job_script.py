"""The script of a job: it loses no signal, stops at the first error, and writes its exit code."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eigexp.errors import StoreError
from eigexp.store import Store
from eigexp.store.files import read_end
from eigexp.sweep.scheduler import FOLDER

EXIT = ".exit"
LOG = ".log"
_SHOWN = 4000  # bytes of a log that are read
_EARLIER = 65  # seconds: Slurm sends its warning up to a minute before it was asked to
TOO_EARLY = 75  # exit code of a worker that a signal stopped before it began a task

# Signals: the shell has handlers from its first line. What runs below it has them blocked until the worker's own handlers are there, and
# blocked signals stay pending across exec; so none kills an interpreter that still imports. The shell passes on what it gets, and waits.
# The clock: schedulers that send nothing before a time limit are common, so the script warns the worker itself.
_SCRIPT = """
jobs={folder}
job={job}
index={index}
exec >> "$jobs/$job.log" 2>&1
warned= stopped= worker=
warn() {{ warned=1; [ -z "$worker" ] || kill -USR2 "$worker" 2>/dev/null; interrupted=1; }}
stop() {{ stopped=1; [ -z "$worker" ] || kill -TERM "$worker" 2>/dev/null; interrupted=1; }}
trap warn {warnings}
trap stop {stops}
trap warn ALRM
set -uo pipefail
rm -f "$jobs/$job.exit" "$jobs/$job.ready"
export EIGEXP_JOB={scheduler}:$job

ids=$(sed -n "$((index - {first} + 1))p" {tasks})
block=(env --block-signal=HUP,INT,TERM,USR1,USR2)
"${{block[@]}}" true 2>/dev/null ||
  block=({python} -ISc 'import os, signal, sys; signal.pthread_sigmask(0, [1, 2, 10, 12, 15]); os.execvp(sys.argv[1], sys.argv[1:])')
"${{block[@]}}" bash -euo pipefail -c {work} "$jobs/$job.ready" $ids &
worker_begins=$!
# Until the worker's signals are blocked, a signal could end it or be lost in the fork.
while [ ! -e "$jobs/$job.ready" ] && kill -0 "$worker_begins" 2>/dev/null; do sleep 0.05; done
rm -f "$jobs/$job.ready"
worker=$worker_begins
[ -z "$warned" ] || warn
[ -z "$stopped" ] || stop
{{ trap 'kill "$pause"; exit' TERM; sleep {patience} & pause=$!; wait "$pause" && kill -ALRM $$; }} >/dev/null 2>&1 &
clock=$!

code=127
while :; do
  interrupted=
  wait "$worker"
  found=$?
  # After a wait that a signal has ended, bash may know nothing more of the worker, and says -1 or 127. To go back to the queue is safe.
  [ "$found" -lt 0 ] || [ "$found" -eq 127 -a "$code" -ne 127 ] || code=$found
  [ -n "$interrupted" ] || break
done
kill "$clock" 2>/dev/null

again=
[ "$code" -le 128 -a "$code" -ne {too_early} ] || [ -z "$warned" -o -n "$stopped" ] || again=1
if [ "$code" -eq {too_early} -a -n "$warned" -a "$SECONDS" -ge {early} ]; then
  echo . >> "$jobs/$job.early"
  if [ "$(wc -l < "$jobs/$job.early")" -ge 3 ]; then
    echo "eigexp: the time limit came three times before the work began. Raise launcher.time."
    again=
  fi
else
  rm -f "$jobs/$job.early"
fi
if [ -n "$again" ]; then
  echo "eigexp: job $job goes back into the queue"
  {requeue}
  echo "eigexp: job $job could not go back into the queue"
fi
[ "$code" -eq 0 ] || echo "$code" > "$jobs/$job.exit"
exit "$code"
"""


@dataclass(frozen=True)
class JobScript:
    """What the script of the jobs of one array depends on.

    Attributes:
        store: of the tasks.
        scheduler: name of the profile.
        job: shell expression of the id of the job.
        index: shell expression of its number in the array; "1" where there are no arrays.
        first: number of the first job of an array.
        warnings: signals that warn of the time limit: save, and continue later.
        stops: signals to save and stop.
        requeue: shell command that puts the job back into the queue; ":" where there is none.
        patience: seconds after which the job warns itself.
        environment: shell lines that run before the work.
        threads: of the worker.
        python: interpreter.
    """

    store: Store
    scheduler: str
    job: str
    index: str
    first: int
    warnings: Sequence[str]
    stops: Sequence[str]
    requeue: str
    patience: int
    environment: Sequence[str]
    threads: int
    python: str | None

    def text(self, tasks: Path) -> str:
        """Return the script. Line i of the file `tasks` has the ids for the i-th job."""
        return _SCRIPT.format(
            folder=shlex.quote(str(self.store.root / FOLDER)),
            job=self.job,
            index=self.index,
            first=self.first,
            warnings=" ".join(self.warnings),
            stops=" ".join(self.stops),
            scheduler=self.scheduler,
            tasks=shlex.quote(str(tasks)),
            python=shlex.quote(self.python or sys.executable),
            work=shlex.quote(self._work()),
            patience=self.patience,
            early=self.patience - _EARLIER,
            too_early=TOO_EARLY,
            requeue=self.requeue or ":",
        )

    def _work(self) -> str:
        threads = [f"export {name}={self.threads}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")]
        # -P: a file in the current folder must not be taken for a library.
        command = shlex.join([self.python or sys.executable, "-P", "-m", "eigexp", "work", "--store", self.store.location])
        return "\n".join([': > "$0"', f"cd {shlex.quote(os.getcwd())}", *self.environment, *threads, f'exec {command} "$@"'])


def end_of_job(store: Store, job: str) -> str:
    """Return how a job ended that has left the queue: its exit code and the last line of its log."""
    folder = store.root / FOLDER
    code = _text(folder / f"{job}{EXIT}").strip()
    lines = _text(folder / f"{job}{LOG}").strip().splitlines()
    last = ([line for line in lines if not line.startswith("srun: ")] or lines)[-1:]  # srun repeats the exit code after the cause
    if not code and not last:
        return f"job {job} left the queue before it began"
    return ": ".join([f"job {job} ended with exit code {code}" if code else f"job {job} was killed", *last])


def _text(path: Path) -> str:
    """Return the end of a file; nothing where there is none, or no regular one, which could block."""
    try:
        return read_end(path, _SHOWN).decode(errors="replace")
    except StoreError:
        return ""
