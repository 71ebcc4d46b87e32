"""A subspace with its image under F, as a value: expand, Rayleigh-Ritz, residuals, restart."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from eigexp.linalg.basis import Basis
from eigexp.linalg.orthonormal import inner, norm, orthogonal_to
from eigexp.linalg.rayleigh_ritz import ritz


@dataclass(frozen=True)
class KrylovSpace:
    """Orthonormal rows V (d, n), G = F V, and the projection H = V F V^T in float64, so that every residual is free of products.

    Attributes:
        V: orthonormal basis.
        G: F of each row of V.
        H: (d, d), float64, on the CPU.
        values, vectors: Ritz values (d,), decreasing, and their coefficient rows (d, d).
    """

    V: Basis
    G: Basis
    H: Tensor
    values: Tensor
    vectors: Tensor

    @classmethod
    def empty(cls, n: int, dtype: torch.dtype, device: torch.device) -> Self:
        """The space {0} in n coordinates."""
        rows = torch.empty(0, n, dtype=dtype, device=device)
        zero = torch.empty(0, 0, dtype=torch.float64)
        return cls(Basis.of(rows), Basis.of(rows), zero, zero.flatten(), zero)

    def __len__(self) -> int:
        return self.V.size

    def expand(self, v: Tensor, g: Tensor, quotient: float) -> Self:
        """The space with a further direction v (n,), orthogonal to V, given g = F v and the Rayleigh quotient <A v, A v>."""
        d = len(self)
        H = torch.empty(d + 1, d + 1, dtype=torch.float64)
        H[:d, :d], H[d, d] = self.H, quotient
        H[d, :d] = H[:d, d] = inner(self.V.rows, g)
        return type(self)(self.V.append(v), self.G.append(g), H, *ritz(H))

    def residual(self, i: int) -> tuple[Tensor, float]:
        """The residual F z - theta z (n,) of Ritz pair i (from the end if negative), and its norm."""
        (r,) = self.residuals(torch.tensor([i]))
        return r, norm(r)

    def residuals(self, positions: Tensor) -> Tensor:
        """The residuals (k, n) of the Ritz pairs at some positions."""
        q = self.vectors[positions]
        scaled = self.values[positions, None] * q
        return q.to(self.G.rows) @ self.G.rows - scaled.to(self.V.rows) @ self.V.rows

    def ritz_vectors(self, indices: Tensor) -> Tensor:
        """The Ritz vectors (k, n) of the pairs named."""
        return self.vectors[indices].to(self.V.rows) @ self.V.rows

    def orthogonal_part(self, t: Tensor) -> Tensor | None:
        """The unit vector along the part of t that is new to the space, or None."""
        return orthogonal_to(self.V.rows, t)

    def last_image(self) -> Tensor:
        """F of the latest direction: the next vector of a Lanczos process."""
        return self.G.rows[-1]

    def restart(self, keep: Tensor) -> Self:
        """The space of the Ritz vectors named (thick restart, Wu and Simon 2000)."""
        q = self.vectors[keep].to(self.V.rows)
        values = self.values[keep]
        V, G = Basis.of(q @ self.V.rows), Basis.of(q @ self.G.rows)
        H = torch.diag(values)
        return type(self)(V, G, H, *ritz(H))

    def to_dict(self) -> dict[str, Any]:
        """V, G and H as plain tensors."""
        return {"V": self.V.rows.clone(), "G": self.G.rows.clone(), "H": self.H}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """The space that `to_dict` described."""
        return cls(Basis.of(flat["V"]), Basis.of(flat["G"]), flat["H"], *ritz(flat["H"]))
