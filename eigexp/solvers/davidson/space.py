"""A subspace with its images under F and M, as a value: Rayleigh-Ritz for F v = rho M v, residuals, restarts.

One orthonormal basis U holds the vectors V and both images, all as coordinates in it: residuals and least-squares problems are small, and
nothing is lost to inner products of images, whose condition is the square of theirs.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigexp.errors import OperatorError
from eigexp.linalg.basis import Basis
from eigexp.linalg.orthonormal import norm, orthogonal_to, read
from eigexp.linalg.threads import single_threaded
from eigexp.solvers.base import changed

Array = NDArray[np.float64]

_ARRAYS = ("V", "FV", "MV", "pending", "starts", "locked")
_ROUNDINGS = 100  # units of precision of an image, in which what it adds is rounding alone
_PARALLEL = 0.99  # share of a remainder along others from which on what is left needs a further pass
_ROUNDING = 1e-13  # relative length of what is new, at most, that is rounding alone


@dataclass(frozen=True)
class PencilSpace:
    """The space, and the directions whose products it waits for. U is on the device, arrays are on the host.

    Attributes:
        U: orthonormal rows (r, n).
        V: the vectors (d, r), orthonormal.
        FV, MV: their images (d, r).
        pending: directions (q, r), orthonormal and orthogonal to V.
        starts: random unit vectors (s, r); see `check`.
        locked: M v (l, r) of vectors found before the last of them was drawn, the largest first.
        values, vectors: Ritz values (d,), decreasing, and their coefficient rows in V (d, d), orthonormal with respect to M.
    """

    U: Basis
    V: Array
    FV: Array
    MV: Array
    pending: Array
    starts: Array
    locked: Array
    values: Array
    vectors: Array

    @classmethod
    def begin(cls, start: Tensor) -> Self:
        """Return the space that waits for the products with its first start, a unit vector (n,)."""
        none, one = np.empty((0, 1)), np.ones((1, 1))
        return cls(Basis.of(start[None]), none, none, none, one, one, none, none[:, 0], np.empty((0, 0)))

    def __len__(self) -> int:
        return len(self.V)

    @property
    def directions(self) -> Tensor:
        """Return the directions whose products are waited for (q, n)."""
        return self._vectors(self.pending)

    def expand(self, F: Tensor, M: Tensor) -> Self:
        """Return the space with the pending directions, given F and M of them, each (q, n)."""
        U, coordinates = _extended(self.U, torch.cat([F, M]))
        F_new, M_new = coordinates.reshape(2, len(F), U.size)
        old = {name: _padded(getattr(self, name), U.size) for name in _ARRAYS}
        return self._of(
            U,
            V=np.concatenate([old["V"], old["pending"]]),
            FV=np.concatenate([old["FV"], F_new]),
            MV=np.concatenate([old["MV"], M_new]),
            pending=old["pending"][:0],
            starts=old["starts"],
            locked=old["locked"],
        )

    def along(self, candidates: list[Array]) -> Self:
        """Return the space that waits for what is new in candidates, coordinates (r,) each; for nothing where none is new."""
        pending = np.empty((0, self.U.size))
        for candidate in candidates:
            known, size = np.concatenate([self.V, pending]), np.linalg.norm(candidate)
            new = candidate
            for _ in range(3):
                new = new - (known @ new) @ known
            if np.linalg.norm(new) > _ROUNDING * size:
                pending = np.concatenate([pending, new[None] / np.linalg.norm(new)])
        return changed(self, pending=pending)

    def reaching(self, vector: Tensor) -> tuple[Self, Array]:
        """Return the space whose U holds a vector (n,) as well, and the coordinates (r,) of that."""
        new = orthogonal_to(self.U.rows, vector)
        U = self.U if new is None else self.U.append(new)
        return self._of(U, **{name: _padded(getattr(self, name), U.size) for name in _ARRAYS}), read(U.rows @ vector)

    def with_start(self, start: Array, found: Array) -> Self:
        """Return the space with a second start, coordinates (r,) of a unit vector, and found vectors locked, coefficient rows (l, d)."""
        return changed(self, starts=np.stack([self.starts[0], start]), locked=found @ self.MV)

    def restarted(self, coefficients: Array) -> Self:
        """Return the space spanned by vectors of given coefficients in V (k, d)."""
        turn = _orthonormal(coefficients)
        arrays = {name: getattr(self, name) for name in _ARRAYS} | {name: turn @ getattr(self, name) for name in ("V", "FV", "MV")}
        Q = _orthonormal(np.concatenate(list(arrays.values())))
        U = self._vectors(Q)
        # A step of Newton's method towards orthonormal rows: what each restart loses would grow with their number (Bjorck and Bowie 1971).
        U = torch.addmm(U, U @ U.T, U, beta=1.5, alpha=-0.5)
        return self._of(Basis.of(U), **{name: rows @ Q.T for name, rows in arrays.items()})

    def residual(self, i: int) -> Array:
        """Return the coordinates (r,) of F v - theta M v of Ritz pair i, with v^T M v = 1."""
        y = self.vectors[i]
        return y @ self.FV - self.values[i] * (y @ self.MV)

    def combine(self, coefficients: Array) -> Tensor:
        """Return the vectors (k, n) of coefficient rows in V (k, d)."""
        return self._vectors(coefficients @ self.V)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain tensors."""
        return {"U": self.U.rows.clone()} | {name: torch.from_numpy(getattr(self, name).copy()) for name in _ARRAYS}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the space that `to_dict` described."""
        arrays = {name: flat[name].numpy() for name in _ARRAYS}
        return cls(Basis.of(flat["U"]), **arrays, **_ritz(arrays["V"], arrays["FV"], arrays["MV"]))

    def _vectors(self, coordinates: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(coordinates)).to(self.U.rows) @ self.U.rows

    def _of(self, U: Basis, **arrays: Array) -> Self:
        return type(self)(U, **arrays, **_ritz(arrays["V"], arrays["FV"], arrays["MV"]))


def _extended(U: Basis, images: Tensor) -> tuple[Basis, Array]:
    """Return orthonormal rows U (r, n) with those that images (k, n) add, and the images' coordinates in them."""
    rows, left, found = U.rows, images, images[:0]
    known = torch.zeros(len(images), len(rows), dtype=rows.dtype, device=rows.device)
    # Two passes for all images together: each reads the whole of U, which takes most of a step's time.
    for _ in range(2):
        part = left @ rows.T
        known, left = known + part, torch.addmm(left, part, rows, alpha=-1)
    for image, new in zip(images, left, strict=True):
        size = norm(new)
        room = len(rows) + len(found) < rows.shape[1]
        if room and size > _ROUNDINGS * torch.finfo(rows.dtype).eps * norm(image):
            along = norm(found @ new) > _PARALLEL * size
            unit = orthogonal_to(found, new)
            if along and unit is not None:
                unit = orthogonal_to(rows, unit)
            found = found if unit is None else torch.cat([found, unit[None]])
    return U.extend(found), read(torch.cat([known, left @ found.T], dim=1).flatten())


