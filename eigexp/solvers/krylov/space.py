"""A subspace with its image under F, as a value: expand, Rayleigh-Ritz, residuals, restart."""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from eigexp.linalg.basis import Basis
from eigexp.linalg.orthonormal import inner, norm, orthogonal_to
from eigexp.linalg.rayleigh_ritz import ritz

_FIELDS = ("V", "G", "H", "gram")


@dataclass(frozen=True)
class KrylovSpace:
    """Orthonormal rows V (d, n), G = F V, and the projection H = V F V^T in float64, so that every residual is free of products.

    Attributes:
        V: orthonormal basis.
        G: F of each row of V.
        H: (d, d), float64, on the CPU.
        gram: G G^T of the first rows of G, as far as it was asked for: (e, e), e <= d, float64, on the CPU.
        values, vectors: Ritz values (d,), decreasing, and their coefficient rows (d, d).
    """

    V: Basis
    G: Basis
    H: Tensor
    gram: Tensor
    values: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, V: Basis, G: Basis, H: Tensor, gram: Tensor) -> Self:
        """Return the space with its Ritz values and vectors."""
        return cls(V, G, H, gram, *ritz(H))

    @classmethod
    def empty(cls, n: int, dtype: torch.dtype, device: torch.device) -> Self:
        """Return the space {0} in n coordinates."""
        rows = Basis.of(torch.empty(0, n, dtype=dtype, device=device))
        none = torch.empty(0, 0, dtype=torch.float64)
        return cls(rows, rows, none, none, none.flatten(), none)

    def __len__(self) -> int:
        return self.V.size

    def expand(self, v: Tensor, g: Tensor, quotient: float) -> Self:
        """Return the space with a further direction v (n,), orthogonal to V, given g = F v and the Rayleigh quotient <A v, A v>."""
        d = len(self)
        H = torch.empty(d + 1, d + 1, dtype=torch.float64)
        # <A v, A v> for the diagonal: never negative, and more precise than <v, F v> for small values.
        H[:d, :d], H[d, d] = self.H, quotient
        H[d, :d] = H[:d, d] = inner(self.V.rows, g)
        return self.of(self.V.append(v), self.G.append(g), H, self.gram)

    def with_gram(self) -> Self:
        """Return the space with the whole of G G^T."""
        d, known = len(self), len(self.gram)
        if known == d:
            return self
        gram = torch.empty(d, d, dtype=torch.float64)
        gram[:known, :known] = self.gram
        gram[:, known:] = inner(self.G.rows, self.G.rows[known:])
        gram[known:, :known] = gram[:known, known:].T
        return replace(self, gram=gram)

    def residual(self, i: int) -> tuple[Tensor, float]:
        """Return the residual F z - theta z (n,) of Ritz pair i (from the end if negative), and its norm."""
        (r,) = self.residuals(self.vectors[[i]], self.values[[i]])
        return r, norm(r)

    def residuals(self, coefficients: Tensor, values: Tensor) -> Tensor:
        """Return the residuals F z - theta z (k, n) of vectors z given by coefficient rows (k, d), and values theta (k,)."""
        scaled = values[:, None] * coefficients
        return coefficients.to(self.G.rows) @ self.G.rows - scaled.to(self.V.rows) @ self.V.rows

    def combine(self, coefficients: Tensor) -> Tensor:
        """Return the vectors (k, n) of coefficient rows (k, d)."""
        return coefficients.to(self.V.rows) @ self.V.rows

    def orthogonal_part(self, t: Tensor) -> Tensor | None:
        """Return the unit vector along the part of t that is new to the space, or None."""
        return orthogonal_to(self.V.rows, t)

    def weight_bound(self, c: float, start: int = 0) -> float:
        """Return a bound of |<w, y>| for unit eigenvectors y with eigenvalue c beyond all Ritz values; see `complement`.

        Args:
            c: beyond the largest or the smallest Ritz value.
            start: index of the vector w that the space has grown from, as a Krylov space.
        """
        # (H - c)^-1 e_last in the Ritz basis; its unknown factor cancels in the quotient.
        x = self.vectors[:, -1] / (self.values - c)
        return float((self.vectors[:, start] @ x).abs() / x.norm())

    def last_image(self) -> Tensor:
        """Return F of the latest direction: the next vector of a Lanczos process."""
        return self.G.rows[-1]

    def restart(self, coefficients: Tensor, values: Tensor) -> Self:
        """Return the space of vectors that are orthonormal, orthogonal with respect to F, and have Rayleigh quotients `values`.

        With Ritz vectors: the thick restart of Wu and Simon (2000).
        """
        # G is rotated with V: a restart costs no products.
        V, G = (Basis.of(coefficients.to(B.rows) @ B.rows) for B in (self.V, self.G))
        complete = len(self.gram) == len(self)
        gram = coefficients @ self.gram @ coefficients.T if complete else self.gram[:0, :0]
        return self.of(V, G, torch.diag(values), gram)

    def restarted(self, top: int, bottom: int) -> Self:
        """Return the space of its extreme Ritz vectors."""
        keep = sorted({*range(top), *range(len(self) - bottom, len(self))})
        return self.restart(self.vectors[keep], self.values[keep])

    def to_dict(self) -> dict[str, Any]:
        """Return V, G, H and the Gram matrix as plain tensors."""
        return {"V": self.V.rows.clone(), "G": self.G.rows.clone(), "H": self.H, "gram": self.gram}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the space that `to_dict` described."""
        V, G, H, gram = (flat[key] for key in _FIELDS)
        return cls.of(Basis.of(V), Basis.of(G), H, gram)
