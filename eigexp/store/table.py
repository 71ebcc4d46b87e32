"""Many results as one table: rows of plain values, filtered, shown as text, CSV or JSON, or handed to pandas."""

import csv
import fnmatch
import io
import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eigexp.errors import ConfigurationError, MissingDependencyError, StoreError, nearest
from eigexp.store.files import write_atomically
from eigexp.store.identity import settings_of
from eigexp.store.index import cached_rows
from eigexp.store.labels import eigenvalue_text, layer_label
from eigexp.store.store import Store

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]
_SETTINGS = {"k": "solver.k", "tol": "solver.tol", **{name: name for name in ("solver", "noise", "subspace", "size", "seed", "dtype")}}
COLUMNS: tuple[str, ...] = (
    "id", "model", "layer", "image", "n", "m",
    "top", "top_low", "top_high",
    "bottom", "bottom_low", "bottom_high",
    "evidence_top", "evidence_bottom",
    "verified", "status", "method",
    "fisher_vector_products", "seconds", "created",
    *_SETTINGS,
)  # fmt: skip
_SHOWN = (
    "id", "model", "layer", "image", "n",
    "top", "bottom",
    "evidence_top", "evidence_bottom",
    "status", "fisher_vector_products", "seconds",
)  # fmt: skip
_HEADINGS = {"evidence_top": "evidence", "evidence_bottom": "", "fisher_vector_products": "FVPs"}
_CONDITION = re.compile(r"\s*(?P<column>\w+)\s*(?P<sign>>=|<=|!=|==|=|>|<)\s*(?P<value>.*?)\s*")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
FORMATS = ("table", "csv", "json", "parquet")


def table(store: Store, where: Sequence[str] = (), *, index: bool = True) -> list[Row]:
    """Return one row of COLUMNS per complete result, sorted by model, layer and image.

    Args:
        store: the store.
        where: conditions, all of which must hold: "model=onoff", "image=cam*", "n>=4096", "verified=true", "status!=converged".
        index: keep and use an index in the store, if pyarrow is installed. It may be deleted at any time.

    Raises:
        ConfigurationError: if a condition is invalid.
        StoreError: if the store cannot be read.
    """
    conditions = [condition(text) for text in where]
    rows = cached_rows(store, row, COLUMNS, keep=index)
    chosen = [r for r in rows if all(holds(r) for holds in conditions)]
    return sorted(chosen, key=lambda r: tuple(str(r[name] or "") for name in ("model", "layer", "image", "id")))


def row(record: Mapping[str, Any]) -> Row:
    """Return the columns of one record. `top` is the largest eigenvalue and `bottom` the smallest of all n, None where not computed."""
    try:
        ends = {"top": _end(record, 0), "bottom": _end(record, record["n"] - 1)}
        evidence, layer, settings = record["evidence"], record.get("layer"), settings_of(record)
        values = {
            **{key: record.get(key) for key in COLUMNS},
            "image": record["image"]["name"],
            "layer": None if layer is None else layer_label(layer),
            "evidence_top": evidence.get("top"),
            "evidence_bottom": evidence.get("bottom"),
            **{column: settings.get(key) for column, key in _SETTINGS.items()},
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"The record of {record.get('id')} lacks {error}. Run `eigexp store verify`.") from error
    for end, (value, low, high) in ends.items():
        values |= {end: value, f"{end}_low": low, f"{end}_high": high}
    return values


def condition(text: str) -> Callable[[Row], bool]:
    """Return a condition such as "model=onoff" as a function of a row. Text is compared ignoring case, with * and ? as wildcards.

    Raises:
        ConfigurationError: if it has no sign, an unknown column, or compares < or > with text.
    """
    match = _CONDITION.fullmatch(text)
    if not match:
        raise ConfigurationError(f"where={text!r} is not a condition. Write column=value, such as model=onoff or n>=4096.")
    column, sign, value = match["column"], match["sign"], match["value"]
    if column not in COLUMNS:
        raise ConfigurationError(f"where={text!r}: column {column!r} is unknown. {nearest(column, COLUMNS)}")
    if sign in _ORDERS:
        return _ordered(column, _ORDERS[sign], value)
    return lambda r: _equal(r[column], value) != (sign == "!=")


