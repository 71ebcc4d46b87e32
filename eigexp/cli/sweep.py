"""`eigexp sweep`: plan a sweep, skip what is stored, launch the rest."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eigexp.cli.commands import Commands, say_loading

if TYPE_CHECKING:
    from eigexp.sweep.plan import Plan, PlannedTask
    from eigexp.sweep.task_status import TaskStatus


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add(
        "sweep",
        lambda options, overrides: sweep(overrides, dry_run=options.dry_run, retry_failed=options.retry_failed),
        "plan the product of all choices, skip what is stored, and compute the rest here or on a cluster",
        examples=["eigexp sweep model=ln,lg solver.k=1,5 --dry-run", "eigexp sweep model=ln,lg launcher=slurm launcher.pack=4"],
        codes="0 all tasks converged or were submitted, 3 a task stopped on budget, 1 a task failed, "
        "2 invalid input or configuration, 128 + signal",
        rest="[overrides]",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan with its estimated cost, and launch nothing")
    parser.add_argument("--retry-failed", action="store_true", help="also launch tasks that failed before")


def sweep(overrides: Sequence[str], *, dry_run: bool = False, retry_failed: bool = False) -> int:
    """Plan a sweep, skip tasks that are done, in flight or failed, and launch the rest.

    Returns:
        Exit code of the launcher; 1 if tasks failed earlier and are not tried again, 3 if earlier ones stopped on budget.

    Raises:
        EigexpError: before anything is launched, if a part of the plan is invalid or the store cannot be written.
    """
    say_loading()
    from eigexp.sweep.plan import make_plan
    from eigexp.sweep.task_status import FAILED, ON_BUDGET, PARTIAL, TO_DO

    plan = make_plan(overrides)
    found = plan_status(plan)
    wanted = {TO_DO, PARTIAL} | ({FAILED} if retry_failed else set())
    tasks = [task for task, each in zip(plan, found, strict=True) if each.state in wanted]
    _show_plan(plan, found, tasks, dry_run=dry_run)
    failed = not retry_failed and any(each.state == FAILED for each in found)
    if failed:
        print("Failed tasks are skipped. `eigexp status --failed` shows their errors; --retry-failed tries them again.", file=sys.stderr)
    if dry_run:
        return 0
    code = _launch(plan, tasks) if tasks else 0
    if code in (0, 3) and failed:
        return 1
    return 3 if code == 0 and any(each.detail == ON_BUDGET for each in found) else code


def _launch(plan: "Plan", tasks: Sequence["PlannedTask"]) -> int:
    from eigexp.cli.sweep_progress import SweepProgress
    from eigexp.sweep.launcher import make_launcher

    launcher = make_launcher(plan.launcher)
    with SweepProgress(len(tasks), shown=launcher.waits, store=plan.store) as progress:
        code = launcher.launch(tasks, plan.store, progress.show)
    progress.show_total()
    return code


def plan_status(plan: "Plan") -> "list[TaskStatus]":
    """Return the status of each task of a plan, with its own overrides in place of those that an earlier sweep wrote."""
    from eigexp.sweep.task_status import StatusReader, TaskStatus

    reader = StatusReader(plan.store)
    found = []
    for task in plan:
        known = reader.of(task.id, task.ids, task.tables)
        job = {**known.job, "names": list(task.names), "model": task.model, "overrides": list(task.overrides), "ids": list(task.ids)}
        found.append(TaskStatus(known.id, known.state, job, known.detail))
    return reader.with_results(found)


def _show_plan(plan: "Plan", found: "Sequence[TaskStatus]", tasks: Sequence["PlannedTask"], *, dry_run: bool) -> None:
    from eigexp.cli.task_tables import count_line, print_table, status_table
    from eigexp.sweep.cost import CostEstimates

    if not dry_run:
        print(count_line(found), file=sys.stderr)
        return
    estimates = CostEstimates(plan.store)
    print_table(status_table(found, {task.id: estimates.of_all(task.identities) for task in tasks}))
    total, unknown = estimates.total(identity for task in tasks for identity in task.identities)
    print(f"{count_line(found)}; about {total:.0f} FVPs" + (f" and {unknown} results of unknown cost" if unknown else ""))
