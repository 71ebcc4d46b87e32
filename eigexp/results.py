"""Stored results for notebooks: `eigexp.results.load()` gives them as a pandas DataFrame."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eigexp.store import Store
from eigexp.store.table import frame

if TYPE_CHECKING:
    import pandas


def load(store: str | Path = "outputs/results", where: Sequence[str] | str = ()) -> "pandas.DataFrame":
    """Return a row for each result, sorted by model, layer and image, with the columns of `eigexp results --format csv`.

    ```python
    eigexp.results.load(where=["model=onoff", "n>=4096"]).groupby("image")["bottom"].min()
    ```

    Args:
        store: folder of the store.
        where: conditions, all of which must hold, as in `eigexp results --where`.

    Raises:
        MissingDependencyError: if pandas is not installed.
        ConfigurationError: if a condition is invalid.
        StoreError: if the store cannot be read.
    """
    return frame(Store(store), [where] if isinstance(where, str) else where)