@single_threaded
def _ritz(V: Array, FV: Array, MV: Array) -> dict[str, Any]:
    """Return the Ritz values, decreasing, and their coefficient rows, orthonormal with respect to M.

    Raises:
        OperatorError: if M is not positive definite to rounding.
    """
    F, M = V @ FV.T, V @ MV.T
    try:
        root = np.linalg.inv(np.linalg.cholesky((M + M.T) / 2))
    except np.linalg.LinAlgError as error:
        raise OperatorError("the floor is lost in the rounding of the second model's Fisher information. Set a larger floor.") from error
    values, columns = np.linalg.eigh(root @ ((F + F.T) / 2) @ root.T)
    return {"values": values[::-1].copy(), "vectors": np.ascontiguousarray(columns.T[::-1] @ root)}


def _padded(rows: Array, size: int) -> Array:
    return np.pad(rows, ((0, 0), (0, size - rows.shape[1])))


def _orthonormal(rows: Array) -> Array:
    """Return orthonormal rows that span the given ones (k, d), without those that depend on others."""
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    _, values, turn = np.linalg.svd(rows[sizes[:, 0] > 0] / sizes[sizes[:, 0] > 0], full_matrices=False)
    return np.ascontiguousarray(turn[values > _ROUNDING * values[0]])
