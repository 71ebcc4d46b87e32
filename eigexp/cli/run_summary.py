"""What `eigexp run` prints when it is done: one table of the results, and their folders."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from eigexp.experiment.run import Outcome
from eigexp.store import Result
from eigexp.store.labels import VERIFIED, end_of, layer_label, pair_text, threshold_text
from eigexp.store.result import read_record


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: its heading.
        cell: what stands in it, of a record and the position of a pair.
        weight: which columns a narrow terminal keeps: those of small weight.
        once: it stands in the first row of a result alone.
        right: aligned to the right.
    """

    name: str
    cell: Callable[[dict[str, Any], int], str]
    weight: int
    once: bool = False
    right: bool = True


def show(outcome: Outcome, console: Console | None = None) -> None:
    """The table goes to standard error, the folders to standard output, so that its last line is the last result's folder."""
    console = console or Console(stderr=True)
    if outcome.folders:
        results = [Result(folder, read_record(folder / "record.json")) for folder in outcome.folders]
        table = fitting_table(results, outcome.reused, console)
        if not console.is_terminal:  # a log has no width, and nothing in it may be cut
            console.width = max(console.width, Measurement.get(console, console.options.update(width=10_000), table).maximum)
        console.print(table)
    for path in outcome.tables:
        console.print(f"Each layer's sensitivity to the distortions of all: {path}", highlight=False, soft_wrap=True)
    if outcome.signum is not None:
        console.print("Stopped by a signal; the same command goes on from the checkpoint.", highlight=False, soft_wrap=True)
    for folder in outcome.folders:
        print(folder, file=sys.stdout, flush=True)


def fitting_table(results: list[Result], reused: tuple[str, ...], console: Console) -> Table:
    """The table with as many columns as the terminal has room for; with all of them where there is no terminal."""
    columns = list(COLUMNS)
    while True:
        table = summary_table(results, reused, columns)
        needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
        if not console.is_terminal or needed <= console.width or len(columns) == 1:
            return table
        columns.remove(max(columns, key=lambda column: column.weight))


def summary_table(results: list[Result], reused: tuple[str, ...] = (), columns: "list[Column] | None" = None) -> Table:
    """A row for each eigenpair of each result.

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
    words = column.cell(record, i)
    if column.name == "verified":
        words += " (stored before)" if reused and i == 0 else ""
        return Text(words, "green" if words.startswith("yes") else "yellow")
    return Text(words)


def _model(record: dict[str, Any], i: int) -> str:
    return record["model"] if record["layer"] is None else f"{record['model']} {layer_label(record['layer'])}"


def _interval(record: dict[str, Any], i: int) -> str:
    lower, upper = record["intervals"][i]
    return f"[{_number(lower)}, {_number(upper)}]"


def _threshold(record: dict[str, Any], i: int) -> str:
    return threshold_text(record["eigenvalues"][i], record["intervals"][i])


def _evidence(record: dict[str, Any], i: int) -> str:
    return record["evidence"][end_of(record["eigenindex"][i], record["n"])] or "-"


def _verified(record: dict[str, Any], i: int) -> str:
    return "yes" if _evidence(record, i) in VERIFIED else "no"


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4e}"


COLUMNS = (
    Column("image", lambda record, i: record["image"]["name"], 1, once=True, right=False),
    Column("model", _model, 2, once=True, right=False),
    Column("index", lambda record, i: str(record["eigenindex"][i]), 3),
    Column("eigenvalue", lambda record, i: pair_text(record, i, digits=5), 0),
    Column("interval", _interval, 6, right=False),
    Column("residual", lambda record, i: "-" if record["residuals"][i] is None else f"{record['residuals'][i]:.1e}", 5),
    Column("threshold", _threshold, 9),
    Column("evidence", _evidence, 8, right=False),
    Column("FVPs", lambda record, i: f"{record['fisher_vector_products']:g}", 7, once=True),
    Column("verified", _verified, 4, right=False),
)
