"""A growing list of rows. Appending rarely copies, and never changes a shorter basis that shares the storage."""

from dataclasses import dataclass

import torch
from torch import Tensor

from eigexp.shapes import BasisRows, Rows, Vector

_MIN_GROWTH, _MAX_DOUBLING = 16, 64  # rows


def rows_at_most(size: int) -> tuple[int, int]:
    """Return the rows allocated for a basis that has grown one by one to `size`, and how many of them its last growth copied."""
    before, capacity = 0, _growth(0)
    while capacity < size:
        before, capacity = capacity, capacity + _growth(capacity)
    return capacity, before


class _Storage:
    """Allocated rows, of which the first `used` belong to a basis."""

    def __init__(self, rows: Tensor, used: int):
        self.rows = rows
        self.used = used


@dataclass(frozen=True)
class Basis:
    """The first `size` rows of a shared storage, as a value: `append` returns a longer basis and does not change this one.

    Only the longest basis of a storage appends in place. A shorter one that appends gets its own storage, so the rows of the longer one
    are not overwritten.
    """

    storage: _Storage
    size: int

    @staticmethod
    def of(rows: BasisRows) -> "Basis":
        """Return the basis of given rows, shape (d, n)."""
        return Basis(_Storage(rows, len(rows)), len(rows))

    @property
    def rows(self) -> Tensor:
        """The rows, shape (size, n), as a view."""
        return self.storage.rows[: self.size]

    @staticmethod
    def with_room(capacity: int, n: int, dtype: torch.dtype, device: torch.device) -> "Basis":
        """Return an empty basis with storage for `capacity` rows of length n."""
        return Basis(_Storage(torch.empty(capacity, n, dtype=dtype, device=device), 0), 0)

    def append(self, row: Vector) -> "Basis":
        """Return the basis with one more row, shape (n,)."""
        return self.extend(row[None])

    def extend(self, rows: Rows) -> "Basis":
        """Return the basis with more rows, shape (k, n)."""
        storage, size = self.storage, self.size + len(rows)
        if storage.used != self.size or size > len(storage.rows):
            capacity = max(size, self.size + _growth(self.size))
            room = torch.empty(capacity, *storage.rows.shape[1:], dtype=storage.rows.dtype, device=storage.rows.device)
            room[: self.size] = self.rows
            storage = _Storage(room, self.size)
        storage.rows[self.size : size] = rows
        storage.used = size
        return Basis(storage, size)


def _growth(size: int) -> int:
    """Return how many rows to add: doubling at first, a quarter later, because old and new storage exist together during the copy."""
    return max(_MIN_GROWTH, min(size, _MAX_DOUBLING), size // 4)
