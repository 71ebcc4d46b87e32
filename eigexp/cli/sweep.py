"""`eigexp sweep`: plan a sweep, skip what is stored, launch the rest."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from eigexp.cli.commands import Commands, say_loading
from eigexp.errors import SchedulerError

if TYPE_CHECKING:
    from eigexp.sweep.launcher import Launcher
    from eigexp.sweep.plan import Plan, PlannedTask
    from eigexp.sweep.task_status import TaskStatus


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add(
        "sweep",
        lambda options, overrides: _sweep(options, overrides, commands.main),
        "plan all combinations of the values, skip stored results, and compute the rest on this machine or a cluster",
        examples=["eigexp sweep model=ln,lg solver.k=1,5 --dry-run", "eigexp sweep model=ln,lg launcher=slurm launcher.pack=4"],
        codes="0 all tasks converged or were submitted, 3 tolerance not met by a task, 1 a task failed, "
        "2 invalid input or configuration, 128 + signal",
        rest="[overrides]",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan with its estimated cost, and launch nothing")
    parser.add_argument("--config-dir", metavar="FOLDER", help="add your own options of groups, such as FOLDER/launcher/mylab.yaml")
    parser.add_argument("--retry-failed", action="store_true", help="also launch tasks that failed before")
    parser.add_argument("--ignore-queue", action="store_true", help="treat jobs of a scheduler that does not answer as ended")


def _sweep(options: argparse.Namespace, overrides: Sequence[str], main: Callable[[Sequence[str]], int]) -> int:
    say_loading()
    from eigexp.config.compose import search_path

    settings = {name: getattr(options, name) for name in ("dry_run", "retry_failed", "ignore_queue")}
    return sweep([*overrides, *search_path(options.config_dir)], main=main, **settings)


def sweep(
    overrides: Sequence[str],
    *,
    main: Callable[[Sequence[str]], int],
    dry_run: bool = False,
    retry_failed: bool = False,
    ignore_queue: bool = False,
) -> int:
    """Plan a sweep, skip tasks that are done, queued, running or failed, and launch the rest.

    Other sweeps of this store wait until this one has read the store and the queue and submitted its tasks, so no task is submitted twice.

    Returns:
        Exit code of the launcher; 1 if tasks failed earlier and are not tried again, 3 if earlier tasks did not meet the tolerance.

    Raises:
        SchedulerError: if tasks have jobs of a scheduler that does not answer, unless `ignore_queue`.
        EigexpError: before anything is launched, if a part of the plan is invalid or the store cannot be written.
    """
    from eigexp.sweep.warm_server import warm_server

    with nullcontext() if dry_run else warm_server(main) as server:  # before anything is computed
        from eigexp.sweep.launcher import make_launcher
        from eigexp.sweep.plan import make_plan

        told = {"on_config": server.expect_tasks, "on_task": server.expect} if server else {}
        plan = make_plan(overrides, **told)
        launcher = make_launcher(plan.launcher)
        launcher.server = server
        return _compute(plan, launcher, dry_run=dry_run, retry_failed=retry_failed, ignore_queue=ignore_queue)


def _compute(plan: "Plan", launcher: "Launcher", *, dry_run: bool, retry_failed: bool, ignore_queue: bool) -> int:
    """Launch what is left of a plan, or show it. Return the exit code."""
    from eigexp.store.maintenance import remove_spent_checkpoints
    from eigexp.sweep.lock import sweep_lock
    from eigexp.sweep.task_status import DONE, ENDED, FAILED, NOT_MET, PARTIAL, TO_DO, UNKNOWN

    with nullcontext() if dry_run or launcher.waits else sweep_lock(plan.store, _say_that_it_waits):
        found = plan_status(plan)
        wanted = {TO_DO, PARTIAL, ENDED} | ({FAILED} if retry_failed else set()) | ({UNKNOWN} if ignore_queue else set())
        tasks = [task for task, each in zip(plan, found, strict=True) if each.state in wanted]
        _show_plan(plan, found, tasks, dry_run=dry_run)
        failed = not retry_failed and any(each.state == FAILED for each in found)
        if failed:
            print(
                "Failed tasks are skipped. `eigexp status --failed` shows their errors; --retry-failed tries them again.", file=sys.stderr
            )
        if dry_run:
            return 0
        remove_spent_checkpoints(plan.store, [id for each in found if each.state == DONE for id in each.job["ids"]])
        _refuse_unknown([] if ignore_queue else [each for each in found if each.state == UNKNOWN])
        code = _launch(launcher, plan, tasks) if tasks else 0
    if code in (0, 3) and failed:
        return 1
    return 3 if code == 0 and any(each.detail == NOT_MET for each in found) else code


def _say_that_it_waits() -> None:
    print("Another sweep of this store is submitting its tasks; waiting for it.", file=sys.stderr)


def _refuse_unknown(unknown: "Sequence[TaskStatus]") -> None:
    if unknown:
        raise SchedulerError(
            f"{len(unknown)} tasks have jobs of unknown status, so nothing was submitted: {unknown[0].detail} "
            "Use --ignore-queue to treat these jobs as ended."
        )


def _launch(launcher: "Launcher", plan: "Plan", tasks: Sequence["PlannedTask"]) -> int:
    from eigexp.cli.sweep_progress import SweepProgress

    with SweepProgress(len(tasks), shown=launcher.waits, store=plan.store) as progress:
        code = launcher.launch(tasks, plan.store, progress.show)
    progress.show_total()
    return code


def plan_status(plan: "Plan") -> "list[TaskStatus]":
    """Return the status of each task of a plan, with its own overrides instead of those that an earlier sweep wrote."""
    from eigexp.sweep.task_status import StatusReader

    reader = StatusReader(plan.store)
    found = []
    for task, known in zip(plan, reader.of_each([(task.id, task.ids, task.tables) for task in plan]), strict=True):
        job = {**known.job, "names": list(task.names), "model": task.model, "overrides": list(task.overrides), "ids": list(task.ids)}
        found.append(replace(known, job=job))
    return reader.with_results(found)


def _show_plan(plan: "Plan", found: "Sequence[TaskStatus]", tasks: Sequence["PlannedTask"], *, dry_run: bool) -> None:
    from eigexp.cli.task_tables import cost_line, count_line, print_table, status_table
    from eigexp.sweep.cost import CostEstimates

    if not dry_run:
        print(count_line(found), file=sys.stderr)
        return
    estimates = CostEstimates(plan.store)
    costs = {task.id: estimates.of(task) for task in tasks}
    print_table(status_table(found, costs))
    print("; ".join(filter(None, [count_line(found), cost_line(list(costs.values()))])))
