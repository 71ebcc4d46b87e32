"""Subspaces of pixel space to which distortions are restricted: maps P with orthonormal columns."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.errors import ImageError
from eigexp.system.memory import check_memory


class PixelSubspace(ABC):
    """A map P from n coordinates to the pixels of an image shape, with P^T P = 1.

    A subclass declares `name`, which becomes part of the ids of results.
    """

    name: ClassVar[str]

    @abstractmethod
    def dimension(self, image_shape: tuple[int, ...]) -> int:
        """Return n, the number of coordinates."""

    @abstractmethod
    def to_pixels(self, v: Float[Tensor, "*more n"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more pixels"]:
        """Return P v: (..., n) -> (..., c * h * w)."""

    @abstractmethod
    def from_pixels(self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more n"]:
        """Return P^T of pixels: (..., c * h * w) -> (..., n)."""


class BasisSubspace(PixelSubspace):
    """A subspace from an explicit matrix, which is orthonormalised: distortions have unit norm in pixels for any columns.

    A subclass defines `columns`.
    """

    @abstractmethod
    def columns(self, image_shape: tuple[int, ...]) -> Float[Tensor, "pixels d"]:
        """Return vectors that span the subspace, in float64; they may be dependent."""

    def dimension(self, image_shape: tuple[int, ...]) -> int:
        """Return the rank of the columns."""
        return self._basis(image_shape, torch.float64, torch.device("cpu")).shape[1]

    def to_pixels(self, v: Float[Tensor, "*more n"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more pixels"]:
        """Return the linear combinations of the orthonormal columns."""
        return v @ self._basis(image_shape, v.dtype, v.device).T

    def from_pixels(self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more n"]:
        """Return the inner products with the orthonormal columns."""
        return pixels @ self._basis(image_shape, pixels.dtype, pixels.device)

    def _basis(self, image_shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        key = (tuple(image_shape), dtype, device)
        if key not in self._known:
            exact = (tuple(image_shape), torch.float64, torch.device("cpu"))
            if exact not in self._known:
                self._known[exact] = orthonormal_columns(self.columns(tuple(image_shape)), str(self))
            self._known[key] = self._known[exact].to(device, dtype)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[tuple[int, ...], torch.dtype, torch.device], Tensor]:
        return {}


def orthonormal_columns(columns: Float[Tensor, "pixels d"], what: str, least: float = 1e-10) -> Float[Tensor, "pixels r"]:
    """Return an orthonormal basis of the span of some columns: their left singular vectors with values above `least` of the largest.

    Raises:
        ImageError: if they are all zero.
        MemoryLimitError: if there is no memory for two more such matrices.
    """
    check_memory(2 * columns.numel() * 8, columns.device, f"the basis of {what}", "Set a smaller images.size, or a smaller subspace.")
    U, s, _ = torch.linalg.svd(columns.double(), full_matrices=False)
    kept = s > (least * s[0] if len(s) else 0)
    if not bool(kept.any()):
        raise ImageError(f"the subspace {what} contains no distortion of this image. Choose a larger subspace.")
    return U[:, kept]
