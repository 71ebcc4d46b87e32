"""`eigexp sweep`: plan, skip, launch."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eigexp.cli.task_tables import counts, print_table, status_table
from eigexp.config.instantiate import construct
from eigexp.errors import ConfigurationError
from eigexp.sweep.estimate import Estimates
from eigexp.sweep.plan import Plan, PlannedTask, make_plan
from eigexp.sweep.task_status import FAILED, PARTIAL, TO_DO, Standing, Standings
from eigexp.sweep.worker import Reply


def sweep(words: Sequence[str], *, dry_run: bool = False, retry_failed: bool = False) -> int:
    """Plan a sweep, skip what is done, in flight or failed, and launch the rest.

    Returns:
        Exit code: of the launcher; 1 where only failed tasks are left.

    Raises:
        EigexpError: before anything is launched, if a part of the plan cannot work or the store cannot be written.
    """
    plan = make_plan(words)
    standings = survey(plan)
    wanted = {TO_DO, PARTIAL} | ({FAILED} if retry_failed else set())
    tasks = [task for task, s in zip(plan, standings, strict=True) if s.state in wanted]
    _show_plan(plan, standings, tasks, whole=dry_run)
    failed = [s for s in standings if s.state == FAILED and not retry_failed]
    if failed:
        print("Failed tasks are left alone: `eigexp status --failed` shows their errors, --retry-failed tries again.", file=sys.stderr)
    if dry_run or not tasks:
        return 1 if failed and not dry_run else 0
    launcher = construct(plan.launcher, "launcher")
    if launcher is None:
        raise ConfigurationError("launcher has no _target_. Use launcher=local or launcher=slurm.")
    with Overall(len(tasks), shown=launcher.waits) as overall:
        code = launcher.launch(tasks, plan.store, overall.show)
    overall.sum_up()
    return max(code, 1) if failed and code in (0, 3) else code


def survey(plan: Plan) -> list[Standing]:
    """How each task of a plan stands, with its own words instead of what an earlier sweep wrote."""
    standings = Standings(plan.store)
    found = []
    for task in plan:
        s = standings.of(task.id, task.ids, task.tables)
        job = {**s.job, "names": list(task.names), "model": task.model, "overrides": list(task.overrides), "ids": list(task.ids)}
        found.append(Standing(s.id, s.state, job, s.detail))
    return found


class Overall:
    """One display of a whole sweep: a bar on a terminal, elsewhere a line a task.

    Args:
        total: number of tasks.
        shown: whether there is anything to wait for.
    """

    def __init__(self, total: int, shown: bool = True):
        self._console = Console(stderr=True)
        columns = (TextColumn("sweep"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        bar = shown and self._console.is_terminal
        self._progress = Progress(*columns, console=self._console) if bar else None
        self._task = self._progress.add_task("sweep", total=total) if self._progress else None
        self._total, self._over, self._bad = total, 0, 0

    def __enter__(self) -> "Overall":
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress:
            self._progress.stop()

    def show(self, reply: Reply, task: PlannedTask) -> None:
        """A task is over."""
        if reply["state"] == "stopped":
            return
        self._over += 1
        self._bad += reply["code"] == 1
        words = f"{task.model} {', '.join(task.names)}: {reply['state']}"
        words += f" ({reply['message']})" if reply.get("message") else f", {reply['seconds']:.1f} s"
        if self._progress and self._task is not None:
            self._progress.console.print(f"{words}", markup=False, highlight=False)
            self._progress.advance(self._task)
        else:
            print(f"[{self._over}/{self._total}] {words}", file=sys.stderr, flush=True)

    def sum_up(self) -> None:
        """A last line, where tasks were waited for."""
        if self._over:
            left = self._total - self._over
            rest = (f", {self._bad} failed" if self._bad else "") + (f", {left} left; the same command goes on" if left else "")
            print(f"{self._over - self._bad} of {self._total} tasks done{rest}.", file=sys.stderr)


def _show_plan(plan: Plan, standings: Sequence[Standing], tasks: Sequence[PlannedTask], *, whole: bool) -> None:
    left = {task.id for task in tasks}
    if whole:
        estimates = Estimates(plan.store)
        costs = {task.id: estimates.of_all(task.identities) for task in plan if task.id in left}
        print_table(status_table([s for s in standings], costs))
        total, unknown = estimates.total(identity for task in tasks for identity in task.identities)
        print(f"{counts(standings)}; about {total:.0f} FVPs" + (f" and {unknown} solutions of unknown cost" if unknown else ""))
    else:
        print(counts(standings), file=sys.stderr)
