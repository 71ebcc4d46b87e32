"""Many results as one table: rows of plain values, filtered, shown as text, CSV or JSON, or handed to pandas."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eigexp.errors import ConfigurationError, MissingDependencyError, nearest
from eigexp.store.csv_text import csv_text
from eigexp.store.files import write_output
from eigexp.store.labels import VERIFIED, quantity_text, shortest
from eigexp.store.rows import COLUMNS, PAIR_COLUMNS, Row
from eigexp.store.selection import Selection
from eigexp.store.store import Store

if TYPE_CHECKING:
    import pandas

log = logging.getLogger(__name__)
FORMATS = ("table", "csv", "json", "parquet")
_HEADINGS = {"fisher_vector_products": "FVPs", "threshold_top": "1/sqrt(top)", "threshold_bottom": "1/sqrt(bottom)"}
_ENDS = ("top", "bottom", "D", "threshold_top", "threshold_bottom", "evidence", "status", "fisher_vector_products", "seconds")
_OF_A_PAIR = ("end", "rank", "eigenvalue", "threshold", "residual", "evidence")
# In this order a narrow terminal loses columns, after settings that differ have gone into one. Values with their bounds always stay.
_DROPPED = ("seconds", "fisher_vector_products", "residual", "threshold_bottom", "threshold_top", "threshold", "evidence", "status")


@dataclass(frozen=True)
class Shown:
    """What of a selection is shown.

    Attributes:
        columns: in this order; by default all, and the main ones in a "table".
        pairs: a row for each pair instead of each result.
        width: characters that a "table" may take, which drops the least important columns; None drops none.
    """

    columns: Sequence[str] | None = None
    pairs: bool = False
    width: int | None = None

    def rows_of(self, selection: Selection) -> list[Row]:
        """Return the rows of a selection."""
        return selection.pairs() if self.pairs else selection.table()

    def columns_of(self, selection: Selection) -> tuple[str, ...]:
        """Return all columns that there are."""
        if not self.pairs:
            return selection.columns
        return ("id", "model", "layer", "image", *selection.differing, *PAIR_COLUMNS, "evidence", "verified")

    def main_columns(self, selection: Selection) -> tuple[str, ...]:
        """Return the columns of a "table" that is wide enough."""
        layer = ("layer",) if any(row["layer"] for row in selection.rows) else ()
        return ("id", "model", *layer, "image", *selection.differing, *(_OF_A_PAIR if self.pairs else _ENDS))


def table(store: Store, where: Sequence[str] = (), *, index: bool = True) -> list[Row]:
    """Return one row per complete result, sorted by model, layer and image; see `Selection.of_store` and `Selection.table`."""
    return Selection.of_store(store, where, index=index).table()


def render(store: Store, kind: str = "table", where: Sequence[str] = (), shown: Shown | None = None) -> str:
    """Return the results of a store as text: a "table" for a terminal, or "csv" or "json" with every column and every digit.

    Raises:
        ConfigurationError: if `kind`, a condition or a column is invalid.
        StoreError: if the store cannot be read.
    """
    shown, selection = shown or Shown(), Selection.of_store(store, where)
    columns = known_columns(shown.columns, shown.columns_of(selection))
    if not selection.rows:
        log.warning("No result %s.", f"matches {' and '.join(where)}" if where else f"in {store.root}. `eigexp run` computes one")
    if kind == "table" and columns is None:
        return fitting(selection, shown)
    return format_rows(shown.rows_of(selection), kind, columns or shown.columns_of(selection))


def format_rows(rows: Sequence[Row], kind: str, columns: Sequence[str]) -> str:
    """Format rows as "table" (aligned, for a terminal), "csv" or "json" (both with every digit).

    Raises:
        ConfigurationError: if `kind` is none of these.
    """
    if kind == "json":
        return json.dumps([{name: row[name] for name in columns} for row in rows], indent=1, ensure_ascii=False)
    if kind == "csv":
        return csv_text(rows, columns).rstrip("\n")
    if kind == "parquet":
        raise ConfigurationError("format=parquet is binary. Write it to a file with --output results.parquet.")
    if kind != "table":
        raise ConfigurationError(f"format={kind} is unknown. {nearest(kind, FORMATS)}")
    return _aligned(_cells(rows, columns))


def export(store: Store, path: str | Path, kind: str, where: Sequence[str] = (), shown: Shown | None = None) -> None:
    """Write the results of a store to a file atomically; parquet needs pandas and pyarrow.

    Raises:
        ConfigurationError: if `kind`, a condition or a column is invalid.
        StoreError: if the store cannot be read or the file cannot be written.
        MissingDependencyError: if a package is not installed.
    """
    shown = shown or Shown()
    if kind == "parquet":
        data = frame(store, where, pairs=shown.pairs)
        content = data[list(known_columns(shown.columns, list(data.columns)) or data.columns)].to_parquet(index=False)
    else:
        content = (render(store, kind, where, shown) + "\n").encode()
    write_output(path, content)


def known_columns(columns: Sequence[str] | None, known: Sequence[str] = COLUMNS) -> Sequence[str] | None:
    """Return the columns, after checking that all exist.

    Raises:
        ConfigurationError: if one does not.
    """
    unknown = next((name for name in columns or () if name not in known), None)
    if unknown is not None:
        raise ConfigurationError(f"Column {unknown!r} is unknown. {nearest(unknown, list(known))}")
    return columns


def frame(store: Store, where: Sequence[str] = (), *, pairs: bool = False, index: bool = True) -> "pandas.DataFrame":
    """Return the results as a pandas DataFrame, with `created` as dates; with `pairs` a row for each pair.

    Raises:
        MissingDependencyError: if pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingDependencyError("pandas is not installed. Run: pip install 'eigexp[table]'") from error
    selection, shown = Selection.of_store(store, where, index=index), Shown(pairs=pairs)
    data = pandas.DataFrame(shown.rows_of(selection), columns=list(shown.columns_of(selection)))
    if not pairs:
        data["created"] = pandas.to_datetime(data["created"], utc=True)
    return data


