"""A growing list of rows that appends without copying, and never changes what an earlier holder sees."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
    def of(rows: Tensor) -> "Basis":
        """A basis of given rows, shape (d, n)."""
        return Basis(_Storage(rows, len(rows)), len(rows))

    @property
    def rows(self) -> Tensor:
        """The rows, shape (size, n), as a view."""
        return self.storage.rows[: self.size]

    def append(self, row: Tensor) -> "Basis":
        """The basis with one more row, shape (n,)."""
        storage = self.storage
        if storage.used != self.size or self.size == len(storage.rows):
            room = torch.empty(max(16, 2 * self.size), *storage.rows.shape[1:], dtype=storage.rows.dtype, device=storage.rows.device)
            room[: self.size] = self.rows
            storage = _Storage(room, self.size)
        storage.rows[self.size] = row
        storage.used = self.size + 1
        return Basis(storage, self.size + 1)
