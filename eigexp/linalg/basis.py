"""A growing list of rows that appends without copying, and never changes what an earlier holder sees."""

from dataclasses import dataclass

import torch
from torch import Tensor

from eigexp.shapes import BasisRows, Rows, Vector

_LEAST, _MORE = 16, 64  # rows of a storage at first, and at most as many more when it grows


def rows_at_most(size: int) -> tuple[int, int]:
    """Rows of the storage of a basis that has grown one by one to `size`, and of those, how many were copied when it grew last."""
    before, capacity = 0, _LEAST
    while capacity < size:
        before, capacity = capacity, min(2 * capacity, capacity + _MORE)
    return capacity, before


class _Storage:
    """Rows with spare room; `used` is how many of them somebody holds."""

    def __init__(self, rows: Tensor, used: int):
        self.rows = rows
        self.used = used


@dataclass(frozen=True)
class Basis:
    """The first `size` rows of a shared storage, as a value: `append` returns a longer basis and leaves this one as it is.

    The longest holder appends in place; a shorter one that appends again gets a storage of its own.
    """

    storage: _Storage
    size: int

    @staticmethod
    def of(rows: BasisRows) -> "Basis":
        """A basis of given rows, shape (d, n)."""
        return Basis(_Storage(rows, len(rows)), len(rows))

    @property
    def rows(self) -> Tensor:
        """The rows, shape (size, n), as a view."""
        return self.storage.rows[: self.size]

    @staticmethod
    def with_room(capacity: int, n: int, dtype: torch.dtype, device: torch.device) -> "Basis":
        """An empty basis whose storage holds `capacity` rows of length n from the start."""
        return Basis(_Storage(torch.empty(capacity, n, dtype=dtype, device=device), 0), 0)

    def append(self, row: Vector) -> "Basis":
        """The basis with one more row, shape (n,)."""
        return self.extend(row[None])

    def extend(self, rows: Rows) -> "Basis":
        """The basis with more rows, shape (k, n)."""
        storage, size = self.storage, self.size + len(rows)
        if storage.used != self.size or size > len(storage.rows):
            capacity = max(size, self.size + _more(self.size))
            room = torch.empty(capacity, *storage.rows.shape[1:], dtype=storage.rows.dtype, device=storage.rows.device)
            room[: self.size] = self.rows
            storage = _Storage(room, self.size)
        storage.rows[self.size : size] = rows
        storage.used = size
        return Basis(storage, size)


def _more(size: int) -> int:
    """Rows to make room for: twice as many at first, a quarter more later, so that the copy costs little memory and seldom happens."""
    return max(16, min(size, 64), size // 4)
