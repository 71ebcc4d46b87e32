"""What `eigexp run` prints when it is done: one table of the results, and their folders."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eigexp.run import Outcome
from eigexp.store import Result
from eigexp.store.result import read_record
from eigexp.store.sensitivity import name_of


def show(outcome: Outcome, console: Console | None = None) -> None:
    """The table goes to standard error, the folders to standard output, so that its last line is the last result's folder."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        console.width = max(console.width, 140)
    if outcome.folders:
        console.print(summary_table([Result(folder, read_record(folder / "record.json")) for folder in outcome.folders], outcome.reused))
    for table in outcome.tables:
        console.print(f"Each layer's sensitivity to the distortions of all: {table}", highlight=False, soft_wrap=True)
    if outcome.signum is not None:
        console.print("Stopped by a signal; the same command goes on from the checkpoint.")
    for folder in outcome.folders:
        print(folder, file=sys.stdout, flush=True)


def summary_table(results: list[Result], reused: tuple[str, ...] = ()) -> Table:
    """A row for each extremal pair of each result."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("image", "model", "index", "eigenvalue", "interval", "residual", "threshold", "evidence", "FVPs"):
        table.add_column(
            name, no_wrap=True, justify="right" if name in ("index", "eigenvalue", "residual", "threshold", "FVPs") else "left"
        )
    for result in results:
        for i in range(len(result.record["eigenindex"])):
            table.add_row(*_cells(result.record, i, result.id in reused))
    return table


def _cells(record: dict[str, Any], i: int, reused: bool) -> list[Text]:
    index, value = record["eigenindex"][i], record["eigenvalues"][i]
    lower, upper = record["intervals"][i]
    end = "top" if index < record["n"] / 2 else "bottom"
    evidence = record["evidence"][end] or "-"
    model = record["model"] if record["layer"] is None else f"{record['model']} {name_of(record['layer'])}"
    cells = [
        record["image"]["name"] if i == 0 else "",
        model if i == 0 else "",
        str(index),
        f"{value:.4e}",
        f"[{lower:.4e}, {upper:.4e}]",
        f"{record['residuals'][i]:.1e}",
        f"{value**-0.5:.3g}" if value > 0 else "-",
        f"{evidence}{' (stored before)' if reused and i == 0 else ''}",
        f"{record['fisher_vector_products']:g}" if i == 0 else "",
    ]
    style = "green" if evidence in ("proven", "krylov") else "yellow"
    return [Text(cell, style if column == 7 else "") for column, cell in enumerate(cells)]