def format_rows(rows: Sequence[Row], kind: str = "table", columns: Sequence[str] | None = None) -> str:
    """Format rows as "table" (aligned, for a terminal), "csv" or "json" (both with every column and every digit).

    Args:
        rows: plain values by column.
        kind: the format.
        columns: to show; by default all, and the most important in a "table".

    Raises:
        ConfigurationError: if `kind` is none of these.
    """
    if kind == "json":
        return json.dumps([{name: r[name] for name in columns or r} for r in rows], indent=1, ensure_ascii=False)
    if kind == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, columns or COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().rstrip("\n")
    if kind == "parquet":
        raise ConfigurationError("format=parquet is binary. Write it to a file with --output results.parquet.")
    if kind != "table":
        raise ConfigurationError(f"format={kind} is unknown. {nearest(kind, FORMATS)}")
    shown = columns or _SHOWN
    return _aligned([[_HEADINGS.get(name, name) for name in shown], *([_short(name, r) for name in shown] for r in rows)])


def render(store: Store, kind: str = "table", where: Sequence[str] = (), columns: Sequence[str] | None = None) -> str:
    """Return the table of a store as text; see `table` and `format_rows`.

    Raises:
        ConfigurationError: if `kind`, a condition or a column is invalid.
        StoreError: if the store cannot be read.
    """
    return format_rows(table(store, where), kind, known_columns(columns))


def export(store: Store, path: str | Path, kind: str, where: Sequence[str] = (), columns: Sequence[str] | None = None) -> None:
    """Write the table of a store to a file atomically; parquet needs pandas and pyarrow.

    Raises:
        ConfigurationError: if `kind`, a condition or a column is invalid.
        StoreError: if the store cannot be read or the file cannot be written.
        MissingDependencyError: if a package is not installed.
    """
    if kind == "parquet":
        data = frame(store, where)
        content = data[list(known_columns(columns) or data.columns)].to_parquet(index=False)
    else:
        content = (render(store, kind, where, columns) + "\n").encode()
    write_atomically(Path(path), content)


def known_columns(columns: Sequence[str] | None) -> Sequence[str] | None:
    """Return the columns, after checking that all exist.

    Raises:
        ConfigurationError: if one does not.
    """
    unknown = next((name for name in columns or () if name not in COLUMNS), None)
    if unknown is not None:
        raise ConfigurationError(f"Column {unknown!r} is unknown. {nearest(unknown, COLUMNS)}")
    return columns


def frame(store: Store, where: Sequence[str] = (), *, index: bool = True) -> "pandas.DataFrame":
    """Return the table as a pandas DataFrame, with `created` as dates.

    Raises:
        MissingDependencyError: if pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingDependencyError("pandas is not installed. Run: pip install 'eigexp[table]'") from error
    data = pandas.DataFrame(table(store, where, index=index), columns=list(COLUMNS))
    data["created"] = pandas.to_datetime(data["created"], utc=True)
    return data


def _end(record: Mapping[str, Any], eigenindex: int) -> tuple[float | None, float | None, float | None]:
    if eigenindex not in record["eigenindex"]:
        return None, None, None
    at = record["eigenindex"].index(eigenindex)
    low, high = record["intervals"][at]
    return record["eigenvalues"][at], low, high


def _ordered(column: str, compare: Callable[[Any, Any], bool], value: str) -> Callable[[Row], bool]:
    if column == "created":
        return lambda r: compare(r[column] or "", value)
    try:
        limit = float(value)
    except ValueError as error:
        raise ConfigurationError(f"where={column} is compared with {value!r}, which is not a number. Give a number, or use =.") from error
    return lambda r: isinstance(r[column], int | float) and compare(r[column], limit)


def _equal(found: Any, value: str) -> bool:
    if found is None:
        return value.lower() in ("none", "null", "")
    if isinstance(found, bool):
        return value.lower() == str(found).lower()
    if isinstance(found, int | float):
        try:
            return float(value) == found
        except ValueError:
            return False
    return fnmatch.fnmatchcase(str(found).lower(), value.lower())


def _short(name: str, r: Row) -> str:
    value = r[name]
    if value is None:
        return "-"
    if f"{name}_low" in r:
        return eigenvalue_text(value, (r[f"{name}_low"], r[f"{name}_high"]), r[f"evidence_{name}"])
    if name == "seconds":
        return f"{value:.1f}"
    if name == "fisher_vector_products":
        return f"{value:.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _aligned(cells: Iterable[Sequence[str]]) -> str:
    lines = list(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
