"""Tables of tasks that `eigexp sweep` and `eigexp status` print."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eigexp.store.labels import counted, duration
from eigexp.sweep.cost import Cost, Source, total
from eigexp.sweep.scheduler import HELD, QUEUED, RUNNING
from eigexp.sweep.task_status import DONE, ENDED, FAILED, NOT_MET, PARTIAL, STATES, UNKNOWN, TaskStatus

_STYLES = {DONE: "green", RUNNING: "cyan", QUEUED: "cyan", HELD: "yellow", UNKNOWN: "red", ENDED: "red", FAILED: "red", PARTIAL: "yellow"}
_COSTS = ("FVPs", "time")
_MAX_ROWS = 40
_MAX_CELL = 50  # characters
_CERTAIN = 1.5  # ratio of the most to the least that a cost may be, up to which one number is shown
_SOURCES: dict[Source, str] = {
    "trial": "predicted by a trial on one image",
    "part of a trial": "predicted by the first seconds of a trial",
    "formula": "predicted by a formula: no stored results, too slow for a trial",
}
_LOG_WIDTH = 200  # characters, where the output is not a terminal


def status_table(tasks: Sequence[TaskStatus], costs: Mapping[str, Cost | None] | None = None) -> Table:
    """Return a table with one row per task, grouped by state; of more than 40, the first that are not done.

    Args:
        tasks: to show.
        costs: expected ones by id, None where unknown, and no entry where nothing is left to do; None for no such columns.
    """
    rows = list(tasks) if len(tasks) <= _MAX_ROWS else [task for task in tasks if task.state != DONE][:_MAX_ROWS]
    rows = rows if costs is not None else sorted(rows, key=lambda task: STATES.index(task.state))  # a plan keeps its order
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("task", "model", "images", *(_COSTS if costs is not None else ()), "state", "", "sweep"):
        # In a narrow terminal the details wrap and the overrides are cut; the rest stays.
        table.add_column(name, no_wrap=name not in ("", "sweep"), justify="right" if name in _COSTS else "left")
    for task in rows:
        cost = () if costs is None else _cost_texts(costs[task.id]) if task.id in costs else ("–", "–")
        images, overrides = ", ".join(task.job.get("names", ())), " ".join(task.job.get("overrides", ()))
        cells = (task.id, task.job.get("model", ""), _cut(images), *cost, task.state, _cut(task.detail))
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in cells), Text(_cut(overrides), no_wrap=True, overflow="ellipsis"))
    return table


def error_lines(tasks: Sequence[TaskStatus], errors: Mapping[str, Mapping[str, Any]], *, traceback: bool = False) -> list[str]:
    """Return a line for each distinct error: of how many tasks it is, and which.

    Args:
        tasks: of a store.
        errors: content of error.json by task.
        traceback: add the traceback of the first task.
    """
    found: dict[str, list[TaskStatus]] = {}
    for task in tasks:
        if task.id in errors:
            found.setdefault(str(errors[task.id].get("message", "")), []).append(task)
    lines = []
    for message, own in found.items():
        names = [f"{task.id} {task.job.get('model', '')} {', '.join(task.job.get('names', ()))}".strip() for task in own[:3]]
        more = f", and {len(own) - 3} more" if len(own) > 3 else ""
        lines.append(f"{len(own)} task{'s' * (len(own) > 1)}: {message} ({'; '.join(names)}{more})")
        lines += [str(errors[own[0].id].get("traceback", ""))] if traceback else []
    return lines


def count_line(tasks: Sequence[TaskStatus]) -> str:
    """Return one line such as "3 tasks: 2 done (1 tolerance not met), 1 to do"."""
    number = Counter(task.state for task in tasks)
    not_met = sum(task.detail == NOT_MET for task in tasks)
    note = {DONE: f" ({not_met} {NOT_MET})"} if not_met else {}
    return f"{counted(len(tasks), 'task')}: " + (", ".join(f"{number[s]} {s}{note.get(s, '')}" for s in STATES if number[s]) or "none")


def cost_line(costs: Sequence[Cost | None]) -> str:
    """Return one line on the cost of tasks, such as "about 150 FVPs, 12 s on one process"; empty for no task."""
    known = [cost for cost in costs if cost]
    parts = []
    if known:
        products, seconds = _cost_texts(total((cost, 1) for cost in known), about="about ", to=" to ")
        sources = [cost.source for cost in known]
        predicted = [f"{counted(n, 'task')} {how}" for source, how in _SOURCES.items() if (n := sources.count(source))]
        parts.append(
            f"{products} FVPs, {seconds.removeprefix('about ')} on one process" + (f" ({', '.join(predicted)})" if predicted else "")
        )
    unknown = len(costs) - len(known)
    return " and ".join([*parts, *([f"{counted(unknown, 'task')} of unknown cost"] if unknown else [])])


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, and 200 characters wide elsewhere."""
    console = Console()
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    console.print(table)


def as_json(tasks: Sequence[TaskStatus]) -> str:
    """Return the tasks as a JSON list, with the content of job.json."""
    return json.dumps([{"id": t.id, "state": t.state, "detail": t.detail, **t.job} for t in tasks], indent=1, ensure_ascii=False)


def _cost_texts(cost: Cost | None, about: str = "~", to: str = "–") -> tuple[str, str]:
    """Return products and time: one number each, or from the least to the most where that is uncertain."""
    if cost is None:
        return "?", "?"
    if cost.high <= _CERTAIN * cost.low:
        return f"{about}{cost.products:.0f}", f"{about}{duration(cost.seconds)}"
    ends = cost.low, cost.high
    return to.join(f"{cost.products * end:.0f}" for end in ends), to.join(duration(cost.seconds * end) for end in ends)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"
