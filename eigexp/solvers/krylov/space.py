"""A subspace that grows by products with F, as a value: propose a direction, take its product, Rayleigh-Ritz, residuals, restart.

Orthonormal rows V (d, n) with F V = H V + C^T R: the rows R (r, n), orthogonal to V, are what F adds to the space, and C (r, d) how much of
each. A Lanczos process has one row R, its next vector, which a thick restart keeps (Stewart 2001); a direction from elsewhere adds one. So
the residual of a Ritz pair with coefficients c is R^T C c: its norm costs no work of length n, and F V needs no memory.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigexp.linalg.basis import Basis
from eigexp.linalg.orthonormal import inner, orthogonal_to, outside, read
from eigexp.linalg.threads import single_threaded
from eigexp.solvers.base import changed, overflow

Array = NDArray[np.float64]

_FIELDS = ("V", "H", "R", "C", "leans_from", "locked", "coupling")
_NEGLIGIBLE = 1e-3  # of the largest coefficient: a smaller one is left to the pass over the whole basis
_ROUNDINGS = 10  # units of precision of F v, in which its new part is rounding alone


@dataclass(frozen=True)
class KrylovSpace:
    """The space, and the direction whose product it waits for, if any. Tensors are on the device, arrays on the host.

    Attributes:
        V: orthonormal basis, with that direction as its last row, if any.
        H: V F V^T (d, d).
        R: orthonormal rows (r, n), orthogonal to V.
        C: their coefficients in F V (r, d).
        leans_from: first row of V on which F of that direction leans noticeably.
        locked: orthonormal rows (e, n) to which the space is orthogonal.
        coupling: <locked, F V> (e, d).
    """

    V: Basis
    H: Array
    R: Tensor
    C: Array
    leans_from: int
    locked: Tensor
    coupling: Array

    @classmethod
    def empty(cls, locked: Tensor) -> Self:
        """Return the space {0} in the coordinates, dtype and device of rows (e, n) to which it stays orthogonal; e may be 0."""
        none = np.empty((0, 0))
        return cls(Basis.of(locked[:0]), none, locked[:0], none, 0, locked, np.empty((len(locked), 0)))

    def __len__(self) -> int:
        return self.H.shape[0]

    @property
    def values(self) -> Array:
        """Return the Ritz values (d,), decreasing."""
        return self._ritz[0]

    @property
    def vectors(self) -> Array:
        """Return the coefficient rows of the Ritz vectors (d, d)."""
        return self._ritz[1]

    @cached_property
    @single_threaded
    def _ritz(self) -> tuple[Array, Array]:
        # Only where they are asked for: of many vectors they cost more than a step.
        values, columns = np.linalg.eigh(self.H)
        return values[::-1].copy(), np.ascontiguousarray(columns.T[::-1])

    @property
    def rows(self) -> Tensor:
        """Return the basis (d, n), without the direction whose product is waited for."""
        return self.V.rows[: len(self)]

    @property
    def direction(self) -> Tensor:
        """Return the direction whose product is waited for, as a block (1, n)."""
        return self.V.rows[-1:]

    def along_residual(self, coefficients: Array) -> Self | None:
        """Return the space that waits for the product with the new part of a vector's residual, or None.

        Args:
            coefficients: of the vector (d,).
        """
        return self._along_new(self.C @ coefficients)

    def along_latest(self) -> Self | None:
        """Return the space that waits for the product with what F has added to it last, in a Lanczos process the next vector, or None."""
        r = self.R.shape[0]
        return self._along_new(np.eye(r)[-1] if r else np.empty(0))

    def _along_new(self, weights: Array) -> Self | None:
        """Return the space that waits for the product with a combination of the rows R, of any length, given by weights (r,)."""
        if not weights.any():
            return None
        # One row is the direction itself. Of several, a reflection makes the first of them the direction.
        R, C = self._reflected(weights) if weights.shape[0] > 1 else (self.R, self.C)
        return changed(self, V=self.V.extend(R[:1]), R=R[1:], C=C[1:], leans_from=_first_of_note(C[0]))

    def along(self, t: Tensor) -> Self | None:
        """Return the space that waits for the product with what is new in t (n,), or None."""
        new = orthogonal_to(self.rows, outside(self.locked, t)[0])
        if new is None:
            return None
        new = outside(self.locked, new)[0]
        space = self._without(new)
        return changed(space, V=space.V.append(new))

    def _without(self, t: Tensor) -> Self:
        """Return the space with R orthogonal to a unit row t (n,) as well, and the first row on which F t leans."""
        shares = read(inner(self.R, t))
        if not shares.any():
            return changed(self, leans_from=len(self))
        R, C = self._reflected(shares)  # t leans on the first row alone
        leans_from = _first_of_note(C[0])
        # Against everything: a first row almost along t leaves little, in which rounding would grow from step to step.
        first = orthogonal_to(torch.cat([self.rows, t[None], R[1:]]), R[0])
        if first is None:
            return changed(self, R=R[1:], C=C[1:], leans_from=leans_from)
        C[0] *= read(inner(R[:1], first))[0]
        R[0] = first
        return changed(self, R=R, C=C, leans_from=leans_from)

    def _reflected(self, weights: Array) -> tuple[Tensor, Array]:
        """Return R and C after a reflection whose first row is the combination of R by weights (r,), not all 0 (Householder 1958)."""
        u = weights / np.linalg.norm(weights)
        u[0] += math.copysign(1.0, u[0])
        u *= math.sqrt(2) / np.linalg.norm(u)
        turn = torch.from_numpy(u).to(self.R)
        return torch.addr(self.R, turn, turn @ self.R, alpha=-1), self.C - np.outer(u, u @ self.C)

    def expand(self, forward: Tensor, back: Tensor) -> Self:
        """Return the space with the direction that it waits for, t, given forward = A t (m,) and back = F t (n,).

        Classical Gram-Schmidt in two passes of matrix-vector products: over R and the rows on which F t is known to lean, then over all.
        Nothing is read back from the device but one vector of coefficients and norms.

        Raises:
            OperatorError: if the product is not finite.
        """
        rows, R, columns = self.V.rows, self.R, self.R.T
        d, r, e = rows.shape[0], R.shape[0], self.locked.shape[0]
        # F V = H V + C^T R and F is symmetric: so it is known on which rows F t leans.
        near = rows[self.leans_from :]
        first, aside = inner(near, back), []
        w = torch.addmv(back, near.T, first, alpha=-1)
        if r:
            aside = [inner(R, w)]
            w.addmv_(columns, aside[0], alpha=-1)
        second = inner(rows, w)
        if r:
            # R as well: a remainder shorter than its part in R would enlarge any error of R, from step to step.
            aside.append(inner(R, w))
            w.addmv_(columns, aside[1], alpha=-1)
        # Locked rows last, in float64: what rounding leaves of them would grow back to the largest eigenvalues.
        w, coupling = outside(self.locked, w.addmv_(rows.T, second, alpha=-1))
        numbers = read(torch.cat([second, *aside, *coupling, first, _norm(w), _norm(forward)]))
        if not np.isfinite(numbers).all():
            raise overflow(back.dtype)
        h, aside, more, coupling = numbers[:d], numbers[d : d + r], numbers[d + r : d + 2 * r], numbers[d + 2 * r : d + 2 * r + e]
        norm, stretch = numbers[-2:].tolist()
        removed = max(_length(h), _length(coupling), _length(more))
        h[self.leans_from :] += numbers[d + 2 * r + e : -2]
        aside += more
        row = self._next_row(w, math.hypot(_length(h), _length(aside), _length(coupling), norm), removed, norm)
        return self._grown(h, stretch**2, aside, coupling, row)

    def _next_row(self, w: Tensor, size: float, removed: float, norm: float) -> tuple[Tensor, float]:
        """Return what F adds as a row of unit length, and its length; no row where it is rounding alone.

        Further passes over all rows follow while one removes much (Daniel, Gragg, Kaufman and Stewart 1976).

        Args:
            w: what is left of F t (n,) after the passes of `expand`, of length `norm`.
            size: of F t before them.
            removed: length of what the last of them removed.
            norm: of w.
        """
        while norm <= removed:
            rows = torch.cat([self.V.rows, self.R])
            again = inner(rows, w)
            w, _ = outside(self.locked, torch.addmv(w, rows.T, again, alpha=-1))
            *change, left = read(torch.cat([again, _norm(w)]))
            if left <= 0.1 * norm:
                return w[None][:0], 0.0
            removed, norm = math.hypot(*change), left
        if norm <= _ROUNDINGS * torch.finfo(w.dtype).eps * size:
            return w[None][:0], 0.0
        return w.mul_(1 / norm)[None], norm

    def _grown(self, h: Array, quotient: float, aside: Array, coupling: Array, row: tuple[Tensor, float]) -> Self:
        """Return the space with <V, F t> = h, <t, F t> = quotient, <R, F t> = aside, and a further row of R with its coefficient."""
        d, r, (new, length) = len(self), self.R.shape[0], row
        H, C = np.empty((d + 1, d + 1)), np.zeros((r + new.shape[0], d + 1))
        H[:d, :d] = self.H
        # <A t, A t> for the diagonal: never negative, and more precise than <t, F t> for small values.
        H[d, :], H[:d, d], H[d, d] = h, h[:d], quotient
        C[:r, :d], C[:r, d] = self.C, aside
        C[r:, d] = length
        R = torch.cat([self.R, new]) if r else new
        return self._of(self.V, H, R, C, np.concatenate([self.coupling, coupling[:, None]], axis=1))

    def _of(self, V: Basis, H: Array, R: Tensor, C: Array, coupling: Array) -> Self:
        """Return a space that waits for nothing."""
        return type(self)(V, H, R, C, 0, self.locked, coupling)

    def residual_norms(self, coefficients: Array, values: Array) -> Array:
        """Return the norms (k,) of F z - theta z for vectors z given by coefficient rows (k, d), and values theta (k,).

        The space must not wait for a product: the row of R that is then its direction is missing in C.
        """
        within = coefficients @ self.H - values[:, None] * coefficients
        parts = np.concatenate([within, coefficients @ self.C.T, coefficients @ self.coupling.T], axis=1)
        return np.sqrt(np.einsum("kd,kd->k", parts, parts))

    def residual_norm(self, i: int) -> float:
        """Return the residual norm of Ritz pair i, from the end if negative."""
        return float(self.residual_norms(self.vectors[[i]], self.values[[i]])[0])

    def residual(self, coefficients: Array, value: float) -> Tensor:
        """Return F z - theta z (n,), locked rows aside, of a vector z given by coefficients (d,), and a value theta."""
        within, new = coefficients @ self.H - value * coefficients, self.C @ coefficients
        return torch.from_numpy(within).to(self.rows) @ self.rows + torch.from_numpy(new).to(self.R) @ self.R

    def squares(self) -> Array:
        """Return <F v_i, F v_j> of all rows of the basis (d, d)."""
        return self.H @ self.H.T + self.C.T @ self.C

    def combine(self, coefficients: Array) -> Tensor:
        """Return the vectors (k, n) of coefficient rows (k, d); of rows from before the space grew, those of the smaller space."""
        return torch.from_numpy(coefficients).to(self.rows) @ self.rows[: coefficients.shape[1]]

    def weight_bound(self, c: float, start: int = 0) -> float:
        """Return a bound of |<w, y>| for unit eigenvectors y with eigenvalue c beyond all Ritz values; see `complement`.

        Args:
            c: beyond the largest or the smallest Ritz value.
            start: index of the vector w that the space has grown from, as a Krylov space.
        """
        # (H - c)^-1 e_last in the Ritz basis; its unknown factor cancels in the quotient.
        x = self.vectors[:, -1] / (self.values - c)
        return float(abs(self.vectors[:, start] @ x) / np.linalg.norm(x))

    def restart(self, coefficients: Array, values: Array) -> Self:
        """Return the space of vectors that are orthonormal, orthogonal with respect to F, and have Rayleigh quotients `values`.

        With Ritz vectors, whose residuals lie in R: the thick restart of Wu and Simon (2000). Others lose what F adds to them.
        """
        V = Basis.of(self.combine(coefficients))
        R, C = self.R, self.C @ coefficients.T
        if len(R) > len(values):  # F adds no more than a row to each vector; without this R would grow with every restart
            turn, C = np.linalg.qr(C)
            R = torch.from_numpy(turn.T.copy()).to(R) @ R
        return self._of(V, np.diag(values), R, C, self.coupling @ coefficients.T)

    def restarted(self, top: int, bottom: int) -> Self:
        """Return the space of its extreme Ritz vectors."""
        keep = sorted({*range(top), *range(len(self) - bottom, len(self))})
        return self.restart(self.vectors[keep], self.values[keep])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain tensors and numbers."""
        flat = {name: getattr(self, name) for name in _FIELDS} | {"V": self.V.rows.clone(), "R": self.R.clone()}
        return {name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in flat.items()}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the space that `to_dict` described."""
        H, C, coupling = (flat[name].numpy() for name in ("H", "C", "coupling"))
        return cls(Basis.of(flat["V"]), H, flat["R"], C, flat["leans_from"], flat["locked"], coupling)


def _norm(vector: Tensor) -> Tensor:
    """Return the norm of a vector, summed in float64, as a tensor (1,) on its device."""
    return torch.linalg.vector_norm(vector, dtype=torch.float64, keepdim=True)


def _length(numbers: Array) -> float:
    """Return the norm of a few numbers."""
    return math.sqrt(numbers.dot(numbers))


def _first_of_note(coefficients: Array) -> int:
    """Return the index of the first coefficient (d,) that is not small beside the largest, or d."""
    sizes = np.abs(coefficients)
    found = np.flatnonzero(sizes > _NEGLIGIBLE * sizes.max(initial=0.0))
    return int(found[0]) if len(found) else len(sizes)
