"""What `eigexp run` prints at its end: a table of the results, and their folders."""

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from eigexp.experiment.run import RunOutcome
from eigexp.store import Result
from eigexp.store.identity import is_ratio
from eigexp.store.labels import VERIFIED, counted, end_of, layer_label, null_space_text, pair_text, threshold_text
from eigexp.store.result import read_record

_NAMES = 3  # of results with the same remark, that are listed


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: its heading.
        cell: text of a record's pair at a position.
        once: shown in the first row of a result only.
        right: aligned to the right.
    """

    name: str
    cell: Callable[[dict[str, Any], int], str]
    once: bool = False
    right: bool = True


def show(outcome: RunOutcome, console: Console | None = None) -> None:
    """Print the table on standard error, and folders and shards on standard output; the last line is where the last result is."""
    console = console or Console(stderr=True)
    if outcome.folders:
        results = [Result(folder, read_record(folder / "record.json")) for folder in outcome.folders]
        table = fitting_table(results, outcome.reused, console)
        if not console.is_terminal:  # a log has no width: cut nothing
            console.width = max(console.width, Measurement.get(console, console.options.update(width=10_000), table).maximum)
        console.print(table)
        for line in remarks([result.record for result in results]):
            console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    if outcome.shards:
        console.print(shards_line(outcome), highlight=False, soft_wrap=True)
    for path in outcome.tables:
        console.print(f"Cross table of the layers: {path}", highlight=False, soft_wrap=True)
    if outcome.signum is not None:
        console.print("Stopped by a signal. Run the same command to continue from the checkpoint.", highlight=False, soft_wrap=True)
    for path in (*outcome.folders, *outcome.shards):
        print(path, file=sys.stdout, flush=True)


def shards_line(outcome: RunOutcome) -> str:
    """Return one line on the results in shards, which are too many to list."""
    number = len(outcome.statuses) - len(outcome.folders)
    counts = ", ".join(f"{count} {status}" for status, count in Counter(outcome.statuses).items())
    before = f", {len(outcome.reused)} stored before" if outcome.reused else ""
    return f"{counted(number, 'result')} in {counted(len(outcome.shards), 'shard')} ({counts}{before}); `eigexp results` shows them"


def remarks(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return what the table does not show, one line each after the names of its results: zero eigenvalues, and notes of the records."""
    about: dict[str, list[str]] = {}
    for record in records:
        for remark in (null_space_text(record), *(record.get("notes") or ())):
            if remark:
                about.setdefault(remark, []).append(f"{record['image']['name']} {_model(record, 0)}")
    return [f"{_listed(names)}: {remark}" for remark, names in about.items()]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")


def fitting_table(results: list[Result], reused: tuple[str, ...], console: Console) -> Table:
    """Return the table with as many columns as fit the terminal; with all columns in a log."""
    columns = list(COLUMNS)
    while True:
        table = summary_table(results, reused, columns)
        needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
        dropped = next((column for name in DROPPED for column in columns if column.name == name), None)
        if not console.is_terminal or needed <= console.width or dropped is None:
            return table
        columns.remove(dropped)


def summary_table(results: list[Result], reused: tuple[str, ...] = (), columns: "list[Column] | None" = None) -> Table:
    """Return a table with a row for each pair of each result.

    Args:
        results: of a run.
        reused: ids of those that were stored before.
        columns: some of `COLUMNS`; all by default.
    """
    columns = columns or list(COLUMNS)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.name, no_wrap=True, justify="right" if column.right else "left")
    for result in results:
        for i in range(len(result.record["eigenindex"])):
            table.add_row(*(_text(column, result.record, i, result.id in reused) for column in columns))
    return table


def _text(column: Column, record: dict[str, Any], i: int, reused: bool) -> Text:
    if column.once and i > 0:
        return Text("")
    text = column.cell(record, i)
    if column.name == "verified":
        return Text(text + (" (stored before)" if reused and i == 0 else ""), "green" if text == "yes" else "yellow")
    return Text(text)


def _model(record: dict[str, Any], i: int) -> str:
    return record["model"] if record["layer"] is None else f"{record['model']} {layer_label(record['layer'])}"


def _interval(record: dict[str, Any], i: int) -> str:
    lower, upper = record["intervals"][i]
    return f"[{_number(lower)}, {_number(upper)}]"


def _threshold(record: dict[str, Any], i: int) -> str:
    return "-" if is_ratio(record) else threshold_text(record["eigenvalues"][i], record["intervals"][i])


def _evidence(record: dict[str, Any], i: int) -> str:
    return record["evidence"][end_of(record["eigenindex"][i], record["n"])] or "-"


def _verified(record: dict[str, Any], i: int) -> str:
    return "yes" if _evidence(record, i) in VERIFIED else "no"


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4e}"


COLUMNS = (
    Column("image", lambda record, i: record["image"]["name"], once=True, right=False),
    Column("model", _model, once=True, right=False),
    Column("index", lambda record, i: str(record["eigenindex"][i])),
    Column("eigenvalue", lambda record, i: pair_text(record, i, digits=5)),
    Column("interval", _interval, right=False),
    Column("residual", lambda record, i: "-" if record["residuals"][i] is None else f"{record['residuals'][i]:.1e}"),
    Column("threshold", _threshold),
    Column("evidence", _evidence, right=False),
    Column("FVPs", lambda record, i: f"{record['fisher_vector_products']:g}", once=True),
    Column("verified", _verified, right=False),
)
# In this order a narrow terminal loses them. An eigenvalue has its interval, and whether it is verified, while there is anything else to
# leave out; in a terminal too narrow for an interval the eigenvalue itself is a bound where only a bound is known.
DROPPED = ("evidence", "FVPs", "threshold", "residual", "model", "image", "index", "interval", "verified")
