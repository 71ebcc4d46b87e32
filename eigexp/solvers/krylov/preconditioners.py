"""Approximate inverses of F from a few gradients, which direct the search for its smallest eigenvalues (Davidson 1975).

For a random response u of unit covariance, g = A^T u has the covariance F. So a few probes g give an estimate of F that is diagonal in the
pixels, or block diagonal in the frequencies; its inverse turns a residual into a better direction. The estimate affects only the speed: the
space uses products with F itself.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.operators.base import Operator

_FLOOR = 1e-3  # relative to lambda_1 in the pixels, to the largest entry among the frequencies


@dataclass(frozen=True)
class Preconditioner(ABC):
    """The inverse of D^(1/2) B D^(1/2): D the diagonal of F in the pixels, and B what the probes show of D^(-1/2) F D^(-1/2) elsewhere.

    Attributes:
        scale: D^(-1/2), shape (c, h, w).
        inverse: of B; its shape is the subclass's.
    """

    num_probes: ClassVar[int]
    even_sides: ClassVar[bool] = False  # whether images must have them
    scale: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, probes: Tensor, largest: float) -> Self:
        """Return the preconditioner that probes (p, c, h, w) and lambda_1 give."""
        # E g_i^2 = F_ii for g = A^T u. A few samples are noisy, so neighbours are averaged, and the floor keeps the inverse bounded.
        scale = _smooth(probes.square().mean(0)).clamp(min=_FLOOR * largest).rsqrt()
        return cls(scale, cls.inverse_of(probes * scale))

    def apply(self, planes: Tensor) -> Tensor:
        """Return the inverse times an image (c, h, w)."""
        return self.scale * self.divide(self.scale * planes)

    @staticmethod
    @abstractmethod
    def inverse_of(probes: Tensor) -> Tensor:
        """Return the inverse of B, from probes (p, c, h, w) of unit variance."""

    @abstractmethod
    def divide(self, planes: Tensor) -> Tensor:
        """Return B^-1 times an image (c, h, w)."""

    def to_dict(self) -> dict[str, Any]:
        """Return its fields as plain tensors."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class PixelFrequency(Preconditioner):
    """The kind pf: diagonal in the pixels, then in the frequencies of the cosine transform; 8 probes, the cost of 4 products."""

    num_probes = 8

    @staticmethod
    def inverse_of(probes: Tensor) -> Tensor:
        """Return one over the power of each frequency, shape (c, h, w)."""
        power = _smooth(_cosine_transform(probes).square().mean(0))
        return power.clamp(min=_FLOOR * float(power.max())).reciprocal()

    def divide(self, planes: Tensor) -> Tensor:
        """Return an image divided by the power of each frequency."""
        return _cosine_transform(self.inverse * _cosine_transform(planes), back=True)


class AliasBlocks(Preconditioner):
    """The kind pb: diagonal in the pixels, then blocks of the four frequencies that stride 2 confuses, in all channels.

    16 probes, the cost of 8 products.
    """

    num_probes = 16
    even_sides = True

    @staticmethod
    def inverse_of(probes: Tensor) -> Tensor:
        """Return the inverse of each block, shape (h/2, w/2, 4c, 4c), complex."""
        aliases = _aliases(torch.fft.fft2(probes, norm="ortho"))
        # A block per group of four frequencies that differ by half the sampling rate: a layer of stride 2 mixes these and no others.
        blocks = torch.einsum("phwi,phwj->ijhw", aliases, aliases.conj()) / len(probes)
        blocks = torch.complex(_smooth(blocks.real, wrap=True), _smooth(blocks.imag, wrap=True)).permute(2, 3, 0, 1)
        values, vectors = torch.linalg.eigh(blocks)
        return (vectors / values.clamp(min=_FLOOR * float(values.max()))[..., None, :]) @ vectors.mH

    def divide(self, planes: Tensor) -> Tensor:
        """Return an image divided by the blocks."""
        c, h, w = planes.shape
        aliases = _aliases(torch.fft.fft2(planes, norm="ortho")[None])[0]
        divided = (self.inverse @ aliases[..., None]).reshape(h // 2, w // 2, c, 2, 2)
        return torch.fft.ifft2(divided.permute(2, 3, 0, 4, 1).reshape(c, h, w), norm="ortho").real


PRECONDITIONERS: dict[str, type[Preconditioner]] = {"pf": PixelFrequency, "pb": AliasBlocks}


def check_preconditioner(kind: str, A: Operator) -> None:
    """Refuse a preconditioner that cannot be had for the operator's images.

    Raises:
        ConfigurationError: if there are no images of planes, or their sides do not fit.
    """
    if A.images is None or A.images.ndim < 3:
        raise ConfigurationError(f"solver.preconditioner={kind} needs images with height and width. Set it to null.")
    h, w = A.images.shape[-2:]
    if PRECONDITIONERS[kind].even_sides and (h % 2 or w % 2):
        raise ConfigurationError(f"solver.preconditioner={kind} needs images of even sides, not {h}x{w}. Set images.size, or use pf.")


def build_preconditioner(kind: str, A: Operator, probes: Tensor, largest: float) -> Preconditioner:
    """Return the preconditioner of an operator's image from its gradients.

    Args:
        kind: pf | pb.
        A: for the images' shape, and the way from coordinates to pixels.
        probes: A^T u of random responses u (p, n).
        largest: lambda_1.
    """
    return PRECONDITIONERS[kind].of(_planes(A, probes), largest)


def precondition(preconditioner: Preconditioner, A: Operator, direction: Tensor) -> Tensor:
    """Return the preconditioner's inverse times a direction (n,), in the operator's coordinates."""
    planes = _planes(A, direction[None])[0]
    return A.from_pixels(preconditioner.apply(planes).flatten()[None])[0]


def _planes(A: Operator, rows: Tensor) -> Tensor:
    """Return rows (k, n) as stacks of planes (k, c, h, w)."""
    assert A.images is not None
    h, w = A.images.shape[-2:]
    return A.to_pixels(rows).reshape(len(rows), -1, h, w)


def _smooth(planes: Tensor, *, wrap: bool = False) -> Tensor:
    """Return means over 3 x 3 neighbours in the last two axes."""
    padded = F.pad(planes.reshape(1, -1, *planes.shape[-2:]), (1, 1, 1, 1), mode="circular" if wrap else "replicate")
    return F.avg_pool2d(padded, 3, 1).reshape(planes.shape)


def _cosine_transform(planes: Tensor, *, back: bool = False) -> Tensor:
    """Return the orthonormal two-dimensional cosine transform (DCT-II) of planes (..., h, w), or its inverse."""
    rows, columns = (_cosines(size).to(planes) for size in planes.shape[-2:])
    return rows.T @ planes @ columns if back else rows @ planes @ columns.T


def _cosines(size: int) -> Tensor:
    k = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi * (k + 0.5) * k[:, None] / size) * math.sqrt(2 / size)
    # Makes the transform orthonormal, so that its inverse is its transpose.
    matrix[0] /= math.sqrt(2)
    return matrix


def _aliases(spectrum: Tensor) -> Tensor:
    """Return a spectrum (p, c, h, w) as vectors of the 4c components that alias under stride 2: (p, h/2, w/2, 4c)."""
    p, c, h, w = spectrum.shape
    return spectrum.reshape(p, c, 2, h // 2, 2, w // 2).permute(0, 3, 5, 1, 2, 4).reshape(p, h // 2, w // 2, 4 * c)
