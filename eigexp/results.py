"""Stored results for notebooks: `eigexp.results.load()` returns them as a pandas DataFrame."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from eigexp.store import Store
from eigexp.store.selection import Selection
from eigexp.store.table import Shown, cell, frame

if TYPE_CHECKING:
    import pandas


class Results(Selection):
    """A selection that a notebook shows as a table: values with only the digits that their bounds support, and ? if not verified."""

    def _repr_html_(self) -> str:
        names = Shown().main_columns(self)
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell(name, row))}</td>" for name in names) + "</tr>" for row in self.table())
        return f"<table><caption>{len(self.rows)} results</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def select(store: str | Path = "outputs/results", where: Sequence[str] | str = ()) -> Results:
    """Return the results of a store as a notebook shows them; `.rows`, `.labels` and `.pairs()` have the values.

    Args:
        store: folder of the store.
        where: conditions, all of which must hold, as in `eigexp results --where`.

    Raises:
        ConfigurationError: if a condition is invalid.
        StoreError: if the store cannot be read.
    """
    found = Selection.of_store(Store(store), [where] if isinstance(where, str) else where)
    return Results(found.rows, found.beside)


def load(store: str | Path = "outputs/results", where: Sequence[str] | str = (), *, pairs: bool = False) -> "pandas.DataFrame":
    """Return a row for each result, sorted by model, layer and image, with the columns of `eigexp results --format csv`.

    Every setting that differs among the results is a column. If only bounds of a quantity are known, the bounds are columns.

    ```python
    eigexp.results.load(where=["model=onoff", "n>=4096"]).groupby("image")["D_low"].min()
    ```

    Args:
        store: folder of the store.
        where: conditions, all of which must hold, as in `eigexp results --where`.
        pairs: return a row for each eigenpair instead.

    Raises:
        MissingDependencyError: if pandas is not installed.
        ConfigurationError: if a condition is invalid.
        StoreError: if the store cannot be read.
    """
    return frame(Store(store), [where] if isinstance(where, str) else where, pairs=pairs)