def cell(name: str, row: Row, *, typeset: bool = False) -> str:
    """Return what a table shows of a row: numbers no more precise than their bounds, and marked where they are not verified."""
    if name == "evidence" and name not in row:
        return " / ".join(str(row[f"evidence_{end}"] or "-") for end in ("top", "bottom"))
    value = row[name]
    bounds = _bounds(name, row)
    if bounds is not None:
        text = quantity_text(value, bounds, typeset=typeset, digits=3 if typeset else 4)
        return text if _is_verified(name, row) or not any(digit.isdigit() for digit in text) else f"{text}?"
    if value is None:
        return "-"
    if name == "seconds":
        return f"{value:.1f}"
    if name == "fisher_vector_products":
        return f"{value:.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _bounds(name: str, row: Row) -> tuple[float | None, float | None] | None:
    """Return the bounds of a quantity that has some."""
    low, high = ("low", "high") if name == "eigenvalue" else (f"{name}_low", f"{name}_high")
    return (row[low], row[high]) if low in row and high in row else None


def _is_verified(name: str, row: Row) -> bool:
    if "end" in row:
        return row["verified"]
    ends = {"top": ("top",), "bottom": ("bottom",), "D": ("top", "bottom")}[name.removeprefix("threshold_")]
    return all(row[f"evidence_{end}"] in VERIFIED for end in ends)


def fitting(selection: Selection, shown: Shown) -> str:
    """Return the table in the available width: with ids and settings cut to what distinguishes results, then with fewer columns."""
    rows, columns = shown.rows_of(selection), list(shown.main_columns(selection))
    text = _aligned(_cells(rows, columns))
    if shown.width is None or _width(text) <= shown.width or not rows:
        return text
    rows, columns = _compact(selection, rows, columns)
    text = _aligned(_cells(rows, columns))
    for name in _DROPPED:
        if _width(text) > shown.width and name in columns:
            columns.remove(name)
            text = _aligned(_cells(rows, columns))
    return f"{text}\n({selection.settings_in_common})" if "settings" in columns else text


def _compact(selection: Selection, rows: Sequence[Row], columns: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Return rows and columns with short ids, and with several settings that differ as one column of those that are not the usual."""
    short, labels = shortest(row["id"] for row in rows), selection.labels
    if len(selection.differing) < 2:
        return [{**row, "id": short[row["id"]]} for row in rows], list(columns)
    rows = [{**row, "id": short[id], "image": labels[id].image, "settings": labels[id].settings} for row in rows for id in (row["id"],)]
    at = columns.index(selection.differing[0])
    kept = [name for name in columns if name not in selection.differing]
    return rows, [*kept[:at], *(["settings"] if any(row["settings"] for row in rows) else []), *kept[at:]]


def _width(text: str) -> int:
    return max(len(line) for line in text.splitlines())


def _cells(rows: Sequence[Row], columns: Sequence[str]) -> list[list[str]]:
    return [[_HEADINGS.get(name, name) for name in columns], *([cell(name, row) for name in columns] for row in rows)]


def _aligned(cells: Iterable[Sequence[str]]) -> str:
    lines = list(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
