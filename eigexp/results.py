"""Stored results for notebooks: `eigexp.results.load()` gives them as a pandas DataFrame."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eigexp.store import Store
from eigexp.store.table import frame

if TYPE_CHECKING:
    import pandas


def load(store: str | Path = "outputs/results", where: Sequence[str] | str = (), *, pairs: bool = False) -> "pandas.DataFrame":
    """Return a row for each result, sorted by model, layer and image, with the columns of `eigexp results --format csv`.

    Every setting that differs among the results is a column. Where only a bound of a quantity is known, its bounds are.

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
