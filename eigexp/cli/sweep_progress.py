"""Progress of a sweep: a bar on a terminal, elsewhere one line per task."""

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eigexp.store.labels import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eigexp.store import Store
    from eigexp.sweep.plan import PlannedTask
    from eigexp.sweep.worker import TaskReport


_NAMES = 3  # of a task's images, on a line


class SweepProgress:
    """Shows the tasks of a sweep as they end.

    Args:
        total: number of tasks.
        shown: whether there are tasks to wait for.
        store: of the results, whose eigenvalues and D a line shows.
    """

    def __init__(self, total: int, shown: bool = True, store: "Store | None" = None):
        self._store, self._began = store, time.monotonic()
        self._console = Console(stderr=True)
        columns = (TextColumn("sweep"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console) if shown and self._console.is_terminal else None
        self._task = self._bar.add_task("sweep", total=total) if self._bar else None
        self._total = total
        self._reports: list[TaskReport] = []

    def __enter__(self) -> "SweepProgress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, report: "TaskReport", task: "PlannedTask") -> None:
        """Show a task that has ended."""
        if report.state == "stopped":
            return
        self._reports.append(report)
        line = f"{task.model} {_images(task.names)}: {_ending(report)}{self._numbers(report, len(task.names))}"
        if self._bar and self._task is not None:
            self._bar.console.print(line, markup=False, highlight=False)
            self._bar.advance(self._task)
        else:
            print(f"[{len(self._reports)}/{self._total}] {line}{self._left()}", file=sys.stderr, flush=True)

    def _numbers(self, report: "TaskReport", images: int) -> str:
        """Return the largest and the smallest eigenvalue and D of a task's first result."""
        if self._store is None or report.state != "done" or not self._store.has(report.id):
            return ""
        from eigexp.store.rows import row_of
        from eigexp.store.table import cell

        row = row_of(self._store.read(report.id).record)
        which = "; " if images == 1 else "; of the first: "
        return which + ", ".join(f"{name} {cell(key, row)}" for name, key in (("largest", "top"), ("smallest", "bottom"), ("D", "D")))

    def _left(self) -> str:
        """Return how long the other tasks will take, if they take as long as those so far."""
        done, others = len(self._reports), self._total - len(self._reports)
        if self._store is None or not others:
            return ""
        return f"; about {duration((time.monotonic() - self._began) / done * others)} left"

    def show_total(self) -> None:
        """Show how many tasks are done, if there were tasks to wait for."""
        if not self._reports:
            return
        done = [report for report in self._reports if report.state == "done"]
        counts = {
            "tolerance not met": sum(report.code == 3 for report in done),
            "failed": sum(report.code == 1 for report in self._reports),
            "without a result": sum(report.state == "unfinished" for report in self._reports),
            "not computed; run the same command to continue": self._total - len(self._reports),
        }
        parts = [f"{len(done)} of {self._total} tasks done", *(f"{count} {what}" for what, count in counts.items() if count)]
        print(", ".join(parts) + ".", file=sys.stderr)


def _images(names: "Sequence[str]") -> str:
    """Return the names of a task's images; of many, the first ones and their number."""
    if len(names) <= _NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMES - 1])}, ... ({len(names)} images)"


def _ending(report: "TaskReport") -> str:
    if report.message:
        return f"{report.state} ({report.message})"
    return f"{report.state}{' (tolerance not met)' if report.code == 3 else ''}, {report.seconds:.1f} s"
